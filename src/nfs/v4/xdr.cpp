#include "nfs/v4/xdr.h"

#include "base/error.h"

namespace virga::nfs::v4 {
namespace {

std::size_t padding(std::size_t size) {
  return (4 - size % 4) % 4;
}

}  // namespace

XdrWriter& XdrWriter::u32(std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) bytes_ += static_cast<char>(value >> shift);
  return *this;
}

XdrWriter& XdrWriter::u64(std::uint64_t value) {
  return u32(static_cast<std::uint32_t>(value >> 32)).u32(static_cast<std::uint32_t>(value));
}

XdrWriter& XdrWriter::fixed(std::string_view bytes) {
  bytes_ += bytes;
  bytes_.append(padding(bytes.size()), '\0');
  return *this;
}

XdrWriter& XdrWriter::opaque(std::string_view bytes) {
  return u32(static_cast<std::uint32_t>(bytes.size())).fixed(bytes);
}

std::uint32_t XdrReader::u32() {
  std::uint32_t value = 0;
  for (const char c : fixed(4)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::uint64_t XdrReader::u64() {
  const std::uint64_t high = u32();
  return high << 32 | u32();
}

std::string_view XdrReader::fixed(std::size_t size) {
  const std::size_t padded = size + padding(size);
  if (padded > rest_.size())
    throw error(ErrorKind::damaged, "NFS", "the server's answer ends too early");
  const std::string_view bytes = rest_.substr(0, size);
  rest_.remove_prefix(padded);
  return bytes;
}

}  // namespace virga::nfs::v4
