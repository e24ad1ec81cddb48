// What this host's virtual hardware offers, by hardware version: limits, devices, guests. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "host/guest_os.h"
#include "host/hardware_version.h"
#include "vim/types.h"

namespace virga::host {

// What the hypervisor here can give one VM.
struct MachineLimits {
  int vcpus = 1;
  int cores_per_socket = 1;
  std::int64_t memory_mib = 0;
};

// The guests of `guest_ids`, or all of them when it is empty; unknown ones are left out.
vim::VirtualMachineConfigOption config_option(const HardwareVersion& version,
                                              const MachineLimits& host,
                                              const std::vector<std::string>& guest_ids = {});

// One per version, oldest first.
model::List<vim::VirtualMachineConfigOptionDescriptor> config_option_descriptors(
    const model::MoRef& host);

// What can be done to a VM of that version here.
vim::VirtualMachineCapability machine_capability(const HardwareVersion& version);

}  // namespace virga::host
