// What a file takes on its file system, in the file system's own figures.
#pragma once

#include <cstdint>
#include <optional>

#include "datastore/datastore.h"

namespace virga::datastore {

struct Occupancy {
  std::uint64_t length = 0;  // bytes from the first to the last
  // Of `length`, the bytes that blocks are held for: less for a file with holes.
  std::uint64_t used = 0;
  // Of `used`, the bytes no other file shares by a reflink; nullopt where the file system does not
  // tell (FIEMAP, ioctl_fiemap(2)).
  std::optional<std::uint64_t> unshared;
};

// Throws not_found.
Occupancy occupancy(const Location& file);

}  // namespace virga::datastore
