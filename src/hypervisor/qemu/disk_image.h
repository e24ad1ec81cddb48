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
    device,         // held against everybody else on this machine
    shared_device,  // other guests may have it, nobody else
  };

  std::int64_t set = 0;
  Kind kind = Kind::plain;
  std::string path;  // descriptor: what errors call it
  bool read_only = false;
  std::string text;  // of the descriptor

  bool operator==(const ImageFile&) const = default;
};

// Of one image of a disk, by its number (devices.h); the first is what its file node opens. None of
// an iSCSI unit. Throws ErrorKind::unsupported for a disk in more files than one process may have
// open.
std::vector<ImageFile> image_files(const Disk& disk, int image, const DiskImage& of);

// Blocks. Throws not_found, damaged for a sparse extent that is none, and busy for a device that
// somebody has: a file system, another guest.
Fd open_image_file(const ImageFile& file);

// What a login to the disk's iSCSI unit needs and no command line or record may show; empty: none.
std::string login_secret(const Disk& disk);
// A secret as a file in memory.
Fd make_secret(const std::string& secret);

}  // namespace virga::hypervisor
