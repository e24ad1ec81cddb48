// Taking PCI devices of the host away from its drivers, for guests: the kernel's VFIO.
#pragma once

#include <string>
#include <vector>

#include "hypervisor/machine_spec.h"

namespace virga::hypervisor {

constexpr const char* vfio_driver = "vfio-pci";

// Gives the device to VFIO, or back to whichever driver of the host's wants it. Blocking; `root`
// stands before /sys (tests). Throws Error naming the device; what it was before may be lost then.
void bind_to_vfio(const std::string& address, bool bound, const std::string& root = "");

// Makes `count` virtual functions of the device and gives them to VFIO; 0: it has none any more.
// Nobody may use one meanwhile. Blocking; `root` as above. Throws Error naming the device or the
// function; fewer than asked for may be there, or with VFIO, then.
void divide_for_vfio(const std::string& address, int count, const std::string& root = "");

// Tells the card of a virtual function what to hold it to: its guest cannot. Blocking. Throws Error
// naming the card, with its driver's words.
void configure(const NetworkFunction& function);
// The command that does it. Pure.
std::vector<std::string> configuring_command(const NetworkFunction& function);

// What a guest's user must be able to open: "/dev/vfio/17".
std::string vfio_group_node(int iommu_group);

}  // namespace virga::hypervisor
