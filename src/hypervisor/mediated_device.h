// Shares of the host's PCI devices for guests, of GPUs above all: the kernel's mediated devices.
#pragma once

#include <string>

#include "hypervisor/machine_spec.h"

namespace virga::hypervisor {

// Makes the share of the device with that PCI address, and returns its IOMMU group. One of that
// uuid that is there already, left by a guest that is gone, goes first. Blocking; `root` stands
// before /sys (tests). Throws Error naming the device.
int create_mediated_device(const std::string& address, const DeviceShare& share,
                           const std::string& root = "");
// Nothing happens where there is none. Blocking; nobody may use it.
void remove_mediated_device(const std::string& uuid, const std::string& root = "");

// "/sys/bus/mdev/devices/UUID", by which QEMU knows one.
std::string mediated_device_path(const std::string& uuid);

}  // namespace virga::hypervisor
