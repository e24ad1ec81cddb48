#include "datastore/virtual_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/uuid.h"
#include "datastore/beneath.h"
#include "datastore/disk_files.h"
#include "datastore/draft.h"
#include "datastore/transfer.h"

namespace virga::datastore {
namespace {

using vmx::Extent;
using vmx::VmdkDescriptor;

constexpr std::string_view flat = "flat";  // the part of a draft that becomes the extent

// --- Descriptors -------------------------------------------------------------------------------

// The long content identifier ends in the short one.
void renew_content_id(VmdkDescriptor& descriptor) {
  descriptor.long_content_id = random_hex(16);
  descriptor.cid =
      static_cast<std::uint32_t>(std::stoul(descriptor.long_content_id.substr(24), nullptr, 16));
}

void set_layout(VmdkDescriptor& descriptor, const std::string& extent, std::uint64_t capacity) {
  const std::uint64_t sectors = capacity / vmx::sector_size;
  descriptor.create_type = "vmfs";
  descriptor.extents = {{Extent::Access::read_write, sectors, "VMFS", extent, std::nullopt}};
  descriptor.geometry =
      vmx::geometry_for(sectors, descriptor.adapter.value_or(vmx::AdapterType::lsi_logic));
}

VmdkDescriptor new_descriptor(const Location& disk, const DiskSpec& spec) {
  VmdkDescriptor descriptor;
  descriptor.adapter = spec.adapter;
  descriptor.hardware_version = spec.hardware_version;
  descriptor.thin = spec.provisioning == Provisioning::thin;
  descriptor.uuid = vmx::make_disk_uuid();
  renew_content_id(descriptor);
  set_layout(descriptor, flat_name(disk), spec.capacity);
  return descriptor;
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

// --- Content -----------------------------------------------------------------------------------

Provisioning provisioning_of(const VmdkDescriptor& descriptor,
                             const std::vector<OpenExtent>& extents) {
  if (descriptor.thin) return Provisioning::thin;
  return std::any_of(extents.begin(), extents.end(), has_hole) ? Provisioning::lazy_zeroed
                                                               : Provisioning::eager_zeroed;
}

void size_file(const Fd& fd, std::uint64_t size, const std::string& subject) {
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    throw system_error(subject, "cannot size");
}

// Gives a part of an extent that has no blocks those it is due. Blocks come before zeros, so that a
// disk too large for its datastore fails before anything is written.
void provision(int fd, ByteSpan span, Provisioning provisioning, Meter& meter) {
  const bool has_blocks = provisioning != Provisioning::thin && allocate(fd, span, meter.subject());
  const bool is_done = provisioning == Provisioning::thin ||
                       (provisioning == Provisioning::lazy_zeroed && has_blocks);
  if (is_done)
    meter.advance(span.to - span.from);
  else
    write_zeros(fd, span, meter);
}

void copy_content(const std::vector<OpenExtent>& extents, const Fd& to, std::uint64_t capacity,
                  Provisioning provisioning, Meter& meter) {
  Zeros zeros = Zeros::leave_out;
  if (provisioning != Provisioning::thin) {
    const bool has_blocks = allocate(to.get(), {0, capacity}, meter.subject());
    zeros =
        provisioning == Provisioning::lazy_zeroed && has_blocks ? Zeros::keep_holes : Zeros::write;
  }
  std::uint64_t at = 0;
  for (const OpenExtent& extent : extents) {
    copy_bytes(extent.fd.get(), extent.span, to.get(), at, zeros, meter);
    at += extent.size();
  }
}

// A new disk of the content of `source`. `target` says the rest of it but for its layout.
void build_copy(const Location& from, const Location& to, const VmdkDescriptor& source,
                VmdkDescriptor target, std::optional<Provisioning> provisioning, IfExists if_exists,
                Meter& meter) {
  const std::vector<OpenExtent> extents = lock_extents(from, source, LockMode::shared);
  const Provisioning kind = provisioning.value_or(provisioning_of(source, extents));
  const Occupants occupants = occupants_of(to, if_exists);
  const std::uint64_t capacity = capacity_of(source);
  target.thin = kind == Provisioning::thin;
  set_layout(target, flat_name(to), capacity);

  Draft draft(to.datastore);
  draft.create_pivot(target.serialise());
  const Fd file = draft.create_file(flat);
  size_file(file, capacity, to.display());
  copy_content(extents, file, capacity, kind, meter);
  sync_file(file, to.display());
  put_in_place(draft, draft.path(flat), to, occupants, if_exists);
  draft.finish();
}

// Within a datastore the extent changes its name, and nothing is copied.
void rename_disk(const Location& from, const Location& to, VmdkDescriptor descriptor,
                 IfExists if_exists) {
  const OpenExtent extent = lock_only_extent(from, descriptor);
  const Occupants occupants = occupants_of(to, if_exists);
  descriptor.extents[0].file = flat_name(to);
  Draft draft(to.datastore);
  draft.create_pivot(descriptor.serialise());
  put_in_place(draft, extent.location.path, to, occupants, if_exists,
               {step_on(from, RecoveryStep::Action::remove)});
  draft.finish();
  sync_folder_of(from);
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
  const auto header = vmx::parse_sparse_header(read_text(fd.get(), 0, vmx::sector_size, subject));
  if (header && header->descriptor_offset > 0)
    return VmdkDescriptor::parse(read_text(fd.get(), header->descriptor_offset * vmx::sector_size,
                                           header->descriptor_size * vmx::sector_size, subject),
                                 subject);
  if (header || size > VmdkDescriptor::max_size)
    throw error(ErrorKind::damaged, subject, "{} is an extent, not a disk", subject);
  return VmdkDescriptor::parse(read_text(fd.get(), 0, size, subject), subject);
}

void create_disk(const Location& disk, const DiskSpec& spec, const Progress& progress,
                 std::stop_token stop) {
  check_capacity(disk, spec.capacity);
  const VmdkDescriptor descriptor = new_descriptor(disk, spec);
  const Occupants nobody = occupants_of(disk, IfExists::fail);
  Meter meter(progress, std::move(stop), disk.display(), spec.capacity);
  Draft draft(disk.datastore);
  draft.create_pivot(descriptor.serialise());
  const Fd file = draft.create_file(flat);
  size_file(file, spec.capacity, disk.display());
  provision(file.get(), {0, spec.capacity}, spec.provisioning, meter);
  sync_file(file, disk.display());
  put_in_place(draft, draft.path(flat), disk, nobody, IfExists::fail);
  draft.finish();
}

void delete_disk(const Location& disk) {
  const VmdkDescriptor descriptor = read_descriptor(disk);
  const std::vector<Fd> locks = lock_files(disk, descriptor);
  Recovery recovery;
  for (const Location& extent : extent_files(disk, descriptor))
    if (extent.datastore->exists(extent.path))
      recovery.with_pivot.push_back(step_on(extent, RecoveryStep::Action::remove));
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
  VmdkDescriptor target = source;
  target.uuid = vmx::make_disk_uuid();
  renew_content_id(target);
  if (spec.adapter) target.adapter = spec.adapter;
  Meter meter(progress, std::move(stop), to.display(), capacity_of(source));
  build_copy(from, to, source, std::move(target), spec.provisioning, spec.if_exists, meter);
}

void move_disk(const Location& from, const Location& to, IfExists if_exists,
               const Progress& progress, std::stop_token stop) {
  const VmdkDescriptor descriptor = read_descriptor(from);
  if (from.datastore->uuid() == to.datastore->uuid())
    return rename_disk(from, to, descriptor, if_exists);
  Meter meter(progress, std::move(stop), to.display(), capacity_of(descriptor));
  build_copy(from, to, descriptor, descriptor, std::nullopt, if_exists, meter);
  delete_disk(from);
}

void extend_disk(const Location& disk, std::uint64_t capacity, bool eager_zero,
                 const Progress& progress, std::stop_token stop) {
  check_capacity(disk, capacity);
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
  set_layout(descriptor, descriptor.extents[0].file, capacity);

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
  set_layout(descriptor, extent, static_cast<std::uint64_t>(size));
  write_small_file(disk, descriptor.serialise());
}

void inflate_disk(const Location& disk, const Progress& progress, std::stop_token stop) {
  VmdkDescriptor descriptor = read_descriptor(disk);
  const std::vector<OpenExtent> extents = lock_extents(disk, descriptor, LockMode::exclusive);
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
  VmdkDescriptor descriptor = read_descriptor(disk);
  const std::vector<OpenExtent> extents = lock_extents(disk, descriptor, LockMode::exclusive);
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
  if (!descriptor.thin)
    throw error(ErrorKind::unsupported, disk.display(), "{} is not thin: its blocks stay",
                disk.display());
  const std::vector<OpenExtent> extents = lock_extents(disk, descriptor, LockMode::exclusive);
  Meter meter(progress, std::move(stop), disk.display(), capacity_of(descriptor));
  for (const OpenExtent& extent : extents) punch_zeros(extent.fd.get(), extent.span, meter);
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
  std::vector<Location> files = extent_files(disk, descriptor);
  if (is_embedded(descriptor)) files.push_back(disk);
  for (const Location& file : files) {
    info.extents.push_back(file.path);
    info.allocated += static_cast<std::uint64_t>(file.datastore->status(file.path).st_blocks) * 512;
  }
  const bool is_flat = std::all_of(descriptor.extents.begin(), descriptor.extents.end(),
                                   [](const Extent& extent) { return extent.is_flat(); });
  if (is_flat && descriptor.parent_cid == VmdkDescriptor::no_parent)
    info.provisioning = provisioning_of(descriptor, open_extents(disk, descriptor, O_RDONLY));
  return info;
}

void set_disk_uuid(const Location& disk, std::string_view uuid) {
  VmdkDescriptor descriptor = read_descriptor(disk);
  descriptor.uuid = vmx::vmdk_disk_uuid(uuid);
  replace_descriptor(disk, descriptor);
}

}  // namespace virga::datastore
