// Places for tests of real networks: a machine of the test's own (a network namespace with folders)
// and guests with a network card and a kernel behind it (another namespace each, joined to a port's
// tap as QEMU would be).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <boost/asio/io_context.hpp>

#include "base/async.h"
#include "base/file.h"
#include "switching/switching.h"

namespace virga::switching {

// While it lives, the calling thread and those it starts are on a fresh machine: nothing but `lo`,
// up. When it goes, or the test dies, every process with a pid file in run_dir() is killed.
class Machine {
 public:
  Machine();
  ~Machine();

  const fs::path& folder() const { return folder_; }
  fs::path state_dir() const { return folder_ / "state"; }
  fs::path run_dir() const { return folder_ / "run"; }
  // From a pid file in run_dir().
  int pid_of(const std::string& pid_file) const;

 private:
  fs::path folder_;
  Fd former_network_;
  Fd reaper_input_;
  int reaper_ = 0;
};

// The network device eth0 of a namespace of its own, with `mac`; what it sends comes out of `tap`
// and the other way round.
class Guest {
 public:
  Guest(Fd tap, const std::string& mac);
  ~Guest();

  // Runs a command on the guest: its output, or an Error with its words.
  std::string run(std::vector<std::string> command) const;
  void set_address(const std::string& address_and_prefix) const;
  // Whether one of a few pings of `address` is answered: the first may fall to an address
  // resolution that began, in vain, before.
  bool reaches(const std::string& address) const;
  // Whether a ping is not answered, given a second.
  bool misses(const std::string& address) const { return !pings(address); }
  // A TCP socket in the guest's network, that gives up on anything after 10 s.
  Fd socket() const;

 private:
  bool pings(const std::string& address) const;

  std::string network_;  // a path to the namespace
  Fd network_fd_, stop_;
  std::thread thread_;
};

// A TCP socket of the calling thread's network, as Guest::socket().
Fd tcp_socket();

// What a TCP connection tells.
struct Conversation {
  bool complete = false;  // a megabyte went there and came back unharmed
  std::string client;     // the client's address, as the server sees it
};

// Lets `client` talk to `server` at address:port.
Conversation talk(Fd client, Fd server, const std::string& address, int port);

// Runs coroutines of a test to their end, on the test's thread.
class Loop {
 public:
  asio::any_io_executor executor() { return io_.get_executor(); }
  asio::thread_pool& pool() { return pool_; }

  template <class T>
  T run(Async<T> operation) {
    std::exception_ptr failure;
    std::optional<std::conditional_t<std::is_void_v<T>, bool, T>> result;
    if constexpr (std::is_void_v<T>) {
      asio::co_spawn(io_, std::move(operation), [&](std::exception_ptr e) {
        failure = e;
        result = true;
      });
    } else {
      asio::co_spawn(io_, std::move(operation), [&](std::exception_ptr e, T value) {
        failure = e;
        result = std::move(value);
      });
    }
    run_until([&] { return result.has_value(); });
    if (failure) std::rethrow_exception(failure);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
  }

  // Handles events until `done`; throws timed_out after half a minute.
  void run_until(const std::function<bool()>& done);

 private:
  asio::io_context io_;
  asio::thread_pool pool_{1};
};

}  // namespace virga::switching
