#include "vmx/sparse_stream.h"

#include <gtest/gtest.h>

#include <map>

#include "../expect_error.h"
#include "vmx/little_endian.h"
#include "vmx/sparse_writer.h"

namespace virga::vmx {
namespace {

constexpr std::uint64_t capacity = 600 * default_grain_size + 5;
constexpr std::size_t overhead = default_grain_bytes;  // header and descriptor

using Content = std::map<std::uint64_t, std::string>;  // by the byte it begins at

std::string grain_of(char fill) {
  return std::string(default_grain_bytes, fill);
}

Content sample() {
  return {{0, grain_of('a')},
          {511 * default_grain_bytes, grain_of('b')},
          {600 * default_grain_bytes, std::string(5 * sector_size, 'c')}};
}

std::string make_stream(const Content& content) {
  std::string file;
  GrainDeflater deflater;
  StreamOptimizedWriter writer(
      capacity, "# Disk DescriptorFile\n", [&](std::string_view bytes) { file += bytes; },
      "a.vmdk");
  for (auto [at, bytes] : content) {
    bytes.resize(default_grain_bytes);
    writer.add(at / default_grain_bytes, deflater.deflate(bytes));
  }
  writer.finish();
  return file;
}

struct Reading {
  Content content;
  StreamOptimizedParser parser{"a.vmdk", [this](std::uint64_t at, std::span<const char> bytes) {
                                 content[at] = {bytes.data(), bytes.size()};
                               }};

  void feed(std::string_view bytes, std::size_t piece) {
    for (std::size_t at = 0; at < bytes.size(); at += piece) parser.feed(bytes.substr(at, piece));
  }
};

TEST(StreamOptimizedParser, ReadsWhatWasWrittenInPiecesOfAnySize) {
  const std::string stream = make_stream(sample());
  for (const std::size_t piece : {1, 511, 512, 513, 100'000, 1'000'000}) {
    Reading reading;
    reading.feed(stream, piece);
    EXPECT_EQ(reading.content, sample()) << piece;
    EXPECT_TRUE(reading.parser.is_whole());
    EXPECT_EQ(reading.parser.header()->capacity, capacity);
  }
}

TEST(StreamOptimizedParser, ReadsGrainsThatDoNotCompressOrHardlyTakeASector) {
  std::string noise(default_grain_bytes, '\0');
  for (std::size_t i = 0; i < noise.size(); ++i)
    noise[i] = static_cast<char>(i * 2654435761u >> 13 ^ i * i >> 7);
  const Content content = {{0, noise}, {default_grain_bytes, grain_of('\0')}};
  Reading reading;
  reading.feed(make_stream(content), 4096);
  EXPECT_EQ(reading.content, content);
}

TEST(StreamOptimizedParser, KnowsThatTheEndIsMissing) {
  const std::string stream = make_stream(sample());
  Reading reading;
  reading.feed(std::string_view(stream).substr(0, stream.size() - sector_size), 4096);
  EXPECT_FALSE(reading.parser.is_whole());
  reading.feed(std::string_view(stream).substr(stream.size() - sector_size), 4096);
  EXPECT_TRUE(reading.parser.is_whole());
}

TEST(StreamOptimizedParser, LeavesWhatFollowsTheEnd) {
  Reading reading;
  reading.feed(make_stream(sample()) + "more", 4096);
  EXPECT_EQ(reading.content, sample());
}

TEST(StreamOptimizedParser, SaysWhatIsWrong) {
  const auto refused = [](ErrorKind kind, const std::string& what, auto change) {
    std::string stream = make_stream(sample());
    change(stream);
    Reading reading;
    expect_error(kind, what, [&] { reading.feed(stream, 4096); });
  };
  refused(ErrorKind::damaged, "a.vmdk: no grain of the disk begins at sector 1",
          [](std::string& s) { put_little_endian<std::uint64_t>(s, overhead, 1); });
  refused(ErrorKind::damaged, "a.vmdk: no grain of the disk begins at sector 128000",
          [](std::string& s) { put_little_endian<std::uint64_t>(s, overhead, 128'000); });
  refused(ErrorKind::damaged, "a.vmdk: 131073 bytes are too many for the grain at sector 0",
          [](std::string& s) { put_little_endian<std::uint32_t>(s, overhead + 8, 131'073); });
  refused(ErrorKind::damaged, "a.vmdk: the grain at sector 0 cannot be inflated",
          [](std::string& s) { s[overhead + GrainMarker::size] = 'y'; });
  refused(ErrorKind::damaged, "a.vmdk: there is no piece of type 4", [](std::string& s) {
    s.replace(overhead, sector_size, metadata_marker(static_cast<MarkerType>(4), 1));
  });
  refused(ErrorKind::damaged, "a.vmdk: its grains begin nowhere",
          [](std::string& s) { put_little_endian<std::uint64_t>(s, 64, 0); });
  refused(ErrorKind::damaged, "a.vmdk: this is not the header", [](std::string& s) { s[0] = 'Q'; });
  refused(ErrorKind::unsupported, "a.vmdk is a sparse disk that is not stream-optimized",
          [](std::string& s) {
            SparseHeader header = SparseHeader::parse(s, "a.vmdk");
            header.is_compressed = false;
            s.replace(0, sector_size, header.serialise());
          });
}

}  // namespace
}  // namespace virga::vmx
