// A virtual machine's configuration between three tongues: the .vmx (vmx::MachineConfig), the API
// (VirtualMachineConfigInfo and -Spec) and the hypervisor (MachineSpec). Pure: what must be looked
// up comes through the context.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "datastore/virtual_disk.h"
#include "hypervisor/host_devices.h"
#include "hypervisor/machine_spec.h"
#include "vim/types.h"
#include "vmx/datastore_path.h"
#include "vmx/machine_config.h"

namespace virga::host {

using model::MoRef;

// The datastores of this host, by the uuid that names each for good.
struct Volumes {
  std::map<std::string, std::string> names_by_id;

  // `volume`: X of "/vmfs/volumes/X/…", a uuid or a name. What is not known here stays as it is.
  std::string name_of(const std::string& volume) const;
  std::string id_of(const std::string& name) const;
};

// A logical unit of this host that a disk can be (RDM).
struct RawDevice {
  std::string unit;  // naa.600508b1001c…
  std::string uuid;  // as in vSphere's vml names, without "vml."
  std::uint64_t bytes = 0;
  bool takes_scsi = false;  // it knows SCSI commands
};

// How a card of the host is to carry a network where no switch does.
struct UplinkPolicy {
  std::vector<std::string> uplinks;  // the cards of the network's switch: eth0, …
  int vlan = 0;                      // 0: frames are untagged, or the guest tags them itself
  bool forged_transmits = false;     // the guest may send from other addresses than its own
};

// What a VM that runs can still be given; as its machine was built.
struct Growth {
  int max_vcpus = 0;  // 0: processors cannot come
  std::int64_t max_memory_mib = 0;
  bool has_free_slot = false;  // for more memory
  bool tools_running = false;
};

// Where a VM is and what surrounds it.
struct ConfigContext {
  vmx::DatastorePath config_file;  // the .vmx
  Volumes volumes;
  // By absolute place; nullopt: the file is not there or cannot be read.
  std::function<std::optional<datastore::DiskInfo>(const vmx::DatastorePath&)> disk;
  // nullopt: no such datastore or port group on this host.
  std::function<std::optional<MoRef>(const std::string& name)> datastore;
  std::function<std::optional<MoRef>(const std::string& name)> network;
  // The name of a datastore or network given by reference; throws ManagedObjectNotFound.
  std::function<std::string(const MoRef&)> name_of;
  // The place in a datastore as a path of this machine, for the hypervisor.
  std::function<std::string(const vmx::DatastorePath&)> absolute;
  // Whether another VM of this host has that address.
  std::function<bool(const std::string& mac)> mac_in_use;
  // What this host has of drives, ports and the like; blocks for milliseconds.
  std::function<hypervisor::HostDevices()> host_devices;
  // nullopt: no such port group on this host.
  std::function<std::optional<UplinkPolicy>(const std::string& network)> uplink_policy;
  // The label that a PCI device of the host was given, and whether another VM that runs has the
  // device.
  std::function<std::string(const std::string& address)> pci_label;
  std::function<bool(const std::string& address)> pci_in_use;
  // See raw_devices.h.
  std::function<std::optional<RawDevice>(const std::string& name)> raw_device;
  std::function<std::string(const std::string& unit)> raw_device_obstacle;
  std::function<hypervisor::DiskImage(const std::string& unit)> raw_device_image;
  // How the host's GPUs are divided among VMs.
  std::function<vim::HostGraphicsConfig()> graphics;
  std::optional<Growth> growth;  // of the VM, while it runs
  // Hears what machine_spec() leaves out because the host does not have it; may be empty.
  std::function<void(const std::string& message)> warn;
  std::string host_name;
  std::string host_version = "vmx-19";  // the newest hardware version this host runs
  int processors = 1;                   // logical ones of this host
  int max_vcpus = 0;                    // of the hypervisor here
  std::uint64_t max_memory_mib = 0;
};

// The file that `referrer`, a .vmx or a disk's descriptor, means by `file`: beside itself, or
// absolute as "/vmfs/volumes/X/…" and "[X] …" say, X being a datastore's uuid or name. Throws
// Fault: InvalidDatastorePath for one that lies in no datastore.
vmx::DatastorePath resolve_file(const Volumes& volumes, const vmx::DatastorePath& referrer,
                                const std::string& file);
// As the .vmx means it.
vmx::DatastorePath resolve_file(const ConfigContext& context, const std::string& file);

// --- To the API --------------------------------------------------------------------------------

// Connection states of a running VM that differ from what the configuration starts with, by key.
struct DeviceState {
  std::map<int, bool> connected;
};

vim::VirtualMachineConfigInfo config_info(const vmx::MachineConfig& config,
                                          const ConfigContext& context, const DeviceState& state,
                                          bool powered_on);
vim::VirtualMachineConfigSummary config_summary(const vmx::MachineConfig& config,
                                                const ConfigContext& context);

// --- From the API ------------------------------------------------------------------------------

struct DiskToCreate {
  vmx::DatastorePath path;
  datastore::DiskSpec spec;
};
struct DiskToGrow {
  vmx::DatastorePath path;
  int key = 0;
  std::uint64_t capacity = 0;  // bytes
  bool eager_zero = false;
};

// What a reconfiguration comes to. Applied in this order; nothing of it has happened yet.
struct ConfigPlan {
  vmx::MachineConfig config;  // as it is to be
  std::vector<DiskToCreate> create;
  std::vector<DiskToGrow> grow;
  std::vector<vmx::DatastorePath> destroy;  // disks removed with fileOperation destroy
  // Keys of the devices that come, go or change; of a running VM these are hot operations.
  std::vector<int> added, removed, edited;
  DeviceState connections;              // connectable.connected asked for, by key
  std::vector<std::string> privileges;  // that the caller needs for these changes
};

// A new VM's configuration: defaults by guest OS, then the spec's devices. Files that the spec does
// not name are placed beside the .vmx. Throws Fault: InvalidArgument, InvalidDeviceSpec and its kin
// (deviceIndex set), InvalidVmConfig's family, NotSupported naming what is not served.
ConfigPlan plan_creation(const vim::VirtualMachineConfigSpec& spec, const ConfigContext& context);

// A change of `present`. While powered on only what can be done hot is allowed, the rest is
// InvalidPowerState or a device fault that names it.
ConfigPlan plan_change(const vmx::MachineConfig& present, const vim::VirtualMachineConfigSpec& spec,
                       const ConfigContext& context, bool powered_on);

// The hardware version that VirtualMachine.UpgradeVM_Task brings the VM to: the one asked for, or
// the host's newest. Throws Fault: AlreadyUpgraded, InvalidArgument for a version there is not,
// VirtualHardwareVersionNotSupported for one newer than the host's.
int upgraded_version(const vmx::MachineConfig& config, const std::optional<std::string>& asked,
                     const ConfigContext& context);

// --- To the hypervisor -------------------------------------------------------------------------

// Disks and media as paths of this machine. `id`: the machine's stable key. Taps are left empty,
// for the host to fill in. What `connections` does not name is connected as it is at power on.
// Throws Fault naming a device this hypervisor cannot give, or a hardware version it does not run.
hypervisor::MachineSpec machine_spec(const vmx::MachineConfig& config, const ConfigContext& context,
                                     const std::string& id, const DeviceState& connections = {});

// What is connected of a VM's devices, as its machine has them.
DeviceState connections(const vmx::MachineConfig& config, const hypervisor::MachineSpec& machine);

// Throws Fault naming the device because of which a running VM can neither be suspended nor have
// its memory in a snapshot: NotSupported, SharedBusControllerNotSupported.
void require_savable(const vmx::MachineConfig& config);

// The keys by which API, hypervisor and host name a device, as vSphere numbers them.
int device_key(const vmx::Controller& controller);
int device_key(const vmx::Disk& disk);
int device_key(const vmx::CdRom& cdrom);
int device_key(const vmx::NetworkAdapter& adapter);
int device_key(const vmx::SerialPort& port);
int controller_key(const vmx::Slot& slot);

// Guest operating systems by the API's identifier ("debian11_64Guest") and the .vmx's
// ("debian11-64").
std::optional<std::string> guest_os_of_id(const std::string& guest_id);
std::string guest_id_of_os(const std::string& guest_os);
std::string guest_full_name(const std::string& guest_id);

}  // namespace virga::host
