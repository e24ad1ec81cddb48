#include "datastore/disk_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "datastore/beneath.h"
#include "datastore/virtual_disk.h"

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

}  // namespace

std::string flat_name(const Location& disk) {
  const vmx::DatastorePath path(disk.datastore->name(), disk.path);
  if (path.extension() != ".vmdk")
    throw error(ErrorKind::invalid_argument, disk.display(), "{} does not end in .vmdk",
                disk.display());
  return path.stem() + "-flat.vmdk";
}

bool is_embedded(const VmdkDescriptor& descriptor) {
  return descriptor.create_type == "monolithicSparse" ||
         descriptor.create_type == "streamOptimized";
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

std::vector<OpenExtent> open_extents(const Location& disk, const VmdkDescriptor& descriptor,
                                     int flags) {
  if (descriptor.parent_cid != VmdkDescriptor::no_parent)
    throw unsupported(disk, "holds only the difference to another disk");
  for (const Extent& extent : descriptor.extents)
    if (!extent.is_flat()) throw unsupported(disk, fmt::format("has {} extents", extent.type));
  const std::vector<Location> files = extent_files(disk, descriptor);
  if (files.size() != descriptor.extents.size())
    throw unsupported(disk, "has several extents in one file");

  std::vector<OpenExtent> opened;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Extent& extent = descriptor.extents[i];
    const std::uint64_t from = extent.offset.value_or(0) * vmx::sector_size;
    opened.push_back({files[i],
                      files[i].datastore->open(files[i].path, flags),
                      {from, from + extent.sectors * vmx::sector_size}});
    struct stat status;
    if (::fstat(opened.back().fd.get(), &status) != 0)
      throw system_error(files[i].display(), "cannot look at");
    if (static_cast<std::uint64_t>(status.st_size) < opened.back().span.to)
      throw error(ErrorKind::damaged, disk.display(), "{} is shorter than {} says",
                  files[i].display(), disk.display());
  }
  return opened;
}

std::vector<OpenExtent> lock_extents(const Location& disk, const VmdkDescriptor& descriptor,
                                     LockMode mode) {
  std::vector<OpenExtent> extents =
      open_extents(disk, descriptor, mode == LockMode::shared ? O_RDONLY : O_RDWR);
  for (const OpenExtent& extent : extents) lock_extent(extent.fd.get(), mode, disk.display());
  return extents;
}

OpenExtent lock_only_extent(const Location& disk, const VmdkDescriptor& descriptor) {
  std::vector<OpenExtent> extents = lock_extents(disk, descriptor, LockMode::exclusive);
  if (extents.size() != 1 || extents[0].span.from != 0)
    throw unsupported(disk, "is split into several extents");
  return std::move(extents[0]);
}

bool has_hole(const OpenExtent& extent) {
  bool found = false;
  for_each_hole(extent.fd.get(), extent.span, extent.location.display(),
                [&](ByteSpan) { found = true; });
  return found;
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

Occupants occupants_of(const Location& disk, IfExists if_exists) {
  Occupants found;
  struct stat status;
  if (status_of(entry_of(*disk.datastore, disk.path), status)) {
    if (if_exists == IfExists::fail)
      throw error(ErrorKind::already_exists, disk.display(), "{} exists already", disk.display());
    const VmdkDescriptor descriptor = read_descriptor(disk);
    found.locks = lock_files(disk, descriptor);
    for (Location& file : extent_files(disk, descriptor))
      if (file.datastore->exists(file.path)) found.extents.push_back(std::move(file));
  }
  const Location extent = disk.sibling(flat_name(disk));
  if (!contains(found.extents, extent.path) && extent.datastore->exists(extent.path))
    throw error(ErrorKind::already_exists, extent.display(), "{} exists already", extent.display());
  return found;
}

void put_in_place(const Draft& draft, const std::string& extent, const Location& disk,
                  const Occupants& occupants, IfExists if_exists, std::vector<RecoveryStep> owed) {
  using Action = RecoveryStep::Action;
  const Datastore& datastore = *disk.datastore;
  const Location target = disk.sibling(flat_name(disk));
  // Undone in this order: the new extent leaves the name before the old one returns to it.
  Recovery recovery{{{Action::rename, target.path, inode_of(datastore, extent), extent}},
                    std::move(owed)};
  for (std::size_t i = 0; i < occupants.extents.size(); ++i) {
    recovery.with_pivot.push_back(
        {Action::rename, draft.path(old_part(i)), 0, occupants.extents[i].path});
  }
  draft.record(recovery);
  for (std::size_t i = 0; i < occupants.extents.size(); ++i)
    rename_entry(entry_of(datastore, occupants.extents[i].path), draft.entry(old_part(i)),
                 IfExists::fail);
  rename_entry(entry_of(datastore, extent, true), entry_of(datastore, target.path), IfExists::fail);
  rename_entry(draft.entry("pivot"), entry_of(datastore, disk.path), if_exists);
  sync_folder_of(disk);
}

void put_descriptor_in_place(const Draft& draft, const Location& disk) {
  rename_entry(draft.entry("pivot"), entry_of(*disk.datastore, disk.path), IfExists::replace);
  sync_folder_of(disk);
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

void sync_file(const Fd& fd, const std::string& subject) {
  if (::fsync(fd.get()) != 0) throw system_error(subject, "cannot sync");
}

void sync_folder_of(const Location& file) {
  const vmx::DatastorePath path(file.datastore->name(), file.path);
  sync_file(file.datastore->open_folder(path.parent().path()), file.display());
}

}  // namespace virga::datastore
