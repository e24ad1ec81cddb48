// What this host's virtual hardware offers, by hardware version: limits, devices, guests. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/guest_os.h"
#include "host/hardware_version.h"
#include "vim/types.h"
#include "vmx/machine_config.h"

namespace virga::host {

// What the hypervisor here can give one VM.
struct MachineLimits {
  int vcpus = 1;
  std::int64_t memory_mib = 0;
};

// The guests of `guest_ids`, or all of them when it is empty; unknown ones are left out.
vim::VirtualMachineConfigOption config_option(const HardwareVersion& version,
                                              const MachineLimits& host,
                                              const std::vector<std::string>& guest_ids = {});

// One per version, oldest first. VMs of any of them run; new ones are made from 7 on.
model::List<vim::VirtualMachineConfigOptionDescriptor> config_option_descriptors(
    const model::MoRef& host);

// What can be done to any VM here.
vim::VirtualMachineCapability machine_capability();

// The devices that suit a guest best: those it has drivers for without help.
struct RecommendedDevices {
  vmx::ControllerModel disk_controller;
  vmx::AdapterModel adapter;
  std::int32_t memory_mib;
  std::int32_t disk_mib;
};
RecommendedDevices recommended_devices(const GuestOs& guest);

}  // namespace virga::host
