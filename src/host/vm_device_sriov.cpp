// Network adapters that are virtual functions of the host's cards (SR-IOV).
#include <algorithm>

#include "host/device_option_list.h"
#include "host/vm_device_passthrough.h"
#include "host/vm_machine_build.h"

namespace virga::host {

using hypervisor::PciDevice;

void offer_sriov(DeviceOptionList& options) {
  vim::VirtualSriovEthernetCardOption option;
  option.type = sriov_type;
  option.controllerType = "VirtualPCIController";
  option.macType = choice({"generated", "assigned", "manual"});
  option.supportedOUI = choice({"00:50:56", "00:0c:29"});
  option.wakeOnLanEnabled = bool_option(false, false);
  add_backing<vim::VirtualEthernetCardNetworkBackingOption>(
      option, "VirtualEthernetCardNetworkBackingInfo");
  add_backing<vim::VirtualSriovEthernetCardSriovBackingOption>(
      option, "VirtualSriovEthernetCardSriovBackingInfo");
  options.add(std::move(option));
}

// --- To the API --------------------------------------------------------------------------------

namespace {

Ptr<vim::VirtualSriovEthernetCardSriovBackingInfo> functions_of(
    const vmx::PassthroughDevice& device) {
  vim::VirtualSriovEthernetCardSriovBackingInfo functions;
  functions.physicalFunctionBacking =
      pci_backing({.id = device.sriov->physical_function, .system_id = device.system_id});
  if (!device.id.empty()) functions.virtualFunctionBacking = pci_backing(device);
  return model::share(std::move(functions));
}

}  // namespace

Ptr<vim::VirtualDevice> sriov_to_api(const DeviceList& list, const vmx::PassthroughDevice& device) {
  const vmx::SriovAdapter& adapter = *device.sriov;
  vim::VirtualSriovEthernetCard card;
  card.deviceInfo = description(label(device), adapter.network);
  card.backing = list.network_backing(adapter.network);
  card.sriovBacking = functions_of(device);
  card.connectable = list.connectable(device_key(device), true, false, true);
  card.addressType = api_word(adapter.address_type);
  if (!adapter.mac.empty()) card.macAddress = adapter.mac;
  card.wakeOnLanEnabled = false;
  card.allowGuestOSMtuChange = adapter.guest_may_change_mtu;
  return model::share(std::move(card));
}

// --- From the API ------------------------------------------------------------------------------

namespace {

constexpr std::string_view automatic_prefix = "Automatic-";

bool is_automatic(const std::string& physical_function) {
  return physical_function.starts_with(automatic_prefix);
}

std::string known_physical_function(const DeviceChange& change,
                                    const std::vector<PciDevice>& devices, const std::string& id) {
  if (is_automatic(id)) return std::string(vmx::sriov_automatic);
  const auto refuse = [&](const std::string& why) {
    return bad_backing(change, "sriovBacking.physicalFunctionBacking.id", why);
  };
  const PciDevice* device = find_pci(devices, id);
  if (!device) throw refuse(fmt::format("this host has no PCI device '{}'", id));
  if (device->most_functions == 0) throw refuse(id + " has no virtual functions (SR-IOV)");
  return id;
}

// What the caller names is kept only as a hint, as the API has it: it need not be there yet.
void set_virtual_function(const vim::VirtualSriovEthernetCardSriovBackingInfo& functions,
                          vmx::PassthroughDevice& device) {
  device.id = device.vendor_id = device.device_id = "";
  if (!functions.virtualFunctionBacking) return;
  device.id = functions.virtualFunctionBacking->id;
  device.vendor_id = fmt::format(
      "0x{:04x}", static_cast<std::uint16_t>(functions.virtualFunctionBacking->vendorId));
  device.device_id = functions.virtualFunctionBacking->deviceId;
}

}  // namespace

void sriov_from_api(const DevicePlanner& planner, const DeviceChange& change,
                    vmx::PassthroughDevice& device) {
  const auto& card = change.device_as<vim::VirtualSriovEthernetCard>();
  if (!device.sriov)
    device.sriov = vmx::SriovAdapter{.physical_function = std::string(vmx::sriov_automatic)};
  vmx::SriovAdapter& adapter = *device.sriov;
  const bool is_new = change.operation() == vim::VirtualDeviceConfigSpecOperation::add;
  if (is_new || card.backing) adapter.network = planner.network_of(change);
  planner.set_address(change, adapter.address_type, adapter.mac);
  adapter.guest_may_change_mtu = card.allowGuestOSMtuChange.value_or(adapter.guest_may_change_mtu);
  if (!card.sriovBacking) return;
  const auto& functions = *card.sriovBacking;
  if (!functions.physicalFunctionBacking)
    throw bad_backing(change, "sriovBacking.physicalFunctionBacking",
                      "it names no physical function");
  if (functions.virtualFunctionIndex) throw change.not_supported("a virtual function by its index");
  adapter.physical_function = known_physical_function(change, planner.context().host_devices().pci,
                                                      functions.physicalFunctionBacking->id);
  device.system_id = functions.physicalFunctionBacking->systemId;
  set_virtual_function(functions, device);
}

// --- To the hypervisor -------------------------------------------------------------------------

namespace {

// The cards whose functions it can be: the one it names, or those its network's switch has.
std::vector<PciDevice> cards_for(const std::vector<PciDevice>& devices,
                                 const vmx::SriovAdapter& adapter, const UplinkPolicy& policy) {
  std::vector<PciDevice> cards;
  for (const PciDevice& device : devices) {
    const bool is_uplink =
        std::ranges::find(policy.uplinks, device.interface) != policy.uplinks.end();
    const bool fits = is_automatic(adapter.physical_function)
                          ? is_uplink
                          : device.address == adapter.physical_function;
    if (fits && !device.interface.empty()) cards.push_back(device);
  }
  return cards;
}

}  // namespace

hypervisor::PassthroughDevice build_sriov(const MachineBuild& machine,
                                          const std::vector<PciDevice>& devices,
                                          const vmx::PassthroughDevice& wanted) {
  const vmx::SriovAdapter& adapter = *wanted.sriov;
  const auto policy = machine.context.uplink_policy(adapter.network);
  if (!policy) throw unavailable(wanted, fmt::format("there is no network '{}'", adapter.network));
  std::optional<hypervisor::PassthroughDevice> chosen;
  for (const PciDevice& card : cards_for(devices, adapter, *policy)) {
    for (int index = 0; index < static_cast<int>(card.functions.size()); ++index) {
      const PciDevice* function = find_pci(devices, card.functions[index]);
      if (!function || !is_ready(*function) || !is_free(machine, *function)) continue;
      if (chosen && function->address != wanted.id) continue;
      chosen = {.key = device_key(wanted),
                .slot = wanted.number,
                .address = function->address,
                .iommu_group = *function->iommu_group,
                .network = hypervisor::NetworkFunction{card.interface, index, adapter.mac,
                                                       policy->vlan, policy->forged_transmits}};
    }
  }
  if (chosen) return *chosen;
  throw unavailable(wanted, is_automatic(adapter.physical_function)
                                ? fmt::format("no uplink of the network '{}' has a free virtual "
                                              "function",
                                              adapter.network)
                                : fmt::format("no virtual function of {} is free on this host",
                                              adapter.physical_function));
}

}  // namespace virga::host
