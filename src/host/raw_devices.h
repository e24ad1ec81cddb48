// Logical units as disks of VMs (RDM): which there are, whose they are, how a guest reaches one.
#pragma once

#include <optional>
#include <string>

#include "host/host.h"
#include "host/vm_config.h"
#include "storage/devices.h"

namespace virga::host {

// By any of the names a disk of this host has in the API; nullopt: there is none of that name.
std::optional<RawDevice> find_raw_device(const Host& host, const std::string& name);

// Why the unit cannot become a new disk: a VM's disk is that unit already, or this host uses it.
// Empty: it can. Blocks for a moment.
std::string raw_device_obstacle(const Host& host, const std::string& unit);

// Throws Fault naming the unit: CannotAccessVmDevice when no path leads to it, NotSupported
// when its target has to prove itself, which QEMU does not know to ask.
hypervisor::DiskImage raw_device_image(const Host& host, const std::string& unit);

// The disks that QueryConfigTarget offers: those that this host does not use itself.
Async<model::List<vim::VirtualMachineScsiDiskDeviceInfo>> raw_device_candidates(const Host& host);

}  // namespace virga::host
