#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "vmx/machine_config.h"
#include "vmx/machine_devices.h"

namespace virga::vmx {
namespace {

// The keys of one device, or with an empty prefix of the machine, typed. What makes no sense is
// damaged, by file and key.
class Section {
 public:
  Section(const VmxFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  std::string text(std::string_view key, std::string_view otherwise = {}) const {
    return file_.get_or(whole(key), otherwise);
  }

  bool flag(std::string_view key, bool otherwise) const {
    return file_.get_bool(whole(key)).value_or(otherwise);
  }

  std::int64_t number(std::string_view key, std::int64_t otherwise, std::int64_t least,
                      std::int64_t most) const {
    const std::int64_t value = file_.get_int(whole(key)).value_or(otherwise);
    if (value < least || value > most) throw damaged(key, "is out of range");
    return value;
  }

  int small_number(std::string_view key, int otherwise, int least, int most) const {
    return static_cast<int>(number(key, otherwise, least, most));
  }

  template <class Value>
  Value word(std::string_view key, std::span<const Word<Value>> words, Value otherwise) const {
    const std::string value = text(key);
    if (value.empty()) return otherwise;
    if (const auto known = value_of(words, value)) return *known;
    throw damaged(key, "is not a known word");
  }

  // VMware writes -1 before it has chosen a slot.
  std::optional<int> pci_slot() const {
    const int slot = small_number("pciSlotNumber", -1, -1, 1 << 20);
    return slot < 0 ? std::nullopt : std::optional(slot);
  }

  std::string uuid(std::string_view key) const {
    const std::string value = text(key);
    try {
      return value.empty() ? value : canonical_uuid(value);
    } catch (const Error&) {
      throw damaged(key, "is no UUID");
    }
  }

  std::string mac(std::string_view key) const {
    const std::string value = text(key);
    if (value.empty()) return value;
    if (const auto mac = normalise_mac(value)) return *mac;
    throw damaged(key, "is no MAC address");
  }

  Error damaged(std::string_view key, std::string_view what) const {
    return error(ErrorKind::damaged, file_.name(), "{}: {} = \"{}\" {}", file_.name(), whole(key),
                 text(key), what);
  }

 private:
  std::string whole(std::string_view key) const { return prefix_ + std::string(key); }

  const VmxFile& file_;
  std::string prefix_;
};

// The names of all devices that are present, "scsi0:1" as "ethernet3".
std::set<std::string> present_devices(const VmxFile& file) {
  constexpr std::string_view suffix = ".present";
  std::set<std::string> names;
  for (const auto& [key, value] : file.entries()) {
    if (key.size() <= suffix.size()) continue;
    const std::string_view name(key.data(), key.size() - suffix.size());
    if (!equal_ignoring_case(std::string_view(key).substr(name.size()), suffix)) continue;
    if (name.find('.') == std::string_view::npos && is_described(key) &&
        file.get_bool(key).value_or(false))
      names.insert(to_lower(name));
  }
  return names;
}

Controller read_controller(const Section& section, ControllerKey key, std::string_view guest_os) {
  Controller controller{key.bus, key.number};
  switch (key.bus) {
    case Bus::sata:
    case Bus::ide:
      controller.model = ControllerModel::ahci;
      break;
    case Bus::nvme:
      controller.model = ControllerModel::nvme;
      break;
    case Bus::scsi:
      controller.model =
          section.word<ControllerModel>("virtualDev", scsi_words, default_scsi_model(guest_os));
      controller.sharing = section.word<BusSharing>("sharedBus", sharing_words, BusSharing::none);
  }
  controller.pci_slot = section.pci_slot();
  return controller;
}

bool is_disk_type(std::string_view type) {
  const std::string lower = to_lower(type);
  return lower.empty() || lower == "disk" || lower.ends_with("-harddisk");
}

void read_shares(const Section& section, Allocation& allocation) {
  const std::string shares = section.text("shares", "normal");
  if (const auto level = value_of<SharesLevel>(shares_words, shares)) {
    allocation.level = *level;
  } else {
    allocation.level = SharesLevel::custom;
    allocation.custom_shares = section.number("shares", 0, 0, 1'000'000'000);
  }
}

Allocation read_io(const Section& section) {
  Allocation io;
  if (!equal_ignoring_case(section.text("throughputCap"), "off")) {
    const std::int64_t limit = section.number("throughputCap", 0, -1, max_iops_limit);
    if (limit > 0) io.limit = limit;
  }
  read_shares(section, io);
  return io;
}

Disk read_disk(const Section& section, const Section& schedule, const Slot& slot) {
  return {.slot = slot,
          .file = section.text("fileName"),
          .mode = section.word<DiskMode>("mode", disk_mode_words, DiskMode::persistent),
          .write_through = section.flag("writeThrough", false),
          .multi_writer = equal_ignoring_case(section.text("sharing"), "multi-writer"),
          .changes_tracked = section.flag("ctkEnabled", false),
          .redo = section.text("redo"),
          .io = read_io(schedule)};
}

std::optional<CdRom> read_cdrom(const Section& section, const Slot& slot) {
  const std::string type = to_lower(section.text("deviceType"));
  const bool at_client = section.flag("clientDevice", false);
  CdRom cdrom{.slot = slot};
  if (type == "cdrom-image") {
    cdrom.backing = CdRomBacking::image;
  } else if (type == "atapi-cdrom") {
    cdrom.backing = at_client ? CdRomBacking::client_emulated : CdRomBacking::host_emulated;
  } else if (type == "cdrom-raw") {
    cdrom.backing = at_client ? CdRomBacking::client_passthrough : CdRomBacking::host_passthrough;
  } else {
    return std::nullopt;
  }
  if (cdrom.backing == CdRomBacking::image || !at_client) cdrom.file = section.text("fileName");
  cdrom.start_connected = section.flag("startConnected", true);
  cdrom.guest_may_eject = section.flag("allowGuestConnectionControl", true);
  return cdrom;
}

std::optional<DistributedPort> read_distributed_port(const Section& section) {
  DistributedPort port{section.text("dvs.switchId"), section.text("dvs.portgroupId"),
                       section.text("dvs.portId"), section.text("dvs.connectionId")};
  if (port == DistributedPort{}) return std::nullopt;
  return port;
}

NetworkAdapter read_adapter(const Section& section, int number, const MachineConfig& machine) {
  NetworkAdapter adapter{.number = number};
  adapter.model =
      section.word<AdapterModel>("virtualDev", adapter_words,
                                 default_adapter_model(machine.guest_os, machine.hardware_version));
  if (adapter.model == AdapterModel::vmxnet && section.text("features") == enhanced_vmxnet)
    adapter.model = AdapterModel::vmxnet2;
  adapter.rdma_protocol =
      section.word<RdmaProtocol>("deviceProtocol", rdma_words, RdmaProtocol::rocev2);
  adapter.network = section.text("networkName");
  adapter.connection_type = section.text("connectionType");
  adapter.distributed_port = read_distributed_port(section);
  const auto type_unless_said =
      section.text("address").empty() ? AddressType::generated : AddressType::manual;
  adapter.address_type = section.word<AddressType>("addressType", address_words, type_unless_said);
  adapter.mac =
      section.mac(adapter.address_type == AddressType::manual ? "address" : "generatedAddress");
  if (adapter.address_type == AddressType::generated)
    adapter.generated_offset = section.small_number("generatedAddressOffset", 0, 0, 0xffffff);
  adapter.start_connected = section.flag("startConnected", true);
  adapter.guest_may_disconnect = section.flag("allowGuestConnectionControl", true);
  adapter.wake_on_lan = section.flag("wakeOnPcktRcv", true);
  adapter.upt_compatible = section.flag("uptCompatibility", false);
  adapter.pci_slot = section.pci_slot();
  return adapter;
}

// Walks a device's list of keys and fills its members in.
class KeyReader {
 public:
  explicit KeyReader(const Section& section) : section_(section) {}

  bool covers(bool there) const { return there; }
  void text(std::string_view key, std::string& value, std::string_view absent = {}) const {
    value = section_.text(key, absent);
  }
  void flag(std::string_view key, bool& value, bool absent) const {
    value = section_.flag(key, absent);
  }
  void flag_always(std::string_view key, bool& value, bool absent) const {
    flag(key, value, absent);
  }
  template <class Value>
  void word(std::string_view key, Value& value, std::span<const Word<Value>> words,
            Value absent) const {
    value = section_.word<Value>(key, words, absent);
  }

 private:
  const Section& section_;
};

void read_slot(const Section& section, const Section& schedule, const Slot& slot,
               MachineConfig& config) {
  const std::string type = section.text("deviceType");
  if (unit_count(config, slot.bus, slot.controller) <= slot.unit) return;
  if (is_disk_type(type))
    config.disks.push_back(read_disk(section, schedule, slot));
  else if (auto cdrom = read_cdrom(section, slot))
    config.cdroms.push_back(std::move(*cdrom));
  else
    config.other_devices.push_back({slot, type});
}

// In the order of their numbers. Controllers first: what hangs on an absent one is not there.
void read_devices(const VmxFile& file, MachineConfig& config) {
  std::map<Slot, std::string> slots;
  std::map<std::pair<Bus, int>, std::string> controllers;
  std::map<int, std::string> adapters;
  for (const std::string& name : present_devices(file)) {
    if (const auto slot = parse_slot(name)) {
      slots[*slot] = name;
    } else if (const auto key = parse_controller(name)) {
      if (key->bus != Bus::ide) controllers[{key->bus, key->number}] = name;
    } else if (const auto adapter = parse_numbered(name, "ethernet", max_network_adapters)) {
      adapters[*adapter] = name;
    }
  }
  const auto section = [&](const std::string& name) { return Section(file, name + "."); };
  for (const auto& [key, name] : controllers)
    config.controllers.push_back(
        read_controller(section(name), {key.first, key.second}, config.guest_os));
  for (const auto& [slot, name] : slots)
    read_slot(section(name), section("sched." + name), slot, config);
  for (const auto& [number, name] : adapters)
    config.network_adapters.push_back(read_adapter(section(name), number, config));
}

void read_kinds(const VmxFile& file, MachineConfig& config) {
  const std::set<std::string> present = present_devices(file);
  for_each_kind([&](std::string_view kind, int count, auto member) {
    for (int number = 0; number < count; ++number) {
      const std::string name = device_name(kind, count, number);
      if (!present.contains(to_lower(name))) continue;
      const Section section(file, name + ".");
      KeyReader keys(section);
      auto& device = (config.*member).emplace_back();
      device.number = number;
      visit_keys(keys, device);
    }
  });
}

void read_usb(const Section& machine, MachineConfig& config) {
  config.usb = {.uhci = machine.flag("usb.present", false),
                .ehci = machine.flag("ehci.present", false),
                .xhci = machine.flag("usb_xhci.present", false)};
  for (int number = 0; number < max_usb_devices; ++number) {
    const std::string pattern =
        machine.text(device_name(usb_device_prefix, max_usb_devices, number));
    if (!pattern.empty()) config.usb_devices.push_back({number, pattern});
  }
}

Allocation read_allocation(const VmxFile& file, const std::string& prefix) {
  const Section section(file, prefix);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  Allocation allocation;
  allocation.reservation = section.number("min", 0, 0, most);
  if (!equal_ignoring_case(section.text("max"), "unlimited")) {
    const std::int64_t limit = section.number("max", -1, -1, most);
    if (limit >= 0) allocation.limit = limit;
  }
  read_shares(section, allocation);
  return allocation;
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> items;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = trim(text.substr(0, comma));
    if (!item.empty()) items.emplace_back(item);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return items;
}

void read_identity(const Section& machine, MachineConfig& config) {
  config.display_name = machine.text("displayName");
  config.bios_uuid = machine.uuid("uuid.bios");
  config.instance_uuid = machine.uuid("vc.uuid");
  config.location_uuid = machine.uuid("uuid.location");
  config.guest_os = machine.text("guestOS");
  config.guest_os_alternate = machine.text("guestOSAltName");
  config.annotation = machine.text("annotation");
  config.hardware_version = machine.small_number("virtualHW.version", 3, 1, 99);
}

void read_processors_and_memory(const Section& machine, MachineConfig& config) {
  config.memory_mib = machine.number("memsize", 32, 1, 1 << 26);
  config.cpus = machine.small_number("numvcpus", 1, 1, 1024);
  config.cores_per_socket = machine.small_number("cpuid.coresPerSocket", 1, 1, 1024);
  config.cpu_hot_add = machine.flag("vcpu.hotadd", false);
  config.cpu_hot_remove = machine.flag("vcpu.hotremove", false);
  config.memory_hot_add = machine.flag("mem.hotadd", false);
  config.nested_virtualization = machine.flag("vhv.enable", false);
  config.cpu_counters = machine.flag("vpmc.enable", false);
  config.memory_reservation_locked = machine.flag("sched.mem.pin", false);
}

void read_boot_and_power(const Section& machine, MachineConfig& config) {
  config.firmware = machine.word<Firmware>("firmware", firmware_words, Firmware::bios);
  config.secure_boot = machine.flag("uefi.secureBoot.enabled", false);
  config.boot.delay_ms = machine.number("bios.bootDelay", 0, 0, 1 << 30);
  config.boot.enter_setup_once = machine.flag("bios.forceSetupOnce", false);
  config.boot.retry = machine.flag("bios.bootRetry.enabled", false);
  config.boot.retry_delay_ms = machine.number("bios.bootRetry.delay", 10'000, 0, 1 << 30);
  config.boot.order = split_list(machine.text("bios.bootOrder"));
  const auto power = [&](std::string_view key) {
    return machine.word<PowerOption>(key, power_words, PowerOption::preset);
  };
  config.power = {power("powerType.powerOff"), power("powerType.suspend"),
                  power("powerType.reset")};
}

void read_files_and_tools(const Section& machine, MachineConfig& config) {
  config.tools.sync_time_with_host = machine.flag("tools.syncTime", false);
  config.tools.upgrade_policy = machine.text("tools.upgrade.policy", "manual");
  config.tools.after_power_on = machine.flag("toolScripts.afterPowerOn", true);
  config.tools.after_resume = machine.flag("toolScripts.afterResume", true);
  config.tools.before_suspend = machine.flag("toolScripts.beforeSuspend", true);
  config.tools.before_power_off = machine.flag("toolScripts.beforePowerOff", true);
  config.nvram = machine.text("nvram");
  config.extended_config = machine.text("extendedConfigFile");
  config.suspend_state = machine.text("checkpoint.vmState");
  config.working_directory = machine.text("workingDir");
  config.clean_shutdown = machine.flag("cleanShutdown", true);
  config.disk_uuids_shown = machine.flag("disk.EnableUUID", false);
  config.changes_tracked = machine.flag("ctkEnabled", false);
}

}  // namespace

MachineConfig read(const VmxFile& file) {
  const Section machine(file, "");
  MachineConfig config;
  read_identity(machine, config);
  read_processors_and_memory(machine, config);
  config.cpu = read_allocation(file, "sched.cpu.");
  config.memory = read_allocation(file, "sched.mem.");
  read_boot_and_power(machine, config);
  read_files_and_tools(machine, config);
  config.video = {
      .memory_bytes = machine.number("svga.vramSize", 4 << 20, 0, 1LL << 40),
      .displays = machine.small_number("svga.numDisplays", 1, 1, 64),
      .autodetect = machine.flag("svga.autodetect", false),
      .enable_3d = machine.flag("mks.enable3d", false),
      .renderer = machine.word<Renderer>("mks.use3dRenderer", renderer_words, Renderer::automatic),
      .graphics_memory_bytes = machine.number("svga.graphicsMemoryKB", 256 << 10, 0, 1LL << 32)
                               << 10};
  read_usb(machine, config);
  read_devices(file, config);
  read_kinds(file, config);
  for (VmxFile::Entry& entry : file.entries())
    if (!is_described(entry.key)) config.extra.push_back(std::move(entry));
  return config;
}

}  // namespace virga::vmx
