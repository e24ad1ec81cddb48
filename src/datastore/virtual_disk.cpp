#include "datastore/virtual_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/uuid.h"
#include "datastore/beneath.h"
#include "datastore/browse.h"
#include "datastore/change_tracking.h"
#include "datastore/delta_disk.h"
#include "datastore/disk_build.h"
#include "datastore/disk_content.h"
#include "datastore/disk_files.h"
#include "datastore/draft.h"
#include "datastore/raw_mapping.h"
#include "datastore/transfer.h"
#include "vmx/sparse_extent.h"

namespace virga::datastore {
namespace {

using vmx::Extent;
using vmx::VmdkDescriptor;

// --- Descriptors -------------------------------------------------------------------------------

VmdkDescriptor new_descriptor(const DiskSpec& spec) {
  VmdkDescriptor descriptor;
  descriptor.adapter = spec.adapter;
  descriptor.hardware_version = spec.hardware_version;
  descriptor.uuid = vmx::make_disk_uuid();
  renew_content_id(descriptor);
  return descriptor;
}

void set_capacity_of_only_extent(VmdkDescriptor& descriptor, std::uint64_t capacity) {
  descriptor.extents.front().sectors = capacity / vmx::sector_size;
  descriptor.geometry = vmx::geometry_for(descriptor.capacity_sectors(),
                                          descriptor.adapter.value_or(vmx::AdapterType::lsi_logic));
}

std::uint64_t capacity_of(const VmdkDescriptor& descriptor) {
  return descriptor.capacity_sectors() * vmx::sector_size;
}

void check_capacity(const Location& disk, std::uint64_t capacity) {
  if (capacity == 0 || capacity % vmx::sector_size != 0 || capacity > max_disk_capacity)
    throw error(ErrorKind::invalid_argument, disk.display(),
                "{} bytes is no capacity for {}: it takes whole sectors, up to {} bytes", capacity,
                disk.display(), max_disk_capacity);
}

DiskLayout require_layout(const Location& disk, const VmdkDescriptor& descriptor) {
  if (const auto layout = layout_of(descriptor)) return *layout;
  throw error(ErrorKind::unsupported, disk.display(), "{} is of type {}", disk.display(),
              descriptor.create_type);
}

// What deltas hold is worth nothing over a disk of another size or content.
void require_no_delta(const Location& disk) {
  const vmx::DatastorePath path(disk.datastore->name(), disk.path);
  const Location folder{disk.datastore, path.parent().path()};
  for (const std::string& name : file_names(folder)) {
    if (!name.ends_with(".vmdk") || name == path.name()) continue;
    std::optional<VmdkDescriptor> other;
    try {
      other = read_descriptor(disk.sibling(name));
    } catch (const Error&) {
      continue;  // an extent, or nothing that could stand on the disk
    }
    if (other->parent_cid != VmdkDescriptor::no_parent && other->parent_file == path.name())
      throw error(ErrorKind::invalid_state, disk.display(), "{} cannot change: {} is a delta of it",
                  disk.display(), disk.sibling(name).display());
  }
}

// --- Steps -------------------------------------------------------------------------------------

struct Target {
  const Location& disk;
  DiskLayout layout;
  std::optional<Provisioning> provisioning;  // none: the source's
  IfExists if_exists;
};

// A new disk of the content of `source`, which calls itself what `descriptor` says.
void build_copy(const Location& from, const VmdkDescriptor& source, const Target& to,
                VmdkDescriptor descriptor, Meter& meter) {
  auto [content, own_provisioning] = open_for_reading(from, source);
  const Provisioning provisioning = to.provisioning.value_or(own_provisioning);
  set_layout(descriptor, to.disk, to.layout, content.size());
  const Occupants occupants = occupants_of(
      to.disk, extent_locations(to.disk, to.layout, descriptor.extents.size()), to.if_exists);
  Draft draft(to.disk.datastore);
  Placement placement;
  placement.extents =
      build_disk(draft, to.disk, std::move(descriptor), to.layout, provisioning, content, meter);
  put_in_place(draft, placement, to.disk, occupants, to.if_exists);
  draft.finish();
}

// Within a datastore files change their names, and nothing is copied.
void rename_disk(const Location& from, const Location& to, VmdkDescriptor descriptor,
                 IfExists if_exists) {
  const DiskLayout layout = require_layout(from, descriptor);
  const std::vector<Fd> locks = lock_files(from, descriptor);
  const std::vector<Location> files = extent_files(from, descriptor);
  const std::vector<Location> targets = extent_locations(to, layout, files.size());
  const Occupants occupants = occupants_of(to, targets, if_exists);
  Draft draft(to.datastore);
  Placement placement;
  for (std::size_t i = 0; i < targets.size(); ++i)
    placement.extents.push_back({files[i].path, targets[i]});
  if (is_embedded(layout)) {
    placement.pivot_from = from;
  } else {
    for (Extent& extent : descriptor.extents)
      for (const FileMove& move : placement.extents)
        if (!extent.file.empty() && move.from == from.sibling(extent.file).path) {
          extent.file = vmx::DatastorePath(to.datastore->name(), move.to.path).name();
          break;
        }
    placement.owed = {step_on(from, RecoveryStep::Action::remove)};
    // Its track ends here.
    for (const Location& file : track_files(from, descriptor))
      placement.owed.push_back(step_on(file, RecoveryStep::Action::remove));
    descriptor.change_track_file.clear();
    draft.create_pivot(descriptor.serialise());
  }
  put_in_place(draft, placement, to, occupants, if_exists);
  draft.finish();
  sync_folder_of(from);
}

// The same disk in new files, which take the place of the old ones.
void rewrite_disk(const Location& disk, const VmdkDescriptor& descriptor, Meter& meter) {
  const DiskLayout layout = require_layout(disk, descriptor);
  std::vector<OpenExtent> extents = lock_extents(disk, descriptor, LockMode::exclusive);
  const Provisioning provisioning = provisioning_of(descriptor, extents);
  DiskContent content(disk, std::move(extents));
  Draft draft(disk.datastore);
  Placement placement;
  placement.extents = build_disk(draft, disk, descriptor, layout, provisioning, content, meter);
  put_in_place(draft, placement, disk, {extent_files(disk, descriptor), {}}, IfExists::replace);
  draft.finish();
}

}  // namespace

VmdkDescriptor read_descriptor(const Location& disk) {
  const std::string subject = disk.display();
  const Fd fd = disk.datastore->open(disk.path, O_RDONLY | O_NONBLOCK);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) throw system_error(subject, "cannot look at");
  if (!S_ISREG(status.st_mode))
    throw error(ErrorKind::invalid_argument, subject, "{} is not a file", subject);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::string start = read_text(fd.get(), 0, vmx::sector_size, subject);
  if (vmx::is_sparse_extent(start)) {
    const auto header = vmx::SparseHeader::parse(start, subject);
    if (header.descriptor_offset == 0)
      throw error(ErrorKind::damaged, subject, "{} is an extent, not a disk", subject);
    return VmdkDescriptor::parse(read_text(fd.get(), header.descriptor_offset * vmx::sector_size,
                                           header.descriptor_size * vmx::sector_size, subject),
                                 subject);
  }
  if (size > VmdkDescriptor::max_size)
    throw error(ErrorKind::damaged, subject, "{} is an extent, not a disk", subject);
  return VmdkDescriptor::parse(read_text(fd.get(), 0, size, subject), subject);
}

namespace {

// The unit's content is nobody's business here: only the disk that stands for it is made.
void create_mapping(const Location& disk, const DiskSpec& spec) {
  VmdkDescriptor descriptor = new_descriptor(spec);
  const Location file = set_mapping(descriptor, disk, *spec.mapping, spec.capacity);
  const Occupants nobody = occupants_of(disk, {file}, IfExists::fail);
  Draft draft(disk.datastore);
  const std::string part = "mapping";
  const Fd mapping = draft.create_file(part);
  write_all(mapping.get(), to_text(*spec.mapping), disk.display());
  sync_file(mapping, disk.display());
  draft.create_pivot(descriptor.serialise());
  Placement placement;
  placement.extents = {{draft.path(part), file}};
  put_in_place(draft, placement, disk, nobody, IfExists::fail);
  draft.finish();
}

}  // namespace

void create_disk(const Location& disk, const DiskSpec& spec, const Progress& progress,
                 std::stop_token stop) {
  check_capacity(disk, spec.capacity);
  if (spec.mapping) return create_mapping(disk, spec);
  VmdkDescriptor descriptor = new_descriptor(spec);
  set_layout(descriptor, disk, spec.layout, spec.capacity);
  const Occupants nobody = occupants_of(
      disk, extent_locations(disk, spec.layout, descriptor.extents.size()), IfExists::fail);
  Meter meter(progress, std::move(stop), disk.display(), spec.capacity);
  DiskContent nothing(spec.capacity);
  Draft draft(disk.datastore);
  Placement placement;
  placement.extents = build_disk(draft, disk, std::move(descriptor), spec.layout, spec.provisioning,
                                 nothing, meter);
  put_in_place(draft, placement, disk, nobody, IfExists::fail);
  draft.finish();
}

void delete_disk(const Location& disk) {
  const VmdkDescriptor descriptor = read_descriptor(disk);
  const std::vector<Fd> locks = lock_files(disk, descriptor);
  Recovery recovery;
  std::vector<Location> parts = extent_files(disk, descriptor);
  for (Location& file : track_files(disk, descriptor)) parts.push_back(std::move(file));
  for (const Location& part : parts)
    if (part.datastore->exists(part.path))
      recovery.with_pivot.push_back(step_on(part, RecoveryStep::Action::remove));
  // The descriptor itself becomes the pivot: once it is gone from its name, the extents have to go.
  Draft draft(disk.datastore);
  draft.record(recovery);
  rename_entry(entry_of(*disk.datastore, disk.path), draft.entry("pivot"), IfExists::fail);
  sync_folder_of(disk);
  draft.finish();
}

void copy_disk(const Location& from, const Location& to, const CopySpec& spec,
               const Progress& progress, std::stop_token stop) {
  const VmdkDescriptor source = read_descriptor(from);
  VmdkDescriptor target = descriptor_of_copy(source);
  if (spec.adapter) target.adapter = spec.adapter;
  Meter meter(progress, std::move(stop), to.display(), capacity_of(source));
  build_copy(from, source, {to, spec.layout, spec.provisioning, spec.if_exists}, std::move(target),
             meter);
}

void move_disk(const Location& from, const Location& to, IfExists if_exists,
               const Progress& progress, std::stop_token stop) {
  const VmdkDescriptor descriptor = read_descriptor(from);
  if (from.datastore->uuid() == to.datastore->uuid())
    return rename_disk(from, to, descriptor, if_exists);
  const DiskLayout layout = require_layout(from, descriptor);
  Meter meter(progress, std::move(stop), to.display(), capacity_of(descriptor));
  VmdkDescriptor moved = descriptor;
  moved.change_track_file.clear();
  build_copy(from, descriptor, {to, layout, std::nullopt, if_exists}, std::move(moved), meter);
  delete_disk(from);
}

void extend_disk(const Location& disk, std::uint64_t capacity, bool eager_zero,
                 const Progress& progress, std::stop_token stop) {
  check_capacity(disk, capacity);
  require_no_delta(disk);
  VmdkDescriptor descriptor = read_descriptor(disk);
  std::vector<OpenExtent> extents;
  extents.push_back(lock_only_extent(disk, descriptor));
  const OpenExtent& extent = extents[0];
  const std::uint64_t size = extent.size();
  if (capacity < size)
    throw error(ErrorKind::invalid_argument, disk.display(),
                "{} has {} bytes: it cannot be extended to {}", disk.display(), size, capacity);
  const Provisioning provisioning =
      eager_zero ? Provisioning::eager_zeroed : provisioning_of(descriptor, extents);
  set_capacity_of_only_extent(descriptor, capacity);

  Meter meter(progress, std::move(stop), disk.display(), capacity - size);
  Draft draft(disk.datastore);
  draft.create_pivot(descriptor.serialise());
  RecoveryStep shorten = step_on(extent.location, RecoveryStep::Action::truncate);
  shorten.size = size;
  draft.record({{shorten}, {}});
  size_file(extent.fd, capacity, disk.display());
  provision(extent.fd.get(), {size, capacity}, provisioning, meter);
  sync_file(extent.fd, disk.display());
  put_descriptor_in_place(draft, disk);
  draft.finish();
}

void adopt_size(const Location& disk) {
  VmdkDescriptor descriptor = read_descriptor(disk);
  const std::string extent = descriptor.extents[0].file;
  const auto size = disk.datastore->status(disk.sibling(extent).path).st_size;
  set_capacity_of_only_extent(descriptor, static_cast<std::uint64_t>(size));
  write_small_file(disk, descriptor.serialise());
}

void inflate_disk(const Location& disk, const Progress& progress, std::stop_token stop) {
  VmdkDescriptor descriptor = read_descriptor(disk);
  const std::vector<OpenExtent> extents = lock_flat_extents(disk, descriptor);
  std::vector<std::pair<int, ByteSpan>> holes;
  std::uint64_t missing = 0;
  for (const OpenExtent& extent : extents)
    for_each_hole(extent.fd.get(), extent.span, disk.display(), [&](ByteSpan hole) {
      holes.emplace_back(extent.fd.get(), hole);
      missing += hole.to - hole.from;
    });
  Meter meter(progress, std::move(stop), disk.display(), missing);
  for (const auto& [fd, hole] : holes) provision(fd, hole, Provisioning::eager_zeroed, meter);
  for (const OpenExtent& extent : extents) sync_file(extent.fd, disk.display());
  if (!descriptor.thin) return;
  descriptor.thin = false;
  replace_descriptor(disk, descriptor);
}

void zero_fill_disk(const Location& disk, const Progress& progress, std::stop_token stop) {
  require_no_delta(disk);
  VmdkDescriptor descriptor = read_descriptor(disk);
  const std::vector<OpenExtent> extents = lock_flat_extents(disk, descriptor);
  Meter meter(progress, std::move(stop), disk.display(), capacity_of(descriptor));
  for (const OpenExtent& extent : extents) {
    write_zeros(extent.fd.get(), extent.span, meter);
    sync_file(extent.fd, disk.display());
  }
  descriptor.thin = false;
  renew_content_id(descriptor);
  replace_descriptor(disk, descriptor);
}

void shrink_disk(const Location& disk, const Progress& progress, std::stop_token stop) {
  const VmdkDescriptor descriptor = read_descriptor(disk);
  Meter meter(progress, std::move(stop), disk.display(), capacity_of(descriptor));
  if (!is_flat(require_layout(disk, descriptor))) return rewrite_disk(disk, descriptor, meter);
  if (!descriptor.thin)
    throw error(ErrorKind::unsupported, disk.display(), "{} is not thin: its blocks stay",
                disk.display());
  const std::vector<OpenExtent> extents = lock_flat_extents(disk, descriptor);
  for (const OpenExtent& extent : extents) punch_zeros(extent.fd.get(), extent.span, meter);
}

void defragment_disk(const Location& disk, const Progress& progress, std::stop_token stop) {
  const VmdkDescriptor descriptor = read_descriptor(disk);
  Meter meter(progress, std::move(stop), disk.display(), capacity_of(descriptor));
  rewrite_disk(disk, descriptor, meter);
}

int query_fragmentation(const Location& disk) {
  const VmdkDescriptor descriptor = read_descriptor(disk);
  std::vector<Location> files = extent_files(disk, descriptor);
  if (is_embedded(descriptor)) files.push_back(disk);
  BlockBorders borders;
  for (const Location& file : files)
    count_borders(file.datastore->open(file.path, O_RDONLY).get(), borders);
  return borders.all == 0 ? 0 : static_cast<int>(borders.broken * 100 / borders.all);
}

DiskInfo query_disk(const Location& disk) {
  const VmdkDescriptor descriptor = read_descriptor(disk);
  DiskInfo info;
  info.capacity = capacity_of(descriptor);
  info.adapter = descriptor.adapter.value_or(vmx::AdapterType::lsi_logic);
  info.geometry =
      descriptor.geometry.value_or(vmx::geometry_for(descriptor.capacity_sectors(), info.adapter));
  info.hardware_version = descriptor.hardware_version.value_or(0);
  info.uuid = descriptor.uuid;
  info.create_type = descriptor.create_type;
  info.parent = descriptor.parent_file;
  info.described = descriptor.extents;
  std::vector<Location> files = extent_files(disk, descriptor);
  if (is_embedded(descriptor)) files.push_back(disk);
  for (const Location& file : files) {
    info.extents.push_back(file.path);
    info.allocated += static_cast<std::uint64_t>(file.datastore->status(file.path).st_blocks) * 512;
  }
  if (const auto track = read_track(disk)) {
    info.change_track = track_file(disk, descriptor)->path;
    info.change_id = track->change_id().format();
  }
  info.layout = layout_of(descriptor);
  if (is_mapping(descriptor)) info.mapping = read_mapping(disk, descriptor);
  if (info.layout && descriptor.parent_cid == VmdkDescriptor::no_parent)
    info.provisioning = provisioning_of(descriptor, open_extents(disk, descriptor, O_RDONLY));
  return info;
}

std::string disk_uuid(const Location& disk) {
  if (const std::string uuid = read_descriptor(disk).uuid; !uuid.empty()) return uuid;
  set_disk_uuid(disk, vmx::make_disk_uuid());
  return read_descriptor(disk).uuid;
}

void set_disk_uuid(const Location& disk, std::string_view uuid) {
  const std::string written = vmx::vmdk_disk_uuid(uuid);
  const std::vector<Fd> locks = lock_files(disk, read_descriptor(disk));
  VmdkDescriptor descriptor = read_descriptor(disk);
  descriptor.uuid = written;
  replace_descriptor(disk, descriptor);
}

}  // namespace virga::datastore
