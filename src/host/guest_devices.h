// Which virtual devices a guest operating system can use, and which of them suit it best. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "host/guest_os.h"
#include "host/hardware_version.h"

namespace virga::host {

// Devices by their type in the API; all of them are served.
struct RecommendedDevices {
  std::string_view disk_controller;
  std::string_view cdrom_controller;
  std::string_view adapter;
  std::int32_t memory_mib;
  std::int32_t disk_mib;
  bool efi;
};
// Those the guest has drivers for without help, of what the version has.
RecommendedDevices recommended_devices(const GuestOs& guest, const HardwareVersion& version);

// What VMs of a version can have, best first.
std::vector<std::string_view> disk_controllers(const HardwareVersion& version);
std::vector<std::string_view> network_adapters(const HardwareVersion& version);

}  // namespace virga::host
