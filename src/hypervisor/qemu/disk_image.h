// The files behind an image of a disk, as QEMU is handed them: open, in descriptor sets.
//
// QEMU's own driver reads VMware's formats, but it would go by the names in a descriptor, wherever
// they lead, and write to it. So it gets a descriptor in memory that names the extents we opened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"
#include "hypervisor/machine_spec.h"

namespace virga::hypervisor {

struct ImageFile {
  enum class Kind {
    plain,
    sparse_extent,  // refused unless its header is one: else QEMU takes the file for a descriptor
    descriptor,     // in memory
  };

  std::int64_t set = 0;
  Kind kind = Kind::plain;
  std::string path;  // descriptor: what errors call it
  bool read_only = false;
  std::string text;  // of the descriptor

  bool operator==(const ImageFile&) const = default;
};

// Of one image of a disk, by its number (devices.h); the first is what its file node opens. Throws
// ErrorKind::unsupported for a disk in more files than one process may have open.
std::vector<ImageFile> image_files(const Disk& disk, int image, const DiskImage& of);

// Blocks. Throws not_found, and damaged for a sparse extent that is none.
Fd open_image_file(const ImageFile& file);

}  // namespace virga::hypervisor
