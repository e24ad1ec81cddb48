#include "host/config_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <sstream>

#include "hypervisor/vfio.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

template <class Info>
void list(const std::vector<std::string>& devices, model::List<Info>& infos) {
  for (const std::string& device : devices) infos.emplace_back().name = device;
}

vim::VirtualMachineUsbInfoFamily family_of(const hypervisor::UsbInterface& interface) {
  using Family = vim::VirtualMachineUsbInfoFamily;
  switch (interface.device_class) {
    case 0x01:
      return Family::audio;
    case 0x02:
    case 0x0a:
      return Family::communication;
    case 0x03:
      return interface.subclass == 1 ? Family::hid_bootable : Family::hid;
    case 0x05:
      return Family::physical;
    case 0x06:
      return Family::imaging;
    case 0x07:
      return Family::printer;
    case 0x08:
      return Family::storage;
    case 0x0b:
      return Family::smart_card;
    case 0x0d:
      return Family::security;
    case 0x0e:
      return Family::video;
    case 0xe0:
      return interface.subclass == 1 && interface.protocol == 1 ? Family::bluetooth
                                                                : Family::wireless;
    case 0xff:
      return Family::vendor_specific;
    default:
      return Family::other;
  }
}

vim::VirtualMachineUsbInfoSpeed speed_of(double mbps) {
  using Speed = vim::VirtualMachineUsbInfoSpeed;
  if (mbps <= 0) return Speed::unknownSpeed;
  if (mbps < 12) return Speed::low;
  if (mbps < 480) return Speed::full;
  if (mbps < 5000) return Speed::high;
  return mbps < 10'000 ? Speed::superSpeed : Speed::superSpeedPlus;
}

// "1/0/2"
std::string physical_path(const hypervisor::HostUsbDevice& device) {
  std::string path = std::to_string(device.bus);
  for (const int port : device.ports) path += fmt::format("/{}", port - 1);
  return path;
}

std::string description(const hypervisor::HostUsbDevice& device) {
  if (device.name.empty()) return fmt::format("USB {:04x}:{:04x}", device.vendor, device.product);
  return device.manufacturer.empty() ? device.name : device.manufacturer + " " + device.name;
}

vim::VirtualMachineUsbInfo describe(const hypervisor::HostUsbDevice& device) {
  vim::VirtualMachineUsbInfo info;
  info.name = usb_path_pattern(device);
  info.description = description(device);
  info.vendor = device.vendor;
  info.product = device.product;
  info.physicalPath = physical_path(device);
  for (const auto& interface : device.interfaces) {
    const std::string family = model::wire_name(family_of(interface));
    if (std::ranges::find(info.family, family) == info.family.end()) info.family.push_back(family);
  }
  info.speed = {model::wire_name(speed_of(device.mbps))};
  return info;
}

}  // namespace

std::string usb_path_pattern(const hypervisor::HostUsbDevice& device) {
  return "path:" + physical_path(device);
}

std::optional<hypervisor::HostUsbDevice> find_usb(
    const std::vector<hypervisor::HostUsbDevice>& devices, const std::string& pattern) {
  std::istringstream stream(pattern);
  std::vector<std::string> words;
  for (std::string word; stream >> word;)
    if (word.starts_with("path:") || word.starts_with("vid:") || word.starts_with("pid:"))
      words.push_back(vmx::to_lower(word));
  if (words.empty()) return std::nullopt;
  for (const auto& device : devices) {
    const std::string known[] = {usb_path_pattern(device), fmt::format("vid:{:04x}", device.vendor),
                                 fmt::format("pid:{:04x}", device.product)};
    const auto fits = [&](const std::string& word) {
      return std::ranges::find(known, word) != std::end(known);
    };
    if (std::ranges::all_of(words, fits)) return device;
  }
  return std::nullopt;
}

namespace {

std::int16_t as_short(std::uint16_t value) {
  return static_cast<std::int16_t>(value);
}

}  // namespace

vim::HostPciDevice describe_pci(const hypervisor::PciDevice& device) {
  vim::HostPciDevice described;
  described.id = device.address;
  described.classId = static_cast<std::int16_t>(device.class_code >> 8);
  unsigned domain = 0, bus = 0, slot = 0, function = 0;
  std::sscanf(device.address.c_str(), "%x:%x:%x.%x", &domain, &bus, &slot, &function);
  described.bus = static_cast<std::int8_t>(bus);
  described.slot = static_cast<std::int8_t>(slot);
  described.function = static_cast<std::int8_t>(function);
  described.vendorId = as_short(device.vendor);
  described.deviceId = as_short(device.device);
  described.subVendorId = as_short(device.subsystem_vendor);
  described.subDeviceId = as_short(device.subsystem_device);
  described.vendorName = fmt::format("{:04x}", device.vendor);
  described.deviceName =
      device.driver.empty() ? fmt::format("{:04x}", device.device) : device.driver;
  return described;
}

namespace {

template <class Info>
Info describe_as(const hypervisor::PciDevice& device, const std::string& system_id) {
  Info info;
  info.name = device.address;
  info.pciDevice = describe_pci(device);
  info.systemId = system_id;
  return info;
}

vim::VirtualMachineDynamicPassthroughInfo dynamic_info(const hypervisor::PciDevice& device,
                                                       const std::string& label) {
  vim::VirtualMachineDynamicPassthroughInfo info;
  info.vendorId = device.vendor;
  info.deviceId = device.device;
  info.vendorName = fmt::format("{:04x}", device.vendor);
  info.deviceName = fmt::format("{:04x}", device.device);
  info.name = fmt::format("{}:{}", info.vendorName, info.deviceName);
  if (!label.empty()) info.customLabel = label;
  return info;
}

bool is_listed(const vim::ConfigTarget& target,
               const vim::VirtualMachineDynamicPassthroughInfo& info) {
  for (const auto& known : target.dynamicPassthrough)
    if (known->name == info.name && known->customLabel == info.customLabel) return true;
  return false;
}

// A card that has virtual functions, or one of those.
void list_sriov(const hypervisor::PciDevice& device,
                const std::vector<hypervisor::PciDevice>& devices, const std::string& system_id,
                vim::ConfigTarget& target) {
  const bool is_function = !device.physical_function.empty();
  if (!is_function && device.functions.empty()) return;
  auto info = describe_as<vim::VirtualMachineSriovInfo>(device, system_id);
  info.virtualFunction = is_function;
  const std::string& card = is_function ? device.physical_function : device.address;
  const auto found = std::ranges::find(devices, card, &hypervisor::PciDevice::address);
  if (found != devices.end() && !found->interface.empty()) info.pnic = found->interface;
  target.sriov.push_back(std::move(info));
}

void list_pci_device(const hypervisor::PciDevice& device, const std::string& label,
                     const std::string& system_id, vim::ConfigTarget& target) {
  if (device.can_be_passed_through() && device.driver == hypervisor::vfio_driver) {
    target.pciPassthrough.push_back(
        model::share(describe_as<vim::VirtualMachinePciPassthroughInfo>(device, system_id)));
    const auto info = dynamic_info(device, label);
    if (!is_listed(target, info)) target.dynamicPassthrough.push_back(info);
  }
}

}  // namespace

void list_host_devices(const hypervisor::HostDevices& devices, const PciLabel& label,
                       const std::string& system_id, vim::ConfigTarget& target) {
  list(devices.optical_drives, target.cdRom);
  list(devices.floppy_drives, target.floppy);
  list(devices.serial_ports, target.serial);
  list(devices.parallel_ports, target.parallel);
  list(devices.sound_cards, target.sound);
  for (const auto& device : devices.usb) target.usb.push_back(describe(device));
  for (const auto& device : devices.pci) {
    list_pci_device(device, label(device.address), system_id, target);
    list_sriov(device, devices.pci, system_id, target);
  }
}

}  // namespace virga::host
