// The life of a VM from power on to off, and what its guest tells meanwhile.
#include <algorithm>
#include <iterator>
#include <set>

#include "base/log.h"
#include "datastore/files.h"
#include "host/console.h"
#include "host/device_shares.h"
#include "host/hardware_version.h"
#include "host/host_system.h"
#include "host/network.h"
#include "host/resource_pools.h"
#include "host/virtual_machine.h"
#include "host/vm_config_words.h"
#include "host/vm_log.h"
#include "host/vm_swap.h"
#include "hypervisor/qemu/qemu_hypervisor.h"
#include "model/clock.h"

namespace virga::host {
namespace {

// How often a guest's agent is asked; it has no way to tell by itself.
constexpr auto kGuestInterval = std::chrono::seconds(5);
// Until it has an address, which is what everybody waits for.
constexpr auto kGuestFirstInterval = std::chrono::milliseconds(500);

std::string absolute(const datastore::Location& place) {
  return (place.datastore->root() / place.path).string();
}

// What the end of a run takes is done as far as it can be: the guest is gone in any case.
Async<void> despite_failure(std::string vm, Async<void> step) {
  try {
    co_await std::move(step);
  } catch (const std::exception& failure) {
    logger("vm")->error("{}: at the end of its run: {}", vm, failure.what());
  }
}

}  // namespace

// --- Power on ---------------------------------------------------------------------------------

Async<MoRef> VirtualMachine::PowerOnVM_Task(model::Call& call, const vim::PowerOnVMRequestType& r) {
  if (r.host && *r.host != *properties().runtime->host) throw kernel::managed_object_not_found(*r.host);
  const std::string user = kernel::context(call).user();
  co_return run_task(call, "PowerOnVM_Task", "VirtualMachine.powerOn",
                     [this, user](kernel::TaskHandle& handle) -> Async<Any> {
                       refuse_template("Powering on");
                       co_await power_on(user, handle);
                       co_return Any();
                     });
}

Async<void> VirtualMachine::power_on(std::string user, kernel::TaskHandle& handle) {
  require_accessible();
  if (powered_on()) refuse_power_state(vim::VirtualMachinePowerState::poweredOn);
  require_host_that_starts_guests();
  post(vim::VmStartingEvent{}, fmt::format("{} on host {} in ha-datacenter is starting",
                                           properties().name, host().identity.name), user);
  std::exception_ptr failure;
  try {
    co_await start_machine(user, handle);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    if (run_) co_await despite_failure(properties().name, drop_redos());
    if (!powered_on()) host().resource_pools->release(self());
    const auto fault = kernel::from_exception(failure, "Powering on " + properties().name);
    log("Power on failed: " + fault.message());
    vim::VmFailedToPowerOnEvent event;
    vim::LocalizedMethodFault reason;
    reason.fault = model::Ptr<vim::MethodFault>(fault.detail());
    reason.localizedMessage = fault.message();
    event.reason = std::move(reason);
    post(std::move(event), fmt::format("Cannot power on {}: {}", properties().name, fault.message()),
         user);
    throw fault;
  }
  post(vim::VmPoweredOnEvent{}, fmt::format("{} on {} in ha-datacenter is powered on",
                                            properties().name, host().identity.name), user);
}

void VirtualMachine::require_host_that_starts_guests() const {
  if (!host().host_system->starts_guests())
    throw kernel::invalid_state("The host is in maintenance mode, or about to be.");
}

Async<void> VirtualMachine::start_machine(std::string user, kernel::TaskHandle& handle) {
  co_await lock_files();
  co_await settle_identity(user);
  // A person may have taken his time to say who the VM is.
  require_host_that_starts_guests();
  run_->set_machine_id(machine_id());
  host().resource_pools->admit(*this, config_);
  handle.report(10);
  co_await begin_log();
  co_await run_->make_swap(swap_size(config_));
  disks_ = co_await query_disks(config_);
  co_await prepare_tracks(config_.disks);
  const bool resuming = !config_.suspend_state.empty();
  if (!resuming) co_await begin_redos();
  ConfigContext here = context();
  here.warn = [this](const std::string& message) { warn(message); };
  hypervisor::MachineSpec spec = machine_spec(config_, here, machine_id());
  run_->claim(spec);
  require_disks_free(config_, spec);
  co_await leave_out_missing_media(spec);
  hypervisor::StartOptions options = co_await prepare_start(spec);
  handle.report(30);
  log(fmt::format("{} {} with {} vCPU and {} MB, {} ({})",
                  resuming ? "Resuming" : "Powering on", properties().name,
                  spec.vcpus, spec.memory_mib, host().capabilities.backend,
                  host().capabilities.accelerator));
  auto machine = co_await host().hypervisor->start(std::move(spec), std::move(options));
  co_await let_run(std::move(machine));
}

// A saved memory is worth nothing as soon as the guest runs: the .vmx stops naming it before.
Async<void> VirtualMachine::let_run(std::shared_ptr<hypervisor::Machine> machine) {
  std::exception_ptr failure;
  try {
    if (!config_.suspend_state.empty() && !snapshots_.is_memory(config_.suspend_state))
      memory_.spend(config_.suspend_state);
    vmx::MachineConfig running = config_;
    running.clean_shutdown = false;
    running.suspend_state.clear();
    note_swap_file(running);
    co_await save_config(std::move(running));
    follow(machine);
    co_await run_->guard();
    co_await machine->resume();
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await machine->power_off();
    while (powered_on()) co_await run_ended_.wait();
  }
  co_await memory_.remove_spent(config_.suspend_state);
  if (failure) std::rethrow_exception(failure);
}

void VirtualMachine::require_disks_free(const vmx::MachineConfig& config,
                                        const hypervisor::MachineSpec& spec) const {
  for (const auto& [ref, other] : host().virtual_machines) {
    if (other.get() == this || !other->machine()) continue;
    const hypervisor::Disk* contested = contested_disk(spec, other->machine()->spec());
    if (!contested) continue;
    const auto disk = std::find_if(config.disks.begin(), config.disks.end(), [&](const auto& it) {
      return device_key(it) == contested->key;
    });
    vim::FileLocked detail;
    detail.file = resolve_file(context(), disk->file).format();
    const std::string message = fmt::format("{}: {} is in use by {}.", properties().name,
                                            detail.file, other->properties().name);
    throw kernel::Fault(std::move(detail), message);
  }
}

Async<hypervisor::StartOptions> VirtualMachine::prepare_start(hypervisor::MachineSpec& spec) {
  hypervisor::StartOptions options;
  if (spec.firmware == hypervisor::Firmware::efi) {
    const std::string nvram = spec.nvram_path;
    const bool secure = spec.secure_boot;
    const auto create_nvram = [nvram, secure] { hypervisor::create_efi_variables(nvram, secure); };
    co_await offload(host().kernel.workers, create_nvram);
  }
  for (hypervisor::Nic& nic : spec.nics) {
    const std::string network = adapter_with(config_, nic.key).network;
    Fd tap = co_await run_->attach(nic, network);
    if (tap) options.taps.emplace(nic.key, std::move(tap));
  }
  co_await make_device_shares(host(), spec);
  if (!config_.suspend_state.empty()) {
    const auto state = config_file_.sibling(config_.suspend_state);
    options.restore_from = absolute(state);
  }
  co_await connect_pipes(spec, options);
  run_->take_lines(spec);
  if (Fd lock = run_->share_lock()) options.held.push_back(std::move(lock));
  co_return options;
}

namespace {

// The running machine of a VM with a port that serves the pipe, and the port's key.
std::pair<hypervisor::Machine*, int> pipe_server(const Host& host, const std::string& pipe) {
  for (const auto& [ref, vm] : host.virtual_machines) {
    if (!vm->machine()) continue;
    for (const vmx::SerialPort& port : vm->config().serial_ports) {
      const auto& lines = vm->machine()->spec().serial_ports;
      const auto line = std::find_if(lines.begin(), lines.end(), [&](const auto& it) {
        return it.key == device_key(port) && it.backend == hypervisor::LineBackend::socket;
      });
      if (line != lines.end() && port.target == pipe) return {vm->machine(), line->key};
    }
  }
  return {nullptr, 0};
}

}  // namespace

Async<void> VirtualMachine::connect_pipes(hypervisor::MachineSpec& spec,
                                          hypervisor::StartOptions& options) {
  for (const vmx::SerialPort& port : config_.serial_ports) {
    const int key = device_key(port);
    const auto line = std::find_if(spec.serial_ports.begin(), spec.serial_ports.end(),
                                   [&](const auto& it) { return it.key == key; });
    if (line == spec.serial_ports.end() || line->backend != hypervisor::LineBackend::stream)
      continue;
    const auto [server, server_key] = pipe_server(host(), port.target);
    if (server) {
      options.streams[key] = co_await server->open_serial(server_key);
    } else {
      line->backend = hypervisor::LineBackend::none;
      warn(fmt::format("{} is not connected: no running machine serves the pipe {}.", label(port),
                       port.target));
    }
  }
}

// --- While it runs ----------------------------------------------------------------------------

// A drive whose image is not here starts empty; the machine starts all the same.
Async<void> VirtualMachine::leave_out_missing_media(hypervisor::MachineSpec& spec) {
  std::set<std::string> images;
  for (const hypervisor::Cdrom& cdrom : spec.cdroms)
    if (cdrom.path) images.insert(*cdrom.path);
  for (const hypervisor::Floppy& floppy : spec.floppies)
    if (floppy.path) images.insert(*floppy.path);
  const auto find_present = [images] {
    std::set<std::string> present;
    std::copy_if(images.begin(), images.end(), std::inserter(present, present.end()),
                 [](const std::string& image) { return fs::exists(image); });
    return present;
  };
  const std::set<std::string> present = co_await offload(host().kernel.workers, find_present);
  const auto leave_out = [&](std::optional<std::string>& path) {
    if (path && !present.contains(*path)) path.reset();
  };
  for (hypervisor::Cdrom& cdrom : spec.cdroms) leave_out(cdrom.path);
  for (hypervisor::Floppy& floppy : spec.floppies) leave_out(floppy.path);
  const auto tell = [&](const auto& drive, bool is_image) {
    if (is_image && drive.start_connected && !medium_of(spec, device_key(drive)))
      warn(fmt::format("{} is not there: the drive is not connected.", drive.file));
  };
  for (const vmx::CdRom& cdrom : config_.cdroms)
    tell(cdrom, cdrom.backing == vmx::CdRomBacking::image);
  for (const vmx::Floppy& floppy : config_.floppies)
    tell(floppy, floppy.backing == vmx::FloppyBacking::image);
}

void VirtualMachine::warn(const std::string& message) {
  vim::VmMessageWarningEvent event;
  event.message = message;
  log(message);
  post(std::move(event), fmt::format("{}: {}", properties().name, message));
}

Async<void> VirtualMachine::begin_log() {
  const datastore::Location place = config_file_;
  const LogPolicy policy = log_policy(config_);
  const auto rotate = [place, policy] { rotate_log(place, policy); };
  co_await offload(host().kernel.workers, rotate);
}

void VirtualMachine::note_swap_file(vmx::MachineConfig& config) const {
  const bool has_one = swap_size(config) > 0;
  const ConfigContext here = context();
  vmx::set_extra(config, swap_file_key,
                 has_one ? volume_path(here.volumes, swap_file(config, here)) : "");
}

std::shared_ptr<VmRun> VirtualMachine::make_run() const {
  const auto swap = host().locate(swap_file(config_, context()).format());
  return std::make_shared<VmRun>(
      host(), VmRun::Identity{machine_id(), properties().name, config_file_, swap});
}

void VirtualMachine::follow(std::shared_ptr<hypervisor::Machine> machine) {
  run_->began(machine);
  host().resource_pools->hold(*this);
  update([&](Properties& p) {
    p.runtime.edit().bootTime = model::now();
    p.runtime.edit().suspendTime.reset();
    p.runtime.edit().device.clear();
  });
  show_capacity();
  set_power_state(vim::VirtualMachinePowerState::poweredOn);
  device_state_ = connections(config_, machine->spec());
  publish_config();
  const std::weak_ptr<Object> weak = weak_from_this();
  const std::weak_ptr<VmRun> followed = run_;
  machine->on_event([weak, followed](const hypervisor::MachineEvent& event) {
    const auto me = std::static_pointer_cast<VirtualMachine>(weak.lock());
    if (me && me->run_ && me->run_ == followed.lock()) me->handle(event);
  });
  if (machine->agent_connected()) spawn(host().kernel.executor, "guest", watch_guest());
}

void VirtualMachine::handle(const hypervisor::MachineEvent& event) {
  if (const auto* exited = std::get_if<hypervisor::Exited>(&event)) {
    spawn(host().kernel.executor, "end of a run", finish_run(exited->exit));
  } else if (const auto* reset = std::get_if<hypervisor::WasReset>(&event)) {
    log(reset->by_guest ? "The guest restarted" : "Reset");
    if (reset->by_guest)
      post(vim::VmResettingEvent{}, fmt::format("The guest of {} restarted", properties().name));
  } else if (const auto* agent = std::get_if<hypervisor::AgentChanged>(&event)) {
    if (agent->connected) {
      spawn(host().kernel.executor, "guest", watch_guest());
    } else {
      set_guest({});
    }
  } else if (const auto* tray = std::get_if<hypervisor::TrayMoved>(&event)) {
    device_state_.connected[tray->drive_key] = !tray->open;
    publish_config();
  } else if (std::holds_alternative<hypervisor::WatchdogExpired>(event)) {
    warn("The watchdog timer expired: the guest is reset.");
  } else if (const auto* storage = std::get_if<hypervisor::StorageFailed>(&event)) {
    log("Storage failed: " + storage->message);
    if (storage->out_of_space)
      spawn(host().kernel.executor, "question", wait_for_space(file_of_disk(storage->disk_key)));
    vim::VmMessageErrorEvent failed;
    failed.message = storage->message;
    post(std::move(failed), fmt::format("{}: {}", properties().name, storage->message));
  }
}

namespace {

// Whether a guest that ended so was not torn out of its work.
bool is_clean(hypervisor::Exit::Cause cause) {
  switch (cause) {
    case hypervisor::Exit::Cause::powered_off:
    case hypervisor::Exit::Cause::guest_shut_down:
    case hypervisor::Exit::Cause::saved:
    case hypervisor::Exit::Cause::interrupted_start:
      return true;
    case hypervisor::Exit::Cause::killed:
    case hypervisor::Exit::Cause::failed:
    case hypervisor::Exit::Cause::unknown:
      break;
  }
  return false;
}

}  // namespace

std::string VirtualMachine::file_of_disk(int key) const {
  for (const vmx::Disk& disk : config_.disks)
    if (device_key(disk) == key) return disk.file;
  return "of " + properties().name;
}

Async<void> VirtualMachine::wait_for_space(std::string disk) {
  if (question_) co_return;
  const auto me = shared_from_this();
  const auto run = run_;
  Question question = out_of_space(disk);
  const auto choice = co_await ask(std::move(question));
  if (!choice || run_ != run) co_return;
  if (*choice == choices::retry) {
    co_await run->machine()->resume();
  } else {
    co_await run->machine()->power_off();
  }
}

void VirtualMachine::set_power_state(vim::VirtualMachinePowerState state) {
  update([&](Properties& p) {
    p.runtime.edit().powerState = state;
    if (state != vim::VirtualMachinePowerState::poweredOn) p.runtime.edit().bootTime.reset();
    p.runtime.edit().suspendTime.reset();
    if (state == vim::VirtualMachinePowerState::suspended) p.runtime.edit().suspendTime = model::now();
    p.runtime.edit().cleanPowerOff = config_.clean_shutdown;
    p.summary.edit().runtime = *p.runtime;
    if (state != vim::VirtualMachinePowerState::poweredOn) {
      p.summary.edit().quickStats = {};
      p.summary.edit().quickStats.guestHeartbeatStatus = vim::ManagedEntityStatus::gray;
    }
  });
  if (state != vim::VirtualMachinePowerState::poweredOn) host().resource_pools->release(self());
  set_guest({});
}

Async<void> VirtualMachine::finish_run(hypervisor::Exit exit) {
  const auto me = shared_from_this();
  const auto run = run_ ? std::exchange(run_, nullptr) : make_run();
  withdraw_question();
  vmx::MachineConfig ended = config_;
  ended.clean_shutdown = is_clean(exit.cause);
  if (exit.cause == hypervisor::Exit::Cause::saved) ended.suspend_state = memory_.file();
  // The .vmx names one as well when the guest has not got to go on from it.
  const bool suspended = !ended.suspend_state.empty();
  log(suspended ? "Suspended" : "Powered off: " + hypervisor::describe(exit));
  // What another host has by now is not ours to write.
  if (co_await run->reclaim()) {
    if (!suspended) ended = co_await without_redos(std::move(ended));
    co_await despite_failure(properties().name, save_end(ended));
  }
  config_ = std::move(ended);    // true even when the .vmx could not be written
  co_await despite_failure(properties().name, run->end());
  disks_ = co_await query_disks(config_);
  device_state_ = {};
  set_power_state(suspended ? vim::VirtualMachinePowerState::suspended
                            : vim::VirtualMachinePowerState::poweredOff);
  publish_config();
  if (suspended) {
    post(vim::VmSuspendedEvent{}, fmt::format("{} on {} in ha-datacenter is suspended",
                                              properties().name, host().identity.name), run->ended_by);
  } else {
    post(vim::VmPoweredOffEvent{}, fmt::format("{} on {} in ha-datacenter is powered off: {}",
                                               properties().name, host().identity.name,
                                               hypervisor::describe(exit)), run->ended_by);
  }
  if (!current_task_) co_await refresh_storage();
  run_ended_.notify();
}

Async<void> VirtualMachine::save_end(vmx::MachineConfig config) {
  co_await save_config(std::move(config));
  memory_.end_saving();
}

void VirtualMachine::retake_lines(const hypervisor::Machine& machine) {
  try {
    run_->take_lines(machine.spec());
  } catch (const Error& taken) {
    warn(fmt::format("A serial port is not connected: {}.", taken.what()));
  }
}

Async<void> VirtualMachine::adopt(std::shared_ptr<hypervisor::Machine> machine) {
  if (machine->state() == hypervisor::MachineState::exited) {
    const auto exit = machine->exit().value_or(hypervisor::Exit{});
    machine.reset();
    co_await finish_run(exit);
    co_await memory_.remove_spent(config_.suspend_state);
    co_return;
  }
  run_ = make_run();
  retake_lines(*machine);
  if (machine->state() == hypervisor::MachineState::ready) {
    log("The host's daemon restarted in the middle of a power on, which goes on");
    co_await finish_power_on(machine);
  } else {
    log("The host's daemon restarted; the guest ran on");
    follow(machine);
    co_await note_growth();
    co_await memory_.remove_spent(config_.suspend_state);
  }
  memory_.end_saving();
  device_state_ = connections(config_, machine->spec());
  publish_config();
  // What it waited for, it was asked by the former daemon. In an operation on snapshots it stands
  // still for a moment, and recover_snapshots() lets it go on.
  if (machine->state() == hypervisor::MachineState::paused && !snapshots_.has_work())
    spawn(host().kernel.executor, "question", wait_for_space("of " + properties().name));
  co_await guard_guest();
  if (this->machine()) co_await follow_redos();
}

Async<void> VirtualMachine::finish_power_on(std::shared_ptr<hypervisor::Machine> machine) {
  std::exception_ptr failure;
  try {
    co_await let_run(std::move(machine));
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  if (const auto run = std::exchange(run_, nullptr))
    co_await despite_failure(properties().name, run->end());
  settle_without_guest();
  std::rethrow_exception(failure);
}

void VirtualMachine::settle_without_guest() {
  set_power_state(config_.suspend_state.empty() ? vim::VirtualMachinePowerState::poweredOff
                                                : vim::VirtualMachinePowerState::suspended);
}

Async<void> VirtualMachine::recover_without_guest() {
  const bool readable = properties().runtime->connectionState ==
                        vim::VirtualMachineConnectionState::connected;
  if (readable && !co_await is_locked_elsewhere()) {
    if (const auto file = memory_.saved_unnoticed()) {
      vmx::MachineConfig suspended = config_;
      suspended.suspend_state = *file;
      suspended.clean_shutdown = true;
      co_await save_config(std::move(suspended));
      publish_config();
    }
    memory_.end_saving();
    co_await memory_.remove_spent(config_.suspend_state);
    co_await despite_failure(properties().name, drop_redos());
    co_await despite_failure(properties().name, make_run()->end());    // one without a guest yet
  }
  settle_without_guest();
}

hypervisor::Machine& VirtualMachine::running_machine() const {
  require_power_state(vim::VirtualMachinePowerState::poweredOn);
  if (!machine()) throw kernel::invalid_state(properties().name + " is just ending.");
  return *machine();
}

// --- Power off, reset, suspend ----------------------------------------------------------------

Async<MoRef> VirtualMachine::PowerOffVM_Task(model::Call& call, const vim::PowerOffVMRequestType&) {
  const std::string user = kernel::context(call).user();
  co_return run_task(call, "PowerOffVM_Task", "VirtualMachine.powerOff",
                     [this, user](kernel::TaskHandle&) -> Async<Any> {
                       refuse_template("Powering off");
                       const auto state = properties().runtime->powerState;
                       if (state == vim::VirtualMachinePowerState::poweredOff)
                         refuse_power_state(vim::VirtualMachinePowerState::poweredOff);
                       if (state == vim::VirtualMachinePowerState::suspended) {
                         co_await discard_suspended_state(user);
                       } else {
                         hypervisor::Machine& running = running_machine();
                         run_->ended_by = user;
                         co_await running.power_off();
                         while (powered_on()) co_await run_ended_.wait();
                       }
                       co_return Any();
                     });
}

// A suspended VM that is powered off forgets its memory, as pulling its plug would.
Async<void> VirtualMachine::discard_suspended_state(std::string user) {
  if (!snapshots_.is_memory(config_.suspend_state)) memory_.spend(config_.suspend_state);
  vmx::MachineConfig off = config_;
  off.suspend_state.clear();
  co_await save_config(std::move(off));
  co_await memory_.remove_spent("");
  co_await despite_failure(properties().name, drop_redos());
  set_power_state(vim::VirtualMachinePowerState::poweredOff);
  publish_config();
  log("Powered off while suspended");
  post(vim::VmPoweredOffEvent{}, fmt::format("{} on {} in ha-datacenter is powered off",
                                             properties().name, host().identity.name), user);
}

Async<MoRef> VirtualMachine::ResetVM_Task(model::Call& call, const vim::ResetVMRequestType&) {
  const std::string user = kernel::context(call).user();
  co_return run_task(call, "ResetVM_Task", "VirtualMachine.reset",
                     [this, user](kernel::TaskHandle&) -> Async<Any> {
                       refuse_template("Resetting");
                       co_await reset_machine();
                       post(vim::VmResettingEvent{},
                            fmt::format("{} on {} in ha-datacenter is reset", properties().name,
                                        host().identity.name), user);
                       co_return Any();
                     });
}

Async<MoRef> VirtualMachine::SuspendVM_Task(model::Call& call, const vim::SuspendVMRequestType&) {
  const std::string user = kernel::context(call).user();
  co_return run_task(call, "SuspendVM_Task", "VirtualMachine.suspend",
                     [this, user](kernel::TaskHandle& handle) -> Async<Any> {
                       refuse_template("Suspending");
                       running_machine();
                       require_savable(config_);
                       post(vim::VmSuspendingEvent{},
                            fmt::format("{} on {} in ha-datacenter is being suspended",
                                        properties().name, host().identity.name), user);
                       run_->ended_by = user;
                       co_await suspend(handle);
                       co_return Any();
                     });
}

Async<void> VirtualMachine::suspend(kernel::TaskHandle& handle) {
  co_await memory_.begin_saving();
  std::exception_ptr failure;
  try {
    const std::string path = absolute(memory_.place());
    const hypervisor::Progress progress = [&handle](int percent) { handle.report(percent); };
    co_await running_machine().save(path, progress);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    if (run_) run_->ended_by.clear();
    memory_.end_saving();
    std::rethrow_exception(failure);
  }
  while (powered_on()) co_await run_ended_.wait();
}

Async<void> VirtualMachine::TerminateVM(model::Call& call, const vim::TerminateVMRequestType&) {
  require_power_state(vim::VirtualMachinePowerState::poweredOn);
  hypervisor::Machine& running = running_machine();
  run_->ended_by = kernel::context(call).user();
  co_await running.power_off();
  while (powered_on()) co_await run_ended_.wait();
}

// --- The guest --------------------------------------------------------------------------------

void VirtualMachine::require_tools() const {
  if (running_machine().agent_connected()) return;
  throw kernel::Fault(vim::ToolsUnavailable{},
                      fmt::format("The guest agent of {} is not running.", properties().name));
}

Async<void> VirtualMachine::ShutdownGuest(model::Call& call, const vim::ShutdownGuestRequestType&) {
  require_tools();
  post(vim::VmGuestShutdownEvent{}, fmt::format("Guest OS shut down for {} on {} in ha-datacenter",
                                                properties().name, host().identity.name),
       kernel::context(call).user());
  co_await running_machine().shutdown_guest();
}

Async<void> VirtualMachine::RebootGuest(model::Call& call, const vim::RebootGuestRequestType&) {
  require_tools();
  post(vim::VmGuestRebootEvent{}, fmt::format("Guest OS reboot for {} on {} in ha-datacenter",
                                              properties().name, host().identity.name),
       kernel::context(call).user());
  co_await running_machine().reboot_guest();
}

namespace {

vim::GuestNicInfo describe(const hypervisor::GuestNic& nic, const vmx::MachineConfig& config) {
  vim::GuestNicInfo described;
  described.macAddress = nic.mac;
  described.connected = true;
  described.deviceConfigId = -1;
  auto& addresses = described.ipConfig.edit();
  for (const auto& address : nic.addresses) {
    described.ipAddress.push_back(address.ip);
    auto& entry = addresses.ipAddress.emplace_back();
    entry.ipAddress = address.ip;
    entry.prefixLength = address.prefix;
    entry.state = "preferred";
  }
  for (const auto& adapter : config.network_adapters) {
    if (adapter.mac != nic.mac) continue;
    described.network = adapter.network;
    described.deviceConfigId = device_key(adapter);
  }
  for (const auto& device : config.passthrough) {
    if (!device.sriov || device.sriov->mac != nic.mac) continue;
    described.network = device.sriov->network;
    described.deviceConfigId = device_key(device);
  }
  return described;
}

// A guest may claim any number.
std::int64_t clamp_to_long(std::uint64_t number) {
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(std::min(number, most));
}

// The address people mean by "the VM's": the first IPv4 one of its own adapters, else IPv6.
std::optional<std::string> primary_address(const vim::GuestInfo& guest) {
  std::optional<std::string> fallback;
  for (const auto& nic : guest.net) {
    for (const std::string& address : nic->ipAddress) {
      if (nic->deviceConfigId < 0 || address.starts_with("fe80:")) continue;
      if (address.find(':') == std::string::npos) return address;
      if (!fallback) fallback = address;
    }
  }
  return fallback;
}

vim::GuestInfo describe(const hypervisor::GuestInfo& info, const vmx::MachineConfig& config,
                        bool powered_on) {
  vim::GuestInfo guest;
  const bool running = info.agent_running;
  guest.toolsStatus = running ? vim::VirtualMachineToolsStatus::toolsOk
                              : vim::VirtualMachineToolsStatus::toolsNotRunning;
  guest.toolsRunningStatus = running ? "guestToolsRunning" : "guestToolsNotRunning";
  guest.toolsVersionStatus = guest.toolsVersionStatus2 = "guestToolsUnmanaged";
  guest.guestState = powered_on && running ? "running" : powered_on ? "unknown" : "notRunning";
  guest.guestOperationsReady = running;
  guest.interactiveGuestOperationsReady = false;
  guest.guestStateChangeSupported = running;
  guest.hwVersion = format_hardware_version(config.hardware_version);
  if (!running) return guest;
  guest.toolsVersion = info.agent_version;
  if (!info.host_name.empty()) guest.hostName = info.host_name;
  guest.guestId = guest_id_of_os(config.guest_os);
  guest.guestFamily = info.os.id == "mswindows" ? "windowsGuest" : "linuxGuest";
  guest.guestFullName = info.os.pretty_name.empty() ? guest_full_name(*guest.guestId)
                                                    : info.os.pretty_name;
  for (const auto& nic : info.nics) {
    if (!nic.mac.empty() && nic.mac != "00:00:00:00:00:00") guest.net.push_back(describe(nic, config));
  }
  for (const auto& filesystem : info.filesystems) {
    auto& disk = guest.disk.emplace_back();
    disk.diskPath = filesystem.mount_point;
    const auto used = std::min(filesystem.used_bytes, filesystem.total_bytes);
    disk.capacity = clamp_to_long(filesystem.total_bytes);
    disk.freeSpace = clamp_to_long(filesystem.total_bytes - used);
  }
  guest.ipAddress = primary_address(guest);
  return guest;
}

}  // namespace

void VirtualMachine::set_guest(const hypervisor::GuestInfo& info) {
  const auto guest = model::share(describe(info, config_, powered_on()));
  const auto heartbeat = info.agent_running ? vim::ManagedEntityStatus::green
                                            : vim::ManagedEntityStatus::gray;
  update([&](Properties& p) {
    p.guest = guest;
    p.guestHeartbeatStatus = heartbeat;
    p.summary.edit().quickStats.guestHeartbeatStatus = heartbeat;
    vim::VirtualMachineGuestSummary summary;
    summary.guestId = guest->guestId;
    summary.guestFullName = guest->guestFullName;
    summary.toolsStatus = guest->toolsStatus;
    summary.toolsVersionStatus = guest->toolsVersionStatus;
    summary.toolsVersionStatus2 = guest->toolsVersionStatus2;
    summary.toolsRunningStatus = guest->toolsRunningStatus;
    summary.hostName = guest->hostName;
    summary.ipAddress = guest->ipAddress;
    summary.hwVersion = guest->hwVersion;
    p.summary.edit().guest = model::share(std::move(summary));
  });
}

Async<void> VirtualMachine::watch_guest() {
  const auto me = shared_from_this();
  const auto run = run_;
  while (run && run_ == run && run->machine()->agent_connected()) {
    const hypervisor::GuestInfo info = co_await run->machine()->guest_info();
    if (run_ != run) co_return;
    set_guest(info);
    const bool known = properties().guest->ipAddress.has_value();
    const std::chrono::milliseconds interval = known ? kGuestInterval : kGuestFirstInterval;
    co_await sleep_for(interval);
  }
}

// --- Consoles ---------------------------------------------------------------------------------

Async<model::Ptr<vim::VirtualMachineTicket>> VirtualMachine::AcquireTicket(
    model::Call& c, const vim::AcquireTicketRequestType& r) {
  const auto& call = kernel::context(c);
  host().kernel.authorization.check(host().kernel.inventory, call.user(), *this,
                                    "VirtualMachine.Interact.ConsoleInteract");
  if (r.ticketType != "webmks" && r.ticketType != "mks")
    throw kernel::not_supported("A console ticket of type " + r.ticketType);
  running_machine();
  const ConsoleTicket issued = host().consoles->issue(self(), call);
  vim::VirtualMachineTicket ticket;
  ticket.ticket = issued.ticket;
  ticket.cfgFile = config_file_.display();
  ticket.host = issued.host;
  ticket.port = issued.port;
  ticket.sslThumbprint = issued.thumbprint;
  ticket.url = issued.url;
  co_return model::share(std::move(ticket));
}

Async<model::Ptr<vim::VirtualMachineMksTicket>> VirtualMachine::AcquireMksTicket(
    model::Call& c, const vim::AcquireMksTicketRequestType&) {
  running_machine();
  const ConsoleTicket issued = host().consoles->issue(self(), kernel::context(c));
  vim::VirtualMachineMksTicket ticket;
  ticket.ticket = issued.ticket;
  ticket.cfgFile = config_file_.display();
  ticket.host = issued.host;
  ticket.port = issued.port;
  ticket.sslThumbprint = issued.thumbprint;
  co_return model::share(std::move(ticket));
}

Async<MoRef> VirtualMachine::CreateScreenshot_Task(model::Call& call,
                                                   const vim::CreateScreenshotRequestType&) {
  co_return run_task(call, "CreateScreenshot_Task", "VirtualMachine.createScreenshot",
                     [this](kernel::TaskHandle&) -> Async<Any> {
                       const std::string png = co_await running_machine().screenshot();
                       const auto config = vmx::DatastorePath::parse(config_file_.display());
                       const auto place = config_file_;
                       const auto write_picture = [=] {
                         for (int n = 1;; ++n) {
                           const auto to = place.sibling(fmt::format("{}-{}.png", config.stem(), n));
                           if (to.datastore->exists(to.path)) continue;
                           datastore::Upload upload(to, datastore::IfExists::fail);
                           upload.write(png);
                           upload.commit();
                           return to.display();
                         }
                       };
                       const std::string made = co_await offload(host().kernel.workers, write_picture);
                       co_return model::any(made);
                     });
}

}  // namespace virga::host
