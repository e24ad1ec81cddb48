// Whatever a sparse extent says, only its own bytes are read, and grains have the size they must.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "vmx/sparse_extent.h"

namespace {

constexpr int most_grains = 64;  // of a disk that may claim to have billions

void read_all(virga::vmx::SparseReader& reader) {
  const auto& header = reader.header();
  std::uint64_t grain = reader.next_data(0);
  for (int i = 0; i < most_grains && grain < header.grain_count(); ++i) {
    const std::size_t size = reader.read(grain).size();
    if (size == 0 || size > header.grain_bytes()) std::abort();
    grain = reader.next_data(grain + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto source = [&](std::uint64_t offset, std::span<char> buffer) {
    if (offset > size) std::abort();
    const std::size_t n = std::min(buffer.size(), size - static_cast<std::size_t>(offset));
    std::memcpy(buffer.data(), data + offset, n);
    return n;
  };
  try {
    virga::vmx::SparseReader reader(source, size, "fuzz");
    reader.descriptor();
    read_all(reader);
  } catch (const virga::Error&) {
  }
  return 0;
}
