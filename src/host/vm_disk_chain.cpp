#include "host/vm_disk_chain.h"

#include <algorithm>

#include "datastore/delta_disk.h"
#include "host/vm_config_words.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr std::size_t longest_chain = 255;  // a loop must end

void add_chain(vmx::DiskTree& tree, const ConfigContext& context, const std::string& file) {
  const auto disk = find_file(context, file);
  if (!disk) return;
  std::string parent;
  for (const vmx::DatastorePath& link : disk_chain(*disk, context))
    tree.parents.emplace(link.format(), std::exchange(parent, link.format()));
  tree.needed.insert(disk->format());
}

}  // namespace

bool is_delta(const datastore::DiskInfo& info) {
  return !info.parent.empty() && info.create_type == datastore::delta_create_type &&
         info.extents.size() == 1;
}

bool takes_part_in_snapshots(const vmx::Disk& disk) {
  return disk.mode == vmx::DiskMode::persistent;
}

std::optional<vmx::DatastorePath> parent_disk(const Volumes& volumes,
                                              const vmx::DatastorePath& disk,
                                              const datastore::DiskInfo& info) {
  if (info.parent.empty()) return std::nullopt;
  try {
    return resolve_file(volumes, disk, info.parent);
  } catch (const kernel::Fault&) {
    return std::nullopt;
  }
}

std::vector<vmx::DatastorePath> disk_chain(const vmx::DatastorePath& disk,
                                           const ConfigContext& context) {
  std::vector<vmx::DatastorePath> chain = {disk};
  while (chain.size() < longest_chain) {
    const auto info = context.disk(chain.back());
    const auto parent = info ? parent_disk(context.volumes, chain.back(), *info) : std::nullopt;
    if (!parent) break;
    chain.push_back(*parent);
  }
  std::ranges::reverse(chain);
  return chain;
}

vmx::DiskTree disk_tree(const vmx::MachineConfig& config, const vmx::SnapshotTree& snapshots,
                        const ConfigContext& context) {
  vmx::DiskTree tree;
  for (const vmx::Disk& disk : config.disks) add_chain(tree, context, disk.file);
  for (const vmx::Snapshot& snapshot : snapshots.snapshots)
    for (const vmx::SnapshotDisk& disk : snapshot.disks) add_chain(tree, context, disk.file);
  return tree;
}

}  // namespace virga::host
