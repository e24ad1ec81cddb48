#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "vmx/machine_config.h"
#include "vmx/machine_devices.h"

namespace virga::vmx {
namespace {

// What a configuration reads as in a .vmx, less what its absence says as well.
class Rendering {
 public:
  explicit Rendering(const MachineConfig& config);

  const std::vector<VmxFile::Entry>& entries() const { return entries_; }
  // Prefixes of the keys of the devices, by a name that tells what sits there: a CD-ROM in the
  // place of a disk is another device.
  const std::map<std::string, std::vector<std::string>>& devices() const { return devices_; }

  std::optional<std::string> find(std::string_view key) const {
    const auto found = index_.find(to_lower(key));
    if (found == index_.end()) return std::nullopt;
    return entries_[found->second].value;
  }

 private:
  void put(std::string_view key, std::string_view value) {
    index_[to_lower(prefix_ + std::string(key))] = entries_.size();
    entries_.push_back({prefix_ + std::string(key), std::string(value)});
  }
  void put_text(std::string_view key, std::string_view value, std::string_view absent = {}) {
    if (value != absent) put(key, value);
  }
  void put_number(std::string_view key, std::int64_t value) { put(key, std::to_string(value)); }
  void put_number(std::string_view key, std::int64_t value, std::int64_t absent) {
    if (value != absent) put_number(key, value);
  }
  void put_flag(std::string_view key, bool value) { put(key, value ? "TRUE" : "FALSE"); }
  void put_flag(std::string_view key, bool value, bool absent) {
    if (value != absent) put_flag(key, value);
  }

  void begin_device(const std::string& kind, const std::string& name) {
    prefix_ = name + ".";
    devices_[kind + " " + name] = {prefix_};
    put_flag("present", true);
  }

  void identity(const MachineConfig& config);
  void processors_and_memory(const MachineConfig& config);
  void allocation(const std::string& prefix, const Allocation& allocation);
  void put_shares(const Allocation& allocation, const std::string& prefix = {});
  void boot_and_power(const MachineConfig& config);
  void files_and_tools(const MachineConfig& config);
  void video_and_usb(const MachineConfig& config);
  void controller(const Controller& controller);
  void disk(const Disk& disk);
  void cdrom(const CdRom& cdrom);
  void other_device(const OtherDevice& device);
  void adapter(const NetworkAdapter& adapter);
  class KeyWriter;
  void kinds(const MachineConfig& config);

  std::string prefix_;
  std::vector<VmxFile::Entry> entries_;
  std::map<std::string, std::size_t> index_;
  std::map<std::string, std::vector<std::string>> devices_;
};

Rendering::Rendering(const MachineConfig& config) {
  identity(config);
  processors_and_memory(config);
  boot_and_power(config);
  files_and_tools(config);
  video_and_usb(config);
  for (const Controller& it : config.controllers) controller(it);
  for (const Disk& it : config.disks) disk(it);
  for (const CdRom& it : config.cdroms) cdrom(it);
  for (const OtherDevice& it : config.other_devices) other_device(it);
  for (const NetworkAdapter& it : config.network_adapters) adapter(it);
  kinds(config);
}

void Rendering::identity(const MachineConfig& config) {
  put_number("virtualHW.version", config.hardware_version);
  put("displayName", config.display_name);
  put_text("guestOS", config.guest_os);
  put_text("guestOSAltName", config.guest_os_alternate);
  put_text("annotation", config.annotation);
  if (!config.bios_uuid.empty()) put("uuid.bios", vmx_uuid(config.bios_uuid));
  if (!config.instance_uuid.empty()) put("vc.uuid", vmx_uuid(config.instance_uuid));
  if (!config.location_uuid.empty()) put("uuid.location", vmx_uuid(config.location_uuid));
}

void Rendering::processors_and_memory(const MachineConfig& config) {
  put_number("memsize", config.memory_mib);
  put_number("numvcpus", config.cpus);
  put_number("cpuid.coresPerSocket", config.cores_per_socket, 1);
  put_flag("vcpu.hotadd", config.cpu_hot_add, false);
  put_flag("vcpu.hotremove", config.cpu_hot_remove, false);
  put_flag("mem.hotadd", config.memory_hot_add, false);
  put_flag("vhv.enable", config.nested_virtualization, false);
  put_flag("vpmc.enable", config.cpu_counters, false);
  put_flag("sched.mem.pin", config.memory_reservation_locked, false);
  allocation("sched.cpu.", config.cpu);
  allocation("sched.mem.", config.memory);
}

void Rendering::allocation(const std::string& prefix, const Allocation& allocation) {
  put_number(prefix + "min", allocation.reservation, 0);
  if (allocation.limit) put_number(prefix + "max", *allocation.limit);
  put_shares(allocation, prefix);
}

void Rendering::put_shares(const Allocation& allocation, const std::string& prefix) {
  if (allocation.level == SharesLevel::custom)
    put_number(prefix + "shares", allocation.custom_shares);
  else
    put_text(prefix + "shares", word_of<SharesLevel>(shares_words, allocation.level), "normal");
}

void Rendering::boot_and_power(const MachineConfig& config) {
  put_text("firmware", word_of<Firmware>(firmware_words, config.firmware), "bios");
  put_flag("uefi.secureBoot.enabled", config.secure_boot, false);
  put_number("bios.bootDelay", config.boot.delay_ms, 0);
  put_flag("bios.forceSetupOnce", config.boot.enter_setup_once, false);
  put_flag("bios.bootRetry.enabled", config.boot.retry, false);
  put_number("bios.bootRetry.delay", config.boot.retry_delay_ms, 10'000);
  put_text("bios.bootOrder", fmt::format("{}", fmt::join(config.boot.order, ",")));
  const auto put_power = [&](std::string_view key, PowerOption option) {
    put_text(key, word_of<PowerOption>(power_words, option), "default");
  };
  put_power("powerType.powerOff", config.power.power_off);
  put_power("powerType.suspend", config.power.suspend);
  put_power("powerType.reset", config.power.reset);
}

void Rendering::files_and_tools(const MachineConfig& config) {
  put_text("nvram", config.nvram);
  put_text("extendedConfigFile", config.extended_config);
  put_text("checkpoint.vmState", config.suspend_state);
  put_text("workingDir", config.working_directory);
  put_flag("cleanShutdown", config.clean_shutdown, true);
  put_flag("disk.EnableUUID", config.disk_uuids_shown, false);
  put_flag("ctkEnabled", config.changes_tracked, false);
  put_flag("tools.syncTime", config.tools.sync_time_with_host, false);
  put_text("tools.upgrade.policy", config.tools.upgrade_policy, "manual");
  put_flag("toolScripts.afterPowerOn", config.tools.after_power_on, true);
  put_flag("toolScripts.afterResume", config.tools.after_resume, true);
  put_flag("toolScripts.beforeSuspend", config.tools.before_suspend, true);
  put_flag("toolScripts.beforePowerOff", config.tools.before_power_off, true);
}

void Rendering::video_and_usb(const MachineConfig& config) {
  put_number("svga.vramSize", config.video.memory_bytes, 4 << 20);
  put_number("svga.numDisplays", config.video.displays, 1);
  put_flag("svga.autodetect", config.video.autodetect, false);
  put_flag("mks.enable3d", config.video.enable_3d, false);
  put_text("mks.use3dRenderer", word_of<Renderer>(renderer_words, config.video.renderer),
           "automatic");
  put_number("svga.graphicsMemoryKB", config.video.graphics_memory_bytes >> 10, 256 << 10);
  put_flag("usb.present", config.usb.uhci, false);
  put_flag("ehci.present", config.usb.ehci, false);
  put_flag("usb_xhci.present", config.usb.xhci, false);
  for (const UsbDevice& device : config.usb_devices)
    put(device_name(usb_device_prefix, max_usb_devices, device.number), device.pattern);
}

void Rendering::controller(const Controller& controller) {
  const std::string name = fmt::format("{}{}", to_string(controller.bus), controller.number);
  begin_device("controller", name);
  devices_["controller " + name].push_back(name + ":");
  if (controller.bus == Bus::scsi) {
    put("virtualDev", word_of<ControllerModel>(scsi_words, controller.model));
    put_text("sharedBus", word_of<BusSharing>(sharing_words, controller.sharing), "none");
  }
  if (controller.pci_slot) put_number("pciSlotNumber", *controller.pci_slot);
}

void Rendering::disk(const Disk& disk) {
  begin_device("disk", disk.slot.key());
  const Bus bus = disk.slot.bus;
  put("deviceType", bus == Bus::scsi ? "scsi-hardDisk" : bus == Bus::ide ? "ata-hardDisk" : "disk");
  put("fileName", disk.file);
  put_text("mode", word_of<DiskMode>(disk_mode_words, disk.mode), "persistent");
  put_flag("writeThrough", disk.write_through, false);
  if (disk.multi_writer) put("sharing", "multi-writer");
  put_flag("ctkEnabled", disk.changes_tracked, false);
  put_text("redo", disk.redo);
  prefix_ = "sched." + disk.slot.key() + ".";
  devices_["disk " + disk.slot.key()].push_back(prefix_);
  if (disk.io.limit) put_number("throughputCap", *disk.io.limit);
  put_shares(disk.io);
}

void Rendering::cdrom(const CdRom& cdrom) {
  begin_device("cdrom", cdrom.slot.key());
  const CdRomBacking backing = cdrom.backing;
  const bool at_client =
      backing == CdRomBacking::client_emulated || backing == CdRomBacking::client_passthrough;
  const bool raw =
      backing == CdRomBacking::host_passthrough || backing == CdRomBacking::client_passthrough;
  put("deviceType", backing == CdRomBacking::image ? "cdrom-image"
                    : raw                          ? "cdrom-raw"
                                                   : "atapi-cdrom");
  put_flag("clientDevice", at_client, false);
  put("fileName", at_client ? "emptyBackingString" : std::string_view(cdrom.file));
  put_flag("startConnected", cdrom.start_connected);
  put_flag("allowGuestConnectionControl", cdrom.guest_may_eject, true);
}

void Rendering::other_device(const OtherDevice& device) {
  begin_device("other", device.slot.key());
  put("deviceType", device.type);
}

void Rendering::adapter(const NetworkAdapter& adapter) {
  begin_device("network adapter", fmt::format("ethernet{}", adapter.number));
  put("virtualDev", word_of<AdapterModel>(adapter_words, adapter.model));
  if (adapter.model == AdapterModel::vmxnet2) put("features", enhanced_vmxnet);
  if (adapter.model == AdapterModel::vrdma)
    put("deviceProtocol", word_of<RdmaProtocol>(rdma_words, adapter.rdma_protocol));
  put_text("networkName", adapter.network);
  put_text("connectionType", adapter.connection_type);
  if (const auto& port = adapter.distributed_port) {
    put_text("dvs.switchId", port->switch_id);
    put_text("dvs.portgroupId", port->portgroup);
    put_text("dvs.portId", port->port);
    put_text("dvs.connectionId", port->connection);
  }
  put("addressType", word_of<AddressType>(address_words, adapter.address_type));
  put_text(adapter.address_type == AddressType::manual ? "address" : "generatedAddress",
           adapter.mac);
  if (adapter.address_type == AddressType::generated && !adapter.mac.empty())
    put_number("generatedAddressOffset", adapter.generated_offset);
  put_flag("startConnected", adapter.start_connected, true);
  put_flag("allowGuestConnectionControl", adapter.guest_may_disconnect, true);
  put_flag("wakeOnPcktRcv", adapter.wake_on_lan, true);
  put_flag("uptCompatibility", adapter.upt_compatible, false);
  if (adapter.pci_slot) put_number("pciSlotNumber", *adapter.pci_slot);
}

// Walks a device's list of keys and renders its members.
class Rendering::KeyWriter {
 public:
  explicit KeyWriter(Rendering& rendering) : rendering_(rendering) {}

  bool covers(bool there) const { return there; }
  void text(std::string_view key, const std::string& value) const { rendering_.put(key, value); }
  void text(std::string_view key, const std::string& value, std::string_view absent) const {
    rendering_.put_text(key, value, absent);
  }
  void flag(std::string_view key, bool value, bool absent) const {
    rendering_.put_flag(key, value, absent);
  }
  void flag_always(std::string_view key, bool value, bool) const {
    rendering_.put_flag(key, value);
  }
  template <class Value>
  void word(std::string_view key, const Value& value, std::span<const Word<Value>> words,
            Value) const {
    rendering_.put(key, word_of<Value>(words, value));
  }

 private:
  Rendering& rendering_;
};

void Rendering::kinds(const MachineConfig& config) {
  for_each_kind([&](std::string_view kind, int count, auto member) {
    for (auto device : config.*member) {
      begin_device(std::string(kind), device_name(kind, count, device.number));
      KeyWriter keys(*this);
      visit_keys(keys, device);
    }
  });
}

// --- What no .vmx can express ------------------------------------------------------------------

Error impossible(const std::string& what, std::string_view why) {
  return error(ErrorKind::invalid_argument, what, "{} {}", what, why);
}

void check_slots(const MachineConfig& config) {
  std::set<Slot> taken;
  const auto check = [&](const Slot& slot) {
    const int units = unit_count(config, slot.bus, slot.controller);
    if (units == 0) throw impossible(slot.key(), "is on a controller the machine does not have");
    if (slot.unit < 0 || slot.unit >= units) throw impossible(slot.key(), "is no unit");
    if (slot.bus == Bus::scsi && slot.unit == scsi_own_unit)
      throw impossible(slot.key(), "is the controller's own unit");
    if (!taken.insert(slot).second) throw impossible(slot.key(), "holds two devices");
  };
  for (const Disk& disk : config.disks) check(disk.slot);
  for (const CdRom& cdrom : config.cdroms) check(cdrom.slot);
  for (const OtherDevice& device : config.other_devices) check(device.slot);
}

template <class Device>
void check_numbers(const std::vector<Device>& devices, const std::string& name, int count) {
  std::set<int> taken;
  for (const Device& device : devices) {
    const std::string key = device_name(name, count, device.number);
    if (device.number < 0 || device.number >= count) throw impossible(key, "is out of range");
    if (!taken.insert(device.number).second) throw impossible(key, "stands twice");
  }
}

void check_controllers(const MachineConfig& config) {
  std::map<Bus, std::vector<Controller>> by_bus;
  for (const Controller& controller : config.controllers) {
    const bool model_fits = controller.bus == Bus::nvme ? controller.model == ControllerModel::nvme
                            : controller.bus == Bus::sata
                                ? controller.model == ControllerModel::ahci
                                : !word_of<ControllerModel>(scsi_words, controller.model).empty();
    if (controller.bus == Bus::ide || !model_fits)
      throw impossible(fmt::format("{}{}", to_string(controller.bus), controller.number),
                       "cannot be such a controller");
    by_bus[controller.bus].push_back(controller);
  }
  for (const auto& [bus, controllers] : by_bus)
    check_numbers(controllers, std::string(to_string(bus)), max_controllers(bus));
}

void check(const MachineConfig& config) {
  check_controllers(config);
  check_slots(config);
  check_numbers(config.network_adapters, "ethernet", max_network_adapters);
  check_numbers(config.usb_devices, std::string(usb_device_prefix), max_usb_devices);
  for_each_kind([&](std::string_view kind, int count, auto member) {
    check_numbers(config.*member, std::string(kind), count);
  });
  for (const VmxFile::Entry& entry : config.extra)
    if (is_described(entry.key))
      throw impossible(entry.key, "is not extra configuration: it has a place of its own");
}

// --- Changing a file ---------------------------------------------------------------------------

// Erases every line of the devices only one of the two has, and returns the prefixes of those.
std::vector<std::string> erase_changed_devices(const Rendering& before, const Rendering& after,
                                               VmxFile& file) {
  std::vector<std::string> erased;
  const auto collect = [&](const Rendering& some, const Rendering& others) {
    for (const auto& [device, prefixes] : some.devices())
      if (!others.devices().contains(device))
        erased.insert(erased.end(), prefixes.begin(), prefixes.end());
  };
  collect(before, after);
  collect(after, before);
  for (const std::string& prefix : erased) file.erase_prefix(prefix);
  return erased;
}

void write_described(const Rendering& before, const Rendering& after, VmxFile& file) {
  const std::vector<std::string> erased = erase_changed_devices(before, after, file);
  const auto was_erased = [&](std::string_view key) {
    return std::any_of(erased.begin(), erased.end(), [&](const std::string& prefix) {
      return starts_with_ignoring_case(key, prefix);
    });
  };
  for (const auto& [key, value] : before.entries())
    if (!after.find(key)) file.erase(key);
  for (const auto& [key, value] : after.entries())
    if (was_erased(key) || before.find(key) != value) file.set(key, value);
}

std::map<std::string, std::string> by_key(const std::vector<VmxFile::Entry>& entries) {
  std::map<std::string, std::string> values;
  for (const auto& [key, value] : entries) values[to_lower(key)] = value;
  return values;
}

void write_extra(const MachineConfig& before, const MachineConfig& after, VmxFile& file) {
  const auto old_values = by_key(before.extra);
  const auto new_values = by_key(after.extra);
  for (const auto& [key, value] : before.extra)
    if (!new_values.contains(to_lower(key))) file.erase(key);
  for (const auto& [key, value] : after.extra) {
    const auto old = old_values.find(to_lower(key));
    if (old == old_values.end() || old->second != value) file.set(key, value);
  }
}

}  // namespace

void write(const MachineConfig& config, VmxFile& file) {
  check(config);
  const MachineConfig current = read(file);
  write_described(Rendering(current), Rendering(config), file);
  write_extra(current, config, file);
}

VmxFile make_vmx(const MachineConfig& config) {
  check(config);
  VmxFile file;
  file.set("config.version", "8");
  const Rendering rendering(config);
  for (const auto& [key, value] : rendering.entries()) file.set(key, value);
  // A VM of hardware version 7 on has its PCI Express ports, and products of VMware refuse to start
  // one without.
  file.set("pciBridge0.present", "TRUE");
  for (int bridge = 4; bridge < 8; ++bridge) {
    const std::string name = fmt::format("pciBridge{}.", bridge);
    file.set(name + "present", "TRUE");
    file.set(name + "virtualDev", "pcieRootPort");
    file.set(name + "functions", "8");
  }
  file.set("vmci0.present", "TRUE");
  file.set("hpet0.present", "TRUE");
  file.set("svga.present", "TRUE");
  // To Workstation, what is not said to be absent is a diskette drive.
  if (config.floppies.empty()) file.set("floppy0.present", "FALSE");
  for (const auto& [key, value] : config.extra) file.set(key, value);
  return file;
}

}  // namespace virga::vmx
