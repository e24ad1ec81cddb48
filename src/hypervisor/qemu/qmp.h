// QEMU's monitor protocol: commands with their replies, and events as they come.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/async.h"
#include "base/json.h"
#include "hypervisor/qemu/line_socket.h"

namespace virga::hypervisor {

class Qmp : public std::enable_shared_from_this<Qmp> {
 public:
  using Duration = std::chrono::steady_clock::duration;
  // `event` is the whole message: "event", "data" (may be missing), "timestamp".
  using EventHandler = std::function<void(const json::object& event)>;

  // `machine` names the guest in errors, whose subject it is.
  Qmp(asio::any_io_executor executor, std::string machine, Duration reply_timeout);

  // Negotiates over the connection to a monitor. Call once, before anything else.
  Async<void> open(Fd connection);
  // Sends `command`; `fd`, if not -1, travels with it. Returns its "return" value. Errors: what
  // QEMU refused, gone, timed_out; each names the command.
  Async<json::value> execute(std::string command, json::object arguments = json::object(),
                             int fd = -1);
  // Sends and does not care.
  void post(const std::string& command);

  // From the executor, in the order QEMU sent them. Empty: nobody listens any more.
  void on_event(EventHandler handler) { handler_ = std::move(handler); }
  bool is_open() const { return socket_.is_open(); }
  void close() { socket_.close(); }
  // Returns when nothing more will come: every event QEMU sent has been delivered. False when that
  // is not so after `timeout`.
  Async<bool> wait_closed(Duration timeout);
  // "7.2.22"; known once open.
  const std::string& version() const { return version_; }

 private:
  struct Pending {
    explicit Pending(asio::any_io_executor executor) : done(std::move(executor)) {}
    std::optional<json::object> reply;  // none yet, or none to come
    bool finished = false;
    Signal done;
  };

  static Async<void> read(std::shared_ptr<Qmp> self);
  void dispatch(json::object message);
  void abandon_all();

  asio::any_io_executor executor_;
  std::string machine_;
  Duration reply_timeout_;
  LineSocket socket_;
  AsyncMutex sending_;
  bool reading_ = false;
  Signal closed_;
  EventHandler handler_;
  std::string version_;
  std::int64_t last_id_ = 0;
  std::map<std::int64_t, std::shared_ptr<Pending>> pending_;
};

}  // namespace virga::hypervisor
