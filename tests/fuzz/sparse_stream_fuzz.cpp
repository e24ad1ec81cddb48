// Whatever comes as a stream-optimized extent, and in whatever pieces: grains have the size they
// must and lie within the disk, and the pieces make no difference.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "vmx/sparse_stream.h"
#include "vmx/vmdk_descriptor.h"

namespace {

// The places and sizes of what was taken, and how it ended.
std::string read_in_pieces(std::string_view bytes, std::size_t piece) {
  std::string taken;
  virga::vmx::StreamOptimizedParser* asked = nullptr;
  virga::vmx::StreamOptimizedParser parser(
      "fuzz", [&](std::uint64_t offset, std::span<const char> grain) {
        const auto& header = *asked->header();
        const std::uint64_t size = header.capacity * virga::vmx::sector_size;
        if (grain.empty() || grain.size() > header.grain_bytes() || offset >= size ||
            grain.size() > size - offset)
          std::abort();
        taken += std::to_string(offset) + " " + std::to_string(grain.size()) + "\n";
      });
  asked = &parser;
  try {
    while (!bytes.empty()) {
      parser.feed(bytes.substr(0, piece));
      bytes.remove_prefix(std::min(piece, bytes.size()));
    }
    taken += parser.is_whole() ? "whole" : "cut off";
  } catch (const virga::Error& refused) {
    taken += refused.what();
  }
  return taken;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (read_in_pieces(bytes, 61) != read_in_pieces(bytes, size + 1)) std::abort();
  return 0;
}
