// What was changed on a VM's disks, for those who back it up: changed block tracking.
//
// A disk's change track (vmx/change_track.h) is made ready before a guest writes the disk, kept by
// the hypervisor while it does, and goes with the disk's content through snapshots and merges.
#include <algorithm>

#include "datastore/change_tracking.h"
#include "host/virtual_machine_snapshot.h"
#include "host/vm_config_words.h"
#include "host/vm_disk_chain.h"
#include "vmx/snapshot_tree.h"

namespace virga::host {
namespace {

// Clients ask on from where an answer ends.
constexpr std::size_t kMostAreas = 2000;

kernel::Fault unknown_changes(const std::string& disk, const std::string& change_id) {
  vim::FileFault detail;
  detail.file = disk;
  return kernel::Fault(
      std::move(detail),
      change_id == "*"
          ? fmt::format("Nobody keeps track of changes to {}.", disk)
          : fmt::format("What was changed on {} since {} is not known.", disk, change_id));
}

vim::DiskChangeInfo change_info(const vmx::Areas& changed, std::uint64_t from, std::uint64_t to) {
  vmx::Areas areas = vmx::clipped(changed, from, to);
  if (areas.size() > kMostAreas) {
    areas.resize(kMostAreas);
    to = areas.back().end();
  }
  vim::DiskChangeInfo info;
  info.startOffset = static_cast<std::int64_t>(from);
  info.length = static_cast<std::int64_t>(to - from);
  for (const vmx::Area& area : areas) {
    vim::DiskChangeExtent& extent = info.changedArea.emplace_back();
    extent.start = static_cast<std::int64_t>(area.offset);
    extent.length = static_cast<std::int64_t>(area.length);
  }
  return info;
}

// Blocks. `chain`: the disk and all it is a delta of, the base first. nullopt: it is not known.
std::optional<vmx::Areas> changed_areas(const std::vector<datastore::Location>& chain,
                                        const std::optional<vmx::ChangeId>& since) {
  std::vector<std::optional<vmx::ChangeTrack>> tracks;
  for (const datastore::Location& disk : chain) tracks.push_back(datastore::read_track(disk));
  const std::optional<vmx::ChangeTrack> last = std::move(tracks.back());
  tracks.pop_back();
  if (!last || last->open) return std::nullopt;
  if (!since) return datastore::allocated_areas(chain);
  return vmx::changes_since(vmx::joined(tracks, *last), *since);
}

}  // namespace

// --- While a guest writes ----------------------------------------------------------------------

// Before the guest writes these disks.
Async<void> VirtualMachine::prepare_tracks(std::vector<vmx::Disk> disks) {
  struct Wanted {
    datastore::Location disk;
    bool is_tracked;
  };
  std::vector<Wanted> wanted;
  const ConfigContext here = context();
  for (const vmx::Disk& disk : disks) {
    const auto path = find_file(here, disk.file);
    if (path && here.disk(*path))
      wanted.push_back({host().locate(path->format()), is_tracked(config_, disk, here)});
  }
  const auto work = [wanted] {
    for (const auto& [disk, is_tracked] : wanted)
      is_tracked ? datastore::start_tracking(disk) : datastore::stop_tracking(disk);
  };
  co_await offload(host().kernel.workers, work);
  disks_ = co_await query_disks(config_);
}

Async<void> VirtualMachine::prepare_added_tracks(const ConfigPlan& plan) {
  std::vector<vmx::Disk> added;
  for (const vmx::Disk& disk : plan.config.disks)
    if (std::ranges::count(plan.added, device_key(disk)) != 0) added.push_back(disk);
  if (added.empty()) co_return;
  co_await prepare_tracks(std::move(added));
  disks_ = co_await query_disks(plan.config);
}

// As the hypervisor calls it; empty for a disk of whose changes nobody keeps track.
std::string VirtualMachine::track_of(const vmx::DatastorePath& disk) const {
  const ConfigContext here = context();
  const auto info = here.disk(disk);
  if (!info || info->change_track.empty()) return {};
  return here.absolute(vmx::DatastorePath(disk.datastore(), info->change_track));
}

// --- Asked for ---------------------------------------------------------------------------------

vmx::MachineConfig VirtualMachine::config_to_query(const std::optional<MoRef>& snapshot) const {
  require_snapshots();
  if (!snapshot) {
    if (powered_on()) refuse_power_state(vim::VirtualMachinePowerState::poweredOff);
    return config_;
  }
  for (const vmx::Snapshot& each : snapshots_.tree().snapshots) {
    if (snapshot_reference(self(), each.uid) != *snapshot) continue;
    if (snapshots_.state_of(each.uid)) return snapshots_.config_of(each.uid, config_file_);
    throw kernel::Fault(vim::InvalidSnapshotFormat{},
                        fmt::format("{} of {} cannot be read.", each.state_file, display_name()));
  }
  throw kernel::not_found(fmt::format("a snapshot {} of {}", snapshot->value, display_name()));
}

const vmx::Disk& VirtualMachine::disk_to_query(const vmx::MachineConfig& config, int key) const {
  const auto has_key = [key](const vmx::Disk& disk) { return device_key(disk) == key; };
  const auto disk = std::ranges::find_if(config.disks, has_key);
  if (disk == config.disks.end())
    throw kernel::invalid_argument("deviceKey",
                                   fmt::format("{} has no disk {}.", display_name(), key));
  if (!takes_part_in_snapshots(*disk))
    throw kernel::not_supported(
        fmt::format("Tracking changes to {}, which is independent,", label(config, *disk)));
  return *disk;
}

Async<model::Ptr<vim::DiskChangeInfo>> VirtualMachine::QueryChangedDiskAreas(
    model::Call&, const vim::QueryChangedDiskAreasRequestType& r) {
  const vmx::MachineConfig config = config_to_query(r.snapshot);
  const vmx::Disk& disk = disk_to_query(config, r.deviceKey);
  const auto since = vmx::ChangeId::parse(r.changeId);
  if (!since && r.changeId != "*")
    throw kernel::invalid_argument("changeId", fmt::format("'{}' is no change ID.", r.changeId));
  const ConfigContext here = context();
  const vmx::DatastorePath path = resolve_file(here, disk.file);
  const auto info = here.disk(path);
  if (!info) throw unknown_changes(path.format(), r.changeId);
  if (info->mapping)
    throw kernel::not_supported(
        fmt::format("Tracking changes to {}, a raw device,", label(config, disk)));
  const auto from = static_cast<std::uint64_t>(r.startOffset);
  if (r.startOffset < 0 || from >= info->capacity)
    throw kernel::invalid_argument("startOffset",
                                   fmt::format("{} has {} bytes.", path.format(), info->capacity));
  std::vector<datastore::Location> chain;
  for (const vmx::DatastorePath& link : disk_chain(path, here))
    chain.push_back(host().locate(link.format()));
  const auto look = [chain, since] { return changed_areas(chain, since); };
  const auto changed = co_await offload(host().kernel.workers, look);
  if (!changed) throw unknown_changes(path.format(), r.changeId);
  co_return model::share(change_info(*changed, from, info->capacity));
}

}  // namespace virga::host
