// A descriptor that is accepted says the same after a round trip.
#include <cstdlib>

#include "base/error.h"
#include "vmx/vmdk_descriptor.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using virga::vmx::VmdkDescriptor;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::optional<VmdkDescriptor> descriptor;
  try {
    descriptor = VmdkDescriptor::parse(text, "fuzz");
  } catch (const virga::Error&) {
    return 0;
  }
  if (VmdkDescriptor::parse(descriptor->serialise(), "again") != *descriptor) std::abort();
  return 0;
}
