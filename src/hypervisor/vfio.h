// Taking PCI devices of the host away from its drivers, for guests: the kernel's VFIO.
#pragma once

#include <string>

namespace virga::hypervisor {

constexpr const char* vfio_driver = "vfio-pci";

// Gives the device to VFIO, or back to whichever driver of the host's wants it. Blocking; `root`
// stands before /sys (tests). Throws Error naming the device; what it was before may be lost then.
void bind_to_vfio(const std::string& address, bool bound, const std::string& root = "");

// What a guest's user must be able to open: "/dev/vfio/17".
std::string vfio_group_node(int iommu_group);

}  // namespace virga::hypervisor
