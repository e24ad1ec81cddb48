// Writing hosted sparse extents (sparse_extent.h), in grains of the usual 64 KiB. Grains come in
// ascending order; those of nothing but zeros are left out. Memory does not grow with the data, and
// hardly with the capacity: 4 bytes for each 32 MiB.
//
// A file larger than 2 TiB, which 32-bit sector numbers cannot address, is ErrorKind::unsupported
// naming `name`.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "vmx/sparse_extent.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::vmx {

constexpr std::size_t default_grain_bytes = default_grain_size * sector_size;

// A whole disk in one pass, from the first byte to the last.
class StreamOptimizedWriter {
 public:
  using Sink = std::function<void(std::string_view)>;

  // `capacity` in sectors; `descriptor`: the text that is embedded.
  StreamOptimizedWriter(std::uint64_t capacity, std::string_view descriptor, Sink sink,
                        std::string name);

  // `deflated`: what a GrainDeflater made of the grain, padded to its full size or not.
  void add(std::uint64_t grain, std::string_view deflated);
  void finish();

 private:
  void put(std::string_view bytes, std::string_view more = {});
  void put_table();

  SparseHeader header_;
  Sink sink_;
  std::string name_;
  std::uint64_t position_ = 0;  // sectors
  std::vector<std::uint32_t> directory_;
  std::array<std::uint32_t, grain_table_entries> table_{};
  std::uint64_t table_number_ = 0;
};

// An extent with its tables in front of the grains, as running machines use them: one disk with its
// descriptor inside, or a part of a split one without.
class SparseWriter {
 public:
  using WriteAt = std::function<void(std::uint64_t offset, std::string_view)>;  // bytes

  SparseWriter(std::uint64_t capacity, std::string_view descriptor, WriteAt write,
               std::string name);

  // A whole grain's bytes.
  void add(std::uint64_t grain, std::string_view bytes);
  // Returns the bytes the file has to have: what was not written of them reads as zeros.
  std::uint64_t finish();

 private:
  void put_table();

  SparseHeader header_;
  WriteAt write_;
  std::string name_;
  std::uint64_t position_ = 0;  // sectors: where the next grain goes
  std::array<std::uint32_t, grain_table_entries> table_{};
  std::uint64_t table_number_ = 0;
};

}  // namespace virga::vmx
