// Two VMs of a host with one MAC address: allowed, as in vSphere, and told.
#pragma once

#include "vmx/machine_config.h"

namespace virga::host {

struct Host;
class VirtualMachine;

// Posts VmStaticMacConflictEvent for an address the user gave, VmMacConflictEvent for another,
// where a VM of the host has it as well. `before`: the VM's former configuration, whose addresses
// are not told again.
void report_mac_conflicts(Host& host, const VirtualMachine& vm, const vmx::MachineConfig& before);

}  // namespace virga::host
