#include "vmx/sparse_extent.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <new>
#include <optional>

#include "base/error.h"
#include "vmx/little_endian.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::vmx {
namespace {

constexpr std::string_view magic = "KDMV";

// Bits of the header's flags.
constexpr std::uint32_t newlines_are_valid = 1 << 0;
constexpr std::uint32_t redundant_tables = 1 << 1;
constexpr std::uint32_t zeroed_grains = 1 << 2;
constexpr std::uint32_t compressed_grains = 1 << 16;
constexpr std::uint32_t markers = 1 << 17;

constexpr std::uint16_t deflate_algorithm = 1;
constexpr std::uint32_t zeroed_grain_entry = 1;
constexpr std::size_t newlines_at = 73;
constexpr std::string_view newlines = "\n \r\n";  // which a transfer as text would change

constexpr std::uint64_t min_grain_size = 8, max_grain_size = 16384;
// 512 TiB in grains of the usual size: beyond every disk, and yet only 64 MiB of directory.
constexpr std::uint64_t max_tables = 1 << 24;
constexpr std::size_t table_bytes = grain_table_entries * sizeof(std::uint32_t);

std::uint64_t divide_up(std::uint64_t number, std::uint64_t by) {
  return number / by + (number % by != 0);
}

}  // namespace

// --- Header and markers ------------------------------------------------------------------------

std::uint64_t SparseHeader::grain_bytes() const {
  return grain_size * sector_size;
}
std::uint64_t SparseHeader::grain_count() const {
  return divide_up(capacity, grain_size);
}
std::uint64_t SparseHeader::table_count() const {
  return divide_up(grain_count(), grain_table_entries);
}

bool is_sparse_extent(std::string_view beginning) {
  return beginning.starts_with(magic);
}

SparseHeader SparseHeader::parse(std::string_view sector, const std::string& name) {
  const auto require = [&](bool holds, std::string_view what) {
    if (!holds) throw error(ErrorKind::damaged, name, "{}: {}", name, what);
  };
  require(sector.size() >= sector_size, "the header of the sparse extent is cut off");
  require(is_sparse_extent(sector), "this is not the header of a sparse extent");
  const auto flags = get_little_endian<std::uint32_t>(sector, 8);
  SparseHeader header;
  header.version = get_little_endian<std::uint32_t>(sector, 4);
  header.has_redundant_tables = (flags & redundant_tables) != 0;
  header.has_zeroed_grains = (flags & zeroed_grains) != 0;
  header.is_compressed = (flags & compressed_grains) != 0;
  header.capacity = get_little_endian<std::uint64_t>(sector, 12);
  header.grain_size = get_little_endian<std::uint64_t>(sector, 20);
  header.descriptor_offset = get_little_endian<std::uint64_t>(sector, 28);
  header.descriptor_size = get_little_endian<std::uint64_t>(sector, 36);
  header.redundant_directory = get_little_endian<std::uint64_t>(sector, 48);
  header.directory = get_little_endian<std::uint64_t>(sector, 56);
  header.overhead = get_little_endian<std::uint64_t>(sector, 64);

  require(header.version >= 1 && header.version <= 3,
          fmt::format("version {} of the sparse extent is not known", header.version));
  require(
      (flags & newlines_are_valid) == 0 || sector.substr(newlines_at, newlines.size()) == newlines,
      "the sparse extent was transferred as text, and its bytes are changed");
  require(header.capacity > 0 && header.capacity <= max_disk_sectors,
          fmt::format("{} sectors are no capacity", header.capacity));
  require(std::has_single_bit(header.grain_size) && header.grain_size >= min_grain_size &&
              header.grain_size <= max_grain_size,
          fmt::format("{} sectors are no size of a grain", header.grain_size));
  require(get_little_endian<std::uint32_t>(sector, 44) == grain_table_entries,
          "the grain tables are not of 512 entries");
  require(header.table_count() <= max_tables, "the grains are too small for the capacity");
  require(header.descriptor_offset <= max_disk_sectors, "the embedded descriptor lies nowhere");
  require(header.descriptor_size <= VmdkDescriptor::max_size / sector_size,
          "the embedded descriptor is too large");
  const auto algorithm = get_little_endian<std::uint16_t>(sector, 77);
  const bool has_markers = (flags & markers) != 0;
  if (header.is_compressed && (algorithm != deflate_algorithm || !has_markers))
    throw error(ErrorKind::unsupported, name,
                "{}: its grains are compressed by algorithm {}, {} markers", name, algorithm,
                has_markers ? "with" : "without");
  return header;
}

std::string SparseHeader::serialise() const {
  std::string sector(sector_size, '\0');
  std::uint32_t flags = newlines_are_valid;
  if (has_redundant_tables) flags |= redundant_tables;
  if (has_zeroed_grains) flags |= zeroed_grains;
  if (is_compressed) flags |= compressed_grains | markers;
  sector.replace(0, magic.size(), magic);
  put_little_endian<std::uint32_t>(sector, 4, version);
  put_little_endian<std::uint32_t>(sector, 8, flags);
  put_little_endian<std::uint64_t>(sector, 12, capacity);
  put_little_endian<std::uint64_t>(sector, 20, grain_size);
  put_little_endian<std::uint64_t>(sector, 28, descriptor_offset);
  put_little_endian<std::uint64_t>(sector, 36, descriptor_size);
  put_little_endian<std::uint32_t>(sector, 44, grain_table_entries);
  put_little_endian<std::uint64_t>(sector, 48, redundant_directory);
  put_little_endian<std::uint64_t>(sector, 56, directory);
  put_little_endian<std::uint64_t>(sector, 64, overhead);
  sector.replace(newlines_at, newlines.size(), newlines);
  put_little_endian<std::uint16_t>(sector, 77, is_compressed ? deflate_algorithm : 0);
  return sector;
}

GrainMarker GrainMarker::parse(std::span<const char, size> bytes) {
  const std::string_view text(bytes.data(), bytes.size());
  return {get_little_endian<std::uint64_t>(text, 0), get_little_endian<std::uint32_t>(text, 8)};
}

std::string GrainMarker::serialise() const {
  std::string bytes(size, '\0');
  put_little_endian<std::uint64_t>(bytes, 0, sector);
  put_little_endian<std::uint32_t>(bytes, 8, data_bytes);
  return bytes;
}

std::string metadata_marker(MarkerType type, std::uint64_t sectors) {
  std::string marker(sector_size, '\0');
  put_little_endian<std::uint64_t>(marker, 0, sectors);
  put_little_endian<std::uint32_t>(marker, 12, static_cast<std::uint32_t>(type));
  return marker;
}

// --- Compression -------------------------------------------------------------------------------

struct GrainDeflater::State {
  z_stream stream{};
};

GrainDeflater::GrainDeflater() : state_(std::make_unique<State>()) {
  // The fastest level: others win a few percent of the size for several times the time.
  if (::deflateInit(&state_->stream, Z_BEST_SPEED) != Z_OK) throw std::bad_alloc();
}

GrainDeflater::~GrainDeflater() {
  ::deflateEnd(&state_->stream);
}

std::string GrainDeflater::deflate(std::string_view grain) {
  z_stream& stream = state_->stream;
  ::deflateReset(&stream);
  std::string deflated(::deflateBound(&stream, grain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(grain.data()));
  stream.avail_in = static_cast<uInt>(grain.size());
  stream.next_out = reinterpret_cast<Bytef*>(deflated.data());
  stream.avail_out = static_cast<uInt>(deflated.size());
  ::deflate(&stream, Z_FINISH);  // ends in one call, as the buffer has the bound's size
  deflated.resize(stream.total_out);
  return deflated;
}

struct GrainInflater::State {
  z_stream stream{};
};

GrainInflater::GrainInflater() : state_(std::make_unique<State>()) {
  if (::inflateInit(&state_->stream) != Z_OK) throw std::bad_alloc();
}

GrainInflater::~GrainInflater() {
  ::inflateEnd(&state_->stream);
}

std::optional<std::size_t> GrainInflater::inflate(std::span<const char> from, std::span<char> to) {
  z_stream& stream = state_->stream;
  ::inflateReset(&stream);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = reinterpret_cast<Bytef*>(to.data());
  stream.avail_out = static_cast<uInt>(to.size());
  if (::inflate(&stream, Z_FINISH) != Z_STREAM_END) return std::nullopt;
  return stream.total_out;
}

// --- Reader ------------------------------------------------------------------------------------

SparseReader::SparseReader(Source source, std::uint64_t file_bytes, std::string name)
    : source_(std::move(source)), file_bytes_(file_bytes), name_(std::move(name)) {
  header_ = SparseHeader::parse(read_bytes(0, sector_size, "the header"), name_);
  if (header_.directory == SparseHeader::in_footer) read_footer();
  try {
    directory_ = read_directory(header_.directory);
  } catch (const Error&) {
    if (!header_.has_redundant_tables) throw;
    directory_ = read_directory(header_.redundant_directory);
  }
  grain_.resize(header_.grain_bytes());
  if (header_.is_compressed) inflater_ = std::make_unique<GrainInflater>();
}

SparseReader::~SparseReader() = default;
SparseReader::SparseReader(SparseReader&&) noexcept = default;
SparseReader& SparseReader::operator=(SparseReader&&) noexcept = default;

void SparseReader::refuse(std::string_view what) const {
  throw error(ErrorKind::damaged, name_, "{}: {}", name_, what);
}

// The footer is a header that knows where the directory came to lie; the end-of-stream marker
// follows it.
void SparseReader::read_footer() {
  if (file_bytes_ < 3 * sector_size) refuse("the stream is cut off: it has no footer");
  const std::string sector =
      read_bytes(file_bytes_ - 2 * sector_size, sector_size, "the footer of the stream");
  if (!is_sparse_extent(sector)) refuse("the stream is cut off: it has no footer");
  const SparseHeader footer = SparseHeader::parse(sector, name_);
  if (footer.capacity != header_.capacity || footer.grain_size != header_.grain_size ||
      footer.is_compressed != header_.is_compressed)
    refuse("the footer contradicts the header");
  header_.directory = footer.directory;
  header_.redundant_directory = footer.redundant_directory;
  header_.has_redundant_tables = footer.has_redundant_tables;
}

std::string SparseReader::read_bytes(std::uint64_t offset, std::size_t size,
                                     std::string_view what) const {
  if (offset > file_bytes_ || size > file_bytes_ - offset)
    refuse(fmt::format("{} lies beyond the end of the file", what));
  std::string bytes(size, '\0');
  if (source_(offset, bytes) != size) refuse("the file became shorter meanwhile");
  return bytes;
}

std::string SparseReader::descriptor() {
  if (header_.descriptor_offset == 0) return {};
  return read_bytes(header_.descriptor_offset * sector_size, header_.descriptor_size * sector_size,
                    "the embedded descriptor");
}

std::vector<std::uint32_t> SparseReader::read_directory(std::uint64_t sector) const {
  if (sector == 0 || sector > max_disk_sectors) refuse("the grain directory lies nowhere");
  const std::string bytes = read_bytes(
      sector * sector_size, header_.table_count() * sizeof(std::uint32_t), "the grain directory");
  std::vector<std::uint32_t> directory(header_.table_count());
  for (std::size_t i = 0; i < directory.size(); ++i)
    directory[i] = get_little_endian<std::uint32_t>(bytes, i * sizeof(std::uint32_t));
  return directory;
}

// False for a table that is not whole, or that names a grain beyond the end of the file.
bool SparseReader::read_table(std::uint64_t sector, Table& table) const {
  const std::uint64_t offset = sector * sector_size;
  if (offset > file_bytes_ || table_bytes > file_bytes_ - offset) return false;
  const std::string bytes = read_bytes(offset, table_bytes, "a grain table");
  for (std::size_t i = 0; i < table.size(); ++i) {
    table[i] = get_little_endian<std::uint32_t>(bytes, i * sizeof(std::uint32_t));
    if (is_data(table[i]) && table[i] * std::uint64_t{sector_size} >= file_bytes_) return false;
  }
  return true;
}

void SparseReader::load_table(std::uint64_t number) {
  if (number == table_number_) return;
  table_number_ = ~std::uint64_t{0};
  if (const std::uint32_t sector = directory_[number]; sector == 0) {
    table_.fill(0);
  } else if (!read_table(sector, table_)) {
    if (!header_.has_redundant_tables)
      refuse(fmt::format("grain table {} points beyond the end of the file", number));
    if (redundant_directory_.empty())
      redundant_directory_ = read_directory(header_.redundant_directory);
    if (!read_table(redundant_directory_[number], table_))
      refuse(fmt::format("both copies of grain table {} point beyond the end of the file", number));
  }
  table_number_ = number;
}

bool SparseReader::is_data(std::uint32_t entry) const {
  return entry != 0 && !(entry == zeroed_grain_entry && header_.has_zeroed_grains);
}

std::uint32_t SparseReader::entry(std::uint64_t grain) {
  load_table(grain / grain_table_entries);
  return table_[grain % grain_table_entries];
}

std::uint64_t SparseReader::next_data(std::uint64_t grain) {
  const std::uint64_t end = header_.grain_count();
  while (grain < end) {
    if (directory_[grain / grain_table_entries] == 0)
      grain = (grain / grain_table_entries + 1) * grain_table_entries;
    else if (is_data(entry(grain)))
      return grain;
    else
      ++grain;
  }
  return end;
}

std::span<const char> SparseReader::read(std::uint64_t grain) {
  if (grain >= header_.grain_count()) refuse(fmt::format("there is no grain {}", grain));
  const std::uint32_t sector = entry(grain);
  if (!is_data(sector)) return {};
  const std::uint64_t first = grain * header_.grain_size;
  const std::size_t size = std::min(header_.grain_size, header_.capacity - first) * sector_size;
  const std::uint64_t offset = sector * std::uint64_t{sector_size};
  if (header_.is_compressed) return read_deflated(grain, offset, size);
  if (size > file_bytes_ - offset) refuse(fmt::format("grain {} is cut off", grain));
  const std::span<char> bytes(grain_.data(), size);
  if (source_(offset, bytes) != size) refuse("the file became shorter meanwhile");
  return bytes;
}

std::span<const char> SparseReader::read_deflated(std::uint64_t grain, std::uint64_t offset,
                                                  std::size_t size) {
  // Read with the marker what a well-compressed grain has, and seldom anything else.
  constexpr std::size_t first_read = 16 << 10;
  stored_.resize(std::min<std::uint64_t>(first_read, file_bytes_ - offset));
  if (stored_.size() < GrainMarker::size || source_(offset, stored_) != stored_.size())
    refuse(fmt::format("the marker of grain {} is cut off", grain));
  const auto marker = GrainMarker::parse(
      std::span<const char, GrainMarker::size>(stored_.data(), GrainMarker::size));
  if (marker.sector != grain * header_.grain_size)
    refuse(fmt::format("the data of grain {} says that it is of sector {}", grain, marker.sector));
  const std::size_t whole = GrainMarker::size + std::size_t{marker.data_bytes};
  if (marker.data_bytes > 2 * header_.grain_bytes() || whole > file_bytes_ - offset)
    refuse(fmt::format("grain {} is cut off", grain));
  if (const std::size_t present = stored_.size(); present < whole) {
    stored_.resize(whole);
    const std::span<char> rest = std::span(stored_).subspan(present);
    if (source_(offset + present, rest) != rest.size()) refuse("the file became shorter meanwhile");
  }
  const auto inflated =
      inflater_->inflate(std::span(stored_).subspan(GrainMarker::size, marker.data_bytes), grain_);
  if (!inflated || *inflated < size) refuse(fmt::format("grain {} cannot be inflated", grain));
  return std::span<const char>(grain_).first(size);
}

}  // namespace virga::vmx
