// What clients do with a VM's snapshots.
#include <algorithm>

#include "datastore/change_tracking.h"
#include "datastore/delta_disk.h"
#include "datastore/files.h"
#include "host/virtual_machine_snapshot.h"
#include "host/vm_config_words.h"
#include "host/vm_disk_chain.h"
#include "hypervisor/qemu/qemu_hypervisor.h"
#include "hypervisor/saved_state.h"
#include "model/clock.h"
#include "vmx/snapshot_tree.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

// .vmx: how many snapshots the VM may have; 0 switches them off.
constexpr std::string_view kMaxSnapshots = "snapshot.maxSnapshots";

void check_name(const std::string& name) {
  if (vmx::trim(name).empty()) throw kernel::invalid_name(name, "it is empty");
  if (name.size() > 80) throw kernel::invalid_name(name, "it is longer than 80 bytes");
}

datastore::Location free_delta_of(const datastore::Location& disk) {
  return datastore::free_delta(datastore::read_chain(disk));
}

kernel::Fault incompatible_disk(const vmx::MachineConfig& config, const std::string& disk,
                                std::string_view why) {
  const std::string message = fmt::format("{} cannot be kept in a snapshot of {}: {}.", disk,
                                          config.display_name, why);
  vim::DeviceNotSupported reason;
  reason.device = disk;
  vim::LocalizedMethodFault fault;
  fault.fault = model::Ptr<vim::MethodFault>(model::share(std::move(reason)).data());
  fault.localizedMessage = message;
  vim::SnapshotIncompatibleDeviceInVm detail;
  detail.fault = std::move(fault);
  return kernel::Fault(std::move(detail), message);
}

}  // namespace

// --- Taking ------------------------------------------------------------------------------------

void VirtualMachine::check_new_snapshot(const NewSnapshot& wanted) const {
  require_snapshots();
  check_name(wanted.name);
  refuse_template("Taking a snapshot of");
  const auto most = vmx::parse_int(vmx::find_extra(config_, kMaxSnapshots).value_or(""));
  if (most && *most == 0)
    throw kernel::Fault(vim::SnapshotDisabled{},
                        fmt::format("Snapshots of {} are switched off.", properties().name));
  if (most && static_cast<std::int64_t>(snapshots_.tree().snapshots.size()) >= *most)
    throw kernel::Fault(
        vim::MultipleSnapshotsNotSupported{},
        fmt::format("{} may have no more than {} snapshots.", properties().name, *most));
  if (vmx::level_of(snapshots_.tree(), snapshots_.tree().current) >= vmx::max_snapshot_levels)
    throw kernel::Fault(vim::TooManySnapshotLevels{},
                        fmt::format("{} has {} snapshots above each other, which is the most.",
                                    properties().name, vmx::max_snapshot_levels));
  check_disks_for_snapshot(wanted);
}

// What others write to, or what snapshots leave alone, does not go back with a memory.
void VirtualMachine::check_disks_for_snapshot(const NewSnapshot& wanted) const {
  const ConfigContext here = context();
  for (const vmx::Disk& disk : config_.disks) {
    if (!takes_part_in_snapshots(disk)) continue;
    if (is_shared(config_, disk))
      throw incompatible_disk(config_, label(config_, disk), "other VMs may write to it");
    const auto mapping = raw_mapping(resolve_file(here, disk.file), here);
    if (mapping && mapping->passthrough)
      throw incompatible_disk(config_, label(config_, disk), "it is a raw device in physical mode");
  }
  if (!wanted.with_memory || !powered_on()) return;
  require_savable(config_);
  for (const vmx::Disk& disk : config_.disks) {
    if (takes_part_in_snapshots(disk)) continue;
    throw kernel::Fault(
        vim::MemorySnapshotOnIndependentDisk{},
        fmt::format("The memory of {} cannot be kept in a snapshot: {} is independent.",
                    properties().name, label(config_, disk)));
  }
}

// A delta for each of the VM's disks that snapshots hold.
Async<std::vector<VirtualMachine::NewDelta>> VirtualMachine::plan_deltas(
    vmx::MachineConfig config) const {
  std::vector<NewDelta> deltas;
  const ConfigContext here = context();
  for (const vmx::Disk& disk : config.disks) {
    if (!takes_part_in_snapshots(disk)) continue;
    const auto parent = resolve_file(here, disk.file);
    deltas.push_back({.slot = disk.slot,
                      .parent = host().locate(parent.format()),
                      .is_tracked = is_tracked(config, disk, here)});
  }
  const auto work = [deltas]() mutable {
    for (NewDelta& delta : deltas) delta.disk = free_delta_of(delta.parent);
    return deltas;
  };
  co_return co_await offload(host().kernel.workers, work);
}

vmx::MachineConfig VirtualMachine::with_deltas(vmx::MachineConfig config,
                                               const std::vector<NewDelta>& deltas) const {
  const ConfigContext here = context();
  for (vmx::Disk& disk : config.disks) {
    const auto delta = std::ranges::find(deltas, disk.slot, &NewDelta::slot);
    if (delta == deltas.end()) continue;
    disk.file = file_reference(here, vmx::DatastorePath::parse(delta->disk.display()));
  }
  return config;
}

SnapshotWork VirtualMachine::work_on(const std::vector<NewDelta>& deltas) {
  SnapshotWork work;
  for (const NewDelta& delta : deltas) work.disks.push_back(delta.disk.lasting_name());
  return work;
}

std::vector<std::string> VirtualMachine::known_deltas() const {
  std::vector<std::string> deltas;
  for (const auto& [disk, parent] : disk_tree(config_, snapshots_.tree(), context()).parents)
    if (!parent.empty()) deltas.push_back(host().locate(disk).lasting_name());
  return deltas;
}

// What the snapshot keeps of the VM beside its disks.
vmx::SnapshotState VirtualMachine::state_to_keep(int uid, const NewSnapshot& wanted) const {
  using Power = vmx::SnapshotState::Power;
  vmx::SnapshotState state;
  state.config = file_.serialise();
  if (wanted.with_memory && powered_on()) state.power = Power::on;
  if (wanted.with_memory && !config_.suspend_state.empty()) state.power = Power::suspended;
  if (state.power != Power::off) state.memory_file = snapshot_file(config_file_, uid, "vmem");
  // A guest whose memory is kept has nothing to flush, and would wake up frozen.
  state.quiesced = wanted.quiesced && powered_on() && state.power == Power::off &&
                   running_machine().agent_connected();
  if (config_.firmware == vmx::Firmware::efi)
    state.nvram_file = snapshot_file(config_file_, uid, "nvram");
  return state;
}

Async<Any> VirtualMachine::create_snapshot(NewSnapshot wanted, std::string user,
                                           kernel::TaskHandle& handle) {
  check_new_snapshot(wanted);
  disks_ = co_await query_disks(config_);
  require_own_deltas();
  std::vector<NewDelta> deltas = co_await plan_deltas(config_);
  const int uid = snapshots_.tree().last_uid + 1;
  vmx::Snapshot snapshot;
  snapshot.name = wanted.name;
  snapshot.description = wanted.description;
  snapshot.state_file = snapshot_file(config_file_, uid, "vmsn");
  snapshot.created = model::now().time_since_epoch().count();
  for (const vmx::Disk& disk : config_.disks)
    if (takes_part_in_snapshots(disk)) snapshot.disks.push_back({disk.file, disk.slot.key()});
  const vmx::SnapshotState state = state_to_keep(uid, wanted);
  SnapshotWork work = work_on(deltas);
  work.files = {snapshot.state_file};
  if (!state.nvram_file.empty()) work.files.push_back(state.nvram_file);
  if (!state.memory_file.empty()) {
    work.files.push_back(state.memory_file);
    work.files.push_back(hypervisor::unfinished_state(state.memory_file));
  }
  const hypervisor::Progress progress = [&handle](int percent) { handle.report(percent); };
  auto of_guest = snapshot_guest(state, wanted.quiesce_timeout, progress);
  auto taking = take_snapshot(std::move(snapshot), state, std::move(deltas), std::move(of_guest));
  co_await with_snapshot_work(std::move(work), std::move(taking));
  log(fmt::format("Snapshot {} \"{}\" taken by {}", uid, wanted.name, user));
  co_return model::any(snapshot_reference(self(), uid));
}

Async<void> VirtualMachine::prepare_snapshot(vmx::Snapshot snapshot,
                                             vmx::SnapshotState state) const {
  const auto state_file = config_file_.sibling(snapshot.state_file);
  const auto nvram = host().locate(nvram_file(config_, context()).format());
  const auto suspended = config_file_.sibling(config_.suspend_state);
  const auto prepare = [state_file, state, nvram, suspended] {
    if (!state.nvram_file.empty()) {
      hypervisor::create_efi_variables((nvram.datastore->root() / nvram.path).string());
      datastore::write_small_file(state_file.sibling(state.nvram_file),
                                  datastore::read_at_rest(nvram));
    }
    if (state.power == vmx::SnapshotState::Power::suspended)
      datastore::copy(suspended, state_file.sibling(state.memory_file));
    datastore::write_small_file(state_file, vmx::serialise_vmsn(state));
  };
  co_await offload(host().kernel.workers, prepare);
}

// The .vmx names the deltas before the guest writes to them: whenever the daemon is killed, nothing
// the guest wrote is lost.
Async<void> VirtualMachine::write_to_deltas(std::vector<NewDelta> deltas, Async<void> of_guest) {
  const bool running = powered_on();
  const auto make = [deltas, running] {
    for (const NewDelta& delta : deltas) {
      datastore::create_delta(delta.disk, delta.parent);
      if (!delta.is_tracked) continue;
      if (!running) datastore::start_tracking(delta.parent);
      datastore::track_delta(delta.disk, delta.parent, running);
    }
  };
  co_await offload(host().kernel.workers, make);
  vmx::MachineConfig above = with_deltas(config_, deltas);
  co_await save_config(std::move(above));
  disks_ = co_await query_disks(config_);
  if (running) co_await std::move(of_guest);
  const auto settle = [deltas] {
    for (const NewDelta& delta : deltas)
      if (delta.is_tracked) datastore::track_parent(delta.parent, delta.disk);
  };
  co_await offload(host().kernel.workers, settle);
}

// The .vmsd names the snapshot after the disks below have come to rest: nothing is taken for a
// snapshot that is none.
Async<void> VirtualMachine::take_snapshot(vmx::Snapshot snapshot, vmx::SnapshotState state,
                                          std::vector<NewDelta> deltas, Async<void> of_guest) {
  const vmx::MachineConfig before = config_;
  const bool running = powered_on();
  co_await prepare_snapshot(snapshot, state);
  std::exception_ptr failure;
  try {
    co_await write_to_deltas(std::move(deltas), std::move(of_guest));
    co_await snapshots_.add(config_file_, std::move(snapshot), state);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  // What a guest may have written to the deltas must not be lost with them.
  if (!running) co_await save_config(before);
  std::rethrow_exception(failure);
}

// Puts the VM's disks over those the guest writes now.
Async<void> VirtualMachine::snapshot_guest(vmx::SnapshotState state,
                                           std::chrono::minutes quiesce_timeout,
                                           hypervisor::Progress progress) {
  hypervisor::Machine& guest = running_machine();
  hypervisor::SnapshotRequest request;
  request.progress = std::move(progress);
  const ConfigContext here = context();
  for (const vmx::Disk& disk : config_.disks) {
    if (!takes_part_in_snapshots(disk)) continue;
    const vmx::DatastorePath delta = resolve_file(here, disk.file);
    request.overlays[device_key(disk)] = image_of(delta);
    request.change_tracks[device_key(disk)] = track_of(delta);
  }
  if (!state.memory_file.empty()) {
    const auto memory = config_file_.sibling(state.memory_file);
    request.memory = (memory.datastore->root() / memory.path).string();
  }
  if (!state.quiesced) co_return co_await guest.snapshot(std::move(request));
  const auto run = run_;
  try {
    co_await guest.freeze_guest(quiesce_timeout);
  } catch (const Error& failure) {
    throw kernel::Fault(vim::FilesystemQuiesceFault{},
                        fmt::format("The file systems of {} cannot be brought to rest: {}.",
                                    properties().name, failure.what()));
  }
  std::exception_ptr failure;
  try {
    co_await guest.snapshot(std::move(request));
  } catch (...) {
    failure = std::current_exception();
  }
  co_await thaw_guest(run);
  if (failure) std::rethrow_exception(failure);
}

Async<void> VirtualMachine::thaw_guest(std::shared_ptr<VmRun> run) {
  std::string why;
  try {
    co_await run->machine()->thaw_guest();
  } catch (const Error& failure) {
    why = failure.what();
  }
  if (why.empty()) co_return;
  log("The guest's file systems could not be thawed: " + why);
  vim::VmMessageErrorEvent event;
  event.message =
      fmt::format("The file systems of {} are still frozen: {}", properties().name, why);
  const std::string message = event.message;
  post(std::move(event), message);
}

Async<MoRef> VirtualMachine::CreateSnapshot_Task(model::Call& call,
                                                 const vim::CreateSnapshotRequestType& r) {
  NewSnapshot wanted{.name = r.name,
                     .description = r.description.value_or(""),
                     .with_memory = r.memory,
                     .quiesced = r.quiesce};
  co_return start_snapshot(call, "CreateSnapshot_Task", std::move(wanted));
}

Async<MoRef> VirtualMachine::CreateSnapshotEx_Task(model::Call& call,
                                                   const vim::CreateSnapshotExRequestType& r) {
  NewSnapshot wanted{.name = r.name,
                     .description = r.description.value_or(""),
                     .with_memory = r.memory,
                     .quiesced = bool(r.quiesceSpec)};
  if (r.quiesceSpec) {
    if (r.quiesceSpec.as<vim::VirtualMachineWindowsQuiesceSpec>())
      throw kernel::not_supported("A quiesceSpec for Windows");
    const int minutes = r.quiesceSpec->timeout.value_or(15);
    if (minutes < 5 || minutes > 240)
      throw kernel::invalid_argument("quiesceSpec.timeout", "It is not from 5 to 240 minutes.");
    wanted.quiesce_timeout = std::chrono::minutes(minutes);
  }
  co_return start_snapshot(call, "CreateSnapshotEx_Task", std::move(wanted));
}

MoRef VirtualMachine::start_snapshot(model::Call& call, const char* method, NewSnapshot wanted) {
  const std::string user = kernel::context(call).user();
  return run_task(
      call, method, "VirtualMachine.createSnapshot",
      [this, user, wanted = std::move(wanted)](kernel::TaskHandle& handle) -> Async<Any> {
        co_return co_await create_snapshot(wanted, user, handle);
      });
}

// --- Going back --------------------------------------------------------------------------------

// The VM as the snapshot has it, but for what makes it this VM.
vmx::MachineConfig VirtualMachine::config_to_go_back_to(int uid) const {
  vmx::MachineConfig config = snapshots_.config_of(uid, config_file_);
  config.display_name = config_.display_name;
  config.bios_uuid = config_.bios_uuid;
  config.instance_uuid = config_.instance_uuid;
  config.suspend_state = snapshots_.state_of(uid)->memory_file;
  config.clean_shutdown = true;
  return config;
}

Async<void> VirtualMachine::revert(int uid, std::string user, bool suppress_power_on) {
  const vmx::Snapshot snapshot = snapshot_with(uid);
  if (!snapshots_.state_of(uid))
    throw kernel::Fault(vim::InvalidSnapshotFormat{},
                        fmt::format("{} cannot go back to \"{}\": {} cannot be read.",
                                    properties().name, snapshot.name, snapshot.state_file));
  require_own_deltas();
  if (powered_on()) {
    hypervisor::Machine& running = running_machine();
    run_->ended_by = user;
    co_await running.power_off();
    while (powered_on()) co_await run_ended_.wait();
    co_await lock_files();
  }
  disks_ = co_await query_disks(config_);
  const vmx::MachineConfig target = config_to_go_back_to(uid);
  std::vector<NewDelta> deltas = co_await plan_deltas(target);
  SnapshotWork work = work_on(deltas);
  for (std::string& disk : known_deltas()) work.disks.push_back(std::move(disk));
  if (!config_.suspend_state.empty()) work.files.push_back(config_.suspend_state);
  const bool was_on = snapshots_.state_of(uid)->power == vmx::SnapshotState::Power::on;
  const std::string power_on_for = was_on && !suppress_power_on ? user : std::string();
  auto going = go_back(work, uid, target, std::move(deltas), power_on_for);
  co_await with_snapshot_work(work, std::move(going));
  settle_without_guest();
  log(fmt::format("Reverted to snapshot {} \"{}\" by {}", uid, snapshot.name, user));
  post_extended("com.vmware.vc.vm.VmStateRevertedToSnapshot", "info",
                fmt::format("{} on {} has been reverted to the state of snapshot {}, with ID {}",
                            properties().name, host().identity.name, snapshot.name, uid),
                user);
}

// From the moment the note says how it ends, it is finished rather than undone.
Async<void> VirtualMachine::go_back(SnapshotWork work, int uid, vmx::MachineConfig target,
                                    std::vector<NewDelta> deltas, std::string power_on_for) {
  const auto make = [deltas] {
    for (const NewDelta& delta : deltas) {
      datastore::create_delta(delta.disk, delta.parent);
      // Sequences above the snapshot's are given out already, on the branch that is left.
      if (delta.is_tracked) datastore::begin_epoch(delta.disk);
    }
  };
  co_await offload(host().kernel.workers, make);
  const vmx::SnapshotState& state = *snapshots_.state_of(uid);
  vmx::VmxFile file = vmx::VmxFile::parse(state.config, config_file_.display());
  vmx::write(with_deltas(std::move(target), deltas), file);
  vmx::SnapshotTree tree = snapshots_.tree();
  tree.current = uid;
  work.revert = SnapshotRevert{
      .config = file.serialise(),
      .list = vmx::serialise_vmsd(tree),
      .variables = state.nvram_file,
      .power_on = power_on_for};
  snapshots_.note(work);
  co_await carry_out(*work.revert);
}

Async<void> VirtualMachine::carry_out(SnapshotRevert revert) {
  const auto config = config_file_, list = snapshot_list(config_file_);
  const auto target = vmx::read(vmx::VmxFile::parse(revert.config, config.display()));
  const auto nvram = host().locate(nvram_file(target, context()).format());
  const auto work = [config, list, nvram, revert] {
    if (!revert.variables.empty())
      datastore::write_small_file(nvram,
                                  datastore::read_small_file(config.sibling(revert.variables)));
    datastore::write_small_file(config, revert.config);
    datastore::write_small_file(list, revert.list);
  };
  co_await offload(host().kernel.workers, work);
  file_ = vmx::VmxFile::parse(revert.config, config_file_.display());
  config_ = vmx::read(file_);
  snapshots_.replace(vmx::parse_vmsd(revert.list, list.display()));
  disks_ = co_await query_disks(config_);
}

// The note of it says nothing any more as soon as the .vmx names no memory to go on from.
Async<void> VirtualMachine::power_on_if_due(kernel::TaskHandle& handle) {
  const auto user = snapshots_.power_on_due();
  if (!user) co_return;
  std::exception_ptr failure;
  try {
    co_await power_on(*user, handle);
  } catch (...) {
    failure = std::current_exception();
  }
  snapshots_.forget_power_on();
  if (failure) std::rethrow_exception(failure);
}

void VirtualMachine::finish_revert() {
  const bool readable =
      properties().runtime->connectionState == vim::VirtualMachineConnectionState::connected;
  if (!snapshots_.power_on_due() || snapshots_.has_work() || !readable) return;
  if (machine() || config_.suspend_state.empty()) return snapshots_.forget_power_on();
  kernel::TaskSpec spec{"RevertToSnapshot_Task", "vm.Snapshot.revert", self(), properties().name};
  const auto me = std::static_pointer_cast<VirtualMachine>(shared_from_this());
  const Work go_on = [me](kernel::TaskHandle& handle) -> Async<Any> {
    co_await me->power_on_if_due(handle);
    co_return Any();
  };
  host().kernel.tasks.run(std::move(spec), [me, go_on](kernel::TaskHandle& handle) {
    return exclusively(me, go_on, handle);
  });
}

MoRef VirtualMachine::start_revert(model::Call& call, const char* method,
                                   const char* description_id, int uid,
                                   const std::optional<MoRef>& wanted_host,
                                   bool suppress_power_on) {
  if (wanted_host && *wanted_host != *properties().runtime->host)
    throw kernel::managed_object_not_found(*wanted_host);
  snapshot_with(uid);
  const std::string user = kernel::context(call).user();
  return run_task(call, method, description_id,
                  [this, user, uid, suppress_power_on](kernel::TaskHandle& handle) -> Async<Any> {
                    refuse_template("Reverting");
                    co_await revert(uid, user, suppress_power_on);
                    co_await power_on_if_due(handle);
                    co_return Any();
                  });
}

Async<MoRef> VirtualMachine::RevertToCurrentSnapshot_Task(
    model::Call& call, const vim::RevertToCurrentSnapshotRequestType& r) {
  require_snapshots();
  if (snapshots_.tree().current == 0)
    throw kernel::not_found("a current snapshot of " + properties().name);
  co_return start_revert(call, "RevertToCurrentSnapshot_Task",
                         "VirtualMachine.revertToCurrentSnapshot", snapshots_.tree().current,
                         r.host, r.suppressPowerOn.value_or(false));
}

// --- Forgetting --------------------------------------------------------------------------------

// `remaining`: the tree without them.
Async<void> VirtualMachine::forget_snapshots(vmx::SnapshotTree remaining, bool merge,
                                             kernel::TaskHandle& handle) {
  disks_ = co_await query_disks(config_);
  require_own_deltas();
  SnapshotWork work{.disks = known_deltas()};
  for (const vmx::Snapshot& snapshot : snapshots_.tree().snapshots) {
    if (vmx::find_snapshot(remaining, snapshot.uid)) continue;
    work.files.push_back(snapshot.state_file);
    const vmx::SnapshotState* state = snapshots_.state_of(snapshot.uid);
    if (!state) continue;
    for (const std::string& file : {state->memory_file, state->nvram_file})
      if (!file.empty()) work.files.push_back(file);
  }
  auto forgetting = forget_and_merge(std::move(remaining), merge, handle);
  co_await with_snapshot_work(std::move(work), std::move(forgetting));
}

Async<void> VirtualMachine::forget_and_merge(vmx::SnapshotTree remaining, bool merge,
                                             kernel::TaskHandle& handle) {
  co_await snapshots_.save(config_file_, std::move(remaining));
  publish_snapshots();
  const hypervisor::Progress progress = [&handle](int percent) { handle.report(percent); };
  if (merge) co_await consolidate(progress, handle.stop_token());
}

MoRef VirtualMachine::start_removal(model::Call& call, int uid, bool with_children, bool merge) {
  snapshot_with(uid);
  const std::string user = kernel::context(call).user();
  return run_task(
      call, "RemoveSnapshot_Task", "vm.Snapshot.remove",
      [this, user, uid, with_children, merge](kernel::TaskHandle& handle) -> Async<Any> {
        const std::string name = snapshot_with(uid).name;
        vmx::SnapshotTree remaining = snapshots_.tree();
        with_children ? vmx::remove_subtree(remaining, uid) : vmx::remove_snapshot(remaining, uid);
        co_await forget_snapshots(std::move(remaining), merge, handle);
        log(fmt::format("Snapshot {} \"{}\" removed by {}", uid, name, user));
        co_return Any();
      },
      true);
}

Async<MoRef> VirtualMachine::RemoveAllSnapshots_Task(model::Call& call,
                                                     const vim::RemoveAllSnapshotsRequestType& r) {
  const std::string user = kernel::context(call).user();
  const bool merge = r.consolidate.value_or(true);
  co_return run_task(
      call, "RemoveAllSnapshots_Task", "VirtualMachine.removeAllSnapshots",
      [this, user, merge](kernel::TaskHandle& handle) -> Async<Any> {
        require_snapshots();
        vmx::SnapshotTree remaining = snapshots_.tree();
        for (const int root : vmx::children_of(snapshots_.tree(), 0))
          vmx::remove_subtree(remaining, root);
        co_await forget_snapshots(std::move(remaining), merge, handle);
        log("All snapshots removed by " + user);
        co_return Any();
      },
      true);
}

Async<void> VirtualMachine::rename_snapshot(model::Call& call, int uid,
                                            std::optional<std::string> name,
                                            std::optional<std::string> description) {
  snapshot_with(uid);
  if (name) check_name(*name);
  const Work rename = [this, uid, name, description](kernel::TaskHandle&) -> Async<Any> {
    snapshot_with(uid);
    vmx::SnapshotTree tree = snapshots_.tree();
    vmx::Snapshot& snapshot = *vmx::find_snapshot(tree, uid);
    if (name) snapshot.name = *name;
    if (description) snapshot.description = *description;
    co_await snapshots_.save(config_file_, std::move(tree));
    publish_snapshots();
    co_return Any();
  };
  co_await complete_task(call, "RenameSnapshot", "vm.Snapshot.rename", rename);
}

}  // namespace virga::host
