#include "host/device_options.h"

#include "datastore/virtual_disk.h"
#include "host/device_option_list.h"
#include "host/vm_config_words.h"
#include "host/vm_device_kind.h"

namespace virga::host {

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

void add_connect_option(vim::VirtualDeviceOption& option) {
  vim::VirtualDeviceConnectOption connect;
  connect.startConnected = bool_option(true, true);
  connect.allowGuestControl = bool_option(true, true);
  option.connectOption = model::share(std::move(connect));
}

namespace {

// Units of a controller that a disk or drive can take.
int usable_units(vmx::ControllerModel model, const HardwareVersion& version) {
  const int units = vmx::unit_count(bus_of(model), model, version.number);
  int usable = 0;
  for (int unit = 0; unit < units; ++unit)
    if (hypervisor::unit_is_valid(*machine_model(model), unit)) ++usable;
  return usable;
}

// --- Controllers -------------------------------------------------------------------------------

template <class Option>
void add_scsi(DeviceOptionList& options, vmx::ControllerModel model) {
  const int units = usable_units(model, options.version());
  Option option;
  option.type = api_type(model);
  option.plugAndPlay = option.hotRemoveSupported = true;
  option.controllerType = "VirtualPCIController";
  option.devices = int_option(0, units, 0);
  option.supportedDevice = {"VirtualDisk"};
  option.numSCSIDisks = int_option(0, units, 0);
  option.sharing = {vim::VirtualSCSISharing::noSharing, vim::VirtualSCSISharing::virtualSharing,
                    vim::VirtualSCSISharing::physicalSharing};
  option.hotAddRemove = bool_option(true, true);
  option.scsiCtlrUnitNumber = vmx::scsi_own_unit;
  options.add(std::move(option));
}

void add_ide(DeviceOptionList& options) {
  const int units =
      vmx::unit_count(vmx::Bus::ide, vmx::ControllerModel::ahci, options.version().number);
  const bool disks = options.version_has(features::ide_disk);
  vim::VirtualIDEControllerOption ide;
  ide.type = "VirtualIDEController";
  ide.devices = ide.numIDECdroms = int_option(0, units, 0);
  ide.numIDEDisks = int_option(0, disks ? units : 0, 0);
  ide.supportedDevice = {"VirtualCdrom"};
  if (disks) ide.supportedDevice.emplace_back("VirtualDisk");
  options.add(std::move(ide));
}

void add_sata(DeviceOptionList& options) {
  vim::VirtualAHCIControllerOption sata;
  sata.type = api_type(vmx::ControllerModel::ahci);
  sata.controllerType = "VirtualPCIController";
  sata.devices = sata.numSATADisks = sata.numSATACdroms =
      int_option(0, usable_units(vmx::ControllerModel::ahci, options.version()), 0);
  sata.supportedDevice = {"VirtualDisk", "VirtualCdrom"};
  options.add(std::move(sata));
}

void add_nvme(DeviceOptionList& options) {
  vim::VirtualNVMEControllerOption nvme;
  nvme.type = api_type(vmx::ControllerModel::nvme);
  nvme.controllerType = "VirtualPCIController";
  nvme.devices = nvme.numNVMEDisks =
      int_option(0, usable_units(vmx::ControllerModel::nvme, options.version()), 0);
  nvme.supportedDevice = {"VirtualDisk"};
  options.add(std::move(nvme));
}

void add_buses(DeviceOptionList& options) {
  const auto controllers = int_option(0, vmx::max_controllers(vmx::Bus::scsi), 0);
  vim::VirtualPCIControllerOption pci;
  pci.type = "VirtualPCIController";
  const auto none = int_option(0, 0, 0);
  const auto if_version_has = [&](std::string_view type, const vim::IntOption& count) {
    return options.version_has(type) ? count : none;
  };
  const auto adapters = int_option(0, options.version().max_network_adapters, 0);
  pci.numSCSIControllers = controllers;
  pci.numSasSCSIControllers = if_version_has("VirtualLsiLogicSASController", controllers);
  pci.numParaVirtualSCSIControllers = if_version_has("ParaVirtualSCSIController", controllers);
  pci.numSATAControllers = if_version_has("VirtualAHCIController", controllers);
  pci.numNVMEControllers = model::share(if_version_has("VirtualNVMEController", controllers));
  pci.numEthernetCards = adapters;
  pci.numVmxnet3EthernetCards = if_version_has("VirtualVmxnet3", adapters);
  pci.numVmxnet3VrdmaEthernetCards =
      model::share(if_version_has("VirtualVmxnet3Vrdma", int_option(0, most_rdma_adapters, 0)));
  pci.numVideoCards = int_option(1, 1, 1);
  pci.numSoundCards = int_option(0, 1, 0);
  pci.numPCIPassthroughDevices =
      if_version_has("VirtualPCIPassthrough", int_option(0, vmx::max_passthrough_devices, 0));
  pci.numVmciDevices = if_version_has("VirtualMachineVMCIDevice", int_option(1, 1, 1));
  options.add(std::move(pci));
  vim::VirtualSIOControllerOption sio;
  sio.type = "VirtualSIOController";
  sio.numSerialPorts = int_option(0, most_serial_ports, 0);
  sio.numFloppyDrives = int_option(0, vmx::max_floppies, 0);
  sio.numParallelPorts = int_option(0, vmx::max_parallel_ports, 0);
  options.add(std::move(sio));
}

// --- Devices -----------------------------------------------------------------------------------

void add_disk(DeviceOptionList& options) {
  constexpr std::int64_t largest = datastore::max_disk_capacity / 1024;
  vim::VirtualDiskFlatVer2BackingOption flat;
  flat.fileNameExtensions = model::share(choice({"vmdk"}));
  flat.diskMode = choice({"persistent", "independent_persistent", "independent_nonpersistent"});
  flat.split = flat.writeThrough = bool_option(false, false);
  flat.growable = flat.uuid = true;
  flat.thinProvisioned = flat.eagerlyScrub = bool_option(true, false);
  vim::VirtualDiskOption disk;
  disk.type = "VirtualDisk";
  disk.plugAndPlay = disk.hotRemoveSupported = true;
  disk.capacityInKB = long_option(1, largest, 1 << 20);
  disk.ioAllocationOption.limitOption = long_option(-1, vmx::max_iops_limit, -1);
  disk.ioAllocationOption.sharesOption = shares_option();
  add_backing(disk, "VirtualDiskFlatVer2BackingInfo", std::move(flat));
  vim::VirtualDiskRawDiskMappingVer1BackingOption raw;
  raw.descriptorFileNameExtensions = model::share(choice({"vmdk"}));
  raw.compatibilityMode = choice({"virtualMode", "physicalMode"});
  raw.diskMode = choice({"persistent", "independent_persistent", "independent_nonpersistent"});
  raw.uuid = true;
  add_backing(disk, "VirtualDiskRawDiskMappingVer1BackingInfo", std::move(raw));
  options.add(std::move(disk));
}

void add_cdrom(DeviceOptionList& options) {
  vim::VirtualCdromOption cdrom;
  cdrom.type = "VirtualCdrom";
  add_connect_option(cdrom);
  vim::VirtualCdromIsoBackingOption iso;
  iso.fileNameExtensions = model::share(choice({"iso"}));
  add_backing(cdrom, "VirtualCdromIsoBackingInfo", std::move(iso));
  options.add(std::move(cdrom));
}

template <class Option>
void add_adapter(DeviceOptionList& options, vmx::AdapterModel model, Option option = {}) {
  option.type = api_type(model);
  option.controllerType = "VirtualPCIController";
  option.plugAndPlay = option.hotRemoveSupported = model != vmx::AdapterModel::vrdma;
  add_connect_option(option);
  option.macType = choice({"generated", "assigned", "manual"});
  option.supportedOUI = choice({"00:50:56", "00:0c:29"});
  option.wakeOnLanEnabled = bool_option(true, true);
  add_backing<vim::VirtualEthernetCardNetworkBackingOption>(
      option, "VirtualEthernetCardNetworkBackingInfo");
  options.add(std::move(option));
}

void add_video(DeviceOptionList& options) {
  vim::VirtualVideoCardOption video;
  video.type = "VirtualMachineVideoCard";
  video.videoRamSizeInKB = model::share(long_option(1 << 10, 256 << 10, 4 << 10));
  video.numDisplays = model::share(int_option(1, most_displays, 1));
  video.useAutoDetect = model::share(bool_option(true, false));
  video.support3D = model::share(bool_option(false, false));
  options.add(std::move(video));
}

}  // namespace

model::List<vim::VirtualDeviceOption> device_options(const HardwareVersion& version) {
  DeviceOptionList options(version);
  add_buses(options);
  add_ide(options);
  add_scsi<vim::ParaVirtualSCSIControllerOption>(options, vmx::ControllerModel::pvscsi);
  add_scsi<vim::VirtualLsiLogicControllerOption>(options, vmx::ControllerModel::lsi_logic);
  add_scsi<vim::VirtualLsiLogicSASControllerOption>(options, vmx::ControllerModel::lsi_sas);
  add_sata(options);
  add_nvme(options);
  add_disk(options);
  add_cdrom(options);
  add_adapter<vim::VirtualVmxnet3Option>(options, vmx::AdapterModel::vmxnet3);
  vim::VirtualVmxnet3VrdmaOption rdma;
  rdma.deviceProtocol = model::share(choice({"rocev2", "rocev1"}));
  add_adapter(options, vmx::AdapterModel::vrdma, std::move(rdma));
  add_adapter<vim::VirtualE1000eOption>(options, vmx::AdapterModel::e1000e);
  add_adapter<vim::VirtualE1000Option>(options, vmx::AdapterModel::e1000);
  add_adapter<vim::VirtualPCNet32Option>(options, vmx::AdapterModel::vlance);
  add_video(options);
  for (const DeviceKind* kind : device_kinds()) kind->offer(options);
  return options.take();
}

}  // namespace virga::host
