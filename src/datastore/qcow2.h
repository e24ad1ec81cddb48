// The little of QEMU's image format (docs/interop/qcow2.txt in its sources) that is needed without
// QEMU: to make an empty image that holds the differences to another, to tell which other that is,
// and to read what the image holds and what its dirty bitmap marks. Pure: bytes in and out.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmx/change_track.h"

namespace virga::datastore {

// The image below, as people and their tools find it: by a name relative to the image.
// The hypervisor goes by the descriptors of the disks instead.
struct Qcow2Backing {
  std::string file;    // at most 1023 bytes
  std::string format;  // "raw", "qcow2"

  bool operator==(const Qcow2Backing&) const = default;
};

struct Qcow2Header {
  std::uint64_t capacity = 0;  // bytes
  Qcow2Backing backing;        // empty without one

  bool operator==(const Qcow2Header&) const = default;
};

constexpr std::size_t qcow2_header_size = 4096;  // bytes; all that is read and written of a header

// An image in which nothing is allocated: what stands where in its file, and zeros elsewhere.
struct EmptyQcow2 {
  std::map<std::uint64_t, std::string> pieces;  // by offset
  std::uint64_t size = 0;                       // bytes of the file
};
EmptyQcow2 make_qcow2(const Qcow2Header& header);

// From the first qcow2_header_size bytes. Throws ErrorKind::damaged, unsupported for a version
// other than 3, under the name `name`.
Qcow2Header parse_qcow2(std::string_view beginning, const std::string& name);

// The same beginning, naming another image below. Throws as above.
std::string with_backing(std::string_view beginning, const Qcow2Backing& backing,
                         const std::string& name);

// The bytes of an image's file from `offset` on: `length` of them, fewer only where the file ends.
using ReadImage = std::function<std::string(std::uint64_t offset, std::uint64_t length)>;

// Guest's bytes that an image itself holds.
struct Qcow2Run {
  std::uint64_t from = 0;  // in the disk
  std::uint64_t length = 0;
  std::optional<std::uint64_t> offset;  // in the image's file, in one piece; nullopt: zeros

  bool operator==(const Qcow2Run&) const = default;
};

// What the image itself holds, in the disk's order; the rest is as the image below has it. In whole
// clusters, but for the end of the image. Throws as above; unsupported, too, for compressed ones.
std::vector<Qcow2Run> allocated_runs(const ReadImage& read, const std::string& name);

// The same without where it lies.
vmx::Areas allocated_areas(const ReadImage& read, const std::string& name);

// What the one dirty bitmap that is kept in the image marks. Throws as above; damaged, too, for a
// bitmap that was not brought to its end.
vmx::Areas bitmap_areas(const ReadImage& read, const std::string& name);

}  // namespace virga::datastore
