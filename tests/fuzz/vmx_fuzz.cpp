// A .vmx that is accepted keeps its meaning through a round trip, and a machine read from it
// writes back without a change.
#include <cstdlib>

#include "base/error.h"
#include "vmx/machine_config.h"
#include "vmx/vmx_file.h"

namespace {

using virga::vmx::VmxFile;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_round_trip(const VmxFile& file) {
  const VmxFile again = VmxFile::parse(file.serialise(), "again");
  for (const auto& [key, value] : file.entries())
    if (key != ".encoding") require(again.get(key) == value);
}

void check_machine(VmxFile file) {
  const auto machine = virga::vmx::read(file);
  const std::string before = file.serialise();
  virga::vmx::write(machine, file);
  require(file.serialise() == before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const VmxFile file = VmxFile::parse(text, "fuzz");
    check_round_trip(file);
    check_machine(file);
  } catch (const virga::Error&) {
  }
  return 0;
}
