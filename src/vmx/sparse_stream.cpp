#include "vmx/sparse_stream.h"

#include <algorithm>

#include "base/error.h"
#include "vmx/little_endian.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::vmx {
namespace {

constexpr std::size_t type_at = 12;  // in the marker of a piece of metadata

std::uint64_t whole_sectors(std::uint64_t bytes) {
  return (bytes + sector_size - 1) / sector_size * sector_size;
}

GrainMarker marker_of(std::string_view sector) {
  return GrainMarker::parse(
      std::span<const char, GrainMarker::size>(sector.data(), GrainMarker::size));
}

}  // namespace

StreamOptimizedParser::StreamOptimizedParser(std::string name, Take take)
    : name_(std::move(name)), take_(std::move(take)), needed_(sector_size) {}

void StreamOptimizedParser::refuse(std::string_view what) const {
  throw error(ErrorKind::damaged, name_, "{}: {}", name_, what);
}

void StreamOptimizedParser::expect(Next next, std::uint64_t bytes) {
  next_ = next;
  needed_ = bytes;
}

void StreamOptimizedParser::feed(std::string_view bytes) {
  while (!bytes.empty() && next_ != Next::nothing) {
    if (skip_ > 0) {
      const std::size_t skipped = std::min<std::uint64_t>(skip_, bytes.size());
      skip_ -= skipped;
      bytes.remove_prefix(skipped);
      continue;
    }
    const std::string_view part = bytes.substr(0, needed_ - begun_.size());
    bytes.remove_prefix(part.size());
    if (part.size() == needed_) {
      take_unit(part);
      continue;
    }
    begun_ += part;
    if (begun_.size() < needed_) return;
    const std::string unit = std::exchange(begun_, {});
    take_unit(unit);
  }
}

void StreamOptimizedParser::take_unit(std::string_view unit) {
  if (next_ == Next::header) return begin(unit);
  if (next_ == Next::marker) return take_marker(unit);
  take_grain(unit);
}

void StreamOptimizedParser::begin(std::string_view sector) {
  const SparseHeader header = SparseHeader::parse(sector, name_);
  if (!header.is_compressed)
    throw error(ErrorKind::unsupported, name_,
                "{} is a sparse disk that is not stream-optimized: it cannot be read as it comes",
                name_);
  if (header.overhead == 0 || header.overhead > max_disk_sectors)
    refuse("its grains begin nowhere");
  header_ = header;
  grain_.resize(header.grain_bytes());
  skip_ = (header.overhead - 1) * sector_size;
  expect(Next::marker, sector_size);
}

void StreamOptimizedParser::take_marker(std::string_view sector) {
  const GrainMarker marker = marker_of(sector);
  if (marker.data_bytes > 0) {
    if (marker.data_bytes > 2 * header_->grain_bytes())
      refuse(fmt::format("{} bytes are too many for the grain at sector {}", marker.data_bytes,
                         marker.sector));
    const std::uint64_t whole = whole_sectors(GrainMarker::size + marker.data_bytes);
    if (whole == sector_size) return take_grain(sector);
    begun_ = sector;
    return expect(Next::grain, whole);
  }
  const auto type = get_little_endian<std::uint32_t>(sector, type_at);
  if (type == static_cast<std::uint32_t>(MarkerType::end_of_stream)) {
    next_ = Next::nothing;
    return;
  }
  if (type > static_cast<std::uint32_t>(MarkerType::footer))
    refuse(fmt::format("there is no piece of type {}", type));
  if (marker.sector > max_disk_sectors) refuse("a piece of metadata is too large");
  skip_ = marker.sector * sector_size;
  expect(Next::marker, sector_size);
}

void StreamOptimizedParser::take_grain(std::string_view sectors) {
  const GrainMarker marker = marker_of(sectors);
  if (marker.sector % header_->grain_size != 0 || marker.sector >= header_->capacity)
    refuse(fmt::format("no grain of the disk begins at sector {}", marker.sector));
  const std::size_t size =
      std::min(header_->grain_size, header_->capacity - marker.sector) * sector_size;
  const auto inflated =
      inflater_.inflate(sectors.substr(GrainMarker::size, marker.data_bytes), grain_);
  if (!inflated || *inflated < size)
    refuse(fmt::format("the grain at sector {} cannot be inflated", marker.sector));
  expect(Next::marker, sector_size);
  take_(marker.sector * sector_size, std::span<const char>(grain_).first(size));
}

}  // namespace virga::vmx
