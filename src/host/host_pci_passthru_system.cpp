#include "host/host_pci_passthru_system.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "host/names.h"
#include "host/virtual_machine.h"
#include "hypervisor/vfio.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

// By address: whether VMs are to have the device, its label, and how many functions it is to have.
constexpr const char* kTable = "passthrough";

struct Setting {
  bool enabled = false;
  std::string label;
  std::optional<int> functions;  // none: nobody has said, what the machine has it keeps
};

Setting parse_setting(const std::string& text) {
  const json::value value = json::parse(text);
  Setting setting{value.at("enabled").as_bool(), std::string(value.at("label").as_string()), {}};
  if (const json::value* functions = value.as_object().if_contains("functions"))
    setting.functions = functions->to_number<int>();
  return setting;
}

Setting setting_of(const Host& host, const std::string& address) {
  const auto text = host.kernel.database->get(kTable, address);
  return text ? parse_setting(*text) : Setting{};
}

void keep(Host& host, const std::string& address, const Setting& setting) {
  json::object document = {{"enabled", setting.enabled}, {"label", setting.label}};
  if (setting.functions) document["functions"] = *setting.functions;
  host.kernel.database->put(kTable, address, json::serialize(document));
}

// Makes the device what the setting says, where it is not. Functions are VFIO's as long as there
// are any. Blocking.
void bring_about(const Setting& setting, const hypervisor::PciDevice& device) {
  const bool taken = device.driver == hypervisor::vfio_driver;
  const bool is_function = !device.physical_function.empty();
  if (!setting.enabled && taken && !is_function) hypervisor::bind_to_vfio(device.address, false);
  if (setting.functions && *setting.functions != static_cast<int>(device.functions.size()))
    hypervisor::divide_for_vfio(device.address, *setting.functions);
  if (setting.enabled && !taken) hypervisor::bind_to_vfio(device.address, true);
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

int functions_wanted(const vim::HostSriovConfig& wanted) {
  return wanted.sriovEnabled ? wanted.numVirtualFunction : 0;
}

void check_functions(const Host& host, const hypervisor::PciDevice& device,
                     const vim::HostSriovConfig& wanted) {
  const int count = functions_wanted(wanted);
  if (device.most_functions == 0)
    throw refusal(device.address + " has no virtual functions (SR-IOV).");
  if (wanted.sriovEnabled && (count < 1 || count > device.most_functions))
    throw refusal(fmt::format("{} can have 1 to {} virtual functions, not {}.", device.address,
                              device.most_functions, count));
  if (wanted.sriovEnabled && wanted.passthruEnabled)
    throw refusal(device.address + " is either a VM's as a whole or divided.");
  if (count == static_cast<int>(device.functions.size())) return;
  for (const std::string& function : device.functions)
    if (pci_in_use(host, function))
      throw refusal(fmt::format("{}, a function of {}, belongs to a virtual machine that runs.",
                                function, device.address));
}

void check(const Host& host, const std::vector<hypervisor::PciDevice>& devices,
           const model::Ptr<vim::HostPciPassthruConfig>& config) {
  const vim::HostPciPassthruConfig& wanted = *config;
  const auto& device = device_with(devices, wanted.id);
  const auto* sriov = config.as<vim::HostSriovConfig>();
  if (sriov) check_functions(host, device, *sriov);
  const bool divided = sriov ? sriov->sriovEnabled : !device.functions.empty();
  if (wanted.passthruEnabled && divided)
    throw refusal(wanted.id + " is divided into virtual functions.");
  if ((wanted.passthruEnabled || divided) && !device.can_be_passed_through())
    throw refusal(
        fmt::format("{} cannot be passed through: no IOMMU stands before it, or it is a "
                    "bridge.",
                    wanted.id));
  const bool taken = device.driver == hypervisor::vfio_driver;
  if (wanted.passthruEnabled != taken && pci_in_use(host, wanted.id))
    throw refusal(wanted.id + " belongs to a virtual machine that runs.");
}

// With the functions of each: those come and go with it.
PciChanges::Guard begin_change(Host& host, const std::vector<hypervisor::PciDevice>& devices,
                               const model::List<vim::HostPciPassthruConfig>& config) {
  std::set<std::string> addresses;
  for (const auto& wanted : config) {
    const auto& functions = device_with(devices, wanted->id).functions;
    addresses.insert(wanted->id);
    addresses.insert(functions.begin(), functions.end());
  }
  try {
    return host.pci_changes.begin(std::move(addresses));
  } catch (const Error& busy) {
    throw refusal(busy.what());
  }
}

}  // namespace

std::string pci_label(const Host& host, const std::string& address) {
  return setting_of(host, address).label;
}

bool pci_in_use(const Host& host, const std::string& address) {
  const auto has_it = [&](const auto& entry) { return entry.second->has_pci_device(address); };
  return std::ranges::any_of(host.virtual_machines, has_it);
}

namespace {

template <class Info>
model::Ptr<vim::HostPciPassthruInfo> share_described(Info info, const hypervisor::PciDevice& device,
                                                     bool enabled, const std::string& label) {
  info.id = info.dependentDevice = device.address;
  info.passthruCapable = device.can_be_passed_through();
  info.passthruEnabled = enabled;
  info.passthruActive = device.driver == hypervisor::vfio_driver;
  if (!label.empty()) info.hardwareLabel = label;
  return model::share(std::move(info));
}

model::Ptr<vim::HostPciPassthruInfo> describe(const hypervisor::PciDevice& device,
                                              const Setting& setting) {
  if (device.most_functions == 0)
    return share_described(vim::HostPciPassthruInfo{}, device, setting.enabled, setting.label);
  vim::HostSriovInfo info;
  info.sriovCapable = device.can_be_passed_through();
  info.numVirtualFunctionRequested = setting.functions.value_or(0);
  info.sriovEnabled = info.numVirtualFunctionRequested > 0;
  info.numVirtualFunction = static_cast<std::int32_t>(device.functions.size());
  info.sriovActive = info.numVirtualFunction > 0;
  info.maxVirtualFunctionSupported = device.most_functions;
  return share_described(std::move(info), device, setting.enabled, setting.label);
}

}  // namespace

HostPciPassthruSystem::HostPciPassthruSystem(Host& host)
    : Implements(host.kernel.inventory, names::pci_passthru_system), host_(host) {}

// What a killed daemon did not get to is done, and what a restart of the machine undid.
Async<void> HostPciPassthruSystem::start() {
  std::map<std::string, Setting> settings;
  for (const auto& [address, text] : host_.kernel.database->all(kTable))
    settings[address] = parse_setting(text);
  const auto bring_all_about = [settings] {
    for (const hypervisor::PciDevice& device : hypervisor::probe_pci_devices()) {
      const auto setting = settings.find(device.address);
      if (setting == settings.end()) continue;
      try {
        bring_about(setting->second, device);
      } catch (const Error& failure) {
        logger("host")->error("passthrough of {}: {}", device.address, failure.what());
      }
    }
  };
  if (!settings.empty()) co_await offload(host_.kernel.workers, bring_all_about);
  co_await probe();
}

Async<void> HostPciPassthruSystem::probe() {
  const auto look = [] { return hypervisor::probe_pci_devices(); };
  const auto devices = co_await offload(host_.kernel.workers, look);
  update([&](Properties& properties) {
    properties.pciPassthruInfo.clear();
    for (const hypervisor::PciDevice& device : devices)
      properties.pciPassthruInfo.push_back(describe(device, setting_of(host_, device.address)));
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
  for (const auto& wanted : r.config) check(host_, devices, wanted);
  const PciChanges::Guard change = begin_change(host_, devices, r.config);
  for (const auto& wanted : r.config) {
    Setting setting = setting_of(host_, wanted->id);
    setting.enabled = wanted->passthruEnabled;
    setting.label = wanted->hardwareLabel.value_or(setting.label);
    if (const auto* sriov = wanted.as<vim::HostSriovConfig>())
      setting.functions = functions_wanted(*sriov);
    keep(host_, wanted->id, setting);
    const auto apply = [setting, device = device_with(devices, wanted->id)] {
      bring_about(setting, device);
    };
    co_await offload(host_.kernel.workers, apply);
  }
  co_await probe();
}

}  // namespace virga::host
