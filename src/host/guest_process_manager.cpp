#include "host/guest_process_manager.h"

#include <algorithm>

#include "host/guest_session.h"
#include "host/names.h"
#include "hypervisor/guest/processes.h"
#include "kernel/faults.h"
#include "model/clock.h"
#include "model/json.h"

namespace virga::host {
namespace {

constexpr const char* kStarted = "guest_program";
// How long the exit code of a program is told, by the API reference.
constexpr auto kRemembered = std::chrono::minutes(5);

// As the user: whether $1 is a program and $2, if not empty, a directory.
constexpr const char* check_program = R"(
fail() { echo "$1: $2" >&2; exit 1; }
case $1 in
  */*) path=$1 ;;
  *) path=$(command -v -- "$1") || fail "$1" "No such file or directory" ;;
esac
[ -e "$path" ] || fail "$1" "No such file or directory"
[ ! -d "$path" ] || fail "$1" "Is a directory"
[ -x "$path" ] || fail "$1" "Permission denied"
if [ -n "$2" ]; then
  [ -e "$2" ] || fail "$2" "No such file or directory"
  [ -d "$2" ] || fail "$2" "Not a directory"
fi
exit 0
)";

// The arguments $3 are words for a shell, as clients of the API have come to rely on: they redirect
// output. The shell becomes the program where they ask for nothing else.
constexpr const char* start_program = R"(cd "${1:-/}"; exec /bin/sh -c "\"\$0\" $3" "$2")";

// Ends the process $1: asks it, and after five seconds makes it.
constexpr const char* end_process = R"sh(
kill -TERM "$1" || exit 1
for second in 1 2 3 4 5; do
  kill -0 "$1" 2>/dev/null || exit 0
  [ "$(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null)" != Z ] || exit 0
  sleep 1
done
kill -KILL "$1" 2>/dev/null
exit 0
)sh";

std::string key_of(const MoRef& vm, std::int64_t pid) {
  return fmt::format("{}/{}", vm.value, pid);
}

vim::GuestProcessInfo describe(const hypervisor::GuestProcess& process) {
  vim::GuestProcessInfo info;
  info.pid = process.pid;
  info.name = process.name;
  info.owner = process.owner;
  info.cmdLine = process.command_line;
  info.startTime = process.start;
  return info;
}

// "NAME=VALUE" that replaces what stands under that name.
void set_variable(std::vector<std::string>& environment, const std::string& variable) {
  const auto equals = variable.find('=');
  if (equals == std::string::npos || equals == 0)
    throw kernel::invalid_argument("spec.envVariables",
                                   fmt::format("'{}' is not NAME=VALUE", variable));
  const std::string name = variable.substr(0, equals + 1);
  std::erase_if(environment, [&](const auto& other) { return other.starts_with(name); });
  environment.push_back(variable);
}

kernel::Fault process_not_found(std::int64_t pid) {
  vim::GuestProcessNotFound detail;
  detail.pid = pid;
  return kernel::Fault(std::move(detail), fmt::format("The guest has no process {}.", pid));
}

}  // namespace

GuestProcessManager::GuestProcessManager(Host& host)
    : Implements(host.kernel.inventory, names::guest_process_manager), host_(host) {}

GuestProcessManager::Started GuestProcessManager::started_in(const MoRef& vm) const {
  Started started;
  const std::string prefix = vm.value + "/";
  for (const auto& [key, text] : host_.kernel.database->all(kStarted)) {
    if (!key.starts_with(prefix)) continue;
    const model::DataPtr object = model::json_binding::read_object(text);
    if (const auto* process = dynamic_cast<const vim::GuestProcessInfo*>(object.get()))
      started.emplace(process->pid, *process);
  }
  return started;
}

void GuestProcessManager::keep(const MoRef& vm, const vim::GuestProcessInfo& process) {
  host_.kernel.database->put(kStarted, key_of(vm, process.pid),
                             model::json_binding::write_object(process));
}

void GuestProcessManager::forget(const MoRef& vm, std::int64_t pid) {
  host_.kernel.database->erase(kStarted, key_of(vm, pid));
}

Async<GuestProcessManager::Started> GuestProcessManager::follow(const GuestSession& session) {
  Started started = started_in(session.vm());
  for (auto process = started.begin(); process != started.end();) {
    auto& [pid, info] = *process;
    bool known = true;
    if (!info.endTime) {
      const auto state = co_await session.state(pid);
      known = state.has_value();  // not after a restart of the guest
      if (known && state->ended) {
        info.endTime = model::now();
        info.exitCode = state->exit_code;
        keep(session.vm(), info);
      }
    }
    if (known && (!info.endTime || model::now() - *info.endTime < kRemembered)) {
      ++process;
      continue;
    }
    forget(session.vm(), pid);
    process = started.erase(process);
  }
  co_return started;
}

Async<std::int64_t> GuestProcessManager::StartProgramInGuest(
    model::Call& call, const vim::StartProgramInGuestRequestType& r) {
  const std::string path = r.spec->programPath;
  if (path.empty()) throw kernel::invalid_argument("spec.programPath", "there is none");
  const GuestSession session =
      co_await GuestSession::open(host_, call, r.vm, r.auth, guest_execute);
  const std::string directory = r.spec->workingDirectory.value_or("");
  std::vector<std::string> environment = session.environment();
  for (const auto& variable : r.spec->envVariables) set_variable(environment, variable);
  std::vector<std::string> to_check = {path, directory};
  co_await session.run(check_program, std::move(to_check), path);

  std::vector<std::string> to_start = {directory.empty() ? session.account().home : directory, path,
                                       r.spec->arguments};
  vim::GuestProcessInfo process;
  process.pid = co_await session.start(start_program, std::move(to_start), std::move(environment));
  process.name = path.substr(path.rfind('/') + 1);
  process.owner = session.account().name;
  process.cmdLine = r.spec->arguments.empty() ? path : path + " " + r.spec->arguments;
  process.startTime = model::now();
  keep(session.vm(), process);
  co_return process.pid;
}

Async<vim::List<vim::GuestProcessInfo>> GuestProcessManager::ListProcessesInGuest(
    model::Call& call, const vim::ListProcessesInGuestRequestType& r) {
  const GuestSession session = co_await GuestSession::open(host_, call, r.vm, r.auth, guest_query);
  std::vector<std::string> none;
  const std::string output =
      co_await session.run(hypervisor::process_list_script, std::move(none), "/proc");
  std::map<std::int64_t, vim::GuestProcessInfo> processes;
  for (const auto& process : hypervisor::parse_process_list(output))
    processes[process.pid] = describe(process);
  const Started started = co_await follow(session);
  for (const auto& [pid, info] : started) processes[pid] = info;

  vim::List<vim::GuestProcessInfo> listed;
  for (auto& [pid, info] : processes)
    if (r.pids.empty() || std::ranges::find(r.pids, pid) != r.pids.end())
      listed.push_back(model::share(std::move(info)));
  co_return listed;
}

Async<void> GuestProcessManager::TerminateProcessInGuest(
    model::Call& call, const vim::TerminateProcessInGuestRequestType& r) {
  if (r.pid <= 0) throw process_not_found(r.pid);
  const GuestSession session =
      co_await GuestSession::open(host_, call, r.vm, r.auth, guest_execute);
  std::vector<std::string> arguments = {std::to_string(r.pid)};
  bool found = true;
  try {
    co_await session.run(end_process, std::move(arguments), fmt::format("process {}", r.pid));
  } catch (const kernel::Fault& fault) {
    found = fault.message().find("No such process") == std::string::npos;
    if (found) throw;
  }
  if (!found) throw process_not_found(r.pid);
}

Async<model::Array<std::string>> GuestProcessManager::ReadEnvironmentVariableInGuest(
    model::Call& call, const vim::ReadEnvironmentVariableInGuestRequestType& r) {
  const GuestSession session = co_await GuestSession::open(host_, call, r.vm, r.auth, guest_query);
  model::Array<std::string> variables;
  for (const auto& variable : session.environment()) {
    const std::string name = variable.substr(0, variable.find('='));
    if (r.names.empty() || std::ranges::find(r.names, name) != r.names.end())
      variables.push_back(variable);
  }
  co_return variables;
}

}  // namespace virga::host
