// A .vmsn that is accepted says the same after a round trip.
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "vmx/vmsn_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga::vmx;
  std::optional<SnapshotState> state;
  try {
    state = parse_vmsn({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const virga::Error&) {
    return 0;
  }
  if (parse_vmsn(serialise_vmsn(*state), "again") != *state) std::abort();
  return 0;
}
