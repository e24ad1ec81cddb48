// What the tests with a real QEMU share: a private directory, an event loop with a deadline, a
// guest of a few instructions, and an ear for a machine's events.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/qemu_hypervisor.h"

namespace virga::hypervisor {

using namespace std::chrono_literals;

// Generous: the tests share their processors with others. Nothing waits this long unless it hangs.
constexpr auto patience = 60s;

// The account guests run as, made if the machine does not have it.
std::string guest_user();

// A boot sector. It says 'b' on the first serial port when it starts, and then obeys what it reads
// there: 'n' says the next of 0, 1, 2, …; 'p' powers off through ACPI; 'r' resets through the
// keyboard controller.
std::string boot_sector();

class Lab {
 public:
  Lab();
  ~Lab();

  // Runs the loop until the coroutine is done, and returns or throws what it did.
  template <class T>
  T run(Async<T> work) {
    std::optional<T> result;
    std::exception_ptr failure;
    bool done = false;
    asio::co_spawn(io, std::move(work), [&](std::exception_ptr e, T value) {
      failure = e;
      if (!e) result.emplace(std::move(value));
      done = true;
    });
    run_until(done);
    if (failure) std::rethrow_exception(failure);
    return std::move(*result);
  }
  void run(Async<void> work);

  QemuOptions options() const;
  std::unique_ptr<Hypervisor> hypervisor() {
    return make_qemu_hypervisor(io.get_executor(), options());
  }
  // One disk with the boot sector on PVSCSI, a serial port on a socket.
  MachineSpec spec(const std::string& id = "guest");
  std::string make_image(const std::string& name, std::uint64_t bytes = 1 << 20);

  std::string path(const std::string& name) const { return directory + "/" + name; }
  bool is_gone(const std::string& id) const;

  std::string directory;
  asio::io_context io;

 private:
  void run_until(const bool& done);
};

// Collects a machine's events and lets a test wait for the one it means.
class Ear {
 public:
  Ear(Lab& lab, std::shared_ptr<Machine> machine);

  // The first event of this kind, past or to come, that nobody has taken yet; fails the test after
  // `patience`.
  template <class Event>
  Event next() {
    std::optional<Event> found;
    lab_.run(wait<Event>(found));
    if (!found) throw std::runtime_error(std::string("no such event: ") + typeid(Event).name());
    return *found;
  }
  std::size_t pending() const { return events_.size(); }

 private:
  template <class Event>
  Async<void> wait(std::optional<Event>& found) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < deadline) {
      for (auto at = events_.begin(); at != events_.end(); ++at) {
        if (const Event* event = std::get_if<Event>(&*at)) {
          found = *event;
          events_.erase(at);
          co_return;
        }
      }
      co_await heard_.wait(deadline - std::chrono::steady_clock::now());
    }
  }

  Lab& lab_;
  std::vector<MachineEvent> events_;
  Signal heard_;
};

// The serial console of a guest that runs the boot sector.
class SerialLine {
 public:
  // Waits until the guest has said it is up.
  SerialLine(Lab& lab, Machine& machine, int boots = 1);
  void send(char c);
  char receive();
  char ask(char c) {
    send(c);
    return receive();
  }

 private:
  Fd fd_;
};

// Returns when the file contains the text.
Async<void> await_text(std::string path, std::string text, int times = 1);

pid_t process_of(Lab& lab, const std::string& id);

}  // namespace virga::hypervisor
