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
enum class DiskFormat { raw, qcow2, vmdk };
enum class LineBackend { none, socket, file, device, network, stream };
enum class SoundModel { ensoniq1370, hd_audio, sound_blaster16 };
enum class UsbControllerModel { uhci, ehci, xhci };
enum class UsbDeviceModel { keyboard, tablet, host };

struct Controller {
  int key = 0;
  ControllerModel model = ControllerModel::pvscsi;
  int bus = 0;  // 0…3 within its family (SCSI, AHCI, NVMe); 0 or 1 for IDE

  bool operator==(const Controller&) const = default;
};

// A part of an image in one of VMware's formats.
struct DiskExtent {
  std::string path;
  std::uint64_t sectors = 0;  // of 512 bytes
  bool sparse = false;        // in grains, behind a header; else the guest's sectors as they are
  std::uint64_t offset = 0;   // sectors into the file, where it is not sparse

  bool operator==(const DiskExtent&) const = default;
};

// A logical unit that the backend logs in to by itself.
struct IscsiUnit {
  std::string portal;  // "10.0.0.5:3260"
  std::string target;  // iqn.2003-01.org.example:array
  int lun = 0;
  std::string initiator;  // the name it is to log in by
  bool header_digest = false;
  std::string user, password;  // CHAP; empty: none. A record of the machine has no passwords

  bool operator==(const IscsiUnit&) const = default;
};

// What a disk's content lies in: one file, with `vmdk` one or several, or a device.
struct DiskImage {
  // The image itself (NAME-flat.vmdk, /dev/sdb). vmdk: its descriptor, as a name only; iSCSI: a
  // name of the unit, the same for all machines.
  std::string path;
  DiskFormat format = DiskFormat::raw;
  std::vector<DiskExtent> extents;  // vmdk: in the disk's order
  bool block_device = false;
  std::optional<IscsiUnit> iscsi;
  // The file that tells which areas of the image were written (datastore/change_tracking.h), while
  // they are; empty: nobody asks. Not of vmdk.
  std::string change_track;

  bool operator==(const DiskImage&) const = default;
};

// A read or write of more bytes counts as several against a disk's limit.
constexpr int io_cost_unit = 32768;

struct Disk {
  int key = 0;
  int controller_key = 0;
  int unit = 0;  // SCSI target, AHCI port, NVMe namespace less 1, IDE master (0) or slave (1)
  // The base first; each further one, a qcow2, holds what differs from those below it. The guest
  // writes the last.
  std::vector<DiskImage> chain;
  bool read_only = false;
  bool shared = false;  // other machines may write the image meanwhile
  // The last image is of this run alone: see Machine::reset().
  bool discards_changes = false;
  bool passthrough = false;      // of a SCSI device: the guest's commands reach it as they are
  std::uint64_t iops_limit = 0;  // reads and writes a second; 0: none
  std::string serial;            // at most 20 characters reach the guest; empty: none
  std::uint64_t wwn = 0;         // world wide name; 0: derived from the machine's id and the key

  bool operator==(const Disk&) const = default;
};

struct Cdrom {
  int key = 0;
  int controller_key = 0;
  int unit = 0;
  // The ISO in the drive, or a drive of this host, "/dev/sr0", with what is in that; none: the tray
  // is empty.
  std::optional<std::string> path;

  bool operator==(const Cdrom&) const = default;
};

struct Floppy {
  int key = 0;
  int unit = 0;                     // 0 or 1: the guest's first or second drive
  std::optional<std::string> path;  // as above; the guest may write to it

  bool operator==(const Floppy&) const = default;
};

// The RDMA side of an adapter: verbs go to a device of the host, management datagrams to the
// multiplexer (rdmacm-mux) that its guests share.
struct RdmaFunction {
  std::string device;  // mlx5_0
  int port = 1;
  std::string multiplexer;  // path of its socket

  bool operator==(const RdmaFunction&) const = default;
};

struct Nic {
  int key = 0;
  NicModel model = NicModel::vmxnet3;
  int slot = 0;     // 0…9, the N of ethernetN: decides the PCI address
  std::string mac;  // 00:50:56:aa:bb:cc
  std::string tap;  // name of the tap device; empty: a card with no cable
  bool link_up = true;
  std::optional<RdmaFunction> rdma;  // of a vmxnet3: what makes it a paravirtual RDMA adapter

  bool operator==(const Nic&) const = default;
};

// How a line is encrypted: by TLS, from its first byte on.
struct LineSecurity {
  // The peer must have a certificate of an authority that this host believes, one that is called a
  // certificate in the name of its host. False: anybody will do.
  bool verify_peer = false;
  std::string thumbprint;  // one that is called has the certificate with this one instead

  bool operator==(const LineSecurity&) const = default;
};

// The far end of a serial line on the network.
struct NetworkLine {
  std::string host;  // a server's may be empty: any address of this machine
  int port = 0;
  bool server = true;   // else the guest's side calls, again and again until it is answered
  bool telnet = false;  // with the options of a telnet session, else the bytes alone
  // TLS is not the backend's to speak: whoever does has the near end by Machine::open_serial().
  std::optional<LineSecurity> security = {};

  bool operator==(const NetworkLine&) const = default;
};

// The `stream` backend is a connected stream that StartOptions has, as long as it lasts.
struct SerialPort {
  int key = 0;
  LineBackend backend = LineBackend::none;
  std::string path;      // file: where the output is appended; device: its node
  std::string log_path;  // socket backend: a copy of the output, so that nothing said before
                         // somebody connects is lost; empty: kept with the running machine only
  std::optional<NetworkLine> network;

  bool operator==(const SerialPort&) const = default;
};

struct ParallelPort {
  int key = 0;
  LineBackend backend = LineBackend::none;  // none, file or device
  std::string path;

  bool operator==(const ParallelPort&) const = default;
};

// EHCI comes with the UHCI companions that its slower devices need.
struct UsbController {
  int key = 0;
  UsbControllerModel model = UsbControllerModel::uhci;

  bool operator==(const UsbController&) const = default;
};

struct UsbDevice {
  int key = 0;
  int controller_key = 0;
  UsbDeviceModel model = UsbDeviceModel::host;
  std::string path;  // host: "/dev/bus/usb/001/004"

  bool operator==(const UsbDevice&) const = default;
};

// Nobody hears it but clients of the display that ask for sound.
struct SoundCard {
  int key = 0;
  SoundModel model = SoundModel::hd_audio;

  bool operator==(const SoundCard&) const = default;
};

// Resets the machine when its guest, having started it, no longer tends it.
struct Watchdog {
  int key = 0;

  bool operator==(const Watchdog&) const = default;
};

// A TPM 2.0. A process of its own emulates it, as the guests' user, as long as the machine runs.
struct Tpm {
  int key = 0;
  std::string state_directory;  // what it remembers; made at the first start

  bool operator==(const Tpm&) const = default;
};

// A virtual function of a network card, as the card is to treat it.
struct NetworkFunction {
  std::string interface;  // the card's, eth0
  int index = 0;          // of the function, among the card's
  std::string mac;
  int vlan = 0;                   // 0: none
  bool forged_transmits = false;  // may send from other addresses than its own

  bool operator==(const NetworkFunction&) const = default;
};

// A mediated device: part of a GPU.
struct DeviceShare {
  std::string type;  // as sysfs names it: nvidia-63
  std::string uuid;

  bool operator==(const DeviceShare&) const = default;
};

// A PCI device of the host that the guest has to itself; VFIO has it already. It keeps all of the
// guest's memory in place, and its state cannot be saved.
struct PassthroughDevice {
  int key = 0;
  int slot = 0;         // 0…15
  std::string address;  // "0000:3b:00.0"
  int iommu_group = 0;
  std::optional<NetworkFunction> network;  // what it is told before the guest has it
  std::optional<DeviceShare> share;  // the guest has that much of it; the group is the share's

  bool operator==(const PassthroughDevice&) const = default;
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

  std::uint64_t memory_mib = 0;  // all of it
  int vcpus = 1;
  int cores_per_socket = 1;
  // What memory and processors can grow to while the machine runs; 0: they cannot.
  std::uint64_t max_memory_mib = 0;
  int max_vcpus = 0;
  // MiB that came while it ran, each in a DIMM, in the order they came: part of memory_mib.
  std::vector<std::uint64_t> dimms;
  bool nested_virtualization = false;

  Firmware firmware = Firmware::bios;
  std::string nvram_path;    // EFI only: the variable store, see create_efi_variables()
  bool secure_boot = false;  // EFI only: what boots must be signed
  std::uint64_t video_memory_kib = 16384;

  std::vector<Controller> controllers;
  std::vector<Disk> disks;
  std::vector<Cdrom> cdroms;
  std::vector<Nic> nics;
  std::vector<Floppy> floppies;
  std::vector<SerialPort> serial_ports;        // at most 4, in the order the guest numbers them
  std::vector<ParallelPort> parallel_ports;    // at most 3, likewise
  std::vector<UsbController> usb_controllers;  // at most one of UHCI and EHCI, and one xHCI
  std::vector<UsbDevice> usb_devices;
  std::optional<SoundCard> sound;
  std::optional<Watchdog> watchdog;
  std::optional<Tpm> tpm;
  std::vector<PassthroughDevice> passthrough;

  std::vector<std::string> boot_order;  // device ids; empty: disks, CD-ROMs, NICs as listed
  std::uint32_t boot_delay_ms = 0;
  std::optional<std::uint32_t> boot_retry_ms;  // try again after this long when nothing boots
  bool guest_agent = true;                     // the virtio-serial port org.qemu.guest_agent.0

  bool operator==(const MachineSpec&) const = default;
};

// Ids: "scsi-1000", "sata-15000", "nvme-31000", "ide-200", "disk-2000", "cdrom-3002", "nic-4000",
// "serial-9000", "floppy-8000", "parallel-10000", "usb-7000", "usb-device-7100", "sound-5000",
// "watchdog-18000", "tpm-11000",
// "passthrough-13000".
std::string device_id(const Controller&);
std::string device_id(const Disk&);
std::string device_id(const Cdrom&);
std::string device_id(const Nic&);
std::string device_id(const Floppy&);
std::string device_id(const SerialPort&);
std::string device_id(const ParallelPort&);
std::string device_id(const UsbController&);
std::string device_id(const UsbDevice&);
std::string device_id(const SoundCard&);
std::string device_id(const Watchdog&);
std::string device_id(const Tpm&);
std::string device_id(const PassthroughDevice&);

// The element with this key, or an Error (not_found) naming it.
const Controller& find_controller(const MachineSpec&, int key);
const Disk& find_disk(const MachineSpec&, int key);
const Cdrom& find_cdrom(const MachineSpec&, int key);
const Nic& find_nic(const MachineSpec&, int key);
const Floppy& find_floppy(const MachineSpec&, int key);
const UsbDevice& find_usb_device(const MachineSpec&, int key);

// What is in the CD-ROM or floppy drive with this key; not_found as above.
std::optional<std::string>& medium_of(MachineSpec&, int drive_key);

// Units a controller can take under every backend: fewer than VMware's where the emulated chip has
// fewer. The SCSI unit 7 belongs to the controller. LSI Logic has 7, AHCI 6; of PVSCSI guests see
// 16, since QEMU's does not answer when they ask how many there are.
bool unit_is_valid(ControllerModel model, int unit);
// DIMMs that can come while a machine runs.
constexpr std::size_t max_dimms = 32;
// Without those that came while it ran.
std::uint64_t memory_at_start(const MachineSpec& spec);

// Whether disks can come and go on it, and it itself, while the machine runs.
bool is_hot_pluggable(ControllerModel model);

// The first disk of `spec` that `other` has too, unless both share it; nullptr: the two may run at
// the same time.
const Disk* contested_disk(const MachineSpec& spec, const MachineSpec& other);

// The id of a device whose state cannot be saved, and with which no machine can be suspended:
// QEMU's NVMe controllers know no way, the host's devices have none. nullopt: there is none.
std::optional<std::string> unsavable_device(const MachineSpec& spec);

// Throws Error naming the device and the rule it breaks: duplicate keys or slots, a controller that
// is not there, a unit it does not have, cores that do not divide the processors, …
void validate(const MachineSpec& spec);

// JSON for records and saved states. from_json throws ErrorKind::damaged.
std::string to_json(const MachineSpec& spec);
MachineSpec machine_spec_from_json(const std::string& text);

}  // namespace virga::hypervisor
