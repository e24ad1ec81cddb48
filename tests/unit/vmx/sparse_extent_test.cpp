#include "vmx/sparse_extent.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>

#include "../expect_error.h"
#include "vmx/little_endian.h"
#include "vmx/sparse_writer.h"

namespace virga::vmx {
namespace {

constexpr std::uint64_t gib = (1ULL << 30) / sector_size;
constexpr const char* text = "# Disk DescriptorFile\nversion=1\n";

std::string grain_of(char fill) {
  return std::string(default_grain_bytes, fill);
}

SparseReader reader_of(const std::string& file) {
  const auto source = [&file](std::uint64_t offset, std::span<char> buffer) {
    const std::size_t size = std::min<std::uint64_t>(buffer.size(), file.size() - offset);
    std::memcpy(buffer.data(), file.data() + offset, size);
    return size;
  };
  return SparseReader(source, file.size(), "a.vmdk");
}

std::string_view bytes_of(std::span<const char> bytes) {
  return {bytes.data(), bytes.size()};
}

using Grains = std::map<std::uint64_t, std::string>;

Grains grains_of(SparseReader& reader) {
  Grains grains;
  const std::uint64_t end = reader.header().grain_count();
  for (std::uint64_t grain = reader.next_data(0); grain < end; grain = reader.next_data(grain + 1))
    grains[grain] = bytes_of(reader.read(grain));
  return grains;
}

std::string make_stream(std::uint64_t capacity, const Grains& grains) {
  std::string file;
  GrainDeflater deflater;
  StreamOptimizedWriter writer(
      capacity, text, [&](std::string_view bytes) { file += bytes; }, "a.vmdk");
  for (const auto& [grain, bytes] : grains) writer.add(grain, deflater.deflate(bytes));
  writer.finish();
  return file;
}

std::string make_sparse(std::uint64_t capacity, const Grains& grains,
                        std::string_view descriptor = text) {
  std::string file;
  const auto write = [&](std::uint64_t offset, std::string_view bytes) {
    file.resize(std::max(file.size(), offset + bytes.size()));
    file.replace(offset, bytes.size(), bytes);
  };
  SparseWriter writer(capacity, descriptor, write, "a.vmdk");
  for (const auto& [grain, bytes] : grains) writer.add(grain, bytes);
  file.resize(writer.finish());
  return file;
}

// Grains in three tables of a disk of five, and in its last, incomplete grain.
constexpr std::uint64_t capacity = 4 * 512 * default_grain_size + 5;
Grains sample_grains() {
  return {{0, grain_of('a')},
          {1, grain_of('b')},
          {511, grain_of('c')},
          {512, grain_of('d')},
          {2048, std::string(5 * sector_size, 'e')}};
}
Grains padded(Grains grains) {
  for (auto& [number, bytes] : grains) bytes.resize(default_grain_bytes);
  return grains;
}

TEST(SparseHeader, IsReadAsItWasWritten) {
  SparseHeader header;
  header.version = 2;
  header.has_redundant_tables = header.has_zeroed_grains = true;
  header.capacity = 40 * gib;
  header.descriptor_offset = 1;
  header.descriptor_size = 20;
  header.redundant_directory = 21;
  header.directory = 100;
  header.overhead = 256;
  const std::string sector = header.serialise();
  ASSERT_EQ(sector.size(), sector_size);
  EXPECT_TRUE(is_sparse_extent(sector));
  EXPECT_EQ(SparseHeader::parse(sector, "x"), header);
  // What the specification fixes, byte by byte.
  EXPECT_EQ(sector.substr(0, 12), std::string("KDMV\x02\0\0\0\x07\0\0\0", 12));
  EXPECT_EQ(sector.substr(44, 4), std::string("\0\x02\0\0", 4));
  EXPECT_EQ(sector.substr(73, 4), "\n \r\n");
  EXPECT_EQ(header.grain_count(), 40 * gib / 128);
  EXPECT_EQ(header.table_count(), 40 * gib / 128 / 512);
}

TEST(SparseHeader, IsRefusedWithTheReason) {
  SparseHeader good;
  good.capacity = gib;
  good.directory = 21;
  const auto refused = [](std::string sector, const std::string& why,
                          ErrorKind kind = ErrorKind::damaged) {
    expect_error(kind, "a.vmdk", [&] { SparseHeader::parse(sector, "a.vmdk"); });
    expect_error(kind, why, [&] { SparseHeader::parse(sector, "a.vmdk"); });
  };
  const auto changed = [&](auto change) {
    SparseHeader header = good;
    change(header);
    return header.serialise();
  };
  refused(good.serialise().substr(0, 100), "cut off");
  refused(std::string(sector_size, 'x'), "not the header");
  refused(changed([](auto& it) { it.version = 4; }), "version 4");
  refused(changed([](auto& it) { it.capacity = 0; }), "0 sectors are no capacity");
  refused(changed([](auto& it) { it.capacity = ~0ULL; }), "no capacity");
  refused(changed([](auto& it) { it.grain_size = 100; }), "100 sectors are no size of a grain");
  refused(changed([](auto& it) { it.grain_size = 0; }), "no size of a grain");
  refused(changed([](auto& it) { it.grain_size = 1 << 20; }), "no size of a grain");
  refused(changed([](auto& it) { it.capacity = max_disk_sectors; }), "grains are too small");
  refused(changed([](auto& it) { it.descriptor_size = 1 << 20; }), "descriptor is too large");
  refused(changed([](auto& it) { it.descriptor_offset = ~0ULL; }), "descriptor lies nowhere");
  std::string sector = good.serialise();
  sector.erase(75, 1);  // "\r\n" became "\n"
  sector += '\0';
  refused(sector, "transferred as text");
  sector = good.serialise();
  put_little_endian<std::uint32_t>(sector, 44, 256);
  refused(sector, "512 entries");
  sector = changed([](auto& it) { it.is_compressed = true; });
  sector[77] = 2;
  refused(sector, "algorithm 2", ErrorKind::unsupported);
}

TEST(StreamOptimized, ReadsAsItWasWritten) {
  const std::string file = make_stream(capacity, sample_grains());
  EXPECT_EQ(file.size() % sector_size, 0u);
  SparseReader reader = reader_of(file);
  EXPECT_TRUE(reader.header().is_compressed);
  EXPECT_EQ(reader.header().capacity, capacity);
  EXPECT_EQ(reader.descriptor().substr(0, std::strlen(text)), text);
  EXPECT_EQ(grains_of(reader), sample_grains());
  EXPECT_TRUE(reader.read(2).empty());
  EXPECT_TRUE(reader.read(1024).empty());
  expect_error(ErrorKind::damaged, "no grain 2049", [&] { reader.read(2049); });
}

TEST(StreamOptimized, HasTablesOnlyWhereThereAreGrains) {
  const std::string empty = make_stream(capacity, {});
  EXPECT_EQ(empty.size(), default_grain_bytes + 5 * sector_size);  // directory, footer, end: 2+2+1
  SparseReader reader = reader_of(empty);
  EXPECT_EQ(reader.next_data(0), reader.header().grain_count());
}

TEST(StreamOptimized, KeepsGrainsThatDoNotCompress) {
  std::string noise(default_grain_bytes, '\0');
  std::uint32_t state = 1;
  for (char& byte : noise) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  const std::string file = make_stream(capacity, {{7, noise}});
  EXPECT_GT(file.size(), 2 * default_grain_bytes);
  SparseReader reader = reader_of(file);
  EXPECT_EQ(bytes_of(reader.read(7)), noise);
}

TEST(StreamOptimized, SaysWhereItIsDamaged) {
  const std::string good = make_stream(capacity, sample_grains());
  const auto refused = [](const std::string& file, const std::string& why) {
    expect_error(ErrorKind::damaged, "a.vmdk: " + why, [&] {
      SparseReader reader = reader_of(file);
      grains_of(reader);
    });
  };
  refused(good.substr(0, 10), "the header lies beyond");
  refused(good.substr(0, sector_size), "the stream is cut off");
  refused(good.substr(0, good.size() - sector_size), "the stream is cut off");
  const std::size_t first = default_grain_bytes;  // where the first grain's marker is
  std::string file = good;
  file[first] = 1;
  refused(file, "the data of grain 0 says that it is of sector 1");
  file = good;
  put_little_endian<std::uint32_t>(file, first + 8, 0xffffffff);
  refused(file, "grain 0 is cut off");
  file = good;
  file[first + 12 + 2] ^= 0x55;
  refused(file, "grain 0 cannot be inflated");
  file = good;
  put_little_endian<std::uint32_t>(file, first + 8, 5);
  refused(file, "grain 0 cannot be inflated");
  file = good;
  const std::size_t footer = file.size() - 2 * sector_size;
  put_little_endian<std::uint64_t>(file, footer + 56, 1 << 20);
  refused(file, "the grain directory lies beyond the end of the file");
  put_little_endian<std::uint64_t>(file, footer + 56, ~0ULL >> 1);
  refused(file, "the grain directory lies nowhere");
  put_little_endian<std::uint64_t>(file, footer + 12, capacity + 1);
  refused(file, "the footer contradicts the header");
}

TEST(Sparse, ReadsAsItWasWritten) {
  const std::string file = make_sparse(capacity, padded(sample_grains()));
  SparseReader reader = reader_of(file);
  EXPECT_FALSE(reader.header().is_compressed);
  EXPECT_TRUE(reader.header().has_redundant_tables);
  EXPECT_EQ(reader.header().overhead % default_grain_size, 0u);
  EXPECT_EQ(reader.descriptor().substr(0, std::strlen(text)), text);
  EXPECT_EQ(grains_of(reader), sample_grains());
}

TEST(Sparse, MayHaveItsDescriptorElsewhere) {
  const std::string file = make_sparse(capacity, {{3, grain_of('x')}}, "");
  SparseReader reader = reader_of(file);
  EXPECT_EQ(reader.descriptor(), "");
  EXPECT_EQ(grains_of(reader), (Grains{{3, grain_of('x')}}));
}

TEST(Sparse, FallsBackToTheSecondTables) {
  const std::string good = make_sparse(capacity, padded(sample_grains()));
  const SparseHeader header = SparseHeader::parse(good, "a.vmdk");
  std::string file = good;
  put_little_endian<std::uint64_t>(file, 56, 1 << 30);  // the first directory is nowhere
  SparseReader without_directory = reader_of(file);
  EXPECT_EQ(grains_of(without_directory), sample_grains());

  file = good;
  put_little_endian<std::uint32_t>(file, header.directory * sector_size, 1 << 30);
  SparseReader without_table = reader_of(file);
  EXPECT_EQ(grains_of(without_table), sample_grains());

  put_little_endian<std::uint32_t>(file, header.redundant_directory * sector_size, 1 << 30);
  expect_error(ErrorKind::damaged, "both copies of grain table 0", [&] {
    SparseReader reader = reader_of(file);
    grains_of(reader);
  });
}

TEST(Sparse, KnowsZeroedGrains) {
  std::string file = make_sparse(capacity, padded(sample_grains()));
  const SparseHeader header = SparseHeader::parse(file, "a.vmdk");
  const auto table = get_little_endian<std::uint32_t>(file, header.directory * sector_size);
  put_little_endian<std::uint32_t>(file, table * sector_size, 1);
  EXPECT_EQ(reader_of(file).read(0).size(), default_grain_bytes);  // sector 1, whatever it holds
  SparseHeader zeroed = header;
  zeroed.version = 2;
  zeroed.has_zeroed_grains = true;
  file.replace(0, sector_size, zeroed.serialise());
  SparseReader reader = reader_of(file);
  EXPECT_TRUE(reader.read(0).empty());
  EXPECT_EQ(reader.next_data(0), 1u);
}

TEST(Sparse, DoesNotReadBeyondItsFile) {
  const std::string good = make_sparse(capacity, padded(sample_grains()));
  expect_error(ErrorKind::damaged, "a.vmdk: grain 2048 is cut off", [&] {
    const std::string file = good.substr(0, good.size() - default_grain_bytes + sector_size);
    SparseReader reader = reader_of(file);
    grains_of(reader);
  });
  // A file that ends with the disk rather than with a whole grain is complete.
  const std::string file = good.substr(0, good.size() - default_grain_bytes + 5 * sector_size);
  SparseReader reader = reader_of(file);
  EXPECT_EQ(grains_of(reader), sample_grains());
}

TEST(StreamOptimized, IsNoLargerThanItsFormat) {
  constexpr std::size_t size = 1 << 30;  // of addresses, not of memory
  void* nothing = ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(nothing, MAP_FAILED);
  StreamOptimizedWriter writer(
      capacity, text, [](std::string_view) {}, "a.vmdk");
  std::uint64_t grain = 0;
  expect_error(ErrorKind::unsupported, "a.vmdk would be larger than the 2 TiB", [&] {
    for (;; ++grain) writer.add(grain, {static_cast<const char*>(nothing), size});
  });
  EXPECT_EQ(grain, 2048u);
  ::munmap(nothing, size);
}

}  // namespace
}  // namespace virga::vmx
