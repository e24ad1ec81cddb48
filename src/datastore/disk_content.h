// Internal to the module: the guest's sectors of a disk, whatever files they lie in.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "datastore/disk_files.h"
#include "datastore/qcow2.h"
#include "datastore/transfer.h"
#include "vmx/sparse_extent.h"

namespace virga::datastore {

// A delta's image, and what it holds.
struct Delta {
  Location image;
  Fd fd;
  std::vector<Qcow2Run> runs;
};

// Not for several threads at once.
class DiskContent {
 public:
  // A disk of `size` bytes that nobody has written to.
  explicit DiskContent(std::uint64_t size) : size_(size) {}
  // The extents stay open, and locked if they are, as long as the content lives.
  DiskContent(const Location& disk, std::vector<OpenExtent> extents);

  std::uint64_t size() const { return size_; }

  // From here on the disk is a delta of what it was.
  void put_over(Delta delta);

  // The first byte from `at` on that may be other than zero; size() when none is.
  std::uint64_t next_data(std::uint64_t at);
  // Exactly that part; all of it must lie within the size.
  void read(std::uint64_t at, std::span<char> buffer);
  // Copies a part to the beginning of a file of zeros, and advances the meter by its length.
  void copy(ByteSpan part, int to, Zeros zeros, Meter& meter);

 private:
  struct Piece {
    ByteSpan place;  // in the disk
    OpenExtent extent;
    std::optional<vmx::SparseReader> grains;  // of a sparse extent
  };

  // A part of the disk that a delta holds.
  struct Patch {
    ByteSpan place;
    std::size_t delta = 0;
    std::optional<std::uint64_t> offset;  // in the delta's image; nullopt: zeros
  };
  // What the disk reads as from some byte on, up to where that is of another kind.
  struct Source {
    ByteSpan span;
    const Patch* patch = nullptr;  // nullptr: as the base has it
  };

  Source source_at(std::uint64_t at) const;
  std::uint64_t next_data_in(const Source& source);
  std::uint64_t next_data_of_base(std::uint64_t at);
  void read_base(std::uint64_t at, std::span<char> buffer);
  void copy_base(ByteSpan part, int to, std::uint64_t at, Zeros zeros, Meter& meter);
  Piece& piece_at(std::uint64_t at);
  std::uint64_t next_data_in(Piece& piece, std::uint64_t at);
  void read_from(Piece& piece, std::uint64_t at, std::span<char> buffer);
  void copy_from(Piece& piece, ByteSpan part, int to, std::uint64_t at, Zeros zeros, Meter& meter);
  void copy_grains(Piece& piece, ByteSpan part, int to, std::uint64_t at, Zeros zeros,
                   Meter& meter);

  std::uint64_t size_ = 0;
  std::vector<Piece> pieces_;   // without a gap; none in a disk nobody has written to
  std::vector<Delta> deltas_;   // each of what comes before it
  std::vector<Patch> patches_;  // in order
};

struct ReadableDisk {
  DiskContent content;
  Provisioning provisioning;  // of what it is a delta of in the end, or its own
};
// The disk over all it is a delta of. As long as this lives nobody writes to any of them. Throws
// busy, and unsupported for deltas of other kinds than create_delta() makes and for disks without
// sectors (RDM).
ReadableDisk open_for_reading(const Location& disk, const vmx::VmdkDescriptor& descriptor);

}  // namespace virga::datastore
