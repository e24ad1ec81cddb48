#include "host/mac_conflicts.h"

#include <algorithm>

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
  for (const vmx::NetworkAdapter& adapter : vm.config().network_adapters) {
    const auto same = [&](const auto& former) { return former.mac == adapter.mac; };
    if (adapter.mac.empty() || std::ranges::any_of(before.network_adapters, same)) continue;
    for (const auto& [ref, other] : host.virtual_machines) {
      if (other.get() == &vm || !other->has_mac(adapter.mac)) continue;
      if (adapter.address_type == vmx::AddressType::manual)
        post<vim::VmStaticMacConflictEvent>(host, vm, *other, adapter.mac);
      else
        post<vim::VmMacConflictEvent>(host, vm, *other, adapter.mac);
    }
  }
}

}  // namespace virga::host
