#include "hypervisor/qemu/devices.h"

#include <fmt/format.h>

#include <algorithm>

#include "hypervisor/mediated_device.h"

namespace virga::hypervisor {
namespace {

constexpr int beyond_all_keys = 100'000;  // sets are numbered by image, then by key

constexpr int first_scsi_slot = 0x04;
constexpr int first_ahci_slot = 0x08;
constexpr int first_nic_slot = 0x0c;
constexpr int first_nvme_slot = 0x16;
constexpr int usb_slot = 0x1a;
constexpr int xhci_slot = 0x1b;
constexpr int sound_slot = 0x1c;
constexpr int watchdog_slot = 0x1d;
constexpr int passthrough_slot = 0x1f;

constexpr std::int64_t beyond_all_images = 1'000'000'000;  // descriptor sets

std::string pci_slot(int slot) {
  return fmt::format("{:#x}", slot);
}

const char* driver(ControllerModel model) {
  switch (model) {
    case ControllerModel::pvscsi:
      return "pvscsi";
    case ControllerModel::lsi_logic:
      return "lsi53c895a";
    case ControllerModel::lsi_sas:
      return "mptsas1068";
    case ControllerModel::ahci:
      return "ich9-ahci";
    case ControllerModel::nvme:
      return "nvme";
    case ControllerModel::ide:
      break;
  }
  return "";
}

const char* driver(DiskFormat format) {
  switch (format) {
    case DiskFormat::raw:
      return "raw";
    case DiskFormat::qcow2:
      return "qcow2";
    case DiskFormat::vmdk:
      break;
  }
  return "vmdk";
}

// VMware's E1000 is the 82545EM.
const char* driver(NicModel model) {
  switch (model) {
    case NicModel::vmxnet3:
      return "vmxnet3";
    case NicModel::e1000e:
      return "e1000e";
    case NicModel::e1000:
      return "e1000-82545em";
    case NicModel::pcnet:
      return "pcnet";
  }
  return "";
}

bool is_scsi(ControllerModel model) {
  return model == ControllerModel::pvscsi || model == ControllerModel::lsi_logic ||
         model == ControllerModel::lsi_sas;
}

int first_slot(ControllerModel model) {
  return model == ControllerModel::ahci   ? first_ahci_slot
         : model == ControllerModel::nvme ? first_nvme_slot
                                          : first_scsi_slot;
}

void attach(json::object& device, const MachineSpec& spec, const Controller& controller, int unit) {
  switch (controller.model) {
    case ControllerModel::ide:
      if (spec.secure_boot) {
        device["bus"] = fmt::format("ide.{}", 2 * controller.bus + unit);
      } else {
        device["bus"] = fmt::format("ide.{}", controller.bus);
        device["unit"] = unit;
      }
      break;
    case ControllerModel::ahci:
      device["bus"] = fmt::format("{}.{}", device_id(controller), unit);
      break;
    case ControllerModel::nvme:
      device["bus"] = device_id(controller);
      device["nsid"] = unit + 1;
      break;
    default:
      device["bus"] = device_id(controller) + ".0";
      device["scsi-id"] = unit;
      device["channel"] = 0;
      device["lun"] = 0;
  }
}

void set_boot_index(json::object& device, const MachineSpec& spec, const std::string& id) {
  std::vector<std::string> order = spec.boot_order;
  if (order.empty()) {
    for (const Disk& disk : spec.disks) order.push_back(device_id(disk));
    for (const Cdrom& cdrom : spec.cdroms) order.push_back(device_id(cdrom));
    for (const Nic& nic : spec.nics) order.push_back(device_id(nic));
  }
  const auto at = std::ranges::find(order, id);
  if (at != order.end()) device["bootindex"] = at - order.begin() + 1;
}

json::object file_node_of(int key, int image, bool read_only) {
  json::object node = {{"driver", "file"},
                       {"node-name", file_node(key, image)},
                       {"filename", fdset_path(fdset_of(key, image))},
                       {"read-only", read_only}};
  if (!read_only) node["discard"] = "unmap";
  return node;
}

json::object iscsi_node(const Disk& disk, const std::string& name, const IscsiUnit& unit) {
  json::object node = {{"driver", "iscsi"},
                       {"node-name", name},
                       {"transport", "tcp"},
                       {"portal", unit.portal},
                       {"target", unit.target},
                       {"lun", unit.lun},
                       {"initiator-name", unit.initiator},
                       {"header-digest", unit.header_digest ? "crc32c" : "none"},
                       {"read-only", disk.read_only}};
  if (!unit.user.empty()) {
    node["user"] = unit.user;
    node["password-secret"] = secret_id(disk);
  }
  if (!disk.read_only) node["discard"] = "unmap";
  return node;
}

// The node under the format's.
json::object protocol_node(const Disk& disk, int image, const DiskImage& of) {
  if (of.iscsi) return iscsi_node(disk, file_node(disk.key, image), *of.iscsi);
  json::object node = file_node_of(disk.key, image, disk.read_only);
  if (of.block_device) node["driver"] = "host_device";
  return node;
}

}  // namespace

json::object secret_object(const Disk& disk, const std::string& file) {
  return {{"qom-type", "secret"}, {"id", secret_id(disk)}, {"file", file}};
}
std::string secret_id(const Disk& disk) {
  return device_id(disk) + "-secret";
}

std::string file_node(int key, int image) {
  return fmt::format("file-{}-{}", key, image);
}
std::string format_node(int key, int image) {
  return fmt::format("node-{}-{}", key, image);
}
int key_of_node(const std::string& name) {
  return name.starts_with("node-") || name.starts_with("file-") ? std::atoi(name.c_str() + 5) : 0;
}
std::string netdev_id(const Nic& nic) {
  return device_id(nic) + "-net";
}
std::int64_t fdset_of(int key, int image) {
  return image * beyond_all_keys + key;
}
std::int64_t fdset_of_extent(int key, int image, int extent) {
  return (extent + 1) * beyond_all_images + fdset_of(key, image);
}
std::pair<int, int> image_of_fdset(std::int64_t set) {
  const std::int64_t image = set % beyond_all_images;
  return {static_cast<int>(image % beyond_all_keys), static_cast<int>(image / beyond_all_keys)};
}
std::string fdset_path(std::int64_t set) {
  return fmt::format("/dev/fdset/{}", set);
}

std::uint64_t world_wide_name(const MachineSpec& spec, const Disk& disk) {
  if (disk.wwn != 0) return disk.wwn;
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : fmt::format("{}/{}", spec.id, disk.key))
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  constexpr std::uint64_t naa5_vmware = 0x5'000c29'000000000;
  return naa5_vmware | (hash >> 28);
}

json::object dimm_backend(std::size_t slot, std::uint64_t mib) {
  return {{"qom-type", "memory-backend-ram"},
          {"id", fmt::format("memory-{}", slot)},
          {"size", mib << 20}};
}

json::object dimm_device(std::size_t slot) {
  return {{"driver", "pc-dimm"},
          {"id", fmt::format("dimm-{}", slot)},
          {"memdev", fmt::format("memory-{}", slot)},
          {"slot", slot}};
}

std::optional<json::object> pci_bus_device(const MachineSpec& spec) {
  if (!spec.secure_boot) return std::nullopt;
  return json::object{
      {"driver", "pcie-pci-bridge"}, {"id", "pci.0"}, {"bus", "pcie.0"}, {"addr", "0x1e"}};
}

std::optional<json::object> controller_device(const Controller& controller) {
  if (controller.model == ControllerModel::ide) return std::nullopt;
  json::object device = {{"driver", driver(controller.model)},
                         {"id", device_id(controller)},
                         {"bus", "pci.0"},
                         {"addr", pci_slot(first_slot(controller.model) + controller.bus)}};
  // As VMware's call themselves.
  if (controller.model == ControllerModel::nvme)
    device["serial"] = fmt::format("VMware NVME_{:04}", controller.bus);
  return device;
}

std::string option_rom(ControllerModel model) {
  return is_scsi(model) ? std::string(driver(model)) + ".rom" : "";
}

namespace {

void describe_namespace(json::object& device, const MachineSpec& spec, const Disk& disk) {
  device["driver"] = "nvme-ns";
  device["eui64"] = world_wide_name(spec, disk);
}

// The device tells the guest itself who it is.
void describe_passthrough(json::object& device) {
  device["driver"] = "scsi-block";
  device["rerror"] = "report";
  device["werror"] = "enospc";
}

void describe_drive(json::object& device, const MachineSpec& spec, const Disk& disk, bool scsi) {
  device["driver"] = scsi ? "scsi-hd" : "ide-hd";
  device["wwn"] = world_wide_name(spec, disk);
  device["rerror"] = "report";
  device["werror"] = "enospc";
  // What VMware's disks call themselves: guests' udev rules know it.
  if (scsi) {
    device["vendor"] = "VMware";
    device["product"] = "Virtual disk";
    device["ver"] = "2.0";
  } else {
    device["model"] = "VMware Virtual disk";
  }
  if (!disk.serial.empty()) device["serial"] = disk.serial;
}

}  // namespace

json::object disk_device(const MachineSpec& spec, const Disk& disk) {
  const Controller& controller = find_controller(spec, disk.controller_key);
  json::object device = {{"id", device_id(disk)},
                         {"drive", format_node(disk.key, static_cast<int>(disk.chain.size()) - 1)}};
  attach(device, spec, controller, disk.unit);
  if (disk.shared) device["share-rw"] = true;
  if (controller.model == ControllerModel::nvme)
    describe_namespace(device, spec, disk);
  else if (disk.passthrough)
    describe_passthrough(device);
  else
    describe_drive(device, spec, disk, is_scsi(controller.model));
  set_boot_index(device, spec, device_id(disk));
  return device;
}

json::object cdrom_device(const MachineSpec& spec, const Cdrom& cdrom) {
  const Controller& controller = find_controller(spec, cdrom.controller_key);
  json::object device = {{"driver", is_scsi(controller.model) ? "scsi-cd" : "ide-cd"},
                         {"id", device_id(cdrom)}};
  if (cdrom.path) device["drive"] = format_node(cdrom.key, 0);
  attach(device, spec, controller, cdrom.unit);
  set_boot_index(device, spec, device_id(cdrom));
  return device;
}

json::object nic_device(const MachineSpec& spec, const Nic& nic, const std::string& netdev) {
  json::object device = {{"driver", driver(nic.model)},
                         {"id", device_id(nic)},
                         {"bus", "pci.0"},
                         {"addr", pci_slot(first_nic_slot + nic.slot)},
                         {"mac", nic.mac},
                         {"netdev", netdev}};
  if (nic.rdma) device["multifunction"] = true;
  set_boot_index(device, spec, device_id(nic));
  return device;
}

json::object rdma_device(const Nic& nic, const std::string& netdev, const std::string& chardev) {
  return {{"driver", "pvrdma"},
          {"id", device_id(nic) + "-rdma"},
          {"bus", "pci.0"},
          {"addr", fmt::format("{:#x}.1", first_nic_slot + nic.slot)},
          {"ibdev", nic.rdma->device},
          {"ibport", nic.rdma->port},
          {"netdev", netdev},
          {"mad-chardev", chardev}};
}

// The files below the last one are open for writing too, since they are merged into; what nobody
// writes to now is read-only one level up.
ImageNodes image_nodes(const Disk& disk, int image, const DiskImage& file, json::value backing,
                       bool written) {
  // The driver of VMware's formats would open its extents anew to change what it may do with them.
  const bool stays_writable = written || file.format == DiskFormat::vmdk;
  const bool read_only = disk.read_only || !stays_writable;
  json::object format = {{"driver", driver(file.format)},
                         {"node-name", format_node(disk.key, image)},
                         {"file", file_node(disk.key, image)},
                         {"read-only", read_only}};
  // Told even that there is none: else the driver looks for one in the file.
  if (file.format != DiskFormat::raw) format["backing"] = std::move(backing);
  if (!disk.read_only) format["discard"] = "unmap";
  return {protocol_node(disk, image, file), std::move(format)};
}

std::vector<ImageNodes> disk_nodes(const Disk& disk) {
  std::vector<ImageNodes> nodes;
  for (const DiskImage& file : disk.chain) {
    const int image = static_cast<int>(nodes.size());
    json::value backing = nullptr;
    if (image > 0) backing = format_node(disk.key, image - 1);
    nodes.push_back(
        image_nodes(disk, image, file, std::move(backing), &file == &disk.chain.back()));
  }
  return nodes;
}

namespace {

// `host_driver`: QEMU's for such a drive of the host.
ImageNodes medium_nodes(int key, const std::string& path, const char* host_driver, bool read_only) {
  json::object file = file_node_of(key, 0, read_only);
  if (path.starts_with("/dev/")) file["driver"] = host_driver;
  return {std::move(file), json::object{{"driver", "raw"},
                                        {"node-name", format_node(key, 0)},
                                        {"file", file_node(key, 0)},
                                        {"read-only", read_only}}};
}

}  // namespace

ImageNodes cdrom_nodes(int key, const std::string& path) {
  return medium_nodes(key, path, "host_cdrom", true);
}

ImageNodes floppy_nodes(int key, const std::string& path) {
  return medium_nodes(key, path, "host_device", false);
}

json::object floppy_device(const MachineSpec& spec, const Floppy& floppy) {
  // Without a medium QEMU would take the drive for one of 2.88 MB, which guests know less well.
  json::object device = {{"driver", "floppy"},
                         {"id", device_id(floppy)},
                         {"unit", floppy.unit},
                         {"drive-type", "144"}};
  if (floppy.path) device["drive"] = format_node(floppy.key, 0);
  set_boot_index(device, spec, device_id(floppy));
  return device;
}

std::vector<json::object> usb_controller_devices(const UsbController& controller) {
  const std::string id = device_id(controller);
  const auto on_slot = [&](const char* driver, const std::string& id, const std::string& address) {
    return json::object{{"driver", driver}, {"id", id}, {"bus", "pci.0"}, {"addr", address}};
  };
  switch (controller.model) {
    case UsbControllerModel::uhci:
      return {on_slot("piix3-usb-uhci", id, pci_slot(usb_slot))};
    case UsbControllerModel::xhci:
      return {on_slot("qemu-xhci", id, pci_slot(xhci_slot))};
    case UsbControllerModel::ehci:
      break;
  }
  // As on Intel's ICH9: the EHCI is function 7, and each companion has two of its six ports.
  std::vector<json::object> devices = {
      on_slot("ich9-usb-ehci1", id, fmt::format("{:#x}.7", usb_slot))};
  devices.front()["multifunction"] = true;
  for (int companion = 0; companion < 3; ++companion) {
    json::object device = on_slot(companion == 0   ? "ich9-usb-uhci1"
                                  : companion == 1 ? "ich9-usb-uhci2"
                                                   : "ich9-usb-uhci3",
                                  fmt::format("{}-companion-{}", id, companion),
                                  fmt::format("{:#x}.{}", usb_slot, companion));
    device["multifunction"] = companion == 0;
    device["masterbus"] = id + ".0";
    device["firstport"] = 2 * companion;
    devices.push_back(std::move(device));
  }
  return devices;
}

json::object usb_device(const UsbDevice& device) {
  json::object description = {{"id", device_id(device)},
                              {"bus", fmt::format("usb-{}.0", device.controller_key)}};
  switch (device.model) {
    case UsbDeviceModel::keyboard:
      description["driver"] = "usb-kbd";
      break;
    case UsbDeviceModel::tablet:
      description["driver"] = "usb-tablet";
      break;
    case UsbDeviceModel::host:
      description["driver"] = "usb-host";
      description["hostdevice"] = fdset_path(fdset_of(device.key));
      break;
  }
  return description;
}

std::vector<json::object> sound_devices(const SoundCard& card, const std::string& audiodev) {
  const std::string id = device_id(card);
  switch (card.model) {
    case SoundModel::ensoniq1370:
      return {{{"driver", "ES1370"},
               {"id", id},
               {"bus", "pci.0"},
               {"addr", pci_slot(sound_slot)},
               {"audiodev", audiodev}}};
    case SoundModel::sound_blaster16:
      return {{{"driver", "sb16"}, {"id", id}, {"audiodev", audiodev}}};
    case SoundModel::hd_audio:
      break;
  }
  return {{{"driver", "intel-hda"}, {"id", id}, {"bus", "pci.0"}, {"addr", pci_slot(sound_slot)}},
          {{"driver", "hda-duplex"}, {"bus", id + ".0"}, {"cad", 0}, {"audiodev", audiodev}}};
}

json::object passthrough_bridge() {
  return {{"driver", "pci-bridge"}, {"id", "passthrough"},
          {"bus", "pci.0"},         {"addr", pci_slot(passthrough_slot)},
          {"chassis_nr", 1},        {"shpc", false}};
}

json::object passthrough_device(const PassthroughDevice& device) {
  json::object described = {{"driver", "vfio-pci"}, {"id", device_id(device)}};
  if (device.share)
    described["sysfsdev"] = mediated_device_path(device.share->uuid);
  else
    described["host"] = device.address;
  described["bus"] = "passthrough";
  described["addr"] = pci_slot(device.slot + 1);
  return described;
}

json::object watchdog_device(const Watchdog& watchdog) {
  return {{"driver", "i6300esb"},
          {"id", device_id(watchdog)},
          {"bus", "pci.0"},
          {"addr", pci_slot(watchdog_slot)}};
}

}  // namespace virga::hypervisor
