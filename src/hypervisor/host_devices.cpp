#include "hypervisor/host_devices.h"

#include <fmt/format.h>

#include <sstream>

#include "base/sysfs.h"

namespace virga::hypervisor {
namespace {

constexpr std::uint8_t kHubClass = 0x09;

// The devices of a class whose names start so, as nodes of /dev.
std::vector<std::string> nodes(const fs::path& device_class, std::string_view prefix) {
  std::vector<std::string> all;
  for (const fs::path& path : entries(device_class)) {
    const std::string name = path.filename();
    if (name.starts_with(prefix)) all.push_back("/dev/" + name);
  }
  return all;
}

// Linux makes four ttyS, whether there are chips or not; type 0 is none.
std::vector<std::string> serial_ports(const fs::path& root) {
  std::vector<std::string> all;
  for (const fs::path& path : entries(root / "sys/class/tty")) {
    const std::string name = path.filename();
    const bool on_board = name.starts_with("ttyS") && read_number(path / "type") != 0;
    if (on_board || name.starts_with("ttyUSB") || name.starts_with("ttyACM"))
      all.push_back("/dev/" + name);
  }
  return all;
}

std::vector<std::string> sound_cards(const fs::path& root) {
  std::vector<std::string> all;
  for (const fs::path& path : entries(root / "sys/class/sound"))
    if (path.filename().string().starts_with("card")) all.push_back(path.filename());
  return all;
}

// "1-2.3": on bus 1, port 3 of the hub at port 2. Empty for a root hub ("usb1") and an interface
// ("1-2.3:1.0").
std::vector<int> ports_of(const std::string& name) {
  const auto dash = name.find('-');
  if (dash == std::string::npos || name.find(':') != std::string::npos) return {};
  std::vector<int> ports;
  std::istringstream numbers(name.substr(dash + 1));
  for (std::string number; std::getline(numbers, number, '.');)
    ports.push_back(std::atoi(number.c_str()));
  return ports;
}

std::vector<UsbInterface> interfaces_of(const fs::path& device) {
  std::vector<UsbInterface> all;
  for (const fs::path& path : entries(device)) {
    if (path.filename().string().find(':') == std::string::npos) continue;
    const auto code = [&](const char* name) {
      return static_cast<std::uint8_t>(read_number(path / name, 16));
    };
    all.push_back(
        {code("bInterfaceClass"), code("bInterfaceSubClass"), code("bInterfaceProtocol")});
  }
  return all;
}

std::vector<HostUsbDevice> usb_devices(const fs::path& root) {
  std::vector<HostUsbDevice> all;
  for (const fs::path& path : entries(root / "sys/bus/usb/devices")) {
    const auto ports = ports_of(path.filename());
    if (ports.empty() || read_number(path / "bDeviceClass", 16) == kHubClass) continue;
    all.push_back({.bus = static_cast<int>(read_number(path / "busnum")),
                   .address = static_cast<int>(read_number(path / "devnum")),
                   .ports = ports,
                   .vendor = static_cast<std::uint16_t>(read_number(path / "idVendor", 16)),
                   .product = static_cast<std::uint16_t>(read_number(path / "idProduct", 16)),
                   .manufacturer = read_text(path / "manufacturer"),
                   .name = read_text(path / "product"),
                   .serial = read_text(path / "serial"),
                   .mbps = std::atof(read_text(path / "speed").c_str()),
                   .interfaces = interfaces_of(path)});
  }
  return all;
}

std::vector<RdmaDevice> rdma_devices(const fs::path& root) {
  std::vector<RdmaDevice> all;
  for (const fs::path& path : entries(root / "sys/class/infiniband")) {
    const auto interfaces = entries(path / "device/net");
    all.push_back({path.filename(), interfaces.empty() ? "" : interfaces.front().filename()});
  }
  return all;
}

}  // namespace

std::string HostUsbDevice::node() const {
  return fmt::format("/dev/bus/usb/{:03}/{:03}", bus, address);
}

HostDevices probe_host_devices(const std::string& root) {
  const fs::path top = root.empty() ? "/" : root;
  return {.optical_drives = nodes(top / "sys/class/block", "sr"),
          .floppy_drives = nodes(top / "sys/class/block", "fd"),
          .serial_ports = serial_ports(top),
          .parallel_ports = nodes(top / "sys/class/ppdev", "parport"),
          .sound_cards = sound_cards(top),
          .usb = usb_devices(top),
          .pci = probe_pci_devices(root),
          .rdma = rdma_devices(top)};
}

}  // namespace virga::hypervisor
