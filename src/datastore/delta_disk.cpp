#include "datastore/delta_disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"
#include "base/uuid.h"
#include "datastore/beneath.h"
#include "datastore/disk_files.h"
#include "datastore/qcow2.h"
#include "datastore/virtual_disk.h"

namespace virga::datastore {
namespace {

using vmx::Extent;
using vmx::VmdkDescriptor;

constexpr std::size_t longest_chain = 255;  // a loop of descriptors must end

std::string name_of(const Location& file) {
  return vmx::DatastorePath(file.datastore->name(), file.path).name();
}

constexpr std::string_view volumes = "/vmfs/volumes/";

bool lies_beside(const Location& file, const Location& other) {
  return file.parent().path == other.parent().path;
}

Location parent_of(const ChainLink& link) {
  const std::string& name = link.descriptor.parent_file;
  if (name.find('/') == std::string::npos) return link.disk.sibling(name);
  const Datastore& here = *link.disk.datastore;
  for (const std::string& id : {here.uuid(), here.name()}) {
    const std::string root = fmt::format("{}{}/", volumes, id);
    if (name.starts_with(root)) return {link.disk.datastore, name.substr(root.size())};
  }
  throw error(ErrorKind::unsupported, link.disk.display(),
              "{} is a delta of {}, which is not in its datastore", link.disk.display(), name);
}

void require_same_datastore(const Location& delta, const Location& parent) {
  if (delta.datastore->uuid() == parent.datastore->uuid()) return;
  throw error(ErrorKind::unsupported, delta.display(),
              "{} cannot be a delta of {}, which is in another datastore", delta.display(),
              parent.display());
}

void check_parent(const ChainLink& delta, const ChainLink& parent) {
  const std::string subject = delta.disk.display();
  if (delta.descriptor.parent_cid != parent.descriptor.cid)
    throw error(ErrorKind::damaged, subject, "{} has been changed since {} was made of it",
                parent.disk.display(), subject);
  if (delta.descriptor.capacity_sectors() != parent.descriptor.capacity_sectors())
    throw error(ErrorKind::damaged, subject, "{} and {}, of which it is a delta, differ in size",
                subject, parent.disk.display());
}

// As an image beside `delta` names it: the datastore may be mounted elsewhere tomorrow.
std::string path_from(const Location& delta, const Location& file) {
  if (lies_beside(file, delta)) return name_of(file);
  return fs::path("/" + file.path).lexically_relative("/" + delta.parent().path);
}

// What lies in other files than one of the guest's sectors is known by its descriptor.
Qcow2Backing backing_by(const ChainLink& parent, const Location& delta) {
  if (is_delta(parent.descriptor)) return {path_from(delta, parent.extent()), "qcow2"};
  const std::vector<Extent>& extents = parent.descriptor.extents;
  const bool is_raw =
      extents.size() == 1 && extents.front().is_flat() && extents.front().offset.value_or(0) == 0;
  return is_raw ? Qcow2Backing{path_from(delta, parent.extent()), "raw"}
                : Qcow2Backing{path_from(delta, parent.disk), "vmdk"};
}

void name_parent(VmdkDescriptor& descriptor, const Location& delta, const ChainLink& parent) {
  descriptor.parent_file =
      lies_beside(parent.disk, delta)
          ? name_of(parent.disk)
          : fmt::format("{}{}/{}", volumes, parent.disk.datastore->uuid(), parent.disk.path);
  descriptor.parent_cid = parent.descriptor.cid;
}

// What a guest can tell of a disk it takes from the base.
VmdkDescriptor new_delta(const ChainLink& parent, const Location& disk, const std::string& extent) {
  VmdkDescriptor delta;
  delta.create_type = delta_create_type;
  delta.long_content_id = random_hex(16);
  delta.cid = static_cast<std::uint32_t>(std::stoul(delta.long_content_id.substr(24), nullptr, 16));
  delta.adapter = parent.descriptor.adapter;
  delta.geometry = parent.descriptor.geometry;
  delta.hardware_version = parent.descriptor.hardware_version;
  delta.uuid = parent.descriptor.uuid;
  delta.extents = {{Extent::Access::read_write, parent.descriptor.capacity_sectors(),
                    std::string(delta_extent_type), extent, std::nullopt}};
  name_parent(delta, disk, parent);
  return delta;
}

std::string delta_extent_name(const Location& delta) {
  const vmx::DatastorePath path(delta.datastore->name(), delta.path);
  return path.stem() + "-delta.vmdk";
}

void write_at(const Fd& file, std::uint64_t offset, std::string_view bytes,
              const std::string& subject) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) throw system_error(subject, "cannot write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
}

void write_image(const Location& extent, const Qcow2Header& header) {
  const std::string subject = extent.display();
  const Fd file = extent.datastore->open(extent.path, O_RDWR | O_CREAT | O_EXCL);
  const EmptyQcow2 image = make_qcow2(header);
  for (const auto& [offset, bytes] : image.pieces) write_at(file, offset, bytes, subject);
  if (::ftruncate(file.get(), static_cast<off_t>(image.size)) != 0)
    throw system_error(subject, "cannot size");
  sync_file(file, subject);
  sync_folder_of(extent);
}

void set_image_backing(const Location& extent, const Qcow2Backing& backing) {
  const std::string subject = extent.display();
  const Fd file = extent.datastore->open(extent.path, O_RDWR);
  lock_extent(file.get(), LockMode::exclusive, subject);
  const std::string beginning = read_text(file.get(), 0, qcow2_header_size, subject);
  write_at(file, 0, with_backing(beginning, backing, subject), subject);
  sync_file(file, subject);
}

}  // namespace

bool is_delta(const VmdkDescriptor& descriptor) {
  return descriptor.parent_cid != VmdkDescriptor::no_parent &&
         std::ranges::all_of(descriptor.extents,
                             [](const Extent& extent) { return extent.type == delta_extent_type; });
}

Location ChainLink::extent() const {
  std::vector<Location> files = extent_files(disk, descriptor);
  if (files.size() != 1)
    throw error(ErrorKind::unsupported, disk.display(), "{} is not made of one extent",
                disk.display());
  return std::move(files.front());
}

std::vector<ChainLink> read_chain(const Location& disk) {
  std::vector<ChainLink> chain = {{disk, read_descriptor(disk)}};
  while (chain.back().descriptor.parent_cid != VmdkDescriptor::no_parent) {
    if (chain.size() == longest_chain)
      throw error(ErrorKind::damaged, disk.display(), "{} descends from itself", disk.display());
    const Location parent = parent_of(chain.back());
    chain.push_back({parent, read_descriptor(parent)});
    check_parent(chain[chain.size() - 2], chain.back());
  }
  std::ranges::reverse(chain);
  return chain;
}

Location free_delta(const std::vector<ChainLink>& chain) {
  const auto lowest = std::ranges::find_if(
      chain, [&](const ChainLink& link) { return lies_beside(link.disk, chain.back().disk); });
  const Location& base = lowest->disk;
  const vmx::DatastorePath path(base.datastore->name(), base.path);
  for (int number = 1;; ++number) {
    Location delta = base.sibling(fmt::format("{}-{:06}.vmdk", path.stem(), number));
    const Location extent = delta.sibling(delta_extent_name(delta));
    const Datastore& datastore = *delta.datastore;
    if (!datastore.exists(delta.path) && !datastore.exists(extent.path)) return delta;
  }
}

void create_delta(const Location& delta, const Location& parent) {
  require_same_datastore(delta, parent);
  const ChainLink below{parent, read_descriptor(parent)};
  const Location extent = delta.sibling(delta_extent_name(delta));
  if (delta.datastore->exists(delta.path))
    throw error(ErrorKind::already_exists, delta.display(), "{} exists already", delta.display());
  // The descriptor first: whoever finds it without its extent can tell what it was to be.
  write_small_file(delta, new_delta(below, delta, name_of(extent)).serialise());
  const std::uint64_t capacity = below.descriptor.capacity_sectors() * vmx::sector_size;
  try {
    write_image(extent, {capacity, backing_by(below, delta)});
  } catch (...) {
    for (const Location& file : {extent, delta})
      if (file.datastore->exists(file.path)) remove(file);
    throw;
  }
}

void create_redo(const Location& image, const Location& parent) {
  const ChainLink below{parent, read_descriptor(parent)};
  Qcow2Backing backing = backing_by(below, parent);
  if (!lies_beside(image, parent))
    backing.file = parent.datastore->root() / parent.sibling(backing.file).path;
  if (image.datastore->exists(image.path)) remove(image);
  write_image(image, {below.descriptor.capacity_sectors() * vmx::sector_size, backing});
}

void set_parent(const Location& delta, const Location& parent, bool image_too) {
  ChainLink link{delta, read_descriptor(delta)};
  const ChainLink below{parent, read_descriptor(parent)};
  name_parent(link.descriptor, delta, below);
  if (image_too) set_image_backing(link.extent(), backing_by(below, delta));
  write_small_file(delta, link.descriptor.serialise());
}

}  // namespace virga::datastore
