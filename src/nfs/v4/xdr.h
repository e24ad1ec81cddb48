// Internal to the module: XDR (RFC 4506), the encoding of what ONC RPC carries. Big-endian, in
// units of four bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace virga::nfs::v4 {

class XdrWriter {
 public:
  XdrWriter& u32(std::uint32_t value);
  XdrWriter& u64(std::uint64_t value);
  XdrWriter& boolean(bool value) { return u32(value ? 1 : 0); }
  // Whose length the protocol says.
  XdrWriter& fixed(std::string_view bytes);
  // Preceded by its length: opaque<>, string<>.
  XdrWriter& opaque(std::string_view bytes);

  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Refers to bytes of the caller's, as does what it returns. Throws ErrorKind::damaged where they
// end too early.
class XdrReader {
 public:
  explicit XdrReader(std::string_view bytes) : rest_(bytes) {}

  std::uint32_t u32();
  std::uint64_t u64();
  bool boolean() { return u32() != 0; }
  std::string_view fixed(std::size_t size);
  std::string_view opaque() { return fixed(u32()); }

  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace virga::nfs::v4
