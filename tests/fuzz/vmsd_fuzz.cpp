// A .vmsd that is accepted says the same after a round trip.
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "vmx/vmsd_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga::vmx;
  std::optional<SnapshotTree> tree;
  try {
    tree = parse_vmsd({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const virga::Error&) {
    return 0;
  }
  if (parse_vmsd(serialise_vmsd(*tree), "again") != *tree) std::abort();
  return 0;
}
