// The host's GPUs and the profiles of virtual GPUs that they can be divided into, as the API tells
// of them. Pure.
#pragma once

#include <string>
#include <vector>

#include "hypervisor/host_probe.h"
#include "vim/types.h"

namespace virga::host {

// "GRID P4-1Q" is the profile "grid_p4-1q".
std::string vgpu_profile(const hypervisor::MediatedType& type);

bool is_gpu(const hypervisor::PciDevice& device);
// Whether VMs get virtual GPUs of it: it can be divided, and its graphics type is sharedDirect.
bool is_divided(const hypervisor::PciDevice& device, const vim::HostGraphicsConfig& config);

// Without the VMs that have them. The kernel does not tell a GPU's memory: 0.
std::vector<vim::HostGraphicsInfo> graphics_info(const std::vector<hypervisor::PciDevice>& devices,
                                                 const vim::HostGraphicsConfig& config);
// Each profile once, in alphabetical order.
std::vector<std::string> vgpu_profiles(const std::vector<hypervisor::PciDevice>& devices,
                                       const vim::HostGraphicsConfig& config);
model::List<vim::VirtualMachineVgpuProfileInfo> vgpu_profile_info(
    const std::vector<hypervisor::PciDevice>& devices, const vim::HostGraphicsConfig& config);
model::List<vim::VirtualMachineVgpuDeviceInfo> vgpu_device_info(
    const std::vector<hypervisor::PciDevice>& devices, const vim::HostGraphicsConfig& config);

}  // namespace virga::host
