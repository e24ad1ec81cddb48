#include "host/ovf_export.h"

#include <algorithm>
#include <map>

#include "host/guest_os.h"
#include "host/hardware_version.h"
#include "host/http_nfc_lease.h"
#include "host/ovf_import.h"
#include "host/vm_config.h"

namespace virga::host {
namespace {

using ovf::Item;
using ovf::ResourceType;

constexpr const char* stream_format =
    "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

const char* sub_type(vmx::ControllerModel model) {
  switch (model) {
    case vmx::ControllerModel::pvscsi:
      return "VirtualSCSI";
    case vmx::ControllerModel::lsi_logic:
      return "lsilogic";
    case vmx::ControllerModel::lsi_sas:
      return "lsilogicsas";
    case vmx::ControllerModel::bus_logic:
      return "buslogic";
    case vmx::ControllerModel::ahci:
      return "vmware.sata.ahci";
    case vmx::ControllerModel::nvme:
      return "vmware.nvme.controller";
  }
  return "";
}

const char* sub_type(vmx::AdapterModel model) {
  switch (model) {
    case vmx::AdapterModel::vlance:
      return "PCNet32";
    case vmx::AdapterModel::vmxnet:
      return "VmxNet";
    case vmx::AdapterModel::vmxnet2:
      return "VmxNet2";
    case vmx::AdapterModel::e1000:
      return "E1000";
    case vmx::AdapterModel::e1000e:
      return "E1000e";
    case vmx::AdapterModel::vmxnet3:
    case vmx::AdapterModel::vrdma:
      break;
  }
  return "VmxNet3";
}

class Describer {
 public:
  Describer(const OvfExport& machine, OvfFindings& findings)
      : machine_(machine), config_(machine.config), findings_(findings) {}

  ovf::Envelope describe();

 private:
  Item& add(ResourceType type, std::string name);
  void add_processors();
  void add_memory();
  void add_controllers();
  void add_controller(vmx::Bus bus, int number, ResourceType type, std::string sub_type,
                      const char* name);
  void add_disks();
  void add_disk(const vmx::Disk& disk, std::size_t index);
  void add_drives();
  void add_adapters();
  void add_settings();
  void set_operating_system();
  void leave_out(const std::string& device);
  const vim::OvfFile* file_of(const vmx::Slot& slot) const;
  void hang(Item& item, const vmx::Slot& slot);

  const OvfExport& machine_;
  const vmx::MachineConfig& config_;
  OvfFindings& findings_;
  ovf::Envelope envelope_;
  ovf::VirtualSystem system_;
  std::map<std::pair<vmx::Bus, int>, std::string> controllers_;  // their instances
};

Item& Describer::add(ResourceType type, std::string name) {
  Item& item = system_.items.emplace_back();
  item.type = static_cast<int>(type);
  item.instance = std::to_string(system_.items.size());
  item.name = std::move(name);
  return item;
}

void Describer::add_processors() {
  Item& item = add(ResourceType::processor, fmt::format("{} virtual CPU(s)", config_.cpus));
  item.quantity = static_cast<std::uint64_t>(config_.cpus);
  item.cores_per_socket = config_.cores_per_socket;
  if (config_.cpu.reservation > 0) item.reservation = config_.cpu.reservation;
  item.limit = config_.cpu.limit;
}

void Describer::add_memory() {
  constexpr std::int64_t mib = 1 << 20;
  Item& item = add(ResourceType::memory, fmt::format("{}MB of memory", config_.memory_mib));
  item.quantity = static_cast<std::uint64_t>(config_.memory_mib * mib);
  if (config_.memory.reservation > 0) item.reservation = config_.memory.reservation * mib;
  if (config_.memory.limit) item.limit = *config_.memory.limit * mib;
}

void Describer::add_controller(vmx::Bus bus, int number, ResourceType type, std::string sub_type,
                               const char* name) {
  Item& item = add(type, fmt::format("{} Controller {}", name, number));
  item.sub_type = std::move(sub_type);
  item.address = std::to_string(number);
  controllers_[{bus, number}] = item.instance;
}

void Describer::add_controllers() {
  for (const vmx::Controller& controller : config_.controllers) {
    const bool is_scsi = controller.bus == vmx::Bus::scsi;
    const char* name = is_scsi ? "SCSI" : controller.bus == vmx::Bus::sata ? "SATA" : "NVME";
    add_controller(controller.bus, controller.number,
                   is_scsi ? ResourceType::scsi_controller : ResourceType::other_storage,
                   sub_type(controller.model), name);
  }
  for (int number = 0; number < vmx::max_controllers(vmx::Bus::ide); ++number)
    add_controller(vmx::Bus::ide, number, ResourceType::ide_controller, "", "IDE");
  if (config_.usb.uhci || config_.usb.ehci)
    add(ResourceType::usb_controller, "USB Controller").sub_type =
        config_.usb.ehci ? "vmware.usb.ehci" : "vmware.usb.uhci";
  if (config_.usb.xhci)
    add(ResourceType::usb_controller, "USB xHCI Controller").sub_type = "vmware.usb.xhci";
}

void Describer::hang(Item& item, const vmx::Slot& slot) {
  item.parent = controllers_[{slot.bus, slot.controller}];
  item.address_on_parent = std::to_string(slot.unit);
}

const vim::OvfFile* Describer::file_of(const vmx::Slot& slot) const {
  const std::string key = fmt::format("/{}/{}", machine_.id, device_of_slot(config_, slot));
  for (const auto& file : machine_.wanted.ovfFiles)
    if (file->deviceId == key) return file.operator->();
  return nullptr;
}

void Describer::add_disk(const vmx::Disk& disk, std::size_t index) {
  ovf::Disk described;
  described.id = fmt::format("vmdisk{}", index);
  described.format = stream_format;
  const auto capacity = machine_.capacity_of(disk);
  const vim::OvfFile* file = file_of(disk.slot);
  if (!capacity || !file) {
    vim::OvfDiskMappingNotFound detail;
    detail.diskName = disk.file;
    detail.vmName = config_.display_name;
    return findings_.error(std::move(detail), fmt::format("No file was named for {} of {}.",
                                                          disk.file, config_.display_name));
  }
  described.capacity = *capacity;
  if (file->populatedSize) described.populated = static_cast<std::uint64_t>(*file->populatedSize);
  ovf::File sent;
  sent.id = described.file = fmt::format("file{}", index);
  sent.href = file->path;
  if (file->size > 0) sent.size = static_cast<std::uint64_t>(file->size);
  envelope_.files.push_back(std::move(sent));
  Item& item = add(ResourceType::disk, fmt::format("Hard Disk {}", index));
  item.host_resources = {"ovf:/disk/" + described.id};
  hang(item, disk.slot);
  envelope_.disks.push_back(std::move(described));
}

void Describer::add_disks() {
  std::size_t index = 0;
  for (const vmx::Disk& disk : config_.disks) add_disk(disk, ++index);
}

// Without their media: what a drive of the next host holds is for that host to say.
void Describer::add_drives() {
  std::size_t index = 0;
  for (const vmx::CdRom& cdrom : config_.cdroms) {
    Item& item = add(ResourceType::cd_drive, fmt::format("CD/DVD Drive {}", ++index));
    item.sub_type = "vmware.cdrom.remotepassthrough";
    item.is_required = false;
    item.starts_connected = false;
    hang(item, cdrom.slot);
    if (cdrom.backing != vmx::CdRomBacking::image) continue;
    vim::OvfConnectedDeviceIso detail;
    detail.filename = cdrom.file;
    detail.vmPath = config_.display_name;
    findings_.warning(std::move(detail), fmt::format("{} is described without its medium, {}.",
                                                     item.name, cdrom.file));
  }
}

void Describer::add_adapters() {
  for (const vmx::NetworkAdapter& adapter : config_.network_adapters) {
    Item& item = add(ResourceType::ethernet, fmt::format("Ethernet {}", adapter.number + 1));
    item.sub_type = sub_type(adapter.model);
    item.connections = {adapter.network};
    item.starts_connected = adapter.start_connected;
    item.settings = {{"wakeOnLanEnabled", adapter.wake_on_lan ? "true" : "false", false}};
    const auto& networks = envelope_.networks;
    if (std::ranges::none_of(networks, [&](const auto& it) { return it.name == adapter.network; }))
      envelope_.networks.push_back(
          {adapter.network, fmt::format("The {} network", adapter.network)});
  }
}

void Describer::add_settings() {
  const auto flag = [&](const char* key, bool value) {
    system_.settings.push_back({key, value ? "true" : "false", false});
  };
  const bool is_efi = config_.firmware == vmx::Firmware::efi;
  system_.settings.push_back({"firmware", is_efi ? "efi" : "bios", false});
  flag("bootOptions.efiSecureBootEnabled", config_.secure_boot);
  flag("cpuHotAddEnabled", config_.cpu_hot_add);
  flag("memoryHotAddEnabled", config_.memory_hot_add);
  flag("nestedHVEnabled", config_.nested_virtualization);
  flag("tools.syncTimeWithHost", config_.tools.sync_time_with_host);
}

void Describer::set_operating_system() {
  system_.system.vmware_id = guest_id_of_os(config_.guest_os);
  system_.system.id = cim_of_guest_id(system_.system.vmware_id);
  system_.system.description = guest_full_name(system_.system.vmware_id);
}

void Describer::leave_out(const std::string& device) {
  vim::OvfUnsupportedDeviceExport detail;
  detail.vmPath = config_.display_name;
  findings_.warning(std::move(detail), device + " is not described.");
}

ovf::Envelope Describer::describe() {
  system_.id = system_.name = machine_.wanted.name.value_or(config_.display_name);
  system_.annotation = machine_.wanted.description.value_or(config_.annotation);
  system_.families = {format_hardware_version(config_.hardware_version)};
  set_operating_system();
  add_processors();
  add_memory();
  add_controllers();
  add_disks();
  add_drives();
  add_adapters();
  add_settings();
  for (const auto& port : config_.serial_ports)
    leave_out(fmt::format("Serial port {}", port.number + 1));
  for (const auto& port : config_.parallel_ports)
    leave_out(fmt::format("Parallel port {}", port.number + 1));
  for (const auto& device : config_.passthrough)
    leave_out(fmt::format("PCI device {}", device.number));
  if (!config_.tpms.empty()) leave_out("The TPM");
  envelope_.systems = {std::move(system_)};
  return std::move(envelope_);
}

}  // namespace

ovf::Envelope describe(const OvfExport& machine, OvfFindings& findings) {
  return Describer(machine, findings).describe();
}

}  // namespace virga::host
