// What a .vmx says of a virtual machine, typed and neutral: no type of the API and none of QEMU.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vmx/vmx_file.h"

namespace virga::vmx {

// --- Where a device sits -----------------------------------------------------------------------

enum class Bus { ide, scsi, sata, nvme };

std::string_view to_string(Bus bus);  // as in keys: "ide", "scsi", "sata", "nvme"

// "scsi0:1": the unit on one controller of a bus. The two IDE controllers are always there.
struct Slot {
  Bus bus = Bus::scsi;
  int controller = 0;
  int unit = 0;

  std::string key() const;  // "scsi0:1"
  auto operator<=>(const Slot&) const = default;
};

// The limits of vSphere 7 (Configuration Maximums).
constexpr int max_controllers(Bus bus) {
  return bus == Bus::ide ? 2 : 4;
}
constexpr int scsi_own_unit = 7;  // the controller's own address on its bus
constexpr int max_network_adapters = 10;
constexpr int max_serial_ports = 32;
constexpr int max_parallel_ports = 3;
constexpr int max_floppies = 2;
constexpr int max_passthrough_devices = 16;
constexpr int max_usb_devices = 20;

// --- Controllers and what hangs on them --------------------------------------------------------

enum class ControllerModel { pvscsi, lsi_logic, lsi_sas, bus_logic, ahci, nvme };
enum class BusSharing { none, within_host, across_hosts };  // sharedBus none, virtual, physical

struct Controller {
  Bus bus = Bus::scsi;  // never ide
  int number = 0;
  ControllerModel model = ControllerModel::pvscsi;
  BusSharing sharing = BusSharing::none;  // SCSI only
  std::optional<int> pci_slot;

  bool operator==(const Controller&) const = default;
};

enum class SharesLevel { low, normal, high, custom };

// What the scheduler grants: MHz for CPU, MiB for memory, for a disk reads and writes a second.
struct Allocation {
  std::int64_t reservation = 0;
  std::optional<std::int64_t> limit;  // none: unlimited
  SharesLevel level = SharesLevel::normal;
  std::int64_t custom_shares = 0;  // with SharesLevel::custom

  bool operator==(const Allocation&) const = default;
};

enum class DiskMode {
  persistent,
  nonpersistent,
  undoable,
  append,
  independent_persistent,
  independent_nonpersistent,
};

constexpr std::int64_t max_iops_limit = 0x7fff'ffff;

struct Disk {
  Slot slot;
  std::string file;  // the descriptor: relative to the .vmx, or absolute
  DiskMode mode = DiskMode::persistent;
  bool write_through = false;
  bool multi_writer = false;     // sharing = "multi-writer"
  bool changes_tracked = false;  // ctkEnabled, as the VM's own
  std::string redo;  // what a run writes that is discarded at its end; empty between such runs
  Allocation io;     // sched.scsi0:0.throughputCap and .shares; nothing is reserved

  bool operator==(const Disk&) const = default;
};

// Which side provides the medium, and whether the drive is emulated or passed through.
enum class CdRomBacking {
  image,               // cdrom-image: an .iso in a datastore
  host_emulated,       // atapi-cdrom
  host_passthrough,    // cdrom-raw
  client_emulated,     // atapi-cdrom with clientDevice: the user's own drive, through the console
  client_passthrough,  // cdrom-raw with clientDevice
};

struct CdRom {
  Slot slot;
  CdRomBacking backing = CdRomBacking::client_passthrough;
  std::string file;  // image: as Disk::file; host: the device, or "auto detect"; client: empty
  bool start_connected = false;
  bool guest_may_eject = true;  // allowGuestConnectionControl

  bool operator==(const CdRom&) const = default;
};

// A device of a type we do not serve (scsi-passthru, rawDisk, ...): its lines stay as they are, and
// its slot is taken.
struct OtherDevice {
  Slot slot;
  std::string type;  // deviceType, as it stands

  bool operator==(const OtherDevice&) const = default;
};

// --- Network -----------------------------------------------------------------------------------

enum class AdapterModel { vlance, vmxnet, vmxnet2, vmxnet3, e1000, e1000e, vrdma };
enum class RdmaProtocol { rocev1, rocev2 };
enum class AddressType {
  generated,  // this host derives it from uuid.bios
  assigned,   // "vpx": a center gave it
  manual,     // "static": the user gave it
};

// A port of a distributed switch.
struct DistributedPort {
  std::string switch_id;   // "50 2c 1a …-… "
  std::string portgroup;   // dvportgroup-21
  std::string port;        // port number
  std::string connection;  // connection cookie

  bool operator==(const DistributedPort&) const = default;
};

struct NetworkAdapter {
  int number = 0;  // ethernetN
  AdapterModel model = AdapterModel::vmxnet3;
  std::string network;          // port group name
  std::string connection_type;  // Workstation's "nat", "bridged", "hostonly", "custom"; else empty
  std::optional<DistributedPort> distributed_port;
  AddressType address_type = AddressType::generated;
  std::string mac;           // "00:50:56:01:02:03", lower case; empty until one was generated
  int generated_offset = 0;  // what was added to the address uuid.bios yields
  bool start_connected = true;
  bool guest_may_disconnect = true;  // allowGuestConnectionControl
  bool wake_on_lan = true;           // wakeOnPcktRcv
  bool upt_compatible = false;       // uptCompatibility
  RdmaProtocol rdma_protocol = RdmaProtocol::rocev2;  // of model vrdma
  std::optional<int> pci_slot;

  bool operator==(const NetworkAdapter&) const = default;
};

// --- Ports and the rest ------------------------------------------------------------------------

enum class SerialBacking { file, pipe, device, network, print };

struct SerialPort {
  int number = 0;  // serialN
  SerialBacking backing = SerialBacking::file;
  std::string target;     // file, pipe or device name; a URI for network ("telnet://:2001")
  std::string proxy;      // vspc: URI of a serial port concentrator; network only
  bool is_server = true;  // pipe and network: endPoint
  bool no_rx_loss = false;
  bool yield_on_poll = false;
  bool start_connected = true;

  bool operator==(const SerialPort&) const = default;
};

enum class FloppyBacking { image, host, client };

struct Floppy {
  int number = 0;  // floppyN
  FloppyBacking backing = FloppyBacking::client;
  std::string file;
  bool start_connected = false;

  bool operator==(const Floppy&) const = default;
};

enum class ParallelBacking { file, device };

struct ParallelPort {
  int number = 0;  // parallelN
  ParallelBacking backing = ParallelBacking::file;
  std::string target;  // file or device
  bool start_connected = true;

  bool operator==(const ParallelPort&) const = default;
};

// What makes a virtual function of the host's card an adapter of the VM.
struct SriovAdapter {
  std::string physical_function;  // whose it is to be, or sriov_automatic
  std::string network;            // port group name
  AddressType address_type = AddressType::generated;
  std::string mac;  // as of a NetworkAdapter
  bool guest_may_change_mtu = false;

  bool operator==(const SriovAdapter&) const = default;
};
// Any function of a card that is an uplink of the network's switch.
constexpr std::string_view sriov_automatic = "Automatic-0000:00:00.0";

// A PCI device of the host: the one with that id, or else any that is allowed and has the label.
// Of an adapter with SR-IOV the id is that of the function it is to have if it can. With `vgpu` it
// is a share of any GPU that has the profile.
struct PassthroughDevice {
  int number = 0;                    // pciPassthruN
  std::string id;                    // "0000:3b:00.0"
  std::string vendor_id, device_id;  // hexadecimal, of the one with that id
  std::string system_id;             // of the host that has it
  std::string allowed;               // "10de:1bb3 8086:1572:8086:0001:02": with subsystem, revision
  std::string label;                 // empty: any
  std::optional<SriovAdapter> sriov;
  std::string vgpu;  // "grid_p4-1q"

  bool operator==(const PassthroughDevice&) const = default;
};

// Of the following a machine has at most one, whose keys have no number: "sound.present".

enum class SoundModel { ensoniq1371, hd_audio, sound_blaster16 };

struct SoundCard {
  int number = 0;
  SoundModel model = SoundModel::ensoniq1371;
  std::string device;  // of the host, or "-1": the first there is
  bool start_connected = true;

  bool operator==(const SoundCard&) const = default;
};

struct Watchdog {
  int number = 0;
  bool run_on_boot = false;

  bool operator==(const Watchdog&) const = default;
};

// A TPM 2.0; what it remembers lies in a folder beside the .vmx.
struct Tpm {
  int number = 0;

  bool operator==(const Tpm&) const = default;
};

enum class Renderer { automatic, software, hardware };  // of 3D

struct Video {
  std::int64_t memory_bytes = 4 << 20;  // svga.vramSize
  int displays = 1;
  bool autodetect = false;
  bool enable_3d = false;
  Renderer renderer = Renderer::automatic;
  std::int64_t graphics_memory_bytes = 256 << 20;

  bool operator==(const Video&) const = default;
};

struct UsbControllers {
  bool uhci = false;  // usb.present
  bool ehci = false;
  bool xhci = false;

  bool operator==(const UsbControllers&) const = default;
};

// A USB device that is the VM's whenever it is there: usb.autoConnect.deviceN.
struct UsbDevice {
  int number = 0;
  std::string pattern;  // "path:1/0/2", "vid:0781 pid:5567", …

  bool operator==(const UsbDevice&) const = default;
};

enum class Firmware { bios, efi };

enum class PowerOption { preset, soft, hard };  // powerType.*: "default"/"preset", "soft", "hard"

struct PowerOptions {
  PowerOption power_off = PowerOption::preset;
  PowerOption suspend = PowerOption::preset;
  PowerOption reset = PowerOption::preset;

  bool operator==(const PowerOptions&) const = default;
};

struct BootOptions {
  std::int64_t delay_ms = 0;
  bool enter_setup_once = false;
  bool retry = false;
  std::int64_t retry_delay_ms = 10'000;
  std::vector<std::string> order;  // bios.bootOrder: "cdrom", "hdd", "ethernet0", "floppy"

  bool operator==(const BootOptions&) const = default;
};

struct ToolsOptions {
  bool sync_time_with_host = false;
  std::string upgrade_policy = "manual";  // or "upgradeAtPowerCycle"
  bool after_power_on = true;
  bool after_resume = true;
  bool before_suspend = true;
  bool before_power_off = true;

  bool operator==(const ToolsOptions&) const = default;
};

// --- The machine -------------------------------------------------------------------------------

struct MachineConfig {
  std::string display_name;
  std::string bios_uuid;           // canonical form, lower case; empty when the file has none
  std::string instance_uuid;       // vc.uuid, canonical form
  std::string location_uuid;       // uuid.location: of the place where it was last powered on
  std::string guest_os;            // short name: "debian11-64"
  std::string guest_os_alternate;  // guestOSAltName
  std::string annotation;
  int hardware_version = 19;

  std::int64_t memory_mib = 32;
  int cpus = 1;
  int cores_per_socket = 1;
  bool cpu_hot_add = false;
  bool cpu_hot_remove = false;
  bool memory_hot_add = false;
  bool nested_virtualization = false;      // vhv.enable
  bool cpu_counters = false;               // vpmc.enable
  bool memory_reservation_locked = false;  // sched.mem.pin
  Allocation cpu;
  Allocation memory;

  Firmware firmware = Firmware::bios;
  bool secure_boot = false;
  BootOptions boot;
  PowerOptions power;
  ToolsOptions tools;

  std::string nvram;              // file beside the .vmx
  std::string extended_config;    // .vmxf
  std::string suspend_state;      // checkpoint.vmState: the .vmss of a suspended VM; else empty
  std::string working_directory;  // workingDir: where snapshots and swap go; empty: beside the .vmx
  bool clean_shutdown = true;     // cleanShutdown: the VM is not, and was not, cut off in mid-run
  bool disk_uuids_shown = false;  // disk.EnableUUID
  bool changes_tracked = false;   // ctkEnabled: of the disks that say so as well

  std::vector<Controller> controllers;
  std::vector<Disk> disks;
  std::vector<CdRom> cdroms;
  std::vector<OtherDevice> other_devices;
  std::vector<NetworkAdapter> network_adapters;
  std::vector<SerialPort> serial_ports;
  std::vector<ParallelPort> parallel_ports;
  std::vector<Floppy> floppies;
  std::vector<SoundCard> sound_cards;
  std::vector<Watchdog> watchdogs;
  std::vector<Tpm> tpms;
  std::vector<PassthroughDevice> passthrough;
  Video video;
  UsbControllers usb;
  std::vector<UsbDevice> usb_devices;

  // Every key not described above, in the file's order: the API's extraConfig.
  std::vector<VmxFile::Entry> extra;

  bool operator==(const MachineConfig&) const = default;
};

// Throws ErrorKind::damaged naming the file and the key whose value makes no sense.
MachineConfig read(const VmxFile& file);

// Changes in `file` only what differs from what read() finds there. A device that is gone takes all
// its lines with it; a new one starts without the leftovers of an earlier one in its slot. Throws
// ErrorKind::invalid_argument for a config that no .vmx can express: two devices in a slot, a
// device without its controller, an `extra` entry that is_described() owns.
void write(const MachineConfig& config, VmxFile& file);

// A whole new .vmx, with the lines that VMware's products expect of every VM.
VmxFile make_vmx(const MachineConfig& config);

// `key` is one that a member of MachineConfig stands for, and so never extra configuration.
bool is_described(std::string_view key);

// Sets one extra option, ignoring case, in place; an empty value removes it, as in the API.
// Throws ErrorKind::invalid_argument for a key that is_described() owns.
void set_extra(MachineConfig& config, std::string_view key, std::string_view value);
std::optional<std::string> find_extra(const MachineConfig& config, std::string_view key);

// --- Rules -------------------------------------------------------------------------------------

// What ESXi takes for a device whose virtualDev is not written. E1000E came with hardware version
// 8, and is what Windows has had drivers for since Windows 8.
AdapterModel default_adapter_model(std::string_view guest_os, int hardware_version);
ControllerModel default_scsi_model(std::string_view guest_os);

// How many unit numbers a controller has, the SCSI controller's own included: 2 on IDE, 30 on SATA,
// 15 on NVMe, 16 on SCSI, but 65 on a PVSCSI controller from hardware version 14 on.
int unit_count(Bus bus, ControllerModel model, int hardware_version);
// As above for a controller of the machine; 0 when the machine has no such controller.
int unit_count(const MachineConfig& config, Bus bus, int controller);

// The lowest slot on that controller no disk, CD-ROM or other device holds.
std::optional<Slot> first_free_slot(const MachineConfig& config, Bus bus, int controller);
// The lowest number no controller of the bus has; nullopt when all are taken.
std::optional<int> first_free_controller(const MachineConfig& config, Bus bus);
std::optional<int> first_free_network_adapter(const MachineConfig& config);

// "56 4d 1c …-… 01 23", as .vmx files write a uuid, to the canonical lower-case form and back.
// Both throw ErrorKind::invalid_argument for anything that is not 16 bytes in either form.
std::string canonical_uuid(std::string_view text);
std::string vmx_uuid(std::string_view text);

// "AA-BB-CC-00-01-02" and "aa:bb:cc:00:01:02" to the latter; nullopt for what is no MAC address.
std::optional<std::string> normalise_mac(std::string_view text);
// 00:0c:29 and the last three bytes of uuid.bios plus `offset`: how a host without a center makes
// the address of an adapter.
std::string generated_mac(std::string_view bios_uuid, int offset);
// Calls visit(adapter) for each adapter that has a MAC address: NetworkAdapter or SriovAdapter.
template <class Config, class Visit>
void for_each_adapter(Config& config, Visit&& visit) {
  for (auto& adapter : config.network_adapters) visit(adapter);
  for (auto& device : config.passthrough)
    if (device.sriov) visit(*device.sriov);
}

// Fills the address in for every `generated` adapter that has none: the first offset (0, 10, 20, …)
// that gives one no other adapter has, nor anybody else by `in_use`. Returns whether any was.
bool generate_missing_macs(MachineConfig& config,
                           const std::function<bool(const std::string& mac)>& in_use = {});
// A user may give a unicast address, outside the ranges that products of VMware hand out by
// themselves: all of 00:0c:29 and 00:50:56:40 to ff. Throws ErrorKind::invalid_argument.
void check_manual_mac(std::string_view mac);

}  // namespace virga::vmx
