#include "datastore/disk_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/uuid.h"
#include "datastore/beneath.h"

namespace virga::datastore {
namespace {

using vmx::Extent;
using vmx::VmdkDescriptor;

Error unsupported(const Location& disk, std::string_view why) {
  return error(ErrorKind::unsupported, disk.display(), "{} {}", disk.display(), why);
}

bool contains(const std::vector<Location>& locations, const std::string& path) {
  return std::any_of(locations.begin(), locations.end(),
                     [&](const Location& it) { return it.path == path; });
}

std::string old_part(std::size_t index) {
  return fmt::format("old{}", index);
}

ino_t inode_of(const Datastore& datastore, const std::string& path) {
  struct stat status;
  const Entry entry = entry_of(datastore, path, true);
  if (!status_of(entry, status))
    throw error(ErrorKind::not_found, entry.subject, "{} does not exist", entry.subject);
  return status.st_ino;
}

struct LayoutWord {
  DiskLayout layout;
  std::string_view create_type;
};
// The first of each is the one we write.
constexpr LayoutWord layout_words[] = {{DiskLayout::vmfs, "vmfs"},
                                       {DiskLayout::monolithic_flat, "monolithicFlat"},
                                       {DiskLayout::split_flat, "twoGbMaxExtentFlat"},
                                       {DiskLayout::monolithic_sparse, "monolithicSparse"},
                                       {DiskLayout::split_sparse, "twoGbMaxExtentSparse"},
                                       {DiskLayout::stream_optimized, "streamOptimized"},
                                       {DiskLayout::vmfs, "vmfsThin"},
                                       {DiskLayout::vmfs, "vmfsPreallocated"},
                                       {DiskLayout::vmfs, "vmfsEagerZeroedThick"}};

OpenExtent::Kind kind_of(const Location& disk, const Extent& extent) {
  if (extent.is_flat()) return OpenExtent::Kind::flat;
  if (extent.type == "SPARSE") return OpenExtent::Kind::sparse;
  if (extent.type == "ZERO") return OpenExtent::Kind::zero;
  throw unsupported(disk, fmt::format("has {} extents", extent.type));
}

OpenExtent open_extent(const Location& disk, const Location& file, const Extent& extent,
                       int flags) {
  const OpenExtent::Kind kind = kind_of(disk, extent);
  const std::uint64_t size = extent.sectors * vmx::sector_size;
  if (kind == OpenExtent::Kind::zero) return {kind, file, Fd(), {0, size}};
  Fd fd = file.datastore->open(file.path, flags);
  if (kind == OpenExtent::Kind::sparse) return {kind, file, std::move(fd), {0, size}};
  const std::uint64_t from = extent.offset.value_or(0) * vmx::sector_size;
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) throw system_error(file.display(), "cannot look at");
  if (static_cast<std::uint64_t>(status.st_size) < from + size)
    throw error(ErrorKind::damaged, disk.display(), "{} is shorter than {} says", file.display(),
                disk.display());
  return {kind, file, std::move(fd), {from, from + size}};
}

bool is_written_throughout(const OpenExtent& extent) {
  return is_written_throughout(extent.fd.get(), extent.span, extent.location.display());
}

bool is_flat(const OpenExtent& extent) {
  return extent.kind == OpenExtent::Kind::flat;
}

}  // namespace

std::optional<DiskLayout> layout_of(const VmdkDescriptor& descriptor) {
  for (const LayoutWord& word : layout_words)
    if (word.create_type == descriptor.create_type) return word.layout;
  return std::nullopt;
}

std::string_view create_type_of(DiskLayout layout) {
  return std::ranges::find(layout_words, layout, &LayoutWord::layout)->create_type;
}

bool is_embedded(DiskLayout layout) {
  return layout == DiskLayout::monolithic_sparse || layout == DiskLayout::stream_optimized;
}

bool is_embedded(const VmdkDescriptor& descriptor) {
  const auto layout = layout_of(descriptor);
  return layout && is_embedded(*layout);
}

bool is_flat(DiskLayout layout) {
  return layout == DiskLayout::vmfs || layout == DiskLayout::monolithic_flat ||
         layout == DiskLayout::split_flat;
}

std::vector<Location> extent_locations(const Location& disk, DiskLayout layout, std::size_t count) {
  const vmx::DatastorePath path(disk.datastore->name(), disk.path);
  if (path.extension() != ".vmdk")
    throw error(ErrorKind::invalid_argument, disk.display(), "{} does not end in .vmdk",
                disk.display());
  if (is_embedded(layout)) return {};
  const bool is_split = layout == DiskLayout::split_flat || layout == DiskLayout::split_sparse;
  if (!is_split && count != 1) throw unsupported(disk, "is split into several extents");
  const char letter = layout == DiskLayout::split_flat ? 'f' : 's';
  std::vector<Location> locations;
  for (std::size_t number = 1; number <= count; ++number) {
    const std::string suffix = is_split ? fmt::format("{}{:03}", letter, number) : "flat";
    locations.push_back(disk.sibling(fmt::format("{}-{}.vmdk", path.stem(), suffix)));
  }
  return locations;
}

std::vector<Location> extent_files(const Location& disk, const VmdkDescriptor& descriptor) {
  std::vector<Location> files;
  if (is_embedded(descriptor)) return files;
  for (const Extent& extent : descriptor.extents) {
    if (extent.file.empty()) continue;
    if (extent.file.find('/') != std::string::npos)
      throw error(ErrorKind::access_denied, disk.display(),
                  "{} has an extent outside its folder: {}", disk.display(), extent.file);
    Location file = disk.sibling(extent.file);
    if (file.path == disk.path)
      throw error(ErrorKind::damaged, disk.display(), "{} names itself as its extent",
                  disk.display());
    if (!contains(files, file.path)) files.push_back(std::move(file));
  }
  return files;
}

std::string track_file_name(const Location& disk) {
  return vmx::DatastorePath(disk.datastore->name(), disk.path).stem() + "-ctk.vmdk";
}

std::optional<Location> track_file(const Location& disk, const VmdkDescriptor& descriptor) {
  const std::string& name = descriptor.change_track_file;
  if (name.empty() || name.find('/') != std::string::npos || name != track_file_name(disk))
    return std::nullopt;
  return disk.sibling(name);
}

std::vector<Location> track_files(const Location& disk, const VmdkDescriptor& descriptor) {
  std::vector<Location> there;
  const auto track = track_file(disk, descriptor);
  if (!track) return there;
  const std::string& name = descriptor.change_track_file;
  for (const Location& file : {*track, disk.sibling(name + std::string(unfinished_track))})
    if (file.datastore->exists(file.path)) there.push_back(file);
  return there;
}

std::vector<OpenExtent> open_extents(const Location& disk, const VmdkDescriptor& descriptor,
                                     int flags) {
  if (descriptor.parent_cid != VmdkDescriptor::no_parent)
    throw unsupported(disk, "holds only the difference to another disk");
  const bool embedded = is_embedded(descriptor);
  if (embedded && descriptor.extents.size() != 1)
    throw error(ErrorKind::damaged, disk.display(), "{} is one file and names several extents",
                disk.display());
  std::vector<OpenExtent> opened;
  std::size_t with_file = 0;
  for (const Extent& extent : descriptor.extents) {
    const Location file = embedded || extent.file.empty() ? disk : disk.sibling(extent.file);
    opened.push_back(open_extent(disk, file, extent, flags));
    if (opened.back().kind != OpenExtent::Kind::zero) ++with_file;
  }
  if (!embedded && extent_files(disk, descriptor).size() != with_file)
    throw unsupported(disk, "has several extents in one file");
  return opened;
}

std::vector<OpenExtent> lock_extents(const Location& disk, const VmdkDescriptor& descriptor,
                                     LockMode mode) {
  std::vector<OpenExtent> extents =
      open_extents(disk, descriptor, mode == LockMode::shared ? O_RDONLY : O_RDWR);
  for (const OpenExtent& extent : extents)
    if (extent.fd) lock_extent(extent.fd.get(), mode, disk.display());
  return extents;
}

std::vector<OpenExtent> lock_flat_extents(const Location& disk, const VmdkDescriptor& descriptor) {
  for (const Extent& extent : descriptor.extents)
    if (!extent.is_flat()) throw unsupported(disk, fmt::format("has {} extents", extent.type));
  return lock_extents(disk, descriptor, LockMode::exclusive);
}

OpenExtent lock_only_extent(const Location& disk, const VmdkDescriptor& descriptor) {
  std::vector<OpenExtent> extents = lock_flat_extents(disk, descriptor);
  if (extents.size() != 1 || extents[0].span.from != 0)
    throw unsupported(disk, "is split into several extents");
  return std::move(extents[0]);
}

Provisioning provisioning_of(const VmdkDescriptor& descriptor,
                             const std::vector<OpenExtent>& extents) {
  if (descriptor.thin ||
      !std::ranges::all_of(extents, [](const OpenExtent& it) { return is_flat(it); }))
    return Provisioning::thin;
  const bool is_written =
      std::ranges::all_of(extents, [](const OpenExtent& it) { return is_written_throughout(it); });
  return is_written ? Provisioning::eager_zeroed : Provisioning::lazy_zeroed;
}

std::vector<Fd> lock_files(const Location& disk, const VmdkDescriptor& descriptor) {
  std::vector<Location> files = extent_files(disk, descriptor);
  if (is_embedded(descriptor)) files.push_back(disk);
  std::vector<Fd> locks;
  for (const Location& file : files) {
    // A disk that lost an extent can still be deleted.
    if (!file.datastore->exists(file.path)) continue;
    locks.push_back(file.datastore->open(file.path, O_RDWR));
    lock_extent(locks.back().get(), LockMode::exclusive, disk.display());
  }
  return locks;
}

Occupants occupants_of(const Location& disk, const std::vector<Location>& extents,
                       IfExists if_exists) {
  Occupants found;
  struct stat status;
  if (status_of(entry_of(*disk.datastore, disk.path), status)) {
    if (if_exists == IfExists::fail)
      throw error(ErrorKind::already_exists, disk.display(), "{} exists already", disk.display());
    const VmdkDescriptor descriptor = read_descriptor(disk);
    found.locks = lock_files(disk, descriptor);
    for (Location& file : extent_files(disk, descriptor))
      if (file.datastore->exists(file.path)) found.extents.push_back(std::move(file));
    for (Location& file : track_files(disk, descriptor)) found.extents.push_back(std::move(file));
  }
  for (const Location& extent : extents)
    if (!contains(found.extents, extent.path) && extent.datastore->exists(extent.path))
      throw error(ErrorKind::already_exists, extent.display(), "{} exists already",
                  extent.display());
  return found;
}

void put_in_place(const Draft& draft, const Placement& placement, const Location& disk,
                  const Occupants& occupants, IfExists if_exists) {
  using Action = RecoveryStep::Action;
  const Datastore& datastore = *disk.datastore;
  // Undone in this order: new extents leave the names before old ones return to them, and the pivot
  // stays until that is so.
  Recovery recovery{{}, placement.owed};
  for (const FileMove& move : placement.extents)
    recovery.with_pivot.push_back(
        {Action::rename, move.to.path, inode_of(datastore, move.from), move.from});
  for (std::size_t i = 0; i < occupants.extents.size(); ++i)
    recovery.with_pivot.push_back(
        {Action::rename, draft.path(old_part(i)), 0, occupants.extents[i].path});
  if (placement.pivot_from)
    recovery.with_pivot.push_back({Action::rename, draft.pivot(), 0, placement.pivot_from->path});
  draft.record(recovery);

  if (placement.pivot_from)
    rename_entry(entry_of(datastore, placement.pivot_from->path), draft.entry("pivot"),
                 IfExists::fail);
  for (std::size_t i = 0; i < occupants.extents.size(); ++i)
    rename_entry(entry_of(datastore, occupants.extents[i].path), draft.entry(old_part(i)),
                 IfExists::fail);
  for (const FileMove& move : placement.extents)
    rename_entry(entry_of(datastore, move.from, true), entry_of(datastore, move.to.path),
                 IfExists::fail);
  rename_entry(draft.entry("pivot"), entry_of(datastore, disk.path), if_exists);
  sync_folder_of(disk);
}

void put_descriptor_in_place(const Draft& draft, const Location& disk) {
  rename_entry(draft.entry("pivot"), entry_of(*disk.datastore, disk.path), IfExists::replace);
  sync_folder_of(disk);
}

// The long content identifier ends in the short one.
void renew_content_id(VmdkDescriptor& descriptor) {
  descriptor.long_content_id = random_hex(16);
  descriptor.cid =
      static_cast<std::uint32_t>(std::stoul(descriptor.long_content_id.substr(24), nullptr, 16));
}

VmdkDescriptor descriptor_of_copy(const VmdkDescriptor& source) {
  VmdkDescriptor copy = source;
  copy.uuid = vmx::make_disk_uuid();
  copy.change_track_file.clear();
  copy.parent_file.clear();
  copy.parent_cid = VmdkDescriptor::no_parent;
  renew_content_id(copy);
  return copy;
}

void replace_descriptor(const Location& disk, const VmdkDescriptor& descriptor) {
  if (is_embedded(descriptor)) throw unsupported(disk, "holds its descriptor inside");
  Draft draft(disk.datastore);
  draft.create_pivot(descriptor.serialise());
  put_descriptor_in_place(draft, disk);
  draft.finish();
}

RecoveryStep step_on(const Location& file, RecoveryStep::Action action) {
  return {action, file.path, inode_of(*file.datastore, file.path)};
}

void size_file(const Fd& fd, std::uint64_t size, const std::string& subject) {
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    throw system_error(subject, "cannot size");
}

void sync_file(const Fd& fd, const std::string& subject) {
  if (::fsync(fd.get()) != 0) throw system_error(subject, "cannot sync");
}

void sync_folder_of(const Location& file) {
  const vmx::DatastorePath path(file.datastore->name(), file.path);
  sync_file(file.datastore->open_folder(path.parent().path()), file.display());
}

}  // namespace virga::datastore
