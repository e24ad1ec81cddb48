#include "host/host_graphics_manager.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "host/device_shares.h"
#include "host/graphics_info.h"
#include "host/host_system.h"
#include "host/names.h"
#include "host/virtual_machine.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr const char* kTable = "graphics";
constexpr const char* kConfig = "config";

// vSphere's defaults.
vim::HostGraphicsConfig default_config() {
  vim::HostGraphicsConfig config;
  config.hostDefaultGraphicsType = model::wire_name(vim::HostGraphicsConfigGraphicsType::shared);
  config.sharedPassthruAssignmentPolicy =
      model::wire_name(vim::HostGraphicsConfigSharedPassthruAssignmentPolicy::performance);
  return config;
}

std::string to_json(const vim::HostGraphicsConfig& config) {
  json::object devices;
  for (const auto& device : config.deviceType) devices[device->deviceId] = device->graphicsType;
  return json::serialize(json::object{{"type", config.hostDefaultGraphicsType},
                                      {"policy", config.sharedPassthruAssignmentPolicy},
                                      {"devices", std::move(devices)}});
}

vim::HostGraphicsConfig config_from_json(const std::string& text) {
  const json::value value = json::parse(text);
  vim::HostGraphicsConfig config;
  config.hostDefaultGraphicsType = value.at("type").as_string();
  config.sharedPassthruAssignmentPolicy = value.at("policy").as_string();
  for (const auto& [address, type] : value.at("devices").as_object()) {
    auto& device = config.deviceType.emplace_back();
    device.deviceId = std::string(address);
    device.graphicsType = type.as_string();
  }
  return config;
}

void check_type(const std::string& field, const std::string& type) {
  if (!model::enumerator<vim::HostGraphicsConfigGraphicsType>(type))
    throw kernel::invalid_argument(field, fmt::format("there is no graphics type '{}'", type));
}

void check(const vim::HostGraphicsConfig& config,
           const std::vector<hypervisor::PciDevice>& devices) {
  check_type("config.hostDefaultGraphicsType", config.hostDefaultGraphicsType);
  const std::string& policy = config.sharedPassthruAssignmentPolicy;
  if (!model::enumerator<vim::HostGraphicsConfigSharedPassthruAssignmentPolicy>(policy))
    throw kernel::invalid_argument("config.sharedPassthruAssignmentPolicy",
                                   fmt::format("there is no assignment policy '{}'", policy));
  for (const auto& wanted : config.deviceType) {
    check_type("config.deviceType.graphicsType", wanted->graphicsType);
    const auto is_it = [&](const hypervisor::PciDevice& device) {
      return device.address == wanted->deviceId && is_gpu(device);
    };
    if (std::ranges::none_of(devices, is_it))
      throw kernel::invalid_argument("config.deviceType.deviceId",
                                     fmt::format("this host has no GPU '{}'", wanted->deviceId));
  }
}

// Nothing of a GPU that a VM has can be kept or moved: mediated devices tell nobody their state.
vim::HostSharedGpuCapabilities capabilities(const std::string& profile) {
  vim::HostSharedGpuCapabilities capabilities;
  capabilities.vgpu = profile;
  capabilities.diskSnapshotSupported = true;
  return capabilities;
}

Async<std::vector<hypervisor::PciDevice>> probe(Host& host) {
  const auto look = [] { return hypervisor::probe_pci_devices(); };
  co_return co_await offload(host.kernel.workers, look);
}

}  // namespace

HostGraphicsManager::HostGraphicsManager(Host& host)
    : Implements(host.kernel.inventory, names::graphics_manager,
                 [&] {
                   const auto kept = host.kernel.database->get(kTable, kConfig);
                   Properties properties;
                   properties.graphicsConfig =
                       model::share(kept ? config_from_json(*kept) : default_config());
                   return properties;
                 }()),
      host_(host) {}

Async<void> HostGraphicsManager::start() {
  const auto runs = [this](const std::string& machine) {
    return std::ranges::any_of(host_.virtual_machines, [&](const auto& entry) {
      return entry.second->machine() && entry.second->machine()->spec().id == machine;
    });
  };
  for (const auto& [uuid, machine] : device_shares(host_)) {
    if (runs(machine)) continue;
    try {
      co_await remove_device_share(host_, uuid);
    } catch (const Error& failure) {
      logger("host")->error("a share of a GPU that nobody has: {}", failure.what());
    }
  }
  co_await refresh();
}

Async<void> HostGraphicsManager::refresh() {
  const auto devices = co_await probe(host_);
  const auto config = properties().graphicsConfig;
  model::List<vim::HostGraphicsInfo> info;
  for (vim::HostGraphicsInfo& gpu : graphics_info(devices, *config)) {
    for (const auto& [ref, vm] : host_.virtual_machines)
      if (vm->has_pci_device(gpu.pciId)) gpu.vm.push_back(vm->self());
    info.push_back(std::move(gpu));
  }
  const auto profiles = vgpu_profiles(devices, *config);
  const auto publish = [&](auto& p) {
    p.graphicsInfo = info;
    p.graphicsConfig = config;
    p.sharedPassthruGpuTypes.assign(profiles.begin(), profiles.end());
    p.sharedGpuCapabilities.clear();
    for (const std::string& profile : profiles)
      p.sharedGpuCapabilities.push_back(model::share(capabilities(profile)));
  };
  update([&](Properties& p) { publish(p); });
  host_.host_system->update([&](auto& p) { publish(p.config.edit()); });
}

Async<model::List<vim::VirtualMachineVgpuDeviceInfo>> HostGraphicsManager::RetrieveVgpuDeviceInfo(
    model::Call&, const vim::RetrieveVgpuDeviceInfoRequestType&) {
  const auto devices = co_await probe(host_);
  co_return vgpu_device_info(devices, *properties().graphicsConfig);
}

Async<model::List<vim::VirtualMachineVgpuProfileInfo>> HostGraphicsManager::RetrieveVgpuProfileInfo(
    model::Call&, const vim::RetrieveVgpuProfileInfoRequestType&) {
  const auto devices = co_await probe(host_);
  co_return vgpu_profile_info(devices, *properties().graphicsConfig);
}

Async<void> HostGraphicsManager::RefreshGraphicsManager(
    model::Call&, const vim::RefreshGraphicsManagerRequestType&) {
  co_await refresh();
}

// No GPU of the host draws what guests show.
Async<bool> HostGraphicsManager::IsSharedGraphicsActive(
    model::Call&, const vim::IsSharedGraphicsActiveRequestType&) {
  co_return false;
}

// VMs that run keep what they have: it holds from the next power on.
Async<void> HostGraphicsManager::UpdateGraphicsConfig(
    model::Call&, const vim::UpdateGraphicsConfigRequestType& r) {
  const auto devices = co_await probe(host_);
  check(r.config, devices);
  host_.kernel.database->put(kTable, kConfig, to_json(r.config));
  update([&](Properties& p) { p.graphicsConfig = model::share(r.config); });
  co_await refresh();
}

}  // namespace virga::host
