// Merging the disks of a VM that no snapshot needs any more: by the guest's own hypervisor while it
// writes them, else by a helper of its own.
#include <algorithm>

#include "datastore/change_tracking.h"
#include "datastore/delta_disk.h"
#include "host/virtual_machine.h"
#include "host/vm_config_words.h"
#include "host/vm_disk_chain.h"
#include "vmx/snapshot_tree.h"

namespace virga::host {

// What is due to be merged or removed, as far as is known without looking at the files again.
vmx::Consolidation VirtualMachine::consolidation() const {
  if (!snapshots_.damage().empty()) return {};
  vmx::DiskTree tree = disk_tree(config_, snapshots_.tree(), context());
  for (const auto& [disk, parent] : tree.parents)
    if (is_shared_with_others(disk)) tree.shared.insert(disk);
  return vmx::plan_consolidation(std::move(tree));
}

Async<void> VirtualMachine::consolidate(hypervisor::Progress progress, std::stop_token stop) {
  disks_ = co_await query_disks(config_);
  const vmx::Consolidation plan = consolidation();
  std::vector<datastore::Location> removals;
  for (const std::string& disk : plan.removals) removals.push_back(host().locate(disk));
  const auto remove = [removals] {
    for (const auto& disk : removals) datastore::delete_disk(disk);
  };
  co_await offload(host().kernel.workers, remove);
  const int count = static_cast<int>(plan.merges.size());
  for (int done = 0; done < count; ++done) {
    const hypervisor::Progress of_all = [&progress, done, count](int percent) {
      if (progress) progress((100 * done + percent) / count);
    };
    co_await merge_disks(plan.merges[static_cast<std::size_t>(done)], of_all, stop);
  }
}

// The running guest's disk that both images belong to; 0 when there is none.
int VirtualMachine::machine_disk_of(const std::string& one, const std::string& other) const {
  if (!machine()) return 0;
  const auto has = [](const hypervisor::Disk& disk, const std::string& path) {
    return std::ranges::find(disk.chain, path, &hypervisor::DiskImage::path) != disk.chain.end();
  };
  for (const hypervisor::Disk& disk : machine()->spec().disks)
    if (has(disk, one) && has(disk, other)) return disk.key;
  return 0;
}

// First the content, then the names: the VM, its snapshots and other deltas that meant `top` mean
// `into`, and at last the files that went into it are removed.
Async<void> VirtualMachine::merge_disks(vmx::DiskMerge merge, hypervisor::Progress progress,
                                        std::stop_token stop) {
  const auto into = vmx::DatastorePath::parse(merge.into);
  const auto top = vmx::DatastorePath::parse(merge.from.back());
  log(fmt::format("Merging {} into {}", top.format(), into.format()));
  std::vector<datastore::Location> chain = {host().locate(merge.into)};
  for (const std::string& disk : merge.from) chain.push_back(host().locate(disk));
  const int key = machine_disk_of(image_of(into), image_of(top));
  const int written_key = machine_image(key) == image_of(top) ? key : 0;
  co_await merge_tracks(chain, written_key);
  if (key != 0)
    co_await merge_used_disks(into, top, std::move(progress), std::move(stop));
  else
    co_await merge_unused_disks(into, top, std::move(progress), std::move(stop));
  if (written_key == 0) {
    const auto settle = [disk = chain.front()] { datastore::settle_track(disk); };
    co_await offload(host().kernel.workers, settle);
  }
  co_await rename_merged(into, top);
  const auto remove = [chain] {
    for (std::size_t spent = chain.size() - 1; spent > 0; --spent)
      datastore::delete_disk(chain[spent]);
  };
  co_await offload(host().kernel.workers, remove);
  disks_ = co_await query_disks(config_);
}

vmx::MachineConfig VirtualMachine::config_merged(const vmx::DatastorePath& into,
                                                 const vmx::DatastorePath& top) const {
  const ConfigContext here = context();
  vmx::MachineConfig merged = config_;
  for (vmx::Disk& disk : merged.disks)
    if (find_file(here, disk.file) == top) disk.file = file_reference(here, into);
  return merged;
}

Async<void> VirtualMachine::merge_used_disks(vmx::DatastorePath into, vmx::DatastorePath top,
                                             hypervisor::Progress progress, std::stop_token stop) {
  const int key = machine_disk_of(image_of(into), image_of(top));
  hypervisor::MergeRequest request{.disk_key = key,
                                   .into = image_of(into),
                                   .top = image_of(top),
                                   .into_name = fs::path(image_of(into)).filename(),
                                   .progress = std::move(progress),
                                   .stop = std::move(stop)};
  if (machine_image(key) == image_of(top)) request.change_track = track_of(into);
  const vmx::MachineConfig merged = config_merged(into, top);
  request.commit = [this, merged] { return save_config(merged); };
  co_await machine()->merge(std::move(request));
}

// `written_key`: of the disk a guest writes, if the last of the chain is what it writes; else 0.
Async<void> VirtualMachine::merge_tracks(std::vector<datastore::Location> chain, int written_key) {
  const bool is_written = written_key != 0;
  const bool is_recorded =
      is_written &&
      !hypervisor::find_disk(machine()->spec(), written_key).chain.back().change_track.empty();
  const auto work = [chain, is_written, is_recorded] {
    if (is_written && !is_recorded)
      datastore::stop_tracking(chain.front());
    else
      datastore::merge_tracks(chain, is_written);
  };
  co_await offload(host().kernel.workers, work);
  disks_ = co_await query_disks(config_);
}

Async<void> VirtualMachine::merge_unused_disks(vmx::DatastorePath into, vmx::DatastorePath top,
                                               hypervisor::Progress progress,
                                               std::stop_token stop) {
  std::vector<hypervisor::DiskImage> images;
  std::size_t position = 0;
  for (const vmx::DatastorePath& link : disk_chain(top, context())) {
    if (link == into) position = images.size();
    images.push_back(disk_image(properties().name, link, context()));
  }
  co_await host().hypervisor->merge_unused(std::move(images), position, std::move(progress),
                                           std::move(stop));
  vmx::MachineConfig merged = config_merged(into, top);
  if (merged != config_) co_await save_config(std::move(merged));
}

// Snapshots and deltas of `top` become those of `into`.
Async<void> VirtualMachine::rename_merged(vmx::DatastorePath into, vmx::DatastorePath top) {
  const ConfigContext here = context();
  vmx::SnapshotTree renamed = snapshots_.tree();
  for (vmx::Snapshot& snapshot : renamed.snapshots)
    for (vmx::SnapshotDisk& disk : snapshot.disks)
      if (find_file(here, disk.file) == top) disk.file = file_reference(here, into);
  if (renamed != snapshots_.tree()) co_await snapshots_.save(config_file_, std::move(renamed));
  struct Delta {
    datastore::Location disk;
    bool in_use;  // the hypervisor, which has it open, has changed its image
  };
  std::vector<Delta> deltas;
  for (const auto& [path, parent] : disk_tree(config_, snapshots_.tree(), here).parents) {
    if (parent != top.format()) continue;
    const std::string image = image_of(vmx::DatastorePath::parse(path));
    deltas.push_back({host().locate(path), machine_disk_of(image, image) != 0});
  }
  const auto parent = host().locate(into.format());
  const auto work = [deltas, parent] {
    for (const Delta& delta : deltas) datastore::set_parent(delta.disk, parent, !delta.in_use);
  };
  co_await offload(host().kernel.workers, work);
}

Async<MoRef> VirtualMachine::ConsolidateVMDisks_Task(model::Call& call,
                                                     const vim::ConsolidateVMDisksRequestType&) {
  co_return run_task(
      call, "ConsolidateVMDisks_Task", "VirtualMachine.consolidateDisks",
      [this](kernel::TaskHandle& handle) -> Async<Any> {
        require_snapshots();
        require_own_deltas();
        SnapshotWork work{.disks = known_deltas()};
        const hypervisor::Progress progress = [&handle](int percent) { handle.report(percent); };
        auto merging = consolidate(progress, handle.stop_token());
        co_await with_snapshot_work(std::move(work), std::move(merging));
        co_return Any();
      },
      true);
}

}  // namespace virga::host
