#include <algorithm>
#include <set>

#include "base/error.h"
#include "vmx/machine_config.h"
#include "vmx/text.h"

namespace virga::vmx {
namespace {

constexpr std::string_view generated_prefix = "00:0c:29:";
constexpr std::string_view vmware_prefix = "00:50:56:";

// The 32 lower-case hex digits of a uuid in any of its forms.
std::string uuid_digits(std::string_view text) {
  std::string digits = to_lower(trim(text));
  std::erase_if(digits, [](char c) { return c == ' ' || c == '-'; });
  if (digits.size() != 32 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw error(ErrorKind::invalid_argument, std::string(text), "\"{}\" is no UUID", text);
  return digits;
}

bool is_64_bit(std::string_view guest_os) {
  return to_lower(guest_os).ends_with("-64");
}

unsigned mac_byte(std::string_view mac, int index) {
  return static_cast<unsigned>(
      *parse_unsigned(mac.substr(static_cast<std::size_t>(index) * 3, 2), 16));
}

template <class Device>
std::optional<int> first_free_number(const std::vector<Device>& devices, int count) {
  for (int number = 0; number < count; ++number)
    if (std::none_of(devices.begin(), devices.end(),
                     [&](const Device& device) { return device.number == number; }))
      return number;
  return std::nullopt;
}

}  // namespace

AdapterModel default_adapter_model(std::string_view guest_os, int hardware_version) {
  const std::string guest = to_lower(guest_os);
  const bool has_e1000e = guest.starts_with("windows") && !guest.starts_with("windows7");
  if (has_e1000e && hardware_version >= 8) return AdapterModel::e1000e;
  return is_64_bit(guest) || has_e1000e ? AdapterModel::e1000 : AdapterModel::vlance;
}

// BusLogic reaches memory below 4 GiB only, so 64-bit guests never had it by default.
ControllerModel default_scsi_model(std::string_view guest_os) {
  return is_64_bit(guest_os) ? ControllerModel::lsi_logic : ControllerModel::bus_logic;
}

int unit_count(Bus bus, ControllerModel model, int hardware_version) {
  switch (bus) {
    case Bus::ide:
      return 2;
    case Bus::sata:
      return 30;
    case Bus::nvme:
      return 15;
    case Bus::scsi:
      return model == ControllerModel::pvscsi && hardware_version >= 14 ? 65 : 16;
  }
  return 0;
}

int unit_count(const MachineConfig& config, Bus bus, int controller) {
  if (bus == Bus::ide)
    return controller >= 0 && controller < max_controllers(bus)
               ? unit_count(bus, ControllerModel::ahci, config.hardware_version)
               : 0;
  for (const Controller& it : config.controllers)
    if (it.bus == bus && it.number == controller)
      return unit_count(bus, it.model, config.hardware_version);
  return 0;
}

std::optional<Slot> first_free_slot(const MachineConfig& config, Bus bus, int controller) {
  std::set<Slot> taken;
  for (const Disk& disk : config.disks) taken.insert(disk.slot);
  for (const CdRom& cdrom : config.cdroms) taken.insert(cdrom.slot);
  for (const OtherDevice& device : config.other_devices) taken.insert(device.slot);
  const int units = unit_count(config, bus, controller);
  for (int unit = 0; unit < units; ++unit) {
    const Slot slot{bus, controller, unit};
    const bool is_own = bus == Bus::scsi && unit == scsi_own_unit;
    if (!is_own && !taken.contains(slot)) return slot;
  }
  return std::nullopt;
}

std::optional<int> first_free_controller(const MachineConfig& config, Bus bus) {
  if (bus == Bus::ide) return std::nullopt;
  std::vector<Controller> of_bus;
  std::copy_if(config.controllers.begin(), config.controllers.end(), std::back_inserter(of_bus),
               [&](const Controller& controller) { return controller.bus == bus; });
  return first_free_number(of_bus, max_controllers(bus));
}

std::optional<int> first_free_network_adapter(const MachineConfig& config) {
  return first_free_number(config.network_adapters, max_network_adapters);
}

std::string canonical_uuid(std::string_view text) {
  std::string uuid = uuid_digits(text);
  for (const std::size_t at : {20, 16, 12, 8}) uuid.insert(at, "-");
  return uuid;
}

std::string vmx_uuid(std::string_view text) {
  const std::string digits = uuid_digits(text);
  std::string uuid;
  for (std::size_t at = 0; at < digits.size(); at += 2) {
    if (at > 0) uuid += at == 16 ? '-' : ' ';
    uuid.append(digits, at, 2);
  }
  return uuid;
}

std::optional<std::string> normalise_mac(std::string_view text) {
  std::string mac = to_lower(trim(text));
  if (mac.size() != 17) return std::nullopt;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    if (i % 3 == 2) {
      if (mac[i] != ':' && mac[i] != '-') return std::nullopt;
      mac[i] = ':';
    } else if (!std::isxdigit(static_cast<unsigned char>(mac[i]))) {
      return std::nullopt;
    }
  }
  return mac;
}

std::string generated_mac(std::string_view bios_uuid, int offset) {
  const std::string digits = uuid_digits(bios_uuid);
  const std::uint64_t base = *parse_unsigned(std::string_view(digits).substr(26), 16);
  const std::uint64_t tail = (base + static_cast<std::uint64_t>(offset)) & 0xffffff;
  return fmt::format("{}{:02x}:{:02x}:{:02x}", generated_prefix, tail >> 16, tail >> 8 & 0xff,
                     tail & 0xff);
}

bool generate_missing_macs(MachineConfig& config,
                           const std::function<bool(const std::string& mac)>& in_use) {
  constexpr int step = 10;  // between the adapters of one machine, as VMware does it
  std::set<std::string> taken;
  for_each_adapter(config, [&](const auto& adapter) { taken.insert(adapter.mac); });
  // Returns the offset of the address it made; nullopt: none was missing.
  const auto generate = [&](auto& adapter) -> std::optional<int> {
    if (adapter.address_type != AddressType::generated || !adapter.mac.empty()) return std::nullopt;
    int offset = 0;
    const auto is_taken = [&](const std::string& mac) {
      return taken.contains(mac) || (in_use && in_use(mac));
    };
    while (is_taken(generated_mac(config.bios_uuid, offset))) offset += step;
    adapter.mac = generated_mac(config.bios_uuid, offset);
    taken.insert(adapter.mac);
    return offset;
  };
  bool generated = false;
  for (NetworkAdapter& adapter : config.network_adapters) {
    const auto offset = generate(adapter);
    if (!offset) continue;
    adapter.generated_offset = *offset;
    generated = true;
  }
  for (PassthroughDevice& device : config.passthrough)
    if (device.sriov && generate(*device.sriov)) generated = true;
  return generated;
}

void check_manual_mac(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return error(ErrorKind::invalid_argument, std::string(text), "the MAC address {} {}", text,
                 why);
  };
  const auto mac = normalise_mac(text);
  if (!mac) throw refuse("is not six bytes in hexadecimal");
  if (mac_byte(*mac, 0) & 1) throw refuse("is not a unicast address");
  if (*mac == "00:00:00:00:00:00") throw refuse("is no station's");
  if (mac->starts_with(generated_prefix) ||
      (mac->starts_with(vmware_prefix) && mac_byte(*mac, 3) > 0x3f))
    throw refuse("lies in a range that hosts and centers give addresses from");
}

std::optional<std::string> find_extra(const MachineConfig& config, std::string_view key) {
  for (const VmxFile::Entry& entry : config.extra)
    if (equal_ignoring_case(entry.key, key)) return entry.value;
  return std::nullopt;
}

void set_extra(MachineConfig& config, std::string_view key, std::string_view value) {
  if (is_described(key))
    throw error(ErrorKind::invalid_argument, std::string(key),
                "{} is not extra configuration: it has a place of its own", key);
  auto found = std::find_if(config.extra.begin(), config.extra.end(),
                            [&](const auto& entry) { return equal_ignoring_case(entry.key, key); });
  if (found == config.extra.end()) {
    if (!value.empty()) config.extra.push_back({std::string(key), std::string(value)});
  } else if (value.empty()) {
    config.extra.erase(found);
  } else {
    found->value = value;
  }
}

}  // namespace virga::vmx
