// The machine's storage as it stands: adapters, the logical units they reach, and the paths
// between. Names are formed as vSphere forms them: vmhba0, naa.600508b1001c…, vmhba0:C0:T0:L0. What
// cannot be read is empty or 0, never guessed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "storage/multipath.h"

namespace virga::storage {

enum class AdapterKind {
  block,          // ATA, USB, virtio-blk, and block devices the kernel makes of others
  parallel_scsi,  // SCSI and RAID adapters of no other kind
  sas,
  fibre_channel,
  fcoe,
  iscsi,
  nvme_pcie,
  nvme_tcp,
  nvme_rdma,
  nvme_fc,
};

struct FibreChannelPort {
  std::uint64_t port_name = 0, node_name = 0;  // world wide names
};

struct IscsiTarget {
  std::string name, alias;             // iqn.2003-01.org.example:array
  std::vector<std::string> addresses;  // "10.0.0.5:3260", "[fd00::5]:3260"
};

struct FibreChannelLink {
  FibreChannelPort port;
  std::string type;  // in fc_transport's words: "NPort (fabric via point-to-point)"
  std::uint64_t bits_per_second = 0;
  // Over Ethernet only.
  std::string nic, mac, forwarder_mac;
  int vlan = 0;
};

struct IscsiInitiator {
  std::string name, alias;  // iqn.1993-08.org.debian:01:…
  std::string address, mac;
  bool software = false;
};

// What runs an adapter and how it is known on the wire.
using AdapterIdentity =
    std::variant<std::monostate, FibreChannelLink, IscsiInitiator, std::uint64_t /* SAS address */>;

struct Adapter {
  std::string name;  // vmhba0
  AdapterKind kind = AdapterKind::block;
  std::string driver;
  std::string model;        // empty: nothing tells
  std::string pci_address;  // 0000:3b:00.0; empty: not a PCI function
  bool online = true;
  AdapterIdentity identity;
  std::vector<std::string> rescan_files;  // of /sys; writing to them looks for devices anew
};

using TargetIdentity = std::variant<std::monostate, FibreChannelPort, IscsiTarget>;

enum class PathState { active, standby, disabled, dead, unknown };

struct Path {
  std::string adapter;  // its name
  int channel = 0, target = 0, lun = 0;
  std::string unit;  // name of the logical unit
  PathState state = PathState::active;
  bool working = false;  // carries I/O now
  TargetIdentity remote;
  std::string state_file;  // of /sys; takes "offline" and "running". Empty: nothing does
  std::string scsi_address;  // 1:0:0:4; empty for what is no SCSI device

  std::string name() const;  // vmhba0:C0:T0:L0
};

struct LogicalUnit {
  std::string name;  // naa.…, eui.…, t10.…, or mpx.PATH for a unit without an identifier
  std::string uuid;  // as in vSphere's vml names, without "vml."
  int type = 0;      // SCSI peripheral device type: 0 disk, 1 tape, 5 CD-ROM, 13 enclosure
  std::string device_path;  // /dev/sda; empty: no block device here stands for it
  std::string vendor, model, revision, serial;
  std::string inquiry;  // standard INQUIRY data, bytes
  int scsi_level = 0;   // ANSI version
  int queue_depth = 0;
  std::uint64_t bytes = 0;
  std::uint32_t block_bytes = 512, physical_block_bytes = 512;
  bool rotational = false, removable = false;
  bool local = true;       // not reached through a network
  bool multipath = false;  // the kernel spreads its I/O over the paths: dm-multipath, NVMe
  std::string state;       // in the SCSI layer's words: running, offline, blocked…
  std::string map;         // the WWID of dm-multipath's map of it; empty: it has none
  std::optional<PathRule> path_rule;  // that the map goes by; none: not known

  bool is_disk() const { return type == 0 || type == 14; }
};

struct NvmeNamespace {
  std::string unit;  // name of the logical unit
  std::uint32_t id = 0;
};

struct NvmeController {
  std::string name;  // nvme0
  std::string adapter;
  int number = 0;
  std::string subsystem, transport;  // nqn.…; pcie, tcp, rdma, fc
  std::string model, serial, firmware, vendor_id;
  int queues = 0, queue_size = 0;
  std::vector<NvmeNamespace> namespaces;
};

struct Devices {
  std::vector<Adapter> adapters;  // by name's number
  std::vector<LogicalUnit> units;
  std::vector<Path> paths;
  std::vector<NvmeController> controllers;
};

// Reads /sys; blocks for milliseconds. `root` stands before /sys (tests).
Devices read_devices(const std::string& root = "");

// Where vSphere has its device nodes: what stands before a unit's name in the API for units that
// have no block device here.
constexpr const char* device_folder = "/vmfs/devices/disks/";

// nullptr: there is none. A unit is found by name, uuid or device path, and by its name in
// vSphere's device folder.
const Adapter* find_adapter(const Devices& devices, const std::string& name);
const LogicalUnit* find_unit(const Devices& devices, const std::string& name);
const Path* find_path(const Devices& devices, const std::string& name);
std::vector<const Path*> paths_to(const Devices& devices, const LogicalUnit& unit);

// Has the kernel look for devices behind the adapter; blocks while it does.
void rescan(const Adapter& adapter);

// Takes a path out of use, or back. ErrorKind::unsupported where the kernel has no means for it.
void set_path_enabled(const Path& path, bool enabled);

// No file system, volume or other program holds the block device: RDM may take it.
bool is_unused(const LogicalUnit& unit);

// The identifier of vSphere's vml names: type of name, number, the name's bytes and the model's
// first six characters, in hexadecimal (as VMware's knowledge base explains it).
std::string unit_uuid(const std::string& name, int lun, const std::string& model);

}  // namespace virga::storage
