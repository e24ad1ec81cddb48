#include "hypervisor/qemu/qemu_hypervisor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/process.h"
#include "hypervisor/qemu/accelerator.h"
#include "hypervisor/qemu/command_line.h"
#include "hypervisor/qemu/launcher.h"
#include "hypervisor/qemu/offline_merge.h"
#include "hypervisor/qemu/qemu_machine.h"
#include "hypervisor/qemu/tpm_emulator.h"
#include "hypervisor/vfio.h"

namespace virga::hypervisor {
namespace {

// Pinned: a state saved today must be restorable after an upgrade of QEMU, and the devices VMware
// guests expect all live on this board.
constexpr const char* current_machine_type = "pc-i440fx-7.2";
constexpr const char* secure_machine_type = "pc-q35-7.2";  // has system management RAM

// ---- Starting: the part that blocks

struct Preparation {
  QemuOptions options;
  MachineSpec spec;
  std::map<int, Fd> taps;
  std::map<int, Fd> streams;
  Fd monitor;      // our end, once QEMU's is made
  Fd tpm_control;  // the emulator's, likewise
  std::vector<Fd> held;
  std::string directory;
  Platform platform;
  bool restoring = false;
};

Fd take(std::map<int, Fd>& open, int key, const std::string& id, const char* what) {
  const auto found = open.find(key);
  if (found == open.end() || !found->second)
    throw error(ErrorKind::invalid_argument, id, "{} is on a {} nobody has opened", id, what);
  return std::move(found->second);
}

// /dev/vfio/vfio is everybody's; a group's is its one guest's.
void hand_over_node(const std::string& node, const std::optional<Account>& account) {
  if (!fs::exists(node))
    throw error(ErrorKind::not_found, node, "{} is not there: the device is not bound to VFIO",
                node);
  if (account && ::geteuid() == 0 && ::chown(node.c_str(), account->uid, account->gid) != 0)
    throw system_error(node, "cannot hand over");
}

Fd open_inherited(const Inherited& wanted, Preparation& with) {
  switch (wanted.kind) {
    case Inherited::Kind::listener:
      return listen_for_qemu(wanted.path);
    case Inherited::Kind::tcp_listener:
      return listen_tcp(wanted.address.host, wanted.address.port);
    case Inherited::Kind::read_only:
      return open_file(wanted.path, O_RDONLY);
    case Inherited::Kind::read_write:
      return open_file(wanted.path, O_RDWR);
    case Inherited::Kind::append:
      return open_file(wanted.path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    case Inherited::Kind::stream:
      return take(with.streams, wanted.key, fmt::format("serial-{}", wanted.key), "stream");
    case Inherited::Kind::monitor:
      return connect_pair(with.monitor);
    case Inherited::Kind::tpm:
      return connect_pair(with.tpm_control);
    case Inherited::Kind::image:
      return open_image_file(wanted.image);
    case Inherited::Kind::secret:
      return make_secret(wanted.secret);
    case Inherited::Kind::tap:
      break;
  }
  return take(with.taps, wanted.key, fmt::format("nic-{}", wanted.key), "tap");
}

// A directory that is there belongs to a guest that runs, or to one that is no more.
void make_directory(const std::string& directory, const MachineSpec& spec) {
  if (fs::exists(directory + "/machine.json")) {
    const MachineRecord record = read_record(directory);
    if (open_process(record.process))
      throw error(ErrorKind::already_exists, spec.id, "{} runs already, as process {}", spec.name,
                  record.process.pid);
  }
  fs::remove_all(directory);
  fs::create_directories(directory);
  fs::permissions(directory, fs::perms::owner_all);
}

struct Started {
  MachineRecord record;
  Fd process;
  Fd monitor;
  Fd tpm_emulator;  // empty: none
};

Started launch_guest(Preparation& with) {
  const CommandLine line =
      build_command_line(with.spec, with.platform, with.directory, with.restoring);
  LaunchRequest request;
  request.argv = line.argv;
  if (!with.options.user.empty())
    request.account = find_account(with.options.user, with.platform.kvm);
  request.locked_bytes = line.locked_bytes;
  for (const PassthroughDevice& device : with.spec.passthrough)
    if (device.network) configure(*device.network);
  for (const std::string& node : line.nodes) hand_over_node(node, request.account);
  std::vector<Fd> files;
  for (const Inherited& wanted : line.inherited) {
    files.push_back(open_inherited(wanted, with));
    request.descriptors.emplace_back(files.back().get(), wanted.number);
  }
  int number = first_inherited + static_cast<int>(line.inherited.size());
  for (const Fd& fd : with.held) request.descriptors.emplace_back(fd.get(), number++);
  const Fd output =
      open_file(output_log(with.directory), O_WRONLY | O_APPEND | O_CREAT | O_TRUNC, 0600);
  request.output = output.get();
  Started started{.record = {.operation = MachineRecord::Operation::starting,
                             .machine_type = with.platform.machine_type,
                             .accelerator = with.platform.kvm ? "kvm" : "tcg",
                             .spec = with.spec}};
  for (const Disk& disk : with.spec.disks) started.record.images[disk.key] = first_images(disk);
  Launched launched = launch(request, [&](const ProcessIdentity& identity) {
    started.record.process = identity;
    write_record(with.directory, started.record);
  });
  started.process = std::move(launched.process);
  started.monitor = std::move(with.monitor);
  if (with.spec.tpm) {
    files.clear();  // QEMU has its end now, and must see it closed when the emulator does not start
    try {
      started.tpm_emulator =
          launch_tpm(*with.spec.tpm, request.account, with.tpm_control, output.get());
    } catch (...) {
      kill_process(started.process.get());
      ::waitid(P_PIDFD, static_cast<id_t>(started.process.get()), nullptr, WEXITED);
      throw;
    }
  }
  return started;
}

Started prepare_and_launch(Preparation& with) {
  make_directory(with.directory, with.spec);
  try {
    return launch_guest(with);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(with.directory, ignored);
    throw;
  }
}

struct OpenState {
  SavedState description;
  std::shared_ptr<Fd> file;  // positioned at the stream
};

OpenState open_state(const std::string& path) {
  auto file = std::make_shared<Fd>(open_file(path, O_RDONLY));
  std::string block(state_offset, '\0');
  const ssize_t n = ::read(file->get(), block.data(), block.size());
  if (n < 0) throw system_error(path, "cannot read");
  block.resize(static_cast<std::size_t>(n));
  return {decode_header(block, path), std::move(file)};
}

// ---- Adopting: the part that blocks

struct Found {
  std::string directory;
  std::optional<MachineRecord> record;  // none: it cannot be read
  Fd process;                           // empty: dead
};

Found look_at(const std::string& directory) {
  Found found{.directory = directory};
  try {
    found.record = read_record(directory);
    found.process = open_process(found.record->process);
  } catch (const Error& e) {
    logger("hypervisor")->error("{}: {}", directory, e.what());
  }
  return found;
}

std::vector<Found> find_records(const std::string& run_directory,
                                const std::set<std::string>& known) {
  std::vector<Found> all;
  if (!fs::exists(run_directory)) return all;
  for (const auto& entry : fs::directory_iterator(run_directory)) {
    const std::string directory = entry.path();
    if (!entry.is_directory() || known.contains(entry.path().filename())) continue;
    if (fs::exists(directory + "/machine.json")) {
      all.push_back(look_at(directory));
    } else {
      fs::remove_all(directory);  // a start that never came to a process
    }
  }
  return all;
}

// ----

class QemuHypervisor final : public Hypervisor {
 public:
  QemuHypervisor(asio::any_io_executor executor, QemuOptions options)
      : context_(std::make_shared<QemuContext>(executor, std::move(options))), probing_(executor) {}
  ~QemuHypervisor() override { context_->pool.join(); }

  Async<Capabilities> capabilities() override;
  Async<std::shared_ptr<Machine>> start(MachineSpec spec, StartOptions options) override;
  Async<std::vector<std::shared_ptr<Machine>>> adopt() override;
  Async<void> merge_unused(std::vector<DiskImage> chain, std::size_t into, Progress progress,
                           std::stop_token stop) override {
    return merge_offline(context_, std::move(chain), into, std::move(progress), std::move(stop));
  }

 private:
  using Machines = std::vector<std::shared_ptr<QemuMachine>>;

  Async<void> probe();
  Async<std::shared_ptr<Machine>> start_reserved(MachineSpec spec, StartOptions options);
  Async<void> bring_up(std::shared_ptr<QemuMachine> machine, Fd monitor,
                       std::shared_ptr<Fd> state, Progress progress);
  std::shared_ptr<QemuMachine> take_up(Found found);
  static Async<void> take_over(std::shared_ptr<QemuMachine> machine);
  bool is_held(const std::string& id) const;
  std::string directory_of(const std::string& id) const {
    return context_->options.run_directory + "/" + id;
  }

  std::shared_ptr<QemuContext> context_;
  AsyncMutex probing_;
  std::optional<Accelerator> accelerator_;
  std::string version_;
  std::set<std::string> starting_;
  std::map<std::string, std::weak_ptr<QemuMachine>> machines_;
};

// "QEMU emulator version 7.2.22 (Debian …)"
std::string parse_version(const std::string& text) {
  const std::string mark = "version ";
  const auto start = text.find(mark);
  if (start == std::string::npos) return {};
  const auto end = text.find_first_of(" (\n", start + mark.size());
  return text.substr(start + mark.size(), end - start - mark.size());
}

Async<void> QemuHypervisor::probe() {
  const auto guard = co_await probing_.lock();
  if (accelerator_) co_return;
  const QemuOptions& options = context_->options;
  const auto ask_version = [program = options.program] {
    return parse_version(run_checked({program, "--version"}));
  };
  const auto try_kvm = [options] { return find_accelerator(options); };
  version_ = co_await offload(context_->pool, ask_version);
  accelerator_ = co_await offload(context_->pool, try_kvm);
  logger("hypervisor")
      ->info("qemu={} accelerator={} reason=\"{}\"", version_, accelerator_->kvm ? "kvm" : "tcg",
             accelerator_->reason);
}

Async<Capabilities> QemuHypervisor::capabilities() {
  co_await probe();
  co_return Capabilities{.backend = "qemu",
                         .version = version_,
                         .accelerator = accelerator_->kvm ? "kvm" : "tcg",
                         .accelerator_reason = accelerator_->reason,
                         .machine_type = current_machine_type,
                         .max_vcpus = 255,
                         .max_memory_mib = 1 << 20};
}

bool QemuHypervisor::is_held(const std::string& id) const {
  const auto found = machines_.find(id);
  const auto machine = found == machines_.end() ? nullptr : found->second.lock();
  return machine && machine->state() != MachineState::exited;
}

Async<std::shared_ptr<Machine>> QemuHypervisor::start(MachineSpec spec, StartOptions options) {
  validate(spec);
  const std::string id = spec.id;
  if (is_held(id) || !starting_.insert(id).second)
    throw error(ErrorKind::already_exists, id, "{} runs already", spec.name);
  std::shared_ptr<Machine> machine;
  std::exception_ptr failure;
  try {
    machine = co_await start_reserved(std::move(spec), std::move(options));
  } catch (...) {
    failure = std::current_exception();
  }
  starting_.erase(id);
  if (failure) std::rethrow_exception(failure);
  co_return machine;
}

Async<std::shared_ptr<Machine>> QemuHypervisor::start_reserved(MachineSpec spec,
                                                               StartOptions options) {
  co_await probe();
  Preparation preparation{
      .options = context_->options,
      .spec = spec,
      .taps = std::move(options.taps),
      .streams = std::move(options.streams),
      .held = std::move(options.held),
      .directory = directory_of(spec.id),
      .platform = {.program = context_->options.program,
                   .machine_type = spec.secure_boot ? secure_machine_type : current_machine_type,
                   .kvm = accelerator_->kvm,
                   .tcg_cache_mib = context_->options.tcg_cache_mib,
                   .efi_code = spec.secure_boot ? context_->options.secure_efi_code
                                                : context_->options.efi_code,
                   .option_roms = context_->options.option_roms},
      .restoring = options.restore_from.has_value()};
  std::shared_ptr<Fd> state;
  if (options.restore_from) {
    const auto open_file = [path = *options.restore_from] { return open_state(path); };
    const OpenState open = co_await offload(context_->pool, open_file);
    check_restorable(open.description, spec, accelerator_->kvm ? "kvm" : "tcg");
    adopt_growth(open.description, preparation.spec);
    validate(preparation.spec);
    preparation.platform.machine_type = open.description.machine_type;
    state = open.file;
  }
  const std::string directory = preparation.directory;
  auto prepare = [preparation = std::move(preparation)]() mutable {
    return prepare_and_launch(preparation);
  };
  Started started = co_await offload(context_->pool, std::move(prepare));
  logger("hypervisor")->info("started vm={} pid={}", spec.name, started.record.process.pid);
  if (started.tpm_emulator) {
    // It ends by itself: nobody but us can collect what is left of it.
    const auto emulator =
        std::make_shared<ProcessWatch>(context_->executor, std::move(started.tpm_emulator));
    emulator->start([emulator](std::optional<ProcessEnd>) {});
  }
  auto machine = std::make_shared<QemuMachine>(context_, std::move(started.record), directory,
                                               MachineState::ready);
  machine->watch(std::move(started.process));
  co_await bring_up(machine, std::move(started.monitor), std::move(state),
                    std::move(options.progress));
  machines_[spec.id] = machine;
  co_return machine;
}

Async<void> QemuHypervisor::bring_up(std::shared_ptr<QemuMachine> machine, Fd monitor,
                                     std::shared_ptr<Fd> state, Progress progress) {
  ErrorKind kind = ErrorKind::io;
  std::string reason;
  try {
    co_await machine->connect(std::move(monitor));
    if (state) co_await machine->restore(std::move(state), std::move(progress));
    co_return;
  } catch (const Error& e) {
    kind = e.kind();
    reason = e.what();
  }
  const std::string words = co_await machine->discard();
  const MachineSpec& spec = machine->spec();
  throw error(kind, spec.id, "{} did not start: {}", spec.name, words.empty() ? reason : words);
}

// ---- Adoption

Async<std::vector<std::shared_ptr<Machine>>> QemuHypervisor::adopt() {
  std::set<std::string> known = starting_;
  for (const auto& [id, machine] : machines_)
    if (is_held(id)) known.insert(id);
  const auto search = [run_directory = context_->options.run_directory, known] {
    return find_records(run_directory, known);
  };
  std::vector<Found> found = co_await offload(context_->pool, search);
  Machines machines;
  for (Found& one : found) machines.push_back(take_up(std::move(one)));
  // All at once: one that does not answer must not delay the others.
  std::size_t pending = 0;
  Signal settled(context_->executor);
  for (const auto& machine : machines) {
    if (machine->state() == MachineState::exited) continue;
    ++pending;
    asio::co_spawn(context_->executor, take_over(machine),
                   [&pending, &settled](std::exception_ptr) {
                     --pending;
                     settled.notify();
                   });
  }
  while (pending > 0) co_await settled.wait();
  std::vector<std::shared_ptr<Machine>> adopted;
  for (auto& machine : machines) {
    machines_[machine->id()] = machine;
    adopted.push_back(std::move(machine));
  }
  co_return adopted;
}

std::shared_ptr<QemuMachine> QemuHypervisor::take_up(Found found) {
  const bool readable = found.record.has_value();
  if (!readable) {
    found.record.emplace();
    found.record->spec.id = found.record->spec.name = fs::path(found.directory).filename();
  }
  auto machine = std::make_shared<QemuMachine>(context_, std::move(*found.record), found.directory,
                                               MachineState::running);
  if (found.process) {
    machine->watch(std::move(found.process));
    return machine;
  }
  machine->declare_dead(readable ? "" : "its record is damaged");
  std::error_code ignored;
  fs::remove_all(found.directory, ignored);
  return machine;
}

// A guest whose QEMU does not answer is still there, and can still be powered off.
Async<void> QemuHypervisor::take_over(std::shared_ptr<QemuMachine> machine) {
  try {
    co_await machine->take_over();
  } catch (const Error& e) {
    logger("hypervisor")->error("vm={} was found, but: {}", machine->spec().name, e.what());
  }
}

}  // namespace

std::unique_ptr<Hypervisor> make_qemu_hypervisor(asio::any_io_executor executor,
                                                 QemuOptions options) {
  return std::make_unique<QemuHypervisor>(std::move(executor), std::move(options));
}

namespace {

// Of UEFI's own variables (UEFI Specification, "Globally Defined Variables").
constexpr std::string_view global_variable(
    "\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03"
    "\x2b\x8c",
    16);
constexpr std::string_view platform_key_name("P\0K\0\0\0", 6);

}  // namespace

// A variable of EDK II's store is a header, the last of whose fields is the vendor, then the name.
bool has_platform_key(const std::string& variables) {
  constexpr std::size_t state_before_vendor = 42;
  constexpr char added = 0x3f;  // and neither being changed nor deleted
  const std::string key = std::string(global_variable) + std::string(platform_key_name);
  for (auto at = variables.find(key); at != std::string::npos; at = variables.find(key, at + 1))
    if (at >= state_before_vendor && variables[at - state_before_vendor] == added) return true;
  return false;
}

void create_efi_variables(const std::string& path, bool secure_boot) {
  const bool exists = fs::exists(path);
  if (exists && !(secure_boot && !has_platform_key(read_file(path)))) return;
  const std::string variables = read_file(secure_boot ? "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
                                                      : "/usr/share/OVMF/OVMF_VARS_4M.fd");
  write_file_atomically(path, variables, 0600);
}

}  // namespace virga::hypervisor
