// How each part of a machine is described to QEMU: the same objects serve the command line
// (-device, -blockdev) and the hot operations (device_add, blockdev-add).
//
// Names: a device's id is device_id(); block nodes are file-KEY and node-KEY; the file behind them
// is the descriptor set whose number is the key. PCI addresses on the one bus follow from the bus
// or slot number alone, so that a machine always looks the same to its guest:
//   02 display   03 agent port   04…07 SCSI 0…3   08…0b AHCI 0…3   0c…15 NIC 0…9
//   16…19 NVMe 0…3
#pragma once

#include <array>
#include <optional>
#include <string>

#include "base/json.h"
#include "hypervisor/machine_spec.h"

namespace virga::hypervisor {

// Empty where the machine has it built in (IDE).
std::optional<json::object> controller_device(const Controller& controller);
json::object disk_device(const MachineSpec& spec, const Disk& disk);
json::object cdrom_device(const MachineSpec& spec, const Cdrom& cdrom);
// `netdev`: the id of its network backend.
json::object nic_device(const MachineSpec& spec, const Nic& nic, const std::string& netdev);

// The file node, then the node of the format over it.
std::array<json::object, 2> disk_nodes(const Disk& disk);
std::array<json::object, 2> medium_nodes(int cdrom_key);

std::string file_node(int key);
std::string format_node(int key);
std::string netdev_id(const Nic& nic);
// "/dev/fdset/KEY", the name under which QEMU opens a descriptor it was handed.
std::string fdset_path(int key);

// The disk's world wide name, or one in VMware's range that follows from machine and key.
std::uint64_t world_wide_name(const MachineSpec& spec, const Disk& disk);

}  // namespace virga::hypervisor
