#include "vmx/sparse_writer.h"

#include <algorithm>
#include <limits>
#include <span>

#include "base/error.h"
#include "vmx/little_endian.h"

namespace virga::vmx {
namespace {

constexpr std::uint64_t table_sectors = grain_table_entries * sizeof(std::uint32_t) / sector_size;
// Room for the text to grow in place, as VMware's products leave it.
constexpr std::uint64_t usual_descriptor_sectors = 20;

std::uint64_t sectors_for(std::uint64_t bytes) {
  return (bytes + sector_size - 1) / sector_size;
}

std::string little_endian(std::span<const std::uint32_t> numbers) {
  std::string bytes(numbers.size_bytes(), '\0');
  for (std::size_t i = 0; i < numbers.size(); ++i)
    put_little_endian(bytes, i * sizeof(std::uint32_t), numbers[i]);
  return bytes;
}

std::uint32_t table_entry(std::uint64_t sector, const std::string& name) {
  if (sector > std::numeric_limits<std::uint32_t>::max())
    throw error(ErrorKind::unsupported, name,
                "{} would be larger than the 2 TiB that the format can address", name);
  return static_cast<std::uint32_t>(sector);
}

SparseHeader header_for(std::uint64_t capacity, std::string_view descriptor) {
  SparseHeader header;
  header.capacity = capacity;
  if (!descriptor.empty()) {
    header.descriptor_offset = 1;
    header.descriptor_size = std::max(usual_descriptor_sectors, sectors_for(descriptor.size()));
  }
  return header;
}

std::uint64_t round_up_to_grain(std::uint64_t sectors) {
  return (sectors + default_grain_size - 1) / default_grain_size * default_grain_size;
}

}  // namespace

// --- Stream-optimized --------------------------------------------------------------------------

StreamOptimizedWriter::StreamOptimizedWriter(std::uint64_t capacity, std::string_view descriptor,
                                             Sink sink, std::string name)
    : header_(header_for(capacity, descriptor)), sink_(std::move(sink)), name_(std::move(name)) {
  header_.version = 3;
  header_.is_compressed = true;
  header_.directory = SparseHeader::in_footer;
  header_.overhead = round_up_to_grain(1 + header_.descriptor_size);
  directory_.resize(header_.table_count());
  put(header_.serialise());
  std::string text(descriptor);
  text.resize((header_.overhead - 1) * sector_size);
  put(text);
}

void StreamOptimizedWriter::put(std::string_view bytes, std::string_view more) {
  sink_(bytes);
  if (!more.empty()) sink_(more);
  const std::uint64_t size = bytes.size() + more.size();
  const std::uint64_t sectors = sectors_for(size);
  if (const std::size_t missing = sectors * sector_size - size) sink_(std::string(missing, '\0'));
  position_ += sectors;
}

// A table without a grain is left out.
void StreamOptimizedWriter::put_table() {
  if (std::ranges::all_of(table_, [](std::uint32_t entry) { return entry == 0; })) return;
  put(metadata_marker(MarkerType::grain_table, table_sectors));
  directory_[table_number_] = table_entry(position_, name_);
  put(little_endian(table_));
  table_.fill(0);
}

void StreamOptimizedWriter::add(std::uint64_t grain, std::string_view deflated) {
  if (grain / grain_table_entries != table_number_) put_table();
  table_number_ = grain / grain_table_entries;
  table_[grain % grain_table_entries] = table_entry(position_, name_);
  const GrainMarker marker{grain * default_grain_size, static_cast<std::uint32_t>(deflated.size())};
  put(marker.serialise(), deflated);
}

void StreamOptimizedWriter::finish() {
  put_table();
  const std::string directory = little_endian(directory_);
  put(metadata_marker(MarkerType::grain_directory, sectors_for(directory.size())));
  header_.directory = position_;
  put(directory);
  put(metadata_marker(MarkerType::footer, 1));
  put(header_.serialise());
  put(metadata_marker(MarkerType::end_of_stream, 0));
}

// --- Sparse ------------------------------------------------------------------------------------

SparseWriter::SparseWriter(std::uint64_t capacity, std::string_view descriptor, WriteAt write,
                           std::string name)
    : header_(header_for(capacity, descriptor)), write_(std::move(write)), name_(std::move(name)) {
  const std::uint64_t tables = header_.table_count();
  const std::uint64_t directory_sectors = sectors_for(tables * sizeof(std::uint32_t));
  header_.has_redundant_tables = true;
  header_.redundant_directory = 1 + header_.descriptor_size;
  header_.directory = header_.redundant_directory + directory_sectors + tables * table_sectors;
  header_.overhead =
      round_up_to_grain(header_.directory + directory_sectors + tables * table_sectors);
  position_ = header_.overhead;
  write_(0, header_.serialise());
  if (!descriptor.empty()) write_(header_.descriptor_offset * sector_size, descriptor);
  for (const std::uint64_t directory : {header_.redundant_directory, header_.directory}) {
    std::vector<std::uint32_t> entries(tables);
    for (std::uint64_t i = 0; i < tables; ++i)
      entries[i] = table_entry(directory + directory_sectors + i * table_sectors, name_);
    write_(directory * sector_size, little_endian(entries));
  }
}

void SparseWriter::put_table() {
  if (std::ranges::all_of(table_, [](std::uint32_t entry) { return entry == 0; })) return;
  const std::uint64_t directory_sectors =
      sectors_for(header_.table_count() * sizeof(std::uint32_t));
  const std::string bytes = little_endian(table_);
  for (const std::uint64_t directory : {header_.redundant_directory, header_.directory})
    write_((directory + directory_sectors + table_number_ * table_sectors) * sector_size, bytes);
  table_.fill(0);
}

void SparseWriter::add(std::uint64_t grain, std::string_view bytes) {
  if (grain / grain_table_entries != table_number_) put_table();
  table_number_ = grain / grain_table_entries;
  table_[grain % grain_table_entries] = table_entry(position_, name_);
  write_(position_ * sector_size, bytes);
  position_ += default_grain_size;
}

std::uint64_t SparseWriter::finish() {
  put_table();
  return position_ * sector_size;
}

}  // namespace virga::vmx
