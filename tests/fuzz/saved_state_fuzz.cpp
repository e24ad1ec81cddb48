// The header of a .vmss that is accepted says the same after a round trip, and holds nothing that
// QEMU's option syntax would take for more than a name.
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "hypervisor/saved_state.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga::hypervisor;
  const std::string_view block(reinterpret_cast<const char*>(data), size);
  std::optional<SavedState> state;
  std::string written;
  try {
    state = decode_header(block, "fuzz");
    written = encode_header(*state);
  } catch (const virga::Error&) {
    return 0;
  }
  if (state->machine_type.find_first_of(",=") != std::string::npos) std::abort();
  if (decode_header(written, "again") != *state) std::abort();
  return 0;
}
