#include "host/environment_browser.h"

#include "datastore/virtual_disk.h"
#include "host/config_option.h"
#include "host/config_target.h"
#include "host/datastore.h"
#include "host/graphics_info.h"
#include "host/host_graphics_manager.h"
#include "host/host_pci_passthru_system.h"
#include "host/host_system.h"
#include "host/names.h"
#include "host/network.h"
#include "host/raw_devices.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

void list_vgpus(const std::vector<hypervisor::PciDevice>& devices,
                const vim::HostGraphicsConfig& config, vim::ConfigTarget& target) {
  for (const std::string& profile : vgpu_profiles(devices, config)) {
    auto& info = target.sharedGpuPassthroughTypes.emplace_back();
    info.name = info.vgpu = profile;
  }
  target.vgpuDeviceInfo = vgpu_device_info(devices, config);
  target.vgpuProfileInfo = vgpu_profile_info(devices, config);
}

void require_this_host(const std::optional<MoRef>& host) {
  if (host && *host != names::host_system) throw kernel::managed_object_not_found(*host);
}

vim::VirtualMachineDatastoreInfo describe(const Datastore& datastore) {
  vim::VirtualMachineDatastoreInfo info;
  info.name = datastore.properties().name;
  if (datastore.properties().summary) info.datastore = *datastore.properties().summary;
  if (datastore.properties().capability) info.capability = *datastore.properties().capability;
  info.maxFileSize = static_cast<std::int64_t>(datastore::max_disk_capacity);
  info.maxVirtualDiskCapacity = info.maxFileSize;
  info.mode = datastore.files()->read_only() ? "readOnly" : "readWrite";
  info.vStorageSupport = "vStorageUnsupported";
  return info;
}

vim::VirtualMachineNetworkInfo describe(const Network& network) {
  vim::VirtualMachineNetworkInfo info;
  info.name = network.properties().name;
  info.network = network.properties().summary;
  return info;
}

}  // namespace

EnvironmentBrowser::EnvironmentBrowser(Host& host)
    : Implements(host.kernel.inventory, names::environment_browser), host_(host) {}

Async<model::List<vim::VirtualMachineConfigOptionDescriptor>>
EnvironmentBrowser::QueryConfigOptionDescriptor(
    model::Call&, const vim::QueryConfigOptionDescriptorRequestType&) {
  co_return config_option_descriptors(names::host_system);
}

model::Ptr<vim::VirtualMachineConfigOption> EnvironmentBrowser::option(
    const std::optional<std::string>& version, const std::vector<std::string>& guests) const {
  const HardwareVersion* found = &hardware_versions().back();
  if (version && !version->empty()) {
    const auto number = parse_hardware_version(*version);
    if (!number || !is_hardware_version(*number))
      throw kernel::invalid_argument("key", "there is no hardware version '" + *version + "'");
    found = &hardware_version(*number);
  }
  MachineLimits limits;
  limits.vcpus = limits.cores_per_socket = host_.capabilities.max_vcpus;
  limits.memory_mib = static_cast<std::int64_t>(host_.capabilities.max_memory_mib);
  return model::share(config_option(*found, limits, guests));
}

Async<model::Ptr<vim::VirtualMachineConfigOption>> EnvironmentBrowser::QueryConfigOption(
    model::Call&, const vim::QueryConfigOptionRequestType& r) {
  require_this_host(r.host);
  co_return option(r.key, {});
}

Async<model::Ptr<vim::VirtualMachineConfigOption>> EnvironmentBrowser::QueryConfigOptionEx(
    model::Call&, const vim::QueryConfigOptionExRequestType& r) {
  if (!r.spec) co_return option(std::nullopt, {});
  require_this_host(r.spec->host);
  co_return option(r.spec->key, r.spec->guestId);
}

Async<model::Ptr<vim::ConfigTarget>> EnvironmentBrowser::QueryConfigTarget(
    model::Call&, const vim::QueryConfigTargetRequestType& r) {
  require_this_host(r.host);
  vim::ConfigTarget target;
  target.numCpus = host_.facts.cpu.threads;
  target.numCpuCores = host_.facts.cpu.cores;
  target.numNumaNodes = static_cast<std::int32_t>(host_.facts.numa.size());
  target.maxCpusPerHost = host_.capabilities.max_vcpus;
  target.maxMemMBOptimalPerf = static_cast<std::int32_t>(host_.facts.memory_bytes >> 20);
  target.supportedMaxMemMB = static_cast<std::int32_t>(host_.capabilities.max_memory_mib);
  for (const auto& [name, datastore] : host_.datastores)
    target.datastore.push_back(describe(*datastore));
  for (const auto& [name, network] : host_.networks) target.network.push_back(describe(*network));
  target.autoVmotion = false;
  target.sevSupported = false;
  const auto probe = [] { return hypervisor::probe_host_devices(); };
  const hypervisor::HostDevices devices = co_await offload(host_.kernel.workers, probe);
  const auto label = [this](const std::string& address) { return pci_label(host_, address); };
  list_host_devices(devices, label, host_.identity.uuid, target);
  target.scsiDisk = co_await raw_device_candidates(host_);
  list_vgpus(devices.pci, *host_.graphics_manager->properties().graphicsConfig, target);
  co_return model::share(std::move(target));
}

Async<model::Ptr<vim::HostCapability>> EnvironmentBrowser::QueryTargetCapabilities(
    model::Call&, const vim::QueryTargetCapabilitiesRequestType& r) {
  require_this_host(r.host);
  co_return host_.host_system->properties().capability;
}

}  // namespace virga::host
