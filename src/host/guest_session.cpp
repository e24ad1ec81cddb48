#include "host/guest_session.h"

#include "host/virtual_machine.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

using namespace std::chrono_literals;
using hypervisor::GuestAccount;
using hypervisor::GuestProgram;
using hypervisor::GuestProgramState;

constexpr auto first_look = 5ms, longest_wait = 100ms;
constexpr auto script_patience = 60s;
constexpr std::size_t max_path = 4095;

constexpr const char* search_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// As root: becomes the user $1 of the numbers $2 and $3, and runs the script $4 with what follows.
// The process stays the same with util-linux's setpriv and with busybox's su; the setpriv of
// busybox cannot change users.
constexpr const char* become_user = R"(
user=$1 uid=$2 gid=$3 script=$4
shift 4
if setpriv --version >/dev/null 2>&1; then
  exec setpriv --reuid="$uid" --regid="$gid" --init-groups -- /bin/sh -c "$script" sh "$@"
fi
exec su -s /bin/sh -c "$script" -- "$user" sh "$@"
)";

kernel::Fault unavailable(const std::string& why) {
  return kernel::Fault(vim::GuestOperationsUnavailable{}, why);
}

// An engine's error about an agent as the API's fault.
kernel::Fault agent_fault(const Error& failure) {
  switch (failure.kind()) {
    case ErrorKind::invalid_state:
    case ErrorKind::gone:
    case ErrorKind::timed_out:
      return unavailable(failure.what());
    case ErrorKind::unsupported:
      return kernel::Fault(vim::OperationDisabledByGuest{}, failure.what());
    default:
      return kernel::Fault(vim::GuestOperationsFault{}, failure.what());
  }
}

template <class Detail>
kernel::Fault file_fault(const std::string& path, const std::string& why) {
  Detail detail;
  detail.file = path;
  return kernel::Fault(std::move(detail), fmt::format("{}: {}", path, why));
}

// The C library's words for errno, which commands of the guest end their complaints with.
kernel::Fault script_fault(const GuestProgramState& state, const std::string& subject) {
  const auto last = state.errors.find_last_not_of('\n');
  const std::string words =
      last == std::string::npos
          ? fmt::format("the guest's command failed with status {}", state.exit_code)
          : state.errors.substr(0, last + 1);
  const auto says = [&](const char* text) { return words.find(text) != std::string::npos; };
  if (says("Permission denied") || says("Operation not permitted"))
    return kernel::Fault(vim::GuestPermissionDenied{}, fmt::format("{}: {}", subject, words));
  if (says("No such file or directory")) return file_fault<vim::FileNotFound>(subject, words);
  if (says("File exists")) return file_fault<vim::FileAlreadyExists>(subject, words);
  if (says("Directory not empty")) return file_fault<vim::DirectoryNotEmpty>(subject, words);
  if (says("Is a directory")) return file_fault<vim::NotAFile>(subject, words);
  if (says("Not a directory")) return file_fault<vim::NotADirectory>(subject, words);
  if (says("No space left")) return file_fault<vim::NoDiskSpace>(subject, words);
  return file_fault<vim::FileFault>(subject, words);
}

std::shared_ptr<VirtualMachine> find(Host& host, model::Call& call, const MoRef& ref,
                                     const char* privilege) {
  const auto found = host.virtual_machines.find(ref.value);
  if (found == host.virtual_machines.end()) throw kernel::managed_object_not_found(ref);
  host.kernel.authorization.check(host.kernel.inventory, kernel::context(call).user(),
                                  *found->second, privilege);
  return found->second;
}

hypervisor::Machine& machine_of(const VirtualMachine& vm) {
  vm.require_power_state(vim::VirtualMachinePowerState::poweredOn);
  hypervisor::Machine* machine = vm.machine();
  if (!machine || !machine->agent_connected())
    throw unavailable(fmt::format("The guest agent of {} is not running.", vm.properties().name));
  return *machine;
}

void require_linux(const VirtualMachine& vm) {
  const auto& guest = vm.properties().guest;
  if (guest && guest->guestFamily && *guest->guestFamily == "windowsGuest")
    throw kernel::Fault(vim::OperationNotSupportedByGuest{},
                        fmt::format("The guest of {} is no Linux.", vm.properties().name));
}

const vim::NamePasswordAuthentication& password_of(const vim::GuestAuthentication& credentials) {
  if (credentials.interactiveSession)
    throw kernel::Fault(vim::OperationNotSupportedByGuest{},
                        "Guests of Linux have no interactive sessions.");
  const auto* given = dynamic_cast<const vim::NamePasswordAuthentication*>(&credentials);
  if (!given)
    throw kernel::Fault(vim::OperationNotSupportedByGuest{},
                        "Only a user's name and password open a guest.");
  return *given;
}

Async<GuestProgramState> run_program(std::shared_ptr<VirtualMachine> vm, GuestProgram program) {
  std::optional<kernel::Fault> fault;
  try {
    const std::int64_t pid = co_await machine_of(*vm).start_guest_program(std::move(program));
    const auto deadline = std::chrono::steady_clock::now() + script_patience;
    std::chrono::milliseconds pause = first_look;
    for (;;) {
      GuestProgramState state = co_await machine_of(*vm).guest_program_state(pid);
      if (state.ended) co_return std::move(state);
      if (std::chrono::steady_clock::now() > deadline)
        throw error(ErrorKind::timed_out, vm->properties().name,
                    "the guest of {} has not done in {} s what it was asked to",
                    vm->properties().name, script_patience.count());
      co_await sleep_for(pause);
      pause = std::min<std::chrono::milliseconds>(pause * 2, longest_wait);
    }
  } catch (const Error& failure) {
    fault = agent_fault(failure);
  }
  throw std::move(*fault);
}

GuestProgram as_root(std::string script, std::vector<std::string> arguments) {
  GuestProgram program{.path = "/bin/sh", .arguments = {"-c", std::move(script), "sh"}};
  std::ranges::move(arguments, std::back_inserter(program.arguments));
  program.environment = {search_path, "LC_ALL=C"};
  return program;
}

// Throws InvalidGuestLogin: which part of them is wrong, nobody is told.
Async<GuestAccount> log_in(Host& host, std::shared_ptr<VirtualMachine> vm, std::string name,
                           std::string password) {
  std::optional<GuestAccount> account;
  bool right = false;
  if (hypervisor::is_guest_user_name(name)) {
    GuestProgram program = as_root(hypervisor::account_script, {name});
    const GuestProgramState told = co_await run_program(vm, std::move(program));
    account = hypervisor::parse_account(name, told.output);
  }
  if (account) {
    const auto check = [&account, &password] {
      return hypervisor::is_password_of(*account, password);
    };
    right = co_await offload(host.kernel.workers, check);
    const auto today = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
    right = right && (!account->expiry || today < *account->expiry);
  }
  if (!right)
    throw kernel::Fault(vim::InvalidGuestLogin{},
                        fmt::format("The guest of {} does not know '{}' by that password.",
                                    vm->properties().name, name));
  co_return std::move(*account);
}

}  // namespace

void require_guest_path(const std::string& path, const char* property) {
  if (!path.starts_with('/') || path.size() > max_path || path.find('\0') != std::string::npos)
    throw kernel::invalid_argument(property, fmt::format("'{}' is not an absolute path", path));
}

Async<GuestSession> GuestSession::open(Host& host, model::Call& call, MoRef ref,
                                       model::Ptr<vim::GuestAuthentication> credentials,
                                       const char* privilege) {
  const auto vm = find(host, call, ref, privilege);
  machine_of(*vm);
  require_linux(*vm);
  const vim::NamePasswordAuthentication& given = password_of(*credentials);
  GuestAccount account = co_await log_in(host, vm, given.username, given.password);
  co_return GuestSession(vm, std::move(account));
}

GuestSession::GuestSession(const std::shared_ptr<VirtualMachine>& vm, GuestAccount account)
    : vm_(vm), ref_(vm->self()), account_(std::move(account)) {}

std::shared_ptr<VirtualMachine> GuestSession::virtual_machine() const {
  auto vm = vm_.lock();
  if (!vm) throw kernel::managed_object_not_found(ref_);
  return vm;
}

std::vector<std::string> GuestSession::environment() const {
  return {search_path, "HOME=" + account_.home, "USER=" + account_.name, "LOGNAME=" + account_.name,
          "SHELL=" + (account_.shell.empty() ? "/bin/sh" : account_.shell)};
}

GuestProgram GuestSession::program(std::string script, std::vector<std::string> arguments) const {
  if (account_.uid == 0) return as_root(std::move(script), std::move(arguments));
  arguments.insert(arguments.begin(), {account_.name, std::to_string(account_.uid),
                                       std::to_string(account_.gid), std::move(script)});
  return as_root(become_user, std::move(arguments));
}

Async<std::string> GuestSession::run(std::string script, std::vector<std::string> arguments,
                                     std::string subject, std::string input) const {
  GuestProgram scripted = program(std::move(script), std::move(arguments));
  scripted.input = std::move(input);
  GuestProgramState state = co_await run_program(virtual_machine(), std::move(scripted));
  if (state.exit_code != 0) throw script_fault(state, subject);
  co_return std::move(state.output);
}

Async<std::int64_t> GuestSession::start(std::string script, std::vector<std::string> arguments,
                                        std::vector<std::string> environment) const {
  GuestProgram scripted = program(std::move(script), std::move(arguments));
  scripted.environment = std::move(environment);
  scripted.capture = false;
  const auto vm = virtual_machine();
  std::optional<kernel::Fault> fault;
  try {
    co_return co_await machine_of(*vm).start_guest_program(std::move(scripted));
  } catch (const Error& failure) {
    fault = agent_fault(failure);
  }
  throw std::move(*fault);
}

Async<std::optional<GuestProgramState>> GuestSession::state(std::int64_t pid) const {
  const auto vm = virtual_machine();
  std::optional<kernel::Fault> fault;
  try {
    co_return co_await machine_of(*vm).guest_program_state(pid);
  } catch (const Error& failure) {
    if (failure.kind() != ErrorKind::not_found) fault = agent_fault(failure);
  }
  if (fault) throw std::move(*fault);
  co_return std::nullopt;
}

}  // namespace virga::host
