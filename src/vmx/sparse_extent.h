// Hosted sparse extents, "KDMV" files: VMware's Virtual Disk Format 5.0. They hold the grains of a
// disk that were ever written. A grain directory names the grain tables, these name the grains; a
// second copy of both may stand beside them. A stream-optimized extent has its grains deflated and
// its tables behind the grains, each behind a marker, so that it can be written, and read, in one
// pass.
//
// Sizes and offsets are in sectors unless they say bytes; numbers in the file are little-endian.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace virga::vmx {

constexpr std::size_t grain_table_entries = 512;  // of every product
constexpr std::uint64_t default_grain_size = 128;

struct SparseHeader {
  static constexpr std::uint64_t in_footer = ~std::uint64_t{0};  // a directory's place

  std::uint32_t version = 1;  // 2: zeroed grains; 3: stream-optimized
  bool has_redundant_tables = false;
  bool has_zeroed_grains = false;  // a table's entry 1 is a grain of zeros
  bool is_compressed = false;      // deflated grains, behind markers
  std::uint64_t capacity = 0;
  std::uint64_t grain_size = default_grain_size;
  std::uint64_t descriptor_offset = 0;  // 0 when the descriptor is a file of its own
  std::uint64_t descriptor_size = 0;
  std::uint64_t redundant_directory = 0;
  std::uint64_t directory = 0;
  std::uint64_t overhead = 0;  // where the grains begin

  std::uint64_t grain_bytes() const;
  std::uint64_t grain_count() const;
  std::uint64_t table_count() const;

  // Throws ErrorKind::damaged naming `name`, for a value no product writes as for one that could
  // not be; ErrorKind::unsupported for another kind of compression.
  static SparseHeader parse(std::string_view sector, const std::string& name);
  std::string serialise() const;  // one sector

  bool operator==(const SparseHeader&) const = default;
};

// A file's first bytes are those of such an extent.
bool is_sparse_extent(std::string_view beginning);

// What precedes a deflated grain and each piece of metadata of a stream-optimized extent.
enum class MarkerType : std::uint32_t { end_of_stream, grain_table, grain_directory, footer };
// In front of the data of a deflated grain: its first sector of the disk, and the data's bytes.
struct GrainMarker {
  static constexpr std::size_t size = 12;  // bytes

  std::uint64_t sector = 0;
  std::uint32_t data_bytes = 0;

  static GrainMarker parse(std::span<const char, size> bytes);
  std::string serialise() const;
};
// One sector. `sectors`: how many follow.
std::string metadata_marker(MarkerType type, std::uint64_t sectors);

// Grains as zlib streams (RFC 1950).
class GrainDeflater {
 public:
  GrainDeflater();
  ~GrainDeflater();
  GrainDeflater(const GrainDeflater&) = delete;
  GrainDeflater& operator=(const GrainDeflater&) = delete;

  std::string deflate(std::string_view grain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class GrainInflater {
 public:
  GrainInflater();
  ~GrainInflater();
  GrainInflater(const GrainInflater&) = delete;
  GrainInflater& operator=(const GrainInflater&) = delete;

  // How many bytes came out; nullopt for what is no such stream or is longer than `to`.
  std::optional<std::size_t> inflate(std::span<const char> from, std::span<char> to);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads an extent of any origin: whatever its numbers say, nothing outside the file is asked for.
// Throws ErrorKind::damaged naming `name` and what is wrong. Not for several threads at once.
class SparseReader {
 public:
  // Up to buffer.size() bytes from that byte on; fewer only where the file ends.
  using Source = std::function<std::size_t(std::uint64_t offset, std::span<char> buffer)>;

  SparseReader(Source source, std::uint64_t file_bytes, std::string name);
  ~SparseReader();
  SparseReader(SparseReader&&) noexcept;
  SparseReader& operator=(SparseReader&&) noexcept;

  const SparseHeader& header() const { return header_; }
  // The descriptor inside; empty when the extent has none.
  std::string descriptor();

  // The first grain from `grain` on that holds data; grain_count() when none does.
  std::uint64_t next_data(std::uint64_t grain);
  // What the extent holds of a grain, of the last one up to the capacity; empty for one it does not
  // hold or knows to be zeros. Valid until the next call.
  std::span<const char> read(std::uint64_t grain);

 private:
  using Table = std::array<std::uint32_t, grain_table_entries>;

  [[noreturn]] void refuse(std::string_view what) const;
  void read_footer();
  std::string read_bytes(std::uint64_t offset, std::size_t size, std::string_view what) const;
  std::vector<std::uint32_t> read_directory(std::uint64_t sector) const;
  bool read_table(std::uint64_t sector, Table& table) const;
  void load_table(std::uint64_t number);
  std::uint32_t entry(std::uint64_t grain);
  bool is_data(std::uint32_t entry) const;
  std::span<const char> read_deflated(std::uint64_t grain, std::uint64_t offset, std::size_t size);

  Source source_;
  std::uint64_t file_bytes_;
  std::string name_;
  SparseHeader header_;
  std::vector<std::uint32_t> directory_;
  std::vector<std::uint32_t> redundant_directory_;  // empty: none, or not read yet
  std::uint64_t table_number_ = ~std::uint64_t{0};
  Table table_{};
  std::unique_ptr<GrainInflater> inflater_;
  std::vector<char> stored_;  // deflated, as the file has it
  std::vector<char> grain_;
};

}  // namespace virga::vmx
