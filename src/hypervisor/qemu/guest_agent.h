// The agent inside the guest (qemu-ga) over its socket. The guest is not trusted: replies are
// bounded in size and time, and anything odd in them drops the connection.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/async.h"
#include "base/json.h"
#include "hypervisor/guest/info.h"
#include "hypervisor/guest/program.h"
#include "hypervisor/qemu/line_socket.h"

namespace virga::hypervisor {

class GuestAgent {
 public:
  using Duration = std::chrono::steady_clock::duration;

  GuestAgent(asio::any_io_executor executor, const std::string& machine, std::string socket_path,
             Duration timeout = std::chrono::seconds(5));

  // Sends `command` and returns its "return" value; connects and synchronizes first where needed.
  // Calls are served one after another. ErrorKind::timed_out or gone without an agent, unsupported
  // when this agent does not know the command, io when it refused.
  // `timeout`: of the answer; none is that of all commands.
  Async<json::value> execute(std::string command, json::object arguments = json::object(),
                             std::optional<Duration> timeout = std::nullopt);
  // For commands that answer only when they fail, such as guest-shutdown: returns when the agent
  // has accepted the command, or fell silent after it was sent. Errors as above.
  Async<void> tell(std::string command, json::object arguments);
  // Connects ahead of need: an agent whose other end is closed naps between looks at its port.
  void connect();
  void close() { socket_.close(); }

  // Machine::start_guest_program() and guest_program_state().
  Async<std::int64_t> start(GuestProgram program);
  Async<GuestProgramState> state(std::int64_t pid);
  // All of what the guest tells; agent_running is false when no agent answers.
  Async<GuestInfo> info();

 private:
  Async<void> synchronize();
  Async<json::value> ask(std::string command, json::object arguments, Duration timeout);
  Async<json::value> ask_or_null(std::string command);

  std::string machine_;
  std::string path_;
  Duration timeout_;
  LineSocket socket_;
  AsyncMutex asking_;
  std::int64_t last_sync_ = 0;
};

// Pure: what the replies of guest-info, guest-get-host-name, guest-get-osinfo,
// guest-network-get-interfaces and guest-get-fsinfo say. Null: the agent did not tell. Fields of a
// wrong type count as missing; lists are cut at 256 entries, texts at 1024 bytes.
GuestInfo parse_guest_info(const json::value& agent, const json::value& host_name,
                           const json::value& os, const json::value& interfaces,
                           const json::value& filesystems);

// Pure: what the reply of guest-exec-status says. Throws ErrorKind::damaged under the machine's
// name when it says nothing of the kind.
GuestProgramState parse_program_state(const json::value& reply, const std::string& machine);

}  // namespace virga::hypervisor
