// How each part of a machine is described to QEMU: the same objects serve the command line
// (-device, -blockdev) and the hot operations (device_add, blockdev-add).
//
// Names: a device's id is device_id(); block nodes are file-KEY-IMAGE and node-KEY-IMAGE, and the
// file behind them is a descriptor set of its own. IMAGE tells a disk's images apart and stays with
// one as long as the machine has it: a machine starts with 0 for the base, 1 for the one above it,
// … A CD-ROM's is 0. PCI addresses on the one bus follow from the bus or slot number alone, so that
// a machine always looks the same to its guest:
//   02 display   03 agent port   04…07 SCSI 0…3   08…0b AHCI 0…3   0c…15 NIC 0…9
//   16…19 NVMe 0…3   1a UHCI and EHCI   1b xHCI   1c sound   1d watchdog
//   1f a bridge, and on it 01…10 devices of the host 0…15
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "hypervisor/machine_spec.h"

namespace virga::hypervisor {

// Memory that comes while the machine runs: the host's, and what the guest sees of it.
json::object dimm_backend(std::size_t slot, std::uint64_t mib);
json::object dimm_device(std::size_t slot);

// Secure Boot takes the board q35, whose devices are to be where they are on pc, with hot plug too:
// on a bridge that is called like pc's bus. Its own SATA stands in for IDE. Empty on pc.
std::optional<json::object> pci_bus_device(const MachineSpec& spec);
// Empty where the machine has it built in (IDE).
std::optional<json::object> controller_device(const Controller& controller);
// The ROM without which EFI finds no disk on such a controller, by file name; empty where it does.
// A BIOS has the drivers itself.
std::string option_rom(ControllerModel model);
json::object disk_device(const MachineSpec& spec, const Disk& disk);
json::object cdrom_device(const MachineSpec& spec, const Cdrom& cdrom);
json::object floppy_device(const MachineSpec& spec, const Floppy& floppy);
// The controller and its companions.
std::vector<json::object> usb_controller_devices(const UsbController& controller);
json::object usb_device(const UsbDevice& device);
// `audiodev`: the id of its audio backend.
std::vector<json::object> sound_devices(const SoundCard& card, const std::string& audiodev);
// The bridge that devices of the host hang on.
json::object passthrough_bridge();
json::object passthrough_device(const PassthroughDevice& device);
// The second function of the NIC, which has one of RDMA.
json::object rdma_device(const Nic& nic, const std::string& netdev, const std::string& chardev);
json::object watchdog_device(const Watchdog& watchdog);
// `netdev`: the id of its network backend.
json::object nic_device(const MachineSpec& spec, const Nic& nic, const std::string& netdev);

// The file node, then the node of the format over it.
using ImageNodes = std::array<json::object, 2>;
// `backing`: the node below; null where there is none. `written`: it is the disk's last image.
ImageNodes image_nodes(const Disk& disk, int image, const DiskImage& file, json::value backing,
                       bool written);
// All images of a disk that a machine starts with, the base first.
std::vector<ImageNodes> disk_nodes(const Disk& disk);
// `path`: as Cdrom and Floppy have it.
ImageNodes cdrom_nodes(int key, const std::string& path);
ImageNodes floppy_nodes(int key, const std::string& path);

// The object a login to the disk's iSCSI unit takes its password from; it reads the file.
json::object secret_object(const Disk& disk, const std::string& file);
std::string secret_id(const Disk& disk);

std::string file_node(int key, int image);
std::string format_node(int key, int image);
// The key in the name of such a node; 0 for other names.
int key_of_node(const std::string& name);
std::string netdev_id(const Nic& nic);
// The number of the descriptor set behind an image, or behind what has only a key.
std::int64_t fdset_of(int key, int image = 0);
std::int64_t fdset_of_extent(int key, int image, int extent);
// Key and image of either kind.
std::pair<int, int> image_of_fdset(std::int64_t set);
// "/dev/fdset/SET", the name under which QEMU opens a descriptor it was handed.
std::string fdset_path(std::int64_t set);

// The disk's world wide name, or one in VMware's range that follows from machine and key.
std::uint64_t world_wide_name(const MachineSpec& spec, const Disk& disk);

}  // namespace virga::hypervisor
