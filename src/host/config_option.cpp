#include "host/config_option.h"

#include <fmt/format.h>

#include <algorithm>

#include "datastore/virtual_disk.h"
#include "host/vm_config_devices.h"
#include "host/vm_config_words.h"

namespace virga::host {
namespace {

constexpr vmx::ControllerModel kScsiModels[] = {
    vmx::ControllerModel::pvscsi, vmx::ControllerModel::lsi_logic, vmx::ControllerModel::lsi_sas};
constexpr vmx::AdapterModel kAdapterModels[] = {vmx::AdapterModel::vmxnet3,
                                                vmx::AdapterModel::e1000e, vmx::AdapterModel::e1000,
                                                vmx::AdapterModel::vlance};
constexpr int kOldestCreated = 7;
constexpr int kSerialPorts = 4;

vim::IntOption int_option(std::int32_t min, std::int32_t max, std::int32_t preset) {
  vim::IntOption option;
  option.min = min;
  option.max = max;
  option.defaultValue = preset;
  return option;
}

vim::LongOption long_option(std::int64_t min, std::int64_t max, std::int64_t preset) {
  vim::LongOption option;
  option.min = min;
  option.max = max;
  option.defaultValue = preset;
  return option;
}

vim::BoolOption bool_option(bool supported, bool preset) {
  vim::BoolOption option;
  option.supported = supported;
  option.defaultValue = preset;
  return option;
}

vim::ChoiceOption choice(std::initializer_list<std::string_view> words) {
  vim::ChoiceOption option;
  for (const std::string_view word : words) {
    vim::ElementDescription& element = option.choiceInfo.emplace_back();
    element.key = element.label = element.summary = word;
  }
  option.defaultIndex = 0;
  return option;
}

vim::SharesOption shares_option() {
  vim::SharesOption option;
  option.sharesOption = int_option(0, 1'000'000, 1000);
  option.defaultLevel = vim::SharesLevel::normal;
  return option;
}

// Units of a controller that a disk or drive can take.
int usable_units(vmx::ControllerModel model, const HardwareVersion& version) {
  const int units = vmx::unit_count(bus_of(model), model, version.number);
  int usable = 0;
  for (int unit = 0; unit < units; ++unit)
    if (hypervisor::unit_is_valid(*machine_model(model), unit)) ++usable;
  return usable;
}

void add_connect_option(vim::VirtualDeviceOption& option) {
  vim::VirtualDeviceConnectOption connect;
  connect.startConnected = bool_option(true, true);
  connect.allowGuestControl = bool_option(true, true);
  option.connectOption = model::share(std::move(connect));
}

template <class Backing>
void add_backing(vim::VirtualDeviceOption& option, std::string_view type, Backing backing = {}) {
  backing.type = type;
  option.backingOption.push_back(model::share(std::move(backing)));
  option.defaultBackingOptionIndex = 0;
}

// --- Controllers -------------------------------------------------------------------------------

using DeviceOptions = model::List<vim::VirtualDeviceOption>;

template <class Option>
void add_scsi(DeviceOptions& options, vmx::ControllerModel model, const HardwareVersion& version) {
  const int units = usable_units(model, version);
  Option option;
  option.type = api_type(model);
  option.plugAndPlay = option.hotRemoveSupported = true;
  option.controllerType = "VirtualPCIController";
  option.devices = int_option(0, units, 0);
  option.supportedDevice = {"VirtualDisk"};
  option.numSCSIDisks = int_option(0, units, 0);
  option.sharing = {vim::VirtualSCSISharing::noSharing};
  option.hotAddRemove = bool_option(true, true);
  option.scsiCtlrUnitNumber = vmx::scsi_own_unit;
  options.push_back(model::share(std::move(option)));
}

void add_controllers(DeviceOptions& options, const HardwareVersion& version) {
  vim::VirtualIDEControllerOption ide;
  ide.type = "VirtualIDEController";
  ide.devices = ide.numIDEDisks = ide.numIDECdroms =
      int_option(0, vmx::unit_count(vmx::Bus::ide, vmx::ControllerModel::ahci, version.number), 0);
  ide.supportedDevice = {"VirtualDisk", "VirtualCdrom"};
  options.push_back(model::share(std::move(ide)));
  add_scsi<vim::ParaVirtualSCSIControllerOption>(options, vmx::ControllerModel::pvscsi, version);
  add_scsi<vim::VirtualLsiLogicControllerOption>(options, vmx::ControllerModel::lsi_logic, version);
  add_scsi<vim::VirtualLsiLogicSASControllerOption>(options, vmx::ControllerModel::lsi_sas,
                                                    version);
  vim::VirtualAHCIControllerOption sata;
  sata.type = api_type(vmx::ControllerModel::ahci);
  sata.controllerType = "VirtualPCIController";
  sata.devices = sata.numSATADisks = sata.numSATACdroms =
      int_option(0, usable_units(vmx::ControllerModel::ahci, version), 0);
  sata.supportedDevice = {"VirtualDisk", "VirtualCdrom"};
  options.push_back(model::share(std::move(sata)));
}

void add_buses(DeviceOptions& options) {
  const auto controllers = int_option(0, vmx::max_controllers(vmx::Bus::scsi), 0);
  vim::VirtualPCIControllerOption pci;
  pci.type = "VirtualPCIController";
  pci.numSCSIControllers = pci.numSasSCSIControllers = pci.numParaVirtualSCSIControllers =
      controllers;
  pci.numSATAControllers = int_option(0, vmx::max_controllers(vmx::Bus::sata), 0);
  pci.numEthernetCards = pci.numVmxnet3EthernetCards = int_option(0, vmx::max_network_adapters, 0);
  pci.numVideoCards = int_option(1, 1, 1);
  pci.numVmciDevices = int_option(1, 1, 1);
  options.push_back(model::share(std::move(pci)));
  vim::VirtualSIOControllerOption sio;
  sio.type = "VirtualSIOController";
  sio.numSerialPorts = int_option(0, kSerialPorts, 0);
  options.push_back(model::share(std::move(sio)));
}

// --- Devices -----------------------------------------------------------------------------------

void add_disk(DeviceOptions& options) {
  constexpr std::int64_t largest = datastore::max_disk_capacity / 1024;
  vim::VirtualDiskFlatVer2BackingOption flat;
  flat.fileNameExtensions = model::share(choice({"vmdk"}));
  flat.diskMode = choice({"persistent", "independent_persistent"});
  flat.split = flat.writeThrough = bool_option(false, false);
  flat.growable = flat.uuid = true;
  flat.thinProvisioned = flat.eagerlyScrub = bool_option(true, false);
  vim::VirtualDiskOption disk;
  disk.type = "VirtualDisk";
  disk.plugAndPlay = disk.hotRemoveSupported = true;
  disk.capacityInKB = long_option(1, largest, 1 << 20);
  disk.ioAllocationOption.limitOption = long_option(-1, -1, -1);
  disk.ioAllocationOption.sharesOption = shares_option();
  add_backing(disk, "VirtualDiskFlatVer2BackingInfo", std::move(flat));
  options.push_back(model::share(std::move(disk)));
}

void add_cdrom(DeviceOptions& options) {
  vim::VirtualCdromOption cdrom;
  cdrom.type = "VirtualCdrom";
  add_connect_option(cdrom);
  vim::VirtualCdromIsoBackingOption iso;
  iso.fileNameExtensions = model::share(choice({"iso"}));
  add_backing(cdrom, "VirtualCdromIsoBackingInfo", std::move(iso));
  options.push_back(model::share(std::move(cdrom)));
}

template <class Option>
void add_adapter(DeviceOptions& options, vmx::AdapterModel model) {
  Option option;
  option.type = api_type(model);
  option.controllerType = "VirtualPCIController";
  option.plugAndPlay = option.hotRemoveSupported = true;
  add_connect_option(option);
  option.macType = choice({"generated", "assigned", "manual"});
  option.supportedOUI = choice({"00:50:56", "00:0c:29"});
  option.wakeOnLanEnabled = bool_option(true, true);
  add_backing<vim::VirtualEthernetCardNetworkBackingOption>(
      option, "VirtualEthernetCardNetworkBackingInfo");
  options.push_back(model::share(std::move(option)));
}

void add_serial_port(DeviceOptions& options) {
  vim::VirtualSerialPortOption port;
  port.type = "VirtualSerialPort";
  port.controllerType = "VirtualSIOController";
  port.yieldOnPoll = bool_option(true, true);
  vim::VirtualSerialPortPipeBackingOption pipe;
  pipe.endpoint = choice({"server"});
  pipe.noRxLoss = bool_option(true, false);
  add_backing(port, "VirtualSerialPortPipeBackingInfo", std::move(pipe));
  add_backing<vim::VirtualSerialPortFileBackingOption>(port, "VirtualSerialPortFileBackingInfo");
  options.push_back(model::share(std::move(port)));
}

void add_video(DeviceOptions& options) {
  vim::VirtualVideoCardOption video;
  video.type = "VirtualMachineVideoCard";
  video.videoRamSizeInKB = model::share(long_option(1 << 10, 256 << 10, 4 << 10));
  video.numDisplays = model::share(int_option(1, 1, 1));
  video.useAutoDetect = model::share(bool_option(false, false));
  video.support3D = model::share(bool_option(false, false));
  options.push_back(model::share(std::move(video)));
}

DeviceOptions device_options(const HardwareVersion& version) {
  DeviceOptions options;
  add_buses(options);
  add_controllers(options, version);
  add_disk(options);
  add_cdrom(options);
  add_adapter<vim::VirtualVmxnet3Option>(options, vmx::AdapterModel::vmxnet3);
  add_adapter<vim::VirtualE1000eOption>(options, vmx::AdapterModel::e1000e);
  add_adapter<vim::VirtualE1000Option>(options, vmx::AdapterModel::e1000);
  add_adapter<vim::VirtualPCNet32Option>(options, vmx::AdapterModel::vlance);
  add_serial_port(options);
  add_video(options);
  return options;
}

vim::VirtualHardwareOption hardware_option(const HardwareVersion& version,
                                           const MachineLimits& limits) {
  vim::VirtualHardwareOption hardware;
  hardware.hwVersion = version.number;
  hardware.virtualDeviceOption = device_options(version);
  for (int cpus = 1; cpus <= limits.vcpus; ++cpus) hardware.numCPU.push_back(cpus);
  hardware.numCoresPerSocket = int_option(1, limits.vcpus, 1);
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

vim::GuestOsDescriptor describe(const GuestOs& guest, const MachineLimits& limits) {
  const RecommendedDevices recommended = recommended_devices(guest);
  vim::GuestOsDescriptor descriptor;
  descriptor.id = guest.id;
  descriptor.family = to_string(guest.family);
  descriptor.fullName = guest.full_name;
  descriptor.supportedMaxCPUs = limits.vcpus;
  descriptor.numSupportedPhysicalSockets = limits.vcpus;
  descriptor.numSupportedCoresPerSocket = limits.vcpus;
  descriptor.supportedMinMemMB = 4;
  descriptor.supportedMaxMemMB = static_cast<std::int32_t>(limits.memory_mib);
  descriptor.recommendedMemMB = recommended.memory_mib;
  descriptor.recommendedColorDepth = 24;
  for (const vmx::ControllerModel model : kScsiModels)
    descriptor.supportedDiskControllerList.emplace_back(api_type(model));
  descriptor.supportedDiskControllerList.emplace_back(api_type(vmx::ControllerModel::ahci));
  descriptor.supportedDiskControllerList.emplace_back("VirtualIDEController");
  descriptor.recommendedSCSIController = api_type(recommended.disk_controller);
  descriptor.recommendedDiskController = api_type(recommended.disk_controller);
  descriptor.supportedNumDisks = vmx::max_controllers(vmx::Bus::scsi) * 16;
  descriptor.recommendedDiskSizeMB = recommended.disk_mib;
  descriptor.recommendedCdromController = "VirtualIDEController";
  for (const vmx::AdapterModel model : kAdapterModels) {
    descriptor.supportedEthernetCard.emplace_back(api_type(model));
    descriptor.wakeOnLanEthernetCard.emplace_back(api_type(model));
  }
  descriptor.recommendedEthernetCard = api_type(recommended.adapter);
  descriptor.supportsSlaveDisk = true;
  descriptor.supportsWakeOnLan = true;
  descriptor.supportedFirmware = {"bios", "efi"};
  descriptor.recommendedFirmware = "bios";
  descriptor.supportLevel = "supported";
  descriptor.supportedForCreate = true;
  descriptor.vRAMSizeInKB = int_option(1 << 10, 256 << 10, 4 << 10);
  descriptor.supportsPvscsiControllerForBoot = guest.is_64_bit();
  descriptor.supportsHotPlugPCI = true;
  return descriptor;
}

bool is_wanted(const GuestOs& guest, const std::vector<std::string>& ids) {
  return ids.empty() || std::ranges::find(ids, guest.id) != ids.end();
}

}  // namespace

// Linux has had PVSCSI's and VMXNET3's drivers since 2.6.33; Windows comes with those of LSI SAS
// (from 7 on) and Intel's adapters.
RecommendedDevices recommended_devices(const GuestOs& guest) {
  using vmx::AdapterModel;
  using vmx::ControllerModel;
  if (!guest.is_64_bit()) return {ControllerModel::lsi_logic, AdapterModel::e1000, 1024, 8192};
  switch (guest.family) {
    case GuestFamily::linux:
      return {ControllerModel::pvscsi, AdapterModel::vmxnet3, 2048, 16'384};
    case GuestFamily::windows:
      return {ControllerModel::lsi_sas, AdapterModel::e1000e, 4096, 49'152};
    default:
      return {ControllerModel::lsi_logic, AdapterModel::e1000, 1024, 8192};
  }
}

vim::VirtualMachineCapability machine_capability() {
  vim::VirtualMachineCapability capability;
  capability.bootOptionsSupported = true;
  capability.bootRetryOptionsSupported = true;
  capability.multipleCoresPerSocketSupported = true;
  capability.settingVideoRamSizeSupported = true;
  capability.nestedHVSupported = true;
  capability.secureBootSupported = false;
  return capability;
}

vim::VirtualMachineConfigOption config_option(const HardwareVersion& version,
                                              const MachineLimits& host,
                                              const std::vector<std::string>& guest_ids) {
  const MachineLimits limits = {std::min(host.vcpus, version.max_vcpus),
                                std::min(host.memory_mib, version.max_memory_mib)};
  vim::VirtualMachineConfigOption option;
  option.version = format_hardware_version(version.number);
  option.description = fmt::format("{} and later (VM version {})", version.release, version.number);
  for (const GuestOs& guest : guest_operating_systems()) {
    if (!is_wanted(guest, guest_ids)) continue;
    if (guest.id == "otherGuest")
      option.guestOSDefaultIndex = static_cast<std::int32_t>(option.guestOSDescriptor.size());
    option.guestOSDescriptor.push_back(describe(guest, limits));
  }
  option.hardwareOptions = hardware_option(version, limits);
  option.capabilities = machine_capability();
  option.defaultDevice =
      devices({}, ConfigContext{vmx::DatastorePath("none", "none.vmx")}, {}, false);
  option.supportedMonitorType = {"release"};
  return option;
}

model::List<vim::VirtualMachineConfigOptionDescriptor> config_option_descriptors(
    const model::MoRef& host) {
  model::List<vim::VirtualMachineConfigOptionDescriptor> descriptors;
  for (const HardwareVersion& version : hardware_versions()) {
    vim::VirtualMachineConfigOptionDescriptor& descriptor = descriptors.emplace_back();
    descriptor.key = format_hardware_version(version.number);
    descriptor.description =
        fmt::format("{} and later (VM version {})", version.release, version.number);
    descriptor.host = {host};
    descriptor.createSupported = version.number >= kOldestCreated;
    descriptor.defaultConfigOption = &version == &hardware_versions().back();
    descriptor.runSupported = true;
    descriptor.upgradeSupported = !descriptor.defaultConfigOption;
  }
  return descriptors;
}

}  // namespace virga::host
