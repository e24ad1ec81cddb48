#include "host/mac_conflicts.h"

#include <set>

#include "host/virtual_machine.h"

namespace virga::host {
namespace {

vim::VmEventArgument argument_of(const VirtualMachine& vm) {
  vim::VmEventArgument argument;
  argument.vm = vm.self();
  argument.name = vm.properties().name;
  return argument;
}

template <class Event>
void post(Host& host, const VirtualMachine& vm, const VirtualMachine& other,
          const std::string& mac) {
  Event event;
  event.vm = model::share(argument_of(vm));
  event.conflictedVm = argument_of(other);
  event.mac = mac;
  host.post(std::move(event), fmt::format("{} and {} have the same MAC address, {}",
                                          vm.properties().name, other.properties().name, mac));
}

}  // namespace

void report_mac_conflicts(Host& host, const VirtualMachine& vm, const vmx::MachineConfig& before) {
  std::set<std::string> known = {""};
  vmx::for_each_adapter(before, [&](const auto& adapter) { known.insert(adapter.mac); });
  vmx::for_each_adapter(vm.config(), [&](const auto& adapter) {
    if (known.contains(adapter.mac)) return;
    for (const auto& [ref, other] : host.virtual_machines) {
      if (other.get() == &vm || !other->has_mac(adapter.mac)) continue;
      if (adapter.address_type == vmx::AddressType::manual)
        post<vim::VmStaticMacConflictEvent>(host, vm, *other, adapter.mac);
      else
        post<vim::VmMacConflictEvent>(host, vm, *other, adapter.mac);
    }
  });
}

}  // namespace virga::host
