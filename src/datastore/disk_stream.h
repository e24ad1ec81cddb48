// Virtual disks as they travel from host to host: sent as one stream-optimized file, received as
// one or as the plain sequence of their sectors. Memory does not grow with the disk. Every call
// blocks; an object is for one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "datastore/datastore.h"

namespace virga::datastore {

// A disk being sent, a delta with all it stands on. Others may read it meanwhile, and nobody can
// write to it.
class DiskExport {
 public:
  // `name`: what the file is going to be called. Throws as open_for_reading() does.
  DiskExport(const Location& disk, std::string_view name);
  ~DiskExport();

  std::uint64_t capacity() const;  // bytes
  // The next bytes, some MB at most and none at times; nullopt when that was all.
  std::optional<std::string> next();
  // Of the disk, those sent so far that were not zeros: in grains of 64 KiB.
  std::uint64_t data_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A disk being received into one that create_disk() has made, flat and full of zeros. Nobody can
// open it meanwhile.
class DiskImport {
 public:
  explicit DiskImport(const Location& disk);
  ~DiskImport();

  // The next bytes. What begins as a stream-optimized file is taken for one; it may be of a smaller
  // disk, the rest stays zeros. Anything else is the sectors themselves, all of them. Throws
  // invalid_argument for more than the disk has room for, damaged, no_space, and unsupported for a
  // sparse disk of another kind.
  void write(std::string_view bytes);
  std::uint64_t received() const;
  // Throws damaged when that was not all. Then the content is on stable storage.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace virga::datastore
