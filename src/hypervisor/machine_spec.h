// What a virtual machine is made of, in terms a backend can build and the host can fill in from a
// configuration. Plain data: no descriptors, nothing of the API.
//
// Keys are the API's device keys (1000 the first SCSI controller, 2000 its first disk, 4000 the
// first NIC, …): they stay with a device for life, and with them its id and its PCI address, which
// is what makes a saved state restorable and a hot operation nameable. They are at least 100.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace virga::hypervisor {

enum class Firmware { bios, efi };
enum class ControllerModel { pvscsi, lsi_logic, lsi_sas, ahci, nvme, ide };
enum class NicModel { vmxnet3, e1000e, e1000, pcnet };
enum class DiskFormat { raw, qcow2 };
enum class SerialBackend { none, socket, file };

struct Controller {
  int key = 0;
  ControllerModel model = ControllerModel::pvscsi;
  int bus = 0;  // 0…3 within its family (SCSI, AHCI, NVMe); 0 or 1 for IDE

  bool operator==(const Controller&) const = default;
};

// One file a disk's content lies in.
struct DiskImage {
  std::string path;  // the image itself (NAME-flat.vmdk), never a descriptor
  DiskFormat format = DiskFormat::raw;

  bool operator==(const DiskImage&) const = default;
};

struct Disk {
  int key = 0;
  int controller_key = 0;
  int unit = 0;  // SCSI target, AHCI port, NVMe namespace less 1, IDE master (0) or slave (1)
  // The base first; each further one, a qcow2, holds what differs from those below it. The guest
  // writes the last.
  std::vector<DiskImage> chain;
  bool read_only = false;
  bool shared = false;    // other machines may write the image meanwhile
  std::string serial;     // at most 20 characters reach the guest; empty: none
  std::uint64_t wwn = 0;  // world wide name; 0: derived from the machine's id and the key

  bool operator==(const Disk&) const = default;
};

struct Cdrom {
  int key = 0;
  int controller_key = 0;
  int unit = 0;
  std::optional<std::string> path;  // the ISO in the drive; none: the tray is empty

  bool operator==(const Cdrom&) const = default;
};

struct Nic {
  int key = 0;
  NicModel model = NicModel::vmxnet3;
  int slot = 0;     // 0…9, the N of ethernetN: decides the PCI address
  std::string mac;  // 00:50:56:aa:bb:cc
  std::string tap;  // name of the tap device; empty: a card with no cable
  bool link_up = true;

  bool operator==(const Nic&) const = default;
};

struct SerialPort {
  int key = 0;
  SerialBackend backend = SerialBackend::none;
  std::string path;      // file backend: where the output is appended
  std::string log_path;  // socket backend: a copy of the output, so that nothing said before
                         // somebody connects is lost; empty: kept with the running machine only

  bool operator==(const SerialPort&) const = default;
};

// What SMBIOS type 1 tells the guest beside the UUID. Empty strings leave the backend's words.
struct SystemIdentity {
  std::string manufacturer;
  std::string product;
  std::string serial;

  bool operator==(const SystemIdentity&) const = default;
};

struct MachineSpec {
  std::string id;    // stable key, unique on the machine, also a directory name: [A-Za-z0-9-]+
  std::string name;  // for people: process list, console title
  std::string bios_uuid;
  SystemIdentity identity;

  std::uint64_t memory_mib = 0;
  int vcpus = 1;
  int cores_per_socket = 1;
  bool nested_virtualization = false;

  Firmware firmware = Firmware::bios;
  std::string nvram_path;  // EFI only: the variable store, see create_efi_variables()
  std::uint64_t video_memory_kib = 16384;

  std::vector<Controller> controllers;
  std::vector<Disk> disks;
  std::vector<Cdrom> cdroms;
  std::vector<Nic> nics;
  std::vector<SerialPort> serial_ports;  // at most 4, in the order the guest numbers them

  std::vector<std::string> boot_order;  // device ids; empty: disks, CD-ROMs, NICs as listed
  std::uint32_t boot_delay_ms = 0;
  std::optional<std::uint32_t> boot_retry_ms;  // try again after this long when nothing boots
  bool guest_agent = true;                     // the virtio-serial port org.qemu.guest_agent.0

  bool operator==(const MachineSpec&) const = default;
};

// Ids: "scsi-1000", "sata-15000", "nvme-31000", "ide-200", "disk-2000", "cdrom-3002", "nic-4000",
// "serial-9000".
std::string device_id(const Controller&);
std::string device_id(const Disk&);
std::string device_id(const Cdrom&);
std::string device_id(const Nic&);
std::string device_id(const SerialPort&);

// The element with this key, or an Error (not_found) naming it.
const Controller& find_controller(const MachineSpec&, int key);
const Disk& find_disk(const MachineSpec&, int key);
const Cdrom& find_cdrom(const MachineSpec&, int key);
const Nic& find_nic(const MachineSpec&, int key);

// Units a controller can take under every backend: fewer than VMware's where the emulated chip has
// fewer. The SCSI unit 7 belongs to the controller. LSI Logic has 7, AHCI 6; of PVSCSI guests see
// 16, since QEMU's does not answer when they ask how many there are.
bool unit_is_valid(ControllerModel model, int unit);
// Whether disks can come and go on it, and it itself, while the machine runs.
bool is_hot_pluggable(ControllerModel model);

// The first disk of `spec` that `other` has too, unless both share it; nullptr: the two may run at
// the same time.
const Disk* contested_disk(const MachineSpec& spec, const MachineSpec& other);

// The id of a device whose state cannot be saved, and with which no machine can be suspended:
// QEMU's NVMe controllers know no way. nullopt: there is none.
std::optional<std::string> unsavable_device(const MachineSpec& spec);

// Throws Error naming the device and the rule it breaks: duplicate keys or slots, a controller that
// is not there, a unit it does not have, cores that do not divide the processors, …
void validate(const MachineSpec& spec);

// JSON for records and saved states. from_json throws ErrorKind::damaged.
std::string to_json(const MachineSpec& spec);
MachineSpec machine_spec_from_json(const std::string& text);

}  // namespace virga::hypervisor
