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

bool is_raw(const datastore::DiskInfo& info) {
  return info.parent.empty() && info.described.size() == 1 && info.described.front().is_flat() &&
         info.described.front().offset.value_or(0) == 0;
}

hypervisor::DiskImage disk_image(const std::string& name, const vmx::DatastorePath& disk,
                                 const ConfigContext& context) {
  const auto info = context.disk(disk);
  if (!info) {
    vim::FileNotFound detail;
    detail.file = disk.format();
    throw kernel::Fault(std::move(detail),
                        fmt::format("{}: {} is missing or cannot be read.", name, disk.format()));
  }
  const auto extent = [&](const std::string& file) { return context.absolute(disk.sibling(file)); };
  if (is_delta(*info))
    return {extent(info->described.front().file), hypervisor::DiskFormat::qcow2, {}};
  if (info->mapping) return context.raw_device_image(info->mapping->unit);
  if (is_raw(*info)) return {extent(info->described.front().file), {}, {}};
  hypervisor::DiskImage image{context.absolute(disk), hypervisor::DiskFormat::vmdk, {}};
  for (const vmx::Extent& part : info->described) {
    const bool sparse = part.type == "SPARSE";
    if (!info->layout || !info->parent.empty() || (!sparse && !part.is_flat()))
      throw kernel::not_supported(
          fmt::format("{}: {} of type {}{}", name, disk.format(), info->create_type,
                      info->parent.empty() ? "" : ", a delta of " + info->parent));
    const bool embedded = info->layout == datastore::DiskLayout::monolithic_sparse ||
                          info->layout == datastore::DiskLayout::stream_optimized;
    image.extents.push_back(
        {embedded ? image.path : extent(part.file), part.sectors, sparse, part.offset.value_or(0)});
  }
  return image;
}

bool takes_part_in_snapshots(const vmx::Disk& disk) {
  return disk.mode == vmx::DiskMode::persistent;
}

bool is_tracked(const vmx::MachineConfig& config, const vmx::Disk& disk,
                const ConfigContext& context) {
  if (!config.changes_tracked || !disk.changes_tracked || !takes_part_in_snapshots(disk) ||
      is_shared(config, disk))
    return false;
  const auto path = find_file(context, disk.file);
  const auto info = path ? context.disk(*path) : std::nullopt;
  return info && (is_raw(*info) || is_delta(*info));
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

std::optional<datastore::RawMapping> raw_mapping(const vmx::DatastorePath& disk,
                                                 const ConfigContext& context) {
  const auto info = context.disk(disk_chain(disk, context).front());
  return info ? info->mapping : std::nullopt;
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
