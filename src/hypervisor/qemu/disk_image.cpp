#include "hypervisor/qemu/disk_image.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "hypervisor/qemu/devices.h"
#include "hypervisor/qemu/launcher.h"
#include "vmx/sparse_extent.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::hypervisor {
namespace {

constexpr std::size_t most_extents = 512;

// What QEMU's driver needs of one. It takes lines that begin with RW only: what is not to be
// written is read-only by its node.
std::string descriptor_of(const Disk& disk, int image, const DiskImage& of) {
  const bool is_sparse = of.extents.front().sparse;
  std::string text = fmt::format(
      "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"{}\"\n",
      is_sparse ? "twoGbMaxExtentSparse" : "twoGbMaxExtentFlat");
  int number = 0;
  for (const DiskExtent& extent : of.extents) {
    text += fmt::format("RW {} {} \"{}\"", extent.sectors, extent.sparse ? "SPARSE" : "FLAT",
                        fdset_path(fdset_of_extent(disk.key, image, number++)));
    if (!extent.sparse) text += fmt::format(" {}", extent.offset);
    text += '\n';
  }
  return text;
}

Fd make_descriptor(const ImageFile& file) {
  Fd fd = make_memory_file("descriptor", file.text);
  if (file.read_only) return open_file(fmt::format("/proc/self/fd/{}", fd.get()), O_RDONLY);
  return fd;
}

// Nobody who was there first is overwritten: also what is shared has to be free at this moment.
Fd open_device(const ImageFile& file) {
  const int flags = (file.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  Fd alone(::open(file.path.c_str(), flags | O_EXCL));
  if (!alone && errno == EBUSY)
    throw error(ErrorKind::busy, file.path,
                "{} is in use: a file system, a volume or a program of this host has it",
                file.path);
  if (!alone) throw system_error(file.path, "cannot open");
  if (file.kind == ImageFile::Kind::device) return alone;
  alone.reset();
  return open_file(file.path, flags);
}

void require_sparse_extent(const Fd& fd, const std::string& path) {
  std::string header(vmx::sector_size, '\0');
  const ssize_t n = ::pread(fd.get(), header.data(), header.size(), 0);
  if (n < 0) throw system_error(path, "cannot read");
  header.resize(static_cast<std::size_t>(n));
  vmx::SparseHeader::parse(header, path);
}

}  // namespace

std::vector<ImageFile> image_files(const Disk& disk, int image, const DiskImage& of) {
  const std::int64_t set = fdset_of(disk.key, image);
  if (of.iscsi) return {};
  if (of.block_device) {
    const auto kind = disk.shared ? ImageFile::Kind::shared_device : ImageFile::Kind::device;
    return {{set, kind, of.path, disk.read_only, {}}};
  }
  if (of.format != DiskFormat::vmdk)
    return {{set, ImageFile::Kind::plain, of.path, disk.read_only, {}}};
  if (of.extents.size() > most_extents)
    throw error(ErrorKind::unsupported, device_id(disk), "{} lies in {} files; at most {} can be",
                of.path, of.extents.size(), most_extents);
  std::vector<ImageFile> files = {
      {set, ImageFile::Kind::descriptor, of.path, disk.read_only, descriptor_of(disk, image, of)}};
  int number = 0;
  for (const DiskExtent& extent : of.extents) {
    const auto kind = extent.sparse ? ImageFile::Kind::sparse_extent : ImageFile::Kind::plain;
    files.push_back(
        {fdset_of_extent(disk.key, image, number++), kind, extent.path, disk.read_only, {}});
  }
  return files;
}

Fd open_image_file(const ImageFile& file) {
  if (file.kind == ImageFile::Kind::descriptor) return make_descriptor(file);
  if (file.kind == ImageFile::Kind::device || file.kind == ImageFile::Kind::shared_device)
    return open_device(file);
  Fd fd = open_file(file.path, file.read_only ? O_RDONLY : O_RDWR);
  if (file.kind == ImageFile::Kind::sparse_extent) require_sparse_extent(fd, file.path);
  return fd;
}

std::string login_secret(const Disk& disk) {
  const std::optional<IscsiUnit>& unit = disk.chain.front().iscsi;
  return unit ? unit->password : std::string();
}

Fd make_secret(const std::string& secret) {
  return make_memory_file("secret", secret);
}

}  // namespace virga::hypervisor
