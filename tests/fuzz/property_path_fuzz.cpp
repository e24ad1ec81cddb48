// Any bytes as a path of a virtual machine's properties.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "model/property_path.h"
#include "vim/types.h"

using namespace virga;
using model::any;
using model::share;

namespace {

vim::VirtualMachineProperties machine() {
  vim::VirtualMachineProperties vm;
  vm.name = "web01";
  vm.runtime.edit().powerState = vim::VirtualMachinePowerState::poweredOn;
  auto& config = vm.config.edit();
  vim::VirtualE1000 nic;
  nic.key = 4000;
  nic.connectable.edit().connected = true;
  config.hardware.device.push_back(share(nic));
  auto& option = config.extraConfig.emplace_back();
  option.key = "a";
  option.value = any(std::string("b"));
  return vm;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const model::DataPtr before = share(vim::VirtualMachineProperties()).data();
  static const model::DataPtr after = share(machine()).data();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto path = model::parse_path(text);
  const auto changes = model::difference(before, after, text);
  if (!path) return 0;
  const bool exists = model::path_exists(vim::VirtualMachineProperties::static_type(), *path);
  const bool found = static_cast<bool>(model::resolve(after, *path));
  if (found && !exists) std::abort();
  // What is there now and was not before is a change.
  if (found && !model::resolve(before, *path) && changes.empty()) std::abort();
  return 0;
}
