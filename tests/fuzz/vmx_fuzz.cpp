// A .vmx that is accepted keeps its meaning through a round trip, and a machine read from it
// writes back without a change.
#include <cstdlib>
#include <optional>

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

// Only reading may refuse.
void check_machine(VmxFile file) {
  std::optional<virga::vmx::MachineConfig> machine;
  try {
    machine = virga::vmx::read(file);
  } catch (const virga::Error&) {
    return;
  }
  const std::string before = file.serialise();
  virga::vmx::write(*machine, file);
  require(file.serialise() == before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::optional<VmxFile> file;
  try {
    file = VmxFile::parse(text, "fuzz");
  } catch (const virga::Error&) {
    return 0;
  }
  check_round_trip(*file);
  check_machine(*file);
  return 0;
}
