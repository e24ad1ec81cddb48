// The host's devices as EnvironmentBrowser.QueryConfigTarget lists them. Pure.
#pragma once

#include "hypervisor/host_devices.h"
#include "vim/types.h"

namespace virga::host {

// Drives, ports, sound cards and USB devices.
void list_host_devices(const hypervisor::HostDevices& devices, vim::ConfigTarget& target);

// The autoconnect pattern that means the device at this place: "path:1/0/2", from the bus on, with
// ports counted from 0 as VMware's patterns do.
std::string usb_path_pattern(const hypervisor::UsbDevice& device);

}  // namespace virga::host
