#include "host/vm_config_devices.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "host/disk_types.h"
#include "host/hardware_version.h"
#include "host/vm_config_words.h"
#include "host/vm_device_kind.h"
#include "host/vm_device_list.h"
#include "host/vm_disk_chain.h"
#include "vmx/text.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::host {
namespace {

void set_pci_slot(vim::VirtualDevice& device, std::optional<int> slot) {
  if (!slot) return;
  vim::VirtualDevicePciBusSlotInfo info;
  info.pciSlotNumber = *slot;
  device.slotInfo = model::share(info);
}

// "16,777,216 KB", as clients show a disk's size.
std::string with_commas(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

class DeviceListBuilder : private DeviceList {
 public:
  using DeviceList::DeviceList;

  model::List<vim::VirtualDevice> build() {
    add_fixed();
    for (const vmx::Controller& controller : config_.controllers) add(controller);
    for (const vmx::CdRom& cdrom : config_.cdroms) add(cdrom);
    for (const vmx::Disk& disk : config_.disks) add(disk);
    for (const vmx::OtherDevice& device : config_.other_devices) add(device);
    for (const vmx::NetworkAdapter& adapter : config_.network_adapters) add(adapter);
    for (const DeviceKind* kind : device_kinds()) kind->show(*this);
    return take();
  }

 private:
  template <class T>
  void add_fixed_controller(int key, const std::string& label, int bus) {
    T controller;
    controller.key = key;
    controller.busNumber = bus;
    controller.deviceInfo = description(label, label);
    append(std::move(controller));
  }
  void add_fixed();
  void add_input();
  void add_video();
  void add_vmci();
  void add(const vmx::Controller& controller);
  void add(const vmx::Disk& disk);
  void add(const vmx::CdRom& cdrom);
  void add(const vmx::OtherDevice& device);
  void add(const vmx::NetworkAdapter& adapter);

  vim::VirtualDiskFlatVer2BackingInfo flat_backing(const vmx::Disk& disk) const;
  vim::VirtualDiskFlatVer2BackingInfo flat_backing(const vmx::Disk& disk, const std::string& file,
                                                   const datastore::DiskInfo* info) const;
};

// --- What every VM has -------------------------------------------------------------------------

void DeviceListBuilder::add_fixed() {
  add_fixed_controller<vim::VirtualIDEController>(keys::ide, "IDE 0", 0);
  add_fixed_controller<vim::VirtualIDEController>(keys::ide + 1, "IDE 1", 1);
  add_fixed_controller<vim::VirtualPS2Controller>(keys::ps2, "PS2 controller 0", 0);
  add_fixed_controller<vim::VirtualPCIController>(keys::pci, "PCI controller 0", 0);
  add_fixed_controller<vim::VirtualSIOController>(keys::sio, "SIO controller 0", 0);
  add_input();
  add_video();
  add_vmci();
}

void DeviceListBuilder::add_input() {
  vim::VirtualKeyboard keyboard;
  place(keyboard, keys::keyboard, keys::ps2, 0);
  keyboard.deviceInfo = description("Keyboard", "Keyboard");
  append(std::move(keyboard));
  vim::VirtualPointingDevice mouse;
  place(mouse, keys::pointing, keys::ps2, 1);
  mouse.deviceInfo = description("Pointing device", "Pointing device; Device");
  vim::VirtualPointingDeviceDeviceBackingInfo backing;
  backing.useAutoDetect = false;
  backing.hostPointingDevice = "autodetect";
  mouse.backing = model::share(std::move(backing));
  append(std::move(mouse));
}

void DeviceListBuilder::add_video() {
  vim::VirtualMachineVideoCard card;
  place(card, keys::video, keys::pci, pci_units::video);
  card.deviceInfo = description("Video card", "Video card");
  card.videoRamSizeInKB = config_.video.memory_bytes / 1024;
  card.numDisplays = config_.video.displays;
  card.useAutoDetect = config_.video.autodetect;
  card.enable3DSupport = config_.video.enable_3d;
  card.use3dRenderer = api_word(config_.video.renderer);
  card.graphicsMemorySizeInKB = config_.video.graphics_memory_bytes / 1024;
  append(std::move(card));
}

void DeviceListBuilder::add_vmci() {
  if (first_version_with("VirtualMachineVMCIDevice") > config_.hardware_version) return;
  vim::VirtualMachineVMCIDevice vmci;
  place(vmci, keys::vmci, keys::pci, pci_units::vmci);
  vmci.deviceInfo = description("VMCI device",
                                "Device on the virtual machine PCI bus that provides support for "
                                "the virtual machine communication interface");
  vmci.allowUnrestrictedCommunication = false;
  vmci.filterEnable = true;
  append(std::move(vmci));
}

// --- Controllers -------------------------------------------------------------------------------

std::string summary_of(const vmx::Controller& controller) {
  switch (controller.model) {
    case vmx::ControllerModel::pvscsi:
      return "VMware paravirtual SCSI";
    case vmx::ControllerModel::lsi_logic:
      return "LSI Logic";
    case vmx::ControllerModel::lsi_sas:
      return "LSI Logic SAS";
    case vmx::ControllerModel::bus_logic:
      return "BusLogic";
    case vmx::ControllerModel::ahci:
      return "AHCI";
    case vmx::ControllerModel::nvme:
      break;
  }
  return label(controller);
}

int pci_unit(const vmx::Controller& controller) {
  const int first = controller.bus == vmx::Bus::sata   ? pci_units::sata
                    : controller.bus == vmx::Bus::nvme ? pci_units::nvme
                                                       : pci_units::scsi;
  return first + controller.number;
}

void DeviceListBuilder::add(const vmx::Controller& controller) {
  auto device = make_device<vim::VirtualController>(api_type(controller.model));
  vim::VirtualController& it = device.edit();
  place(it, device_key(controller), keys::pci, pci_unit(controller));
  it.deviceInfo = description(label(controller), summary_of(controller));
  it.busNumber = controller.number;
  set_pci_slot(it, controller.pci_slot);
  if (controller.bus == vmx::Bus::scsi) {
    auto& scsi = static_cast<vim::VirtualSCSIController&>(it);
    scsi.hotAddRemove = true;
    scsi.sharedBus = *model::enumerator<vim::VirtualSCSISharing>(api_word(controller.sharing));
    scsi.scsiCtlrUnitNumber = vmx::scsi_own_unit;
  }
  append(Ptr<vim::VirtualDevice>(device));
}

// --- Disks and drives --------------------------------------------------------------------------

std::string uuid_of(const datastore::DiskInfo& info) {
  try {
    return info.uuid.empty() ? info.uuid : vmx::api_disk_uuid(info.uuid);
  } catch (const Error&) {
    return info.uuid;  // written by somebody with a form of his own
  }
}

// One file of the disk; its parent is left out.
vim::VirtualDiskFlatVer2BackingInfo DeviceListBuilder::flat_backing(
    const vmx::Disk& disk, const std::string& file, const datastore::DiskInfo* info) const {
  vim::VirtualDiskFlatVer2BackingInfo backing;
  set_file(backing, file);
  backing.diskMode = api_word(disk.mode);
  backing.split = false;
  backing.writeThrough = disk.write_through;
  backing.digestEnabled = false;
  backing.sharing = disk.multi_writer ? "sharingMultiWriter" : "sharingNone";
  if (!info) return backing;
  backing.split = is_split(*info);
  backing.thinProvisioned = info->provisioning == datastore::Provisioning::thin;
  if (info->provisioning == datastore::Provisioning::eager_zeroed) backing.eagerlyScrub = true;
  if (const std::string uuid = uuid_of(*info); !uuid.empty()) backing.uuid = uuid;
  if (!info->parent.empty()) backing.deltaDiskFormat = "redoLogFormat";
  if (!info->change_id.empty()) backing.changeId = info->change_id;
  return backing;
}

vim::VirtualDiskFlatVer2BackingInfo DeviceListBuilder::flat_backing(const vmx::Disk& disk) const {
  const auto path = find_file(context_, disk.file);
  if (!path) return flat_backing(disk, disk.file, nullptr);
  vim::VirtualDiskFlatVer2BackingInfo backing;
  for (const vmx::DatastorePath& link : disk_chain(*path, context_)) {
    const auto info = context_.disk(link);
    auto above = flat_backing(disk, link.format(), info ? &*info : nullptr);
    if (!backing.fileName.empty()) above.parent = model::share(std::move(backing));
    backing = std::move(above);
  }
  return backing;
}

vim::VirtualDiskSparseVer2BackingInfo sparse_backing(
    const vim::VirtualDiskFlatVer2BackingInfo& flat) {
  vim::VirtualDiskSparseVer2BackingInfo backing;
  backing.fileName = flat.fileName;
  backing.datastore = flat.datastore;
  backing.diskMode = flat.diskMode;
  backing.split = flat.split;
  backing.writeThrough = flat.writeThrough;
  backing.uuid = flat.uuid;
  return backing;
}

// Empty for a unit that this host has not got.
std::string device_name(const datastore::RawMapping& mapping, const ConfigContext& context) {
  return context.raw_device(mapping.unit) ? "vml." + mapping.uuid : "";
}

vim::VirtualDiskRawDiskMappingVer1BackingInfo raw_backing(
    const vim::VirtualDiskFlatVer2BackingInfo& flat, const datastore::RawMapping& mapping,
    const std::string& device) {
  vim::VirtualDiskRawDiskMappingVer1BackingInfo backing;
  backing.fileName = flat.fileName;
  backing.datastore = flat.datastore;
  backing.diskMode = flat.diskMode;
  backing.uuid = flat.uuid;
  backing.sharing = flat.sharing;
  backing.deltaDiskFormat = flat.deltaDiskFormat;
  backing.lunUuid = mapping.uuid;
  backing.deviceName = device;
  backing.compatibilityMode = mapping.passthrough ? "physicalMode" : "virtualMode";
  if (flat.parent) backing.parent = model::share(raw_backing(*flat.parent, mapping, device));
  return backing;
}

// A disk whose file cannot be read has capacity 0 and says so.
void DeviceListBuilder::add(const vmx::Disk& disk) {
  const auto path = find_file(context_, disk.file);
  const auto info = path ? context_.disk(*path) : std::nullopt;
  vim::VirtualDisk device;
  place(device, device_key(disk), controller_key(disk.slot), disk.slot.unit);
  const std::uint64_t capacity = info ? info->capacity : 0;
  device.capacityInKB = static_cast<std::int64_t>(capacity / 1024);
  device.capacityInBytes = static_cast<std::int64_t>(capacity);
  device.deviceInfo =
      description(label(config_, disk), info ? with_commas(capacity / 1024) + " KB"
                                             : "The disk's file is missing or cannot be read");
  const auto flat = flat_backing(disk);
  if (const auto mapping = path ? raw_mapping(*path, context_) : std::nullopt)
    device.backing = model::share(raw_backing(flat, *mapping, device_name(*mapping, context_)));
  else if (info && is_sparse(*info))
    device.backing = model::share(sparse_backing(flat));
  else
    device.backing = model::share(flat);
  device.shares = model::share(shares_info(disk.io, 1000));
  vim::StorageIOAllocationInfo io;
  io.limit = disk.io.limit.value_or(-1);
  io.shares = device.shares;
  io.reservation = 0;
  device.storageIOAllocation = model::share(std::move(io));
  device.diskObjectId = fmt::format("1-{}", device.key);
  device.nativeUnmanagedLinkedClone = false;
  append(std::move(device));
}

void DeviceListBuilder::add(const vmx::CdRom& cdrom) {
  vim::VirtualCdrom device;
  const int key = device_key(cdrom);
  place(device, key, controller_key(cdrom.slot), cdrom.slot.unit);
  std::string summary = "Remote device";
  switch (cdrom.backing) {
    case vmx::CdRomBacking::image: {
      vim::VirtualCdromIsoBackingInfo backing;
      set_file(backing, cdrom.file);
      summary = "ISO " + backing.fileName;
      device.backing = model::share(std::move(backing));
      break;
    }
    case vmx::CdRomBacking::host_emulated:
      device.backing = device_backing<vim::VirtualCdromAtapiBackingInfo>(cdrom.file);
      summary = "ATAPI " + cdrom.file;
      break;
    case vmx::CdRomBacking::host_passthrough:
      device.backing = device_backing<vim::VirtualCdromPassthroughBackingInfo>(cdrom.file);
      summary = cdrom.file;
      break;
    case vmx::CdRomBacking::client_emulated:
      device.backing = device_backing<vim::VirtualCdromRemoteAtapiBackingInfo>("");
      summary = "Remote ATAPI";
      break;
    case vmx::CdRomBacking::client_passthrough:
      device.backing = device_backing<vim::VirtualCdromRemotePassthroughBackingInfo>("");
      break;
  }
  device.deviceInfo = description(label(config_, cdrom), summary);
  device.connectable =
      connectable(key, cdrom.start_connected, cdrom.guest_may_eject, is_served(cdrom.backing));
  append(std::move(device));
}

void DeviceListBuilder::add(const vmx::OtherDevice& other) {
  vim::VirtualDevice device;
  place(device, device_key(other.slot), controller_key(other.slot), other.slot.unit);
  device.deviceInfo = description(other.slot.key(), "Not served: " + other.type);
  append(std::move(device));
}

// --- Network -------------------------------------------------------------------------

Ptr<vim::VirtualDeviceBackingInfo> distributed_backing(const vmx::DistributedPort& port) {
  vim::VirtualEthernetCardDistributedVirtualPortBackingInfo backing;
  backing.port.switchUuid = port.switch_id;
  if (!port.portgroup.empty()) backing.port.portgroupKey = port.portgroup;
  if (!port.port.empty()) backing.port.portKey = port.port;
  if (const auto cookie = vmx::parse_int(port.connection))
    backing.port.connectionCookie = static_cast<std::int32_t>(*cookie);
  return model::share(std::move(backing));
}

void DeviceListBuilder::add(const vmx::NetworkAdapter& adapter) {
  auto device = make_device<vim::VirtualEthernetCard>(api_type(adapter.model));
  vim::VirtualEthernetCard& card = device.edit();
  const int key = device_key(adapter);
  place(card, key, keys::pci, pci_units::network_adapter + adapter.number);
  const auto network = context_.network(adapter.network);
  std::string summary = adapter.network;
  if (adapter.distributed_port) {
    summary = "DVSwitch: " + adapter.distributed_port->switch_id;
    card.backing = distributed_backing(*adapter.distributed_port);
  } else {
    card.backing = network_backing(adapter.network);
  }
  card.deviceInfo = description(label(adapter), summary);
  card.connectable = connectable(key, adapter.start_connected, adapter.guest_may_disconnect,
                                 network.has_value() && !adapter.distributed_port);
  set_pci_slot(card, adapter.pci_slot);
  card.addressType = api_word(adapter.address_type);
  if (!adapter.mac.empty()) card.macAddress = adapter.mac;
  card.wakeOnLanEnabled = adapter.wake_on_lan;
  vim::VirtualEthernetCardResourceAllocation resources;
  resources.reservation = 0;
  resources.limit = -1;
  resources.share.shares = 50;
  resources.share.level = vim::SharesLevel::normal;
  card.resourceAllocation = model::share(std::move(resources));
  card.uptCompatibilityEnabled = adapter.upt_compatible;
  if (adapter.model == vmx::AdapterModel::vrdma)
    static_cast<vim::VirtualVmxnet3Vrdma&>(card).deviceProtocol = api_word(adapter.rdma_protocol);
  append(Ptr<vim::VirtualDevice>(device));
}

}  // namespace

model::List<vim::VirtualDevice> devices(const vmx::MachineConfig& config,
                                        const ConfigContext& context, const DeviceState& state,
                                        bool powered_on) {
  return DeviceListBuilder(config, context, state, powered_on).build();
}

std::vector<vmx::Disk> disks_in_boot_order(const vmx::MachineConfig& config, bool all) {
  const std::string order = vmx::find_extra(config, disk_boot_order_key).value_or("");
  const auto rank = [&](const vmx::Disk& disk) {
    return ("," + order + ",").find("," + disk.slot.key() + ",");
  };
  std::vector<vmx::Disk> disks = config.disks;
  std::ranges::stable_sort(disks, {}, rank);
  if (!all)
    std::erase_if(disks, [&](const vmx::Disk& disk) { return rank(disk) == std::string::npos; });
  return disks;
}

}  // namespace virga::host
