#include "host/config_option.h"

#include <fmt/format.h>

#include <algorithm>

#include "host/device_options.h"
#include "host/guest_devices.h"
#include "host/vm_config_devices.h"
#include "host/vm_config_words.h"

namespace virga::host {
namespace {

vim::VirtualHardwareOption hardware_option(const HardwareVersion& version,
                                           const MachineLimits& limits) {
  vim::VirtualHardwareOption hardware;
  hardware.hwVersion = version.number;
  hardware.virtualDeviceOption = device_options(version);
  for (int cpus = 1; cpus <= limits.vcpus; ++cpus) hardware.numCPU.push_back(cpus);
  hardware.numCoresPerSocket = int_option(1, limits.cores_per_socket, 1);
  hardware.memoryMB = long_option(4, limits.memory_mib, 32);
  hardware.numPCIControllers = int_option(1, 1, 1);
  hardware.numIDEControllers = int_option(2, 2, 2);
  hardware.numUSBControllers = int_option(0, 0, 0);
  hardware.numUSBXHCIControllers = int_option(0, 0, 0);
  hardware.numSIOControllers = int_option(1, 1, 1);
  hardware.numPS2Controllers = int_option(1, 1, 1);
  hardware.resourceConfigOption.cpuAllocationOption.sharesOption = shares_option();
  hardware.resourceConfigOption.memoryAllocationOption.sharesOption = shares_option();
  return hardware;
}

// --- Guests ------------------------------------------------------------------------------------

bool is_scsi(std::string_view controller) {
  const auto model = controller_model_of(controller);
  return model && bus_of(*model) == vmx::Bus::scsi;
}

std::vector<std::string> names(const std::vector<std::string_view>& types) {
  return {types.begin(), types.end()};
}

vim::GuestOsDescriptor describe(const GuestOs& guest, const HardwareVersion& version,
                                const MachineLimits& limits) {
  const RecommendedDevices recommended = recommended_devices(guest, version);
  vim::GuestOsDescriptor descriptor;
  descriptor.id = guest.id;
  descriptor.family = to_string(guest.family);
  descriptor.fullName = guest.full_name;
  descriptor.supportedMaxCPUs = limits.vcpus;
  descriptor.numSupportedPhysicalSockets = limits.vcpus;
  descriptor.numSupportedCoresPerSocket = limits.cores_per_socket;
  descriptor.supportedMinMemMB = 4;
  descriptor.supportedMaxMemMB = static_cast<std::int32_t>(limits.memory_mib);
  descriptor.recommendedMemMB = recommended.memory_mib;
  descriptor.recommendedColorDepth = 24;
  descriptor.supportedDiskControllerList = names(disk_controllers(version));
  if (is_scsi(recommended.disk_controller))
    descriptor.recommendedSCSIController = recommended.disk_controller;
  descriptor.recommendedDiskController = recommended.disk_controller;
  descriptor.supportedNumDisks = vmx::max_controllers(vmx::Bus::scsi) * 16;
  descriptor.recommendedDiskSizeMB = recommended.disk_mib;
  descriptor.recommendedCdromController = recommended.cdrom_controller;
  descriptor.supportedEthernetCard = names(network_adapters(version));
  descriptor.wakeOnLanEthernetCard = descriptor.supportedEthernetCard;
  descriptor.recommendedEthernetCard = recommended.adapter;
  descriptor.supportsSlaveDisk = true;
  descriptor.supportsWakeOnLan = true;
  descriptor.supportedFirmware = {"bios"};
  if (first_version_with(features::efi) <= version.number)
    descriptor.supportedFirmware.emplace_back("efi");
  descriptor.recommendedFirmware = recommended.efi ? "efi" : "bios";
  descriptor.supportLevel = "supported";
  descriptor.supportedForCreate = true;
  descriptor.vRAMSizeInKB = int_option(1 << 10, 256 << 10, 4 << 10);
  descriptor.supportsPvscsiControllerForBoot =
      recommended.disk_controller == "ParaVirtualSCSIController";
  descriptor.supportsHotPlugPCI = true;
  const bool grows = first_version_with(features::hot_add) <= version.number;
  descriptor.supportsCpuHotAdd = grows && supports_cpu_hot_add(guest);
  descriptor.supportsMemoryHotAdd = grows && supports_memory_hot_add(guest);
  return descriptor;
}

std::string description(const HardwareVersion& version) {
  return fmt::format("{} and later (VM version {})", version.release, version.number);
}

model::List<vim::VirtualDevice> default_devices(const HardwareVersion& version) {
  vmx::MachineConfig config;
  config.hardware_version = version.number;
  return devices(config, ConfigContext{vmx::DatastorePath("none", "none.vmx")}, {}, false);
}

bool is_wanted(const GuestOs& guest, const std::vector<std::string>& ids) {
  return ids.empty() || std::ranges::find(ids, guest.id) != ids.end();
}

}  // namespace

vim::VirtualMachineCapability machine_capability(const HardwareVersion& version) {
  vim::VirtualMachineCapability capability;
  capability.bootOptionsSupported = true;
  capability.bootRetryOptionsSupported = true;
  capability.multipleCoresPerSocketSupported = version.max_cores_per_socket > 1;
  capability.settingVideoRamSizeSupported = true;
  capability.nestedHVSupported =
      first_version_with(features::nested_virtualization) <= version.number;
  capability.secureBootSupported = first_version_with(features::secure_boot) <= version.number;
  capability.changeTrackingSupported =
      first_version_with(features::change_tracking) <= version.number;
  capability.snapshotOperationsSupported = true;
  capability.multipleSnapshotsSupported = true;
  capability.snapshotConfigSupported = true;
  capability.poweredOffSnapshotsSupported = true;
  capability.revertToSnapshotSupported = true;
  capability.disableSnapshotsSupported = true;
  capability.diskOnlySnapshotOnSuspendedVMSupported = true;
  return capability;
}

vim::VirtualMachineConfigOption config_option(const HardwareVersion& version,
                                              const MachineLimits& host,
                                              const std::vector<std::string>& guest_ids) {
  MachineLimits limits;
  limits.vcpus = std::min(host.vcpus, version.max_vcpus);
  limits.cores_per_socket = std::min(limits.vcpus, version.max_cores_per_socket);
  limits.memory_mib = std::min(host.memory_mib, version.max_memory_mib);
  vim::VirtualMachineConfigOption option;
  option.version = format_hardware_version(version.number);
  option.description = description(version);
  for (const GuestOs& guest : guest_operating_systems()) {
    if (!is_wanted(guest, guest_ids)) continue;
    if (guest.id == "otherGuest")
      option.guestOSDefaultIndex = static_cast<std::int32_t>(option.guestOSDescriptor.size());
    option.guestOSDescriptor.push_back(describe(guest, version, limits));
  }
  option.hardwareOptions = hardware_option(version, limits);
  option.capabilities = machine_capability(version);
  option.defaultDevice = default_devices(version);
  option.supportedMonitorType = {"release"};
  return option;
}

model::List<vim::VirtualMachineConfigOptionDescriptor> config_option_descriptors(
    const model::MoRef& host) {
  model::List<vim::VirtualMachineConfigOptionDescriptor> descriptors;
  for (const HardwareVersion& version : hardware_versions()) {
    vim::VirtualMachineConfigOptionDescriptor& descriptor = descriptors.emplace_back();
    descriptor.key = format_hardware_version(version.number);
    descriptor.description = description(version);
    descriptor.host = {host};
    descriptor.createSupported = descriptor.runSupported = descriptor.upgradeSupported = true;
    descriptor.defaultConfigOption = &version == &hardware_versions().back();
  }
  return descriptors;
}

}  // namespace virga::host
