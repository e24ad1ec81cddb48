// Whatever somebody calls an OVF descriptor is read without an exception, and what was read can be
// written and read again.
#include <cstdlib>

#include "ovf/reader.h"
#include "ovf/writer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto reading =
      virga::ovf::read(std::string_view(reinterpret_cast<const char*>(data), size));
  if (reading.has_errors()) return 0;
  const auto again = virga::ovf::read(virga::ovf::write(reading.envelope));
  if (again.envelope.systems.size() != reading.envelope.systems.size() ||
      again.envelope.disks.size() != reading.envelope.disks.size())
    std::abort();
  return 0;
}
