#include "hypervisor/qemu/disk_image.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "hypervisor/qemu/devices.h"
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
  Fd fd(::memfd_create("descriptor", MFD_CLOEXEC));
  if (!fd || ::pwrite(fd.get(), file.text.data(), file.text.size(), 0) !=
                 static_cast<ssize_t>(file.text.size()))
    throw system_error(file.path, "cannot describe");
  if (file.read_only) return open_file(fmt::format("/proc/self/fd/{}", fd.get()), O_RDONLY);
  return fd;
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
  Fd fd = open_file(file.path, file.read_only ? O_RDONLY : O_RDWR);
  if (file.kind == ImageFile::Kind::sparse_extent) require_sparse_extent(fd, file.path);
  return fd;
}

}  // namespace virga::hypervisor
