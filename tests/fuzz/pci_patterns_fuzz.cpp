// What is understood of a list of PCI devices is understood again from its own text.
#include <cstdlib>

#include "host/pci_patterns.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga::host;
  const auto patterns = parse_pci_patterns({reinterpret_cast<const char*>(data), size});
  if (parse_pci_patterns(format_pci_patterns(patterns)) != patterns) std::abort();
  return 0;
}
