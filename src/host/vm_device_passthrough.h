// Internal to vm_device_passthrough: what its kinds of devices have in common, which share the
// host's devices and the keys pciPassthruN, and the parts that have files of their own.
#pragma once

#include <string>
#include <vector>

#include "host/vm_config_device_plan.h"
#include "host/vm_device_list.h"

namespace virga::host {

class DeviceOptionList;
struct MachineBuild;

const hypervisor::PciDevice* find_pci(const std::vector<hypervisor::PciDevice>& devices,
                                      const std::string& address);

// InvalidDeviceBacking; `field` is below the device: "backing.id".
kernel::Fault bad_backing(const DeviceChange& change, const std::string& field,
                          const std::string& why);
// GenericVmConfigFault: the host cannot give it now.
kernel::Fault unavailable(const vmx::PassthroughDevice& device, const std::string& why);

// VFIO has it.
bool is_ready(const hypervisor::PciDevice& device);
// Neither another VM that runs nor another device of this one has it.
bool is_free(const MachineBuild& machine, const hypervisor::PciDevice& device);

// As the API names a device of the host.
Ptr<vim::VirtualPCIPassthroughDeviceBackingInfo> pci_backing(const vmx::PassthroughDevice& device);

// --- vm_device_sriov.cpp: adapters that are functions of the host's cards -----------------------

constexpr std::string_view sriov_type = "VirtualSriovEthernetCard";

void offer_sriov(DeviceOptionList& options);
Ptr<vim::VirtualDevice> sriov_to_api(const DeviceList& list, const vmx::PassthroughDevice& device);
void sriov_from_api(const DevicePlanner& planner, const DeviceChange& change,
                    vmx::PassthroughDevice& device);
hypervisor::PassthroughDevice build_sriov(const MachineBuild& machine,
                                          const std::vector<hypervisor::PciDevice>& devices,
                                          const vmx::PassthroughDevice& wanted);

// --- vm_device_vgpu.cpp: virtual GPUs -----------------------------------------------------------

void offer_vgpus(vim::VirtualDeviceOption& device);
Ptr<vim::VirtualDeviceBackingInfo> vgpu_backing(const vmx::PassthroughDevice& device);
vmx::PassthroughDevice vgpu_from_api(const DevicePlanner& planner, const DeviceChange& change,
                                     const vim::VirtualPCIPassthroughVmiopBackingInfo& backing);
hypervisor::PassthroughDevice build_vgpu(const MachineBuild& machine,
                                         const std::vector<hypervisor::PciDevice>& devices,
                                         const vmx::PassthroughDevice& wanted);

}  // namespace virga::host
