#include "host/host_pci_passthru_system.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "host/names.h"
#include "host/virtual_machine.h"
#include "hypervisor/vfio.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

// By address: whether VMs are to have the device, and its label.
constexpr const char* kTable = "passthrough";

struct Setting {
  bool enabled = false;
  std::string label;
};

Setting setting_of(const Host& host, const std::string& address) {
  const auto text = host.kernel.database->get(kTable, address);
  if (!text) return {};
  const json::value value = json::parse(*text);
  return {value.at("enabled").as_bool(), std::string(value.at("label").as_string())};
}

void keep(Host& host, const std::string& address, const Setting& setting) {
  const json::object document = {{"enabled", setting.enabled}, {"label", setting.label}};
  host.kernel.database->put(kTable, address, json::serialize(document));
}

kernel::Fault refusal(const std::string& why) {
  return kernel::Fault(vim::HostConfigFault{}, why);
}

const hypervisor::PciDevice& device_with(const std::vector<hypervisor::PciDevice>& devices,
                                         const std::string& address) {
  const auto found = std::ranges::find(devices, address, &hypervisor::PciDevice::address);
  if (found == devices.end())
    throw refusal(fmt::format("This host has no PCI device '{}'.", address));
  return *found;
}

void check(const Host& host, const std::vector<hypervisor::PciDevice>& devices,
           const vim::HostPciPassthruConfig& wanted) {
  const auto& device = device_with(devices, wanted.id);
  if (wanted.type_info().name == "HostSriovConfig")
    throw kernel::not_supported("Making virtual functions of " + wanted.id);
  if (wanted.passthruEnabled && !device.can_be_passed_through())
    throw refusal(
        fmt::format("{} cannot be passed through: no IOMMU stands before it, or it is a "
                    "bridge.",
                    wanted.id));
  if (!wanted.passthruEnabled && pci_in_use(host, wanted.id))
    throw refusal(wanted.id + " belongs to a virtual machine that runs.");
}

}  // namespace

std::string pci_label(const Host& host, const std::string& address) {
  return setting_of(host, address).label;
}

bool pci_in_use(const Host& host, const std::string& address) {
  const auto has_it = [&](const auto& entry) {
    if (!entry.second->machine()) return false;
    const auto& devices = entry.second->machine()->spec().passthrough;
    return std::ranges::find(devices, address, &hypervisor::PassthroughDevice::address) !=
           devices.end();
  };
  return std::ranges::any_of(host.virtual_machines, has_it);
}

vim::HostPciPassthruInfo describe_passthrough(const hypervisor::PciDevice& device, bool enabled,
                                              const std::string& label) {
  vim::HostPciPassthruInfo info;
  info.id = info.dependentDevice = device.address;
  info.passthruCapable = device.can_be_passed_through();
  info.passthruEnabled = enabled;
  info.passthruActive = device.driver == hypervisor::vfio_driver;
  if (!label.empty()) info.hardwareLabel = label;
  return info;
}

HostPciPassthruSystem::HostPciPassthruSystem(Host& host)
    : Implements(host.kernel.inventory, names::pci_passthru_system), host_(host) {}

Async<void> HostPciPassthruSystem::start() {
  std::vector<std::string> wanted;
  for (const auto& [address, text] : host_.kernel.database->all(kTable))
    if (setting_of(host_, address).enabled) wanted.push_back(address);
  const auto take = [wanted] {
    for (const hypervisor::PciDevice& device : hypervisor::probe_pci_devices()) {
      const bool is_wanted = std::ranges::find(wanted, device.address) != wanted.end();
      if (!is_wanted || device.driver == hypervisor::vfio_driver) continue;
      try {
        hypervisor::bind_to_vfio(device.address, true);
      } catch (const Error& failure) {
        logger("host")->error("passthrough of {}: {}", device.address, failure.what());
      }
    }
  };
  if (!wanted.empty()) co_await offload(host_.kernel.workers, take);
  co_await probe();
}

Async<void> HostPciPassthruSystem::probe() {
  const auto look = [] { return hypervisor::probe_pci_devices(); };
  const auto devices = co_await offload(host_.kernel.workers, look);
  update([&](Properties& properties) {
    properties.pciPassthruInfo.clear();
    for (const hypervisor::PciDevice& device : devices) {
      const Setting setting = setting_of(host_, device.address);
      properties.pciPassthruInfo.push_back(
          model::share(describe_passthrough(device, setting.enabled, setting.label)));
    }
  });
}

Async<void> HostPciPassthruSystem::Refresh(model::Call&, const vim::RefreshRequestType&) {
  co_await probe();
}

// Noted first: what a killed daemon did not get to, the next one does.
Async<void> HostPciPassthruSystem::UpdatePassthruConfig(
    model::Call&, const vim::UpdatePassthruConfigRequestType& r) {
  const auto look = [] { return hypervisor::probe_pci_devices(); };
  const auto devices = co_await offload(host_.kernel.workers, look);
  for (const auto& wanted : r.config) check(host_, devices, *wanted);
  for (const auto& wanted : r.config) {
    const Setting before = setting_of(host_, wanted->id);
    const Setting after{wanted->passthruEnabled, wanted->hardwareLabel.value_or(before.label)};
    keep(host_, wanted->id, after);
    const bool active = device_with(devices, wanted->id).driver == hypervisor::vfio_driver;
    if (active == after.enabled) continue;
    const auto bind = [id = wanted->id, bound = after.enabled] {
      hypervisor::bind_to_vfio(id, bound);
    };
    co_await offload(host_.kernel.workers, bind);
  }
  co_await probe();
}

}  // namespace virga::host
