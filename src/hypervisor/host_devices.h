// The host's devices that can stand behind a guest's: drives, ports, sound cards, USB.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hypervisor/host_probe.h"

namespace virga::hypervisor {

struct UsbInterface {
  std::uint8_t device_class = 0, subclass = 0, protocol = 0;  // as USB's assigned numbers have them

  bool operator==(const UsbInterface&) const = default;
};

struct HostUsbDevice {
  int bus = 0, address = 0;  // /dev/bus/usb/BUS/ADDRESS; the address changes when it is replugged
  std::vector<int> ports;    // the way to it from the root hub, from 1
  std::uint16_t vendor = 0, product = 0;
  std::string manufacturer, name, serial;
  double mbps = 0;  // 1.5, 12, 480, 5000, …
  std::vector<UsbInterface> interfaces;

  std::string node() const;  // "/dev/bus/usb/001/004"
};

struct RdmaDevice {
  std::string name;       // mlx5_0
  std::string interface;  // of the card it is part of: ens3f0

  bool operator==(const RdmaDevice&) const = default;
};

struct HostDevices {
  std::vector<std::string> optical_drives;  // "/dev/sr0"
  std::vector<std::string> floppy_drives;   // "/dev/fd0"
  std::vector<std::string> serial_ports;    // "/dev/ttyS0": those with a chip behind them
  std::vector<std::string> parallel_ports;  // "/dev/parport0"
  std::vector<std::string> sound_cards;     // "card0"
  std::vector<HostUsbDevice> usb;           // without hubs
  std::vector<PciDevice> pci;
  std::vector<RdmaDevice> rdma;
};

// Blocks for milliseconds. `root` stands before /sys (tests).
HostDevices probe_host_devices(const std::string& root = "");

}  // namespace virga::hypervisor
