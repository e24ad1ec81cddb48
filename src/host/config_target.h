// The host's devices as EnvironmentBrowser.QueryConfigTarget lists them. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hypervisor/host_devices.h"
#include "vim/types.h"

namespace virga::host {

// Drives, ports, sound cards, USB devices, and the PCI devices that VMs can have. `label`: of a PCI
// device by its address; `system_id`: this host's uuid.
using PciLabel = std::function<std::string(const std::string& address)>;
void list_host_devices(const hypervisor::HostDevices& devices, const PciLabel& label,
                       const std::string& system_id, vim::ConfigTarget& target);

vim::HostPciDevice describe_pci(const hypervisor::PciDevice& device);

// The autoconnect pattern that means the device at this place: "path:1/0/2", from the bus on, with
// ports counted from 0 as VMware's patterns do.
std::string usb_path_pattern(const hypervisor::HostUsbDevice& device);

// The first device that an autoconnect pattern means; its words name the place ("path:1/0/2") or
// what the device is ("vid:0781", "pid:5567"), and all must fit. Others, "autoclean:1", say nothing
// of it.
std::optional<hypervisor::HostUsbDevice> find_usb(
    const std::vector<hypervisor::HostUsbDevice>& devices, const std::string& pattern);

}  // namespace virga::host
