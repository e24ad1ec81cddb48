#include "datastore/occupancy.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t status_block = 512;  // bytes; the unit of st_blocks on every file system
constexpr std::size_t extents_at_once = 256;

// Bytes of the file's blocks that another file has too; nullopt when nobody can tell.
std::optional<std::uint64_t> shared_bytes(int fd) {
  alignas(fiemap) std::byte buffer[sizeof(fiemap) + extents_at_once * sizeof(fiemap_extent)];
  auto* map = reinterpret_cast<fiemap*>(buffer);
  std::uint64_t shared = 0, from = 0;
  for (;;) {
    std::memset(map, 0, sizeof *map);
    map->fm_start = from;
    map->fm_length = FIEMAP_MAX_OFFSET - from;
    map->fm_extent_count = extents_at_once;
    if (::ioctl(fd, FS_IOC_FIEMAP, map) != 0) return std::nullopt;
    for (std::size_t i = 0; i < map->fm_mapped_extents; ++i) {
      const fiemap_extent& extent = map->fm_extents[i];
      if (extent.fe_flags & FIEMAP_EXTENT_SHARED) shared += extent.fe_length;
      if (extent.fe_flags & FIEMAP_EXTENT_LAST) return shared;
      from = extent.fe_logical + extent.fe_length;
    }
    if (map->fm_mapped_extents == 0) return shared;
  }
}

}  // namespace

Occupancy occupancy(const Location& file) {
  const Fd fd = file.datastore->open(file.path, O_RDONLY);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw system_error(file.display(), "cannot look at");
  Occupancy found;
  found.length = static_cast<std::uint64_t>(status.st_size);
  found.used = std::min(found.length, static_cast<std::uint64_t>(status.st_blocks) * status_block);
  if (const auto shared = shared_bytes(fd.get()))
    found.unshared = found.used - std::min(found.used, *shared);
  return found;
}

}  // namespace virga::datastore
