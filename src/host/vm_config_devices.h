// Internal to vm_config: the devices of a configuration as the API lists them.
#pragma once

#include "host/vm_config.h"

namespace virga::host {

// Those every VM has, then controllers, then what hangs on them.
model::List<vim::VirtualDevice> devices(const vmx::MachineConfig& config,
                                        const ConfigContext& context, const DeviceState& state,
                                        bool powered_on);

// The disks that bios.hddOrder names, in its order; with `all` the others after them.
std::vector<vmx::Disk> disks_in_boot_order(const vmx::MachineConfig& config, bool all);

}  // namespace virga::host
