// A place that is accepted has a port, and no word of QEMU's option syntax in its host.
#include <cstdlib>

#include "base/error.h"
#include "host/serial_uri.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool server = data[0] & 1;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    const auto line = virga::host::parse_serial_uri(text, server);
    if (line.port < 1 || line.port > 65'535 || line.server != server) std::abort();
    if (line.host.find_first_of(", /@") != std::string::npos) std::abort();
    if (line.host.empty() && !server) std::abort();
  } catch (const virga::Error&) {
  }
  return 0;
}
