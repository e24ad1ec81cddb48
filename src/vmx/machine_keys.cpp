#include "vmx/machine_keys.h"

#include <algorithm>
#include <set>

#include "vmx/machine_devices.h"

namespace virga::vmx {
namespace {

constexpr int widest_unit_count = 65;  // PVSCSI's

// A number as VMware writes it: no sign, no leading zero.
std::optional<int> parse_index(std::string_view text, int count) {
  const auto number = parse_unsigned(text);
  if (!number || *number >= static_cast<std::uint64_t>(count)) return std::nullopt;
  if (text != std::to_string(*number)) return std::nullopt;
  return static_cast<int>(*number);
}

using Keys = std::set<std::string, std::less<>>;

// All in lower case.
const Keys machine_keys = {".encoding",
                           "annotation",
                           "bios.bootdelay",
                           "bios.bootorder",
                           "bios.bootretry.delay",
                           "bios.bootretry.enabled",
                           "bios.forcesetuponce",
                           "checkpoint.vmstate",
                           "cleanshutdown",
                           "config.version",
                           "cpuid.corespersocket",
                           "ctkenabled",
                           "disk.enableuuid",
                           "displayname",
                           "ehci.present",
                           "extendedconfigfile",
                           "firmware",
                           "guestos",
                           "guestosaltname",
                           "mem.hotadd",
                           "memsize",
                           "mks.enable3d",
                           "mks.use3drenderer",
                           "numvcpus",
                           "nvram",
                           "powertype.poweroff",
                           "powertype.reset",
                           "powertype.suspend",
                           "sched.cpu.max",
                           "sched.cpu.min",
                           "sched.cpu.shares",
                           "sched.mem.max",
                           "sched.mem.min",
                           "sched.mem.pin",
                           "sched.mem.shares",
                           "svga.autodetect",
                           "svga.graphicsmemorykb",
                           "svga.numdisplays",
                           "svga.vramsize",
                           "tools.synctime",
                           "tools.upgrade.policy",
                           "toolscripts.afterpoweron",
                           "toolscripts.afterresume",
                           "toolscripts.beforepoweroff",
                           "toolscripts.beforesuspend",
                           "uefi.secureboot.enabled",
                           "usb.present",
                           "usb_xhci.present",
                           "uuid.bios",
                           "uuid.location",
                           "vc.uuid",
                           "vcpu.hotadd",
                           "vcpu.hotremove",
                           "vhv.enable",
                           "virtualhw.version",
                           "vpmc.enable",
                           "workingdir"};
const Keys controller_keys = {"pcislotnumber", "present", "sharedbus", "virtualdev"};
const Keys slot_keys = {"allowguestconnectioncontrol",
                        "clientdevice",
                        "ctkenabled",
                        "devicetype",
                        "filename",
                        "mode",
                        "present",
                        "redo",
                        "sharing",
                        "startconnected",
                        "writethrough"};
const Keys schedule_keys = {"shares", "throughputcap"};  // of a disk: sched.scsi0:0.shares
const Keys adapter_keys = {"address",         "addresstype",      "allowguestconnectioncontrol",
                           "connectiontype",  "deviceprotocol",   "dvs.connectionid",
                           "dvs.portgroupid", "dvs.portid",       "dvs.switchid",
                           "features",        "generatedaddress", "generatedaddressoffset",
                           "networkname",     "pcislotnumber",    "present",
                           "startconnected",  "uptcompatibility", "virtualdev",
                           "wakeonpcktrcv"};

// Walks a list of keys for their names alone.
struct KeyNames {
  Keys names = {"present"};

  bool covers(bool) { return true; }
  void add(std::string_view key) { names.insert(to_lower(key)); }
  void text(std::string_view key, std::string&, std::string_view = {}) { add(key); }
  void flag(std::string_view key, bool&, bool) { add(key); }
  void flag_always(std::string_view key, bool&, bool) { add(key); }
  template <class Value>
  void word(std::string_view key, Value&, std::span<const Word<Value>>, Value) {
    add(key);
  }
};

template <class Device>
const Keys& keys_of_kind(std::vector<Device> MachineConfig::*) {
  static const Keys keys = [] {
    KeyNames names;
    Device device;
    visit_keys(names, device);
    return names.names;
  }();
  return keys;
}

// The properties described of the device that keys starting with `name` belong to.
const Keys* keys_of_device(std::string_view name) {
  if (parse_slot(name)) return &slot_keys;
  if (parse_controller(name)) return &controller_keys;
  if (parse_numbered(name, "ethernet", max_network_adapters)) return &adapter_keys;
  const Keys* found = nullptr;
  for_each_kind([&](std::string_view kind, int count, auto member) {
    if (parse_numbered(name, kind, count)) found = &keys_of_kind(member);
  });
  return found;
}

}  // namespace

std::optional<int> parse_numbered(std::string_view text, std::string_view name, int count) {
  if (count == 1) return equal_ignoring_case(text, name) ? std::optional(0) : std::nullopt;
  if (!starts_with_ignoring_case(text, name)) return std::nullopt;
  return parse_index(text.substr(name.size()), count);
}

std::string device_name(std::string_view name, int count, int number) {
  return count == 1 ? std::string(name) : fmt::format("{}{}", name, number);
}

std::optional<ControllerKey> parse_controller(std::string_view text) {
  for (const Word<Bus>& word : bus_words)
    if (const auto number = parse_numbered(text, word.text, max_controllers(word.value)))
      return ControllerKey{word.value, *number};
  return std::nullopt;
}

std::optional<Slot> parse_slot(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto controller = parse_controller(text.substr(0, colon));
  if (!controller) return std::nullopt;
  const int count = controller->bus == Bus::scsi
                        ? widest_unit_count
                        : unit_count(controller->bus, ControllerModel::ahci, 0);
  const auto unit = parse_index(text.substr(colon + 1), count);
  if (!unit || (controller->bus == Bus::scsi && *unit == scsi_own_unit)) return std::nullopt;
  return Slot{controller->bus, controller->number, *unit};
}

std::string_view to_string(Bus bus) {
  return word_of<Bus>(bus_words, bus);
}

std::string Slot::key() const {
  return fmt::format("{}{}:{}", to_string(bus), controller, unit);
}

bool is_described(std::string_view key) {
  const std::string lower = to_lower(key);
  if (machine_keys.contains(lower)) return true;
  if (parse_numbered(lower, usb_device_prefix, max_usb_devices)) return true;
  const std::size_t dot = lower.find('.');
  if (dot == std::string::npos) return false;
  if (lower.starts_with("sched.")) {
    const std::size_t end = lower.rfind('.');
    return end > dot && parse_slot(std::string_view(lower).substr(dot + 1, end - dot - 1)) &&
           schedule_keys.contains(std::string_view(lower).substr(end + 1));
  }
  const Keys* keys = keys_of_device(std::string_view(lower).substr(0, dot));
  return keys != nullptr && keys->contains(std::string_view(lower).substr(dot + 1));
}

}  // namespace virga::vmx
