// A VM's snapshots as the API shows them, and what surrounds each operation on them.
//
// The .vmx names the disks the VM runs on, the .vmsd those its snapshots need. Whatever else an
// operation has made or left without a use is noted (VmSnapshots) for as long as it runs, so that a
// daemon killed in between removes it at its next start. Of a disk that is merged, both the merged
// and the unmerged files hold the same content until the .vmx or .vmsd names the new one: an
// interrupted merge shows as runtime.consolidationNeeded and is done again.
#include <algorithm>

#include "base/log.h"
#include "datastore/delta_disk.h"
#include "datastore/files.h"
#include "host/virtual_machine_snapshot.h"
#include "host/vm_config_words.h"
#include "host/vm_disk_chain.h"
#include "model/clock.h"
#include "vmx/snapshot_tree.h"

namespace virga::host {
namespace {

// Snapshots grow and age without anybody doing anything to them.
constexpr auto kReviewInterval = std::chrono::minutes(10);

// --- The API's view ----------------------------------------------------------------------------

vim::VirtualMachinePowerState api_power(vmx::SnapshotState::Power power) {
  switch (power) {
    case vmx::SnapshotState::Power::on:
      return vim::VirtualMachinePowerState::poweredOn;
    case vmx::SnapshotState::Power::suspended:
      return vim::VirtualMachinePowerState::suspended;
    case vmx::SnapshotState::Power::off:
      break;
  }
  return vim::VirtualMachinePowerState::poweredOff;
}

model::Array<MoRef> references(const MoRef& vm, const std::vector<int>& uids) {
  model::Array<MoRef> all;
  for (const int uid : uids) all.push_back(snapshot_reference(vm, uid));
  return all;
}

vim::VirtualMachineSnapshotTree tree_node(const MoRef& vm, const VmSnapshots& snapshots, int uid) {
  const vmx::Snapshot& snapshot = *vmx::find_snapshot(snapshots.tree(), uid);
  vim::VirtualMachineSnapshotTree node;
  node.snapshot = snapshot_reference(vm, uid);
  node.vm = vm;
  node.name = snapshot.name;
  node.description = snapshot.description;
  node.id = uid;
  node.createTime = model::Time(std::chrono::microseconds(snapshot.created));
  if (const vmx::SnapshotState* state = snapshots.state_of(uid)) {
    node.state = api_power(state->power);
    node.quiesced = state->quiesced;
  }
  node.replaySupported = false;
  for (const int child : vmx::children_of(snapshots.tree(), uid))
    node.childSnapshotList.push_back(tree_node(vm, snapshots, child));
  return node;
}

// --- Files -------------------------------------------------------------------------------------

void delete_disk_if_present(const datastore::Location& disk) {
  if (disk.datastore->exists(disk.path)) datastore::delete_disk(disk);
}

}  // namespace

// --- State -------------------------------------------------------------------------------------

void VirtualMachine::require_snapshots() const {
  require_accessible();
  if (!snapshots_.damage().empty())
    throw kernel::Fault(vim::InvalidSnapshotFormat{},
                        fmt::format("The snapshots of {} cannot be told: {}.", properties().name,
                                    snapshots_.damage()));
}

// Deltas that VMware's products made can be neither merged nor written here.
void VirtualMachine::require_own_deltas() const {
  for (const auto& [disk, info] : disks_)
    if (!info.parent.empty() && !is_delta(info))
      throw kernel::not_supported(
          fmt::format("Changing snapshots of {}: {} of type {}, a delta of {}", properties().name,
                      disk, info.create_type, info.parent));
}

const vmx::Snapshot& VirtualMachine::snapshot_with(int uid) const {
  require_snapshots();
  const vmx::Snapshot* found = vmx::find_snapshot(snapshots_.tree(), uid);
  if (!found) throw kernel::managed_object_not_found(snapshot_reference(self(), uid));
  return *found;
}

// Snapshot objects come and go with the tree; the VM's own properties follow.
void VirtualMachine::publish_snapshots() {
  if (!inventory().find(self()) || !properties().config) return;
  const auto me = std::static_pointer_cast<VirtualMachine>(shared_from_this());
  for (const vmx::Snapshot& snapshot : snapshots_.tree().snapshots) {
    auto& object = snapshot_objects_[snapshot.uid];
    if (!object) {
      vim::VirtualMachineSnapshotProperties initial;
      initial.vm = self();
      object = inventory().emplace<VirtualMachineSnapshot>(me, snapshot.uid, std::move(initial));
    }
    const auto children = references(self(), vmx::children_of(snapshots_.tree(), snapshot.uid));
    const auto config =
        snapshots_.state_of(snapshot.uid)
            ? model::share(config_info(snapshots_.config_of(snapshot.uid, config_file_), context(),
                                       {}, false))
            : properties().config;
    object->update([&](auto& p) {
      p.childSnapshot = children;
      p.config = config;
    });
  }
  const auto roots = references(self(), vmx::children_of(snapshots_.tree(), 0));
  model::Ptr<vim::VirtualMachineSnapshotInfo> info;
  if (!roots.empty()) {
    vim::VirtualMachineSnapshotInfo tree;
    if (snapshots_.tree().current != 0)
      tree.currentSnapshot = snapshot_reference(self(), snapshots_.tree().current);
    for (const int uid : vmx::children_of(snapshots_.tree(), 0))
      tree.rootSnapshotList.push_back(tree_node(self(), snapshots_, uid));
    info = model::share(std::move(tree));
  }
  const bool consolidation_needed = !snapshots_.has_work() && !consolidation().empty();
  update([&](Properties& p) {
    p.snapshot = info;
    p.rootSnapshot = roots;
    p.runtime.edit().consolidationNeeded = consolidation_needed;
    p.summary.edit().runtime = *p.runtime;
  });
  std::erase_if(snapshot_objects_, [&](const auto& entry) {
    if (vmx::find_snapshot(snapshots_.tree(), entry.first)) return false;
    inventory().remove(entry.second->self());
    return true;
  });
}

void VirtualMachine::withdraw_snapshots() {
  for (const auto& [uid, object] : std::exchange(snapshot_objects_, {}))
    inventory().remove(object->self());
}

void VirtualMachine::add_snapshot_files(VmFiles& files) const {
  const ConfigContext here = context();
  for (const vmx::Snapshot& snapshot : snapshots_.tree().snapshots) {
    VmFiles::Snapshot& own = files.snapshots.emplace_back(
        VmFiles::Snapshot{.reference = snapshot_reference(self(), snapshot.uid),
                          .data = here.config_file.sibling(snapshot.state_file)});
    const vmx::SnapshotState* state = snapshots_.state_of(snapshot.uid);
    if (!state) continue;
    if (!state->nvram_file.empty())
      files.files.push_back({"snapshotData", here.config_file.sibling(state->nvram_file), false});
    if (!state->memory_file.empty()) own.memory = here.config_file.sibling(state->memory_file);
    for (const vmx::Disk& disk : snapshots_.config_of(snapshot.uid, config_file_).disks)
      if (const auto path = find_file(here, disk.file))
        own.disks.push_back({device_key(disk), *path});
  }
}

// --- What is under way -------------------------------------------------------------------------

// Removes what is noted and of no use; the note goes with it.
Async<void> VirtualMachine::clean_up(SnapshotWork work) {
  disks_ = co_await query_disks(config_);
  const vmx::DiskTree tree = disk_tree(config_, snapshots_.tree(), context());
  const std::vector<std::string> of_snapshots = snapshots_.files();
  std::set<std::string> used(of_snapshots.begin(), of_snapshots.end());
  used.insert(config_.suspend_state);
  std::vector<datastore::Location> disks, files;
  for (const std::string& disk : work.disks) {
    const auto place = host().locate(disk);
    const bool is_used = tree.parents.contains(place.display());
    if (!is_used && !is_shared_with_others(place.display())) disks.push_back(place);
  }
  for (const std::string& file : work.files)
    if (!used.contains(file)) files.push_back(config_file_.sibling(file));
  const auto remove = [disks, files] {
    for (const auto& disk : disks) delete_disk_if_present(disk);
    for (const auto& file : files)
      if (file.datastore->exists(file.path)) datastore::remove(file);
  };
  co_await offload(host().kernel.workers, remove);
  snapshots_.forget_work();
}

// Runs what `work` is noted for, and cleans up after it however it ends.
Async<void> VirtualMachine::with_snapshot_work(SnapshotWork work, Async<void> doing) {
  snapshots_.note(work);
  std::exception_ptr failure;
  try {
    co_await std::move(doing);
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    co_await follow_machine_disks();
    co_await clean_up(std::move(work));
  } catch (const std::exception& left) {
    // The note is still there, for the next start.
    logger("vm")->error("{}: {}", display_name(), left.what());
  }
  publish_config();
  publish_snapshots();
  if (!failure) co_return;
  snapshots_.forget_power_on();
  co_await refresh_storage();
  std::rethrow_exception(failure);
}

// Makes the .vmx name the disks that the guest really writes to. They differ when a snapshot or a
// merge did not come to its end.
Async<void> VirtualMachine::follow_machine_disks() {
  if (!machine()) co_return;
  const ConfigContext here = context();
  vmx::MachineConfig actual = config_;
  for (vmx::Disk& disk : actual.disks) {
    const auto path = find_file(here, disk.file);
    const auto written = machine_image(device_key(disk));
    if (!path || written.empty()) continue;
    for (const vmx::DatastorePath& link : disk_chain(*path, here))
      if (link != *path && image_of(link) == written) disk.file = file_reference(here, link);
  }
  if (actual == config_) co_return;
  co_await save_config(std::move(actual));
  disks_ = co_await query_disks(config_);
}

// Makes the names follow merges that the hypervisor has brought to their end and a former daemon
// did not get to note: of what lies between two images that are next to each other now, all is in
// the lower one.
Async<void> VirtualMachine::follow_machine_merges() {
  if (!machine()) co_return;
  const ConfigContext here = context();
  std::vector<std::pair<vmx::DatastorePath, vmx::DatastorePath>> merged;  // into, the last of them
  for (const vmx::Disk& disk : config_.disks) {
    const auto path = find_file(here, disk.file);
    if (!path) continue;
    std::optional<vmx::DatastorePath> present, before;
    for (const vmx::DatastorePath& link : disk_chain(*path, here)) {
      const std::string image = image_of(link);
      if (machine_disk_of(image, image) != 0) {
        if (present && before != present) merged.emplace_back(*present, *before);
        present = link;
      }
      before = link;
    }
  }
  for (const auto& [into, last] : merged) {
    co_await rename_merged(into, last);
    disks_ = co_await query_disks(config_);
  }
}

// The image a running guest writes for the disk; empty without one.
std::string VirtualMachine::machine_image(int key) const {
  if (!machine()) return {};
  for (const hypervisor::Disk& disk : machine()->spec().disks)
    if (disk.key == key) return disk.chain.back().path;
  return {};
}

// As the hypervisor calls it; empty for a disk that no guest can run from.
std::string VirtualMachine::image_of(const vmx::DatastorePath& disk) const {
  try {
    return disk_image(properties().name, disk, context()).path;
  } catch (const kernel::Fault&) {
    return {};
  }
}

// --- What is amiss -----------------------------------------------------------------------------

// Of what was not known before, an event tells too.
void VirtualMachine::publish_issues(std::vector<SnapshotIssue> issues) {
  if (properties().runtime->consolidationNeeded)
    issues.push_back({"com.vmware.vc.VmDiskConsolidationNeeded",
                      fmt::format("The disks of {} need to be consolidated.", properties().name)});
  std::set<std::string> known;
  for (const auto& issue : properties().configIssue)
    if (const auto* event = issue.as<vim::EventEx>()) known.insert(event->eventTypeId);
  model::List<vim::Event> published;
  for (const SnapshotIssue& issue : issues) {
    vim::EventEx event;
    event.eventTypeId = issue.event_type;
    event.severity = "warning";
    event.message = event.fullFormattedMessage = issue.message;
    event.createdTime = model::now();
    event.vm = model::share(event_argument());
    published.push_back(model::Ptr<vim::Event>(model::share(std::move(event)).data()));
    if (!known.contains(issue.event_type))
      post_extended(issue.event_type, "warning", issue.message);
  }
  update([&](Properties& p) { p.configIssue = published; });
}

Async<void> VirtualMachine::review_snapshots() {
  if (!snapshots_.empty() && !current_task_) co_await refresh_storage();
}

Async<void> watch_snapshots(Host& host) {
  for (;;) {
    co_await sleep_for(kReviewInterval);
    const auto all = host.virtual_machines;
    for (const auto& [ref, vm] : all) {
      try {
        co_await vm->review_snapshots();
      } catch (const std::exception& failure) {
        logger("vm")->error("{}: {}", vm->properties().name, failure.what());
      }
    }
  }
}

Async<void> VirtualMachine::recover_snapshots() {
  const bool readable =
      properties().runtime->connectionState == vim::VirtualMachineConnectionState::connected;
  if (!snapshots_.has_work() || !readable || !snapshots_.damage().empty()) co_return;
  try {
    if (co_await is_locked_elsewhere()) co_return;
    SnapshotWork work = *snapshots_.noted_work();
    co_await finish_snapshot_work(std::move(work));
  } catch (const std::exception& failure) {
    logger("vm")->error("{}: {}", display_name(), failure.what());
  }
}

Async<void> VirtualMachine::finish_snapshot_work(SnapshotWork work) {
  log("An operation on snapshots was interrupted: what it left behind is removed");
  if (work.revert && !machine()) {
    SnapshotRevert noted_revert = *work.revert;
    co_await carry_out(std::move(noted_revert));
    settle_without_guest();
  }
  co_await follow_machine_disks();
  co_await follow_machine_merges();
  co_await clean_up(std::move(work));
  // A merge stops the guest for a moment; the daemon may have been killed in that very moment.
  if (machine() && machine()->state() == hypervisor::MachineState::paused)
    co_await machine()->resume();
  publish_config();
  publish_snapshots();
  co_await refresh_storage();
}

}  // namespace virga::host
