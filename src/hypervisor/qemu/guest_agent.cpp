#include "hypervisor/qemu/guest_agent.h"

#include <random>

#include "base/base64.h"
#include "base/error.h"

namespace virga::hypervisor {
namespace {

constexpr std::size_t line_limit = 2 * max_guest_program_data;  // in base64, with words around it
constexpr std::size_t list_limit = 256;
constexpr std::size_t text_limit = 1024;
// After this byte the agent forgets whatever it was reading and marks its next answer with it.
constexpr char delimiter = '\xff';

const json::value* member(const json::value& from, std::string_view name) {
  const json::object* object = from.if_object();
  return object ? object->if_contains(name) : nullptr;
}

// Ends before a character that would be cut: its bytes but the first are of the form 10xxxxxx.
std::string shortened(std::string_view text) {
  std::size_t size = std::min(text.size(), text_limit);
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80)
    --size;
  return std::string(text.substr(0, size));
}

std::string text(const json::value& from, std::string_view name) {
  const json::value* found = member(from, name);
  if (!found || !found->is_string()) return {};
  return shortened(found->as_string());
}

std::string_view whole_text(const json::value& from, std::string_view name) {
  const json::value* found = member(from, name);
  return found && found->is_string() ? std::string_view(found->as_string()) : std::string_view();
}

std::uint64_t number(const json::value& from, std::string_view name) {
  const json::value* found = member(from, name);
  if (found && found->is_uint64()) return found->as_uint64();
  if (found && found->is_int64() && found->as_int64() > 0)
    return static_cast<std::uint64_t>(found->as_int64());
  return 0;
}

template <class Visit>
void each(const json::value* list, Visit visit) {
  const json::array* array = list ? list->if_array() : nullptr;
  if (!array) return;
  for (std::size_t i = 0; i < array->size() && i < list_limit; ++i) visit((*array)[i]);
}

GuestNic parse_nic(const json::value& from) {
  GuestNic nic{.name = text(from, "name"), .mac = text(from, "hardware-address")};
  for (char& c : nic.mac) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  each(member(from, "ip-addresses"), [&](const json::value& address) {
    nic.addresses.push_back(
        {text(address, "ip-address"), static_cast<int>(number(address, "prefix") & 0xff)});
  });
  return nic;
}

}  // namespace

GuestInfo parse_guest_info(const json::value& agent, const json::value& host_name,
                           const json::value& os, const json::value& interfaces,
                           const json::value& filesystems) {
  GuestInfo info;
  info.agent_running = true;
  info.agent_version = text(agent, "version");
  info.host_name = text(host_name, "host-name");
  info.os = {.id = text(os, "id"),
             .name = text(os, "name"),
             .pretty_name = text(os, "pretty-name"),
             .version = text(os, "version-id"),
             .kernel = text(os, "kernel-release"),
             .machine = text(os, "machine")};
  each(&interfaces, [&](const json::value& nic) { info.nics.push_back(parse_nic(nic)); });
  each(&filesystems, [&](const json::value& from) {
    info.filesystems.push_back({.mount_point = text(from, "mountpoint"),
                                .type = text(from, "type"),
                                .total_bytes = number(from, "total-bytes"),
                                .used_bytes = number(from, "used-bytes")});
  });
  return info;
}

GuestProgramState parse_program_state(const json::value& reply, const std::string& machine) {
  const json::value* exited = member(reply, "exited");
  const auto output = base64_decode(whole_text(reply, "out-data"));
  const auto errors = base64_decode(whole_text(reply, "err-data"));
  if (!exited || !exited->is_bool() || !output || !errors)
    throw error(ErrorKind::damaged, machine,
                "the guest agent of {} told nothing sensible about a program", machine);
  const std::uint64_t signal = number(reply, "signal") & 0x7f;
  const std::uint64_t code = number(reply, "exitcode") & 0x7fffffff;
  return {.ended = exited->as_bool(),
          .exit_code = static_cast<int>(signal ? 128 + signal : code),
          .output = *output,
          .errors = *errors};
}

GuestAgent::GuestAgent(asio::any_io_executor executor, const std::string& machine,
                       std::string socket_path, Duration timeout)
    : machine_(machine),
      path_(std::move(socket_path)),
      timeout_(timeout),
      socket_(executor, "the guest agent of " + machine, line_limit),
      asking_(executor) {
  last_sync_ = std::random_device{}();
}

void GuestAgent::connect() {
  try {
    if (!socket_.is_open()) socket_.connect(path_);
  } catch (const Error&) {
    // The next call tries again and tells.
  }
}

Async<void> GuestAgent::synchronize() {
  if (!socket_.is_open()) socket_.connect(path_);
  const std::int64_t token = ++last_sync_;
  const std::string request = json::serialize(
      json::object{{"execute", "guest-sync-delimited"}, {"arguments", {{"id", token}}}});
  co_await socket_.send(delimiter + request + "\n");
  const auto deadline = std::chrono::steady_clock::now() + timeout_;
  for (;;) {  // skip answers to what was asked before
    std::string line = co_await socket_.receive(deadline - std::chrono::steady_clock::now());
    const auto start = line.rfind(delimiter);
    if (start == std::string::npos) continue;
    boost::system::error_code code;
    const json::value reply = json::parse(line.substr(start + 1), code);
    const json::value* echoed = code ? nullptr : member(reply, "return");
    if (echoed && echoed->is_int64() && echoed->as_int64() == token) co_return;
  }
}

Async<json::value> GuestAgent::ask(std::string command, json::object arguments, Duration timeout) {
  json::object request = {{"execute", command}};
  if (!arguments.empty()) request["arguments"] = std::move(arguments);
  co_await socket_.send(json::serialize(request) + "\n");
  const std::string line = co_await socket_.receive(timeout);
  boost::system::error_code code;
  json::value reply = json::parse(line, code);
  if (const json::value* result = code ? nullptr : member(reply, "return"))
    co_return std::move(*const_cast<json::value*>(result));
  const json::value* failure = code ? nullptr : member(reply, "error");
  if (!failure) {
    socket_.close();
    throw error(ErrorKind::damaged, machine_, "the guest agent of {} answered {} with nonsense",
                machine_, command);
  }
  const bool unknown = text(*failure, "class") == "CommandNotFound";
  throw error(unknown ? ErrorKind::unsupported : ErrorKind::io, machine_,
              "the guest agent of {} refused {}: {}", machine_, command, text(*failure, "desc"));
}

Async<json::value> GuestAgent::execute(std::string command, json::object arguments,
                                       std::optional<Duration> timeout) {
  auto guard = co_await asking_.lock();
  co_await synchronize();
  co_return co_await ask(std::move(command), std::move(arguments), timeout.value_or(timeout_));
}

Async<void> GuestAgent::tell(std::string command, json::object arguments) {
  auto guard = co_await asking_.lock();
  co_await synchronize();
  const json::object request = {{"execute", command}, {"arguments", std::move(arguments)}};
  const json::object probe = {{"execute", "guest-ping"}};
  co_await socket_.send(json::serialize(request) + "\n" + json::serialize(probe) + "\n");
  std::string first_line;
  try {
    first_line = co_await socket_.receive(timeout_);
  } catch (const Error&) {
    co_return;  // it is doing what it was told
  }
  boost::system::error_code code;
  const json::value reply = json::parse(first_line, code);
  if (const json::value* failure = code ? nullptr : member(reply, "error")) {
    socket_.close();  // the answer to the probe is still to come
    throw error(ErrorKind::io, machine_, "the guest agent of {} refused {}: {}", machine_, command,
                text(*failure, "desc"));
  }
}

// What an agent does not know or may not tell is left out; that it stopped answering is an error.
Async<json::value> GuestAgent::ask_or_null(std::string command) {
  try {
    co_return co_await ask(command, json::object(), timeout_);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::unsupported && e.kind() != ErrorKind::io) throw;
  }
  co_return nullptr;
}

Async<std::int64_t> GuestAgent::start(GuestProgram program) {
  json::array arguments(program.arguments.begin(), program.arguments.end());
  json::array environment(program.environment.begin(), program.environment.end());
  json::object request = {{"path", program.path},
                          {"arg", std::move(arguments)},
                          {"env", std::move(environment)},
                          {"capture-output", program.capture}};
  if (!program.input.empty()) request["input-data"] = base64_encode(program.input);
  const json::value reply = co_await execute("guest-exec", std::move(request));
  const std::uint64_t pid = number(reply, "pid");
  if (pid == 0)
    throw error(ErrorKind::damaged, machine_,
                "the guest agent of {} told no number of the program it started", machine_);
  co_return static_cast<std::int64_t>(pid);
}

Async<GuestProgramState> GuestAgent::state(std::int64_t pid) {
  json::object request = {{"pid", pid}};
  try {
    const json::value reply = co_await execute("guest-exec-status", std::move(request));
    co_return parse_program_state(reply, machine_);
  } catch (const Error& refused) {
    if (refused.kind() != ErrorKind::io) throw;
    throw error(ErrorKind::not_found, machine_, "the guest agent of {} knows no program {}: {}",
                machine_, pid, refused.what());
  }
}

Async<GuestInfo> GuestAgent::info() {
  auto guard = co_await asking_.lock();
  try {
    co_await synchronize();
    const json::value agent = co_await ask_or_null("guest-info");
    const json::value host_name = co_await ask_or_null("guest-get-host-name");
    const json::value os = co_await ask_or_null("guest-get-osinfo");
    const json::value interfaces = co_await ask_or_null("guest-network-get-interfaces");
    const json::value filesystems = co_await ask_or_null("guest-get-fsinfo");
    co_return parse_guest_info(agent, host_name, os, interfaces, filesystems);
  } catch (const Error&) {
    // No agent, or one that fell silent: the caller learns exactly that.
  }
  co_return GuestInfo{};
}

}  // namespace virga::hypervisor
