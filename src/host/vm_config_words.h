// Internal to vm_config: the numbers and words the API has for what a .vmx says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hypervisor/machine_spec.h"
#include "kernel/faults.h"
#include "vmx/datastore_path.h"
#include "vmx/machine_config.h"

namespace virga::host {

struct ConfigContext;
struct Volumes;

// Device keys. Where a device is one of several, the first one's.
namespace keys {
constexpr int pci = 100;
constexpr int ide = 200;
constexpr int ps2 = 300;
constexpr int sio = 400;
constexpr int video = 500;
constexpr int keyboard = 600;
constexpr int pointing = 700;
constexpr int scsi = 1000;
constexpr int scsi_device = 2000;
constexpr int scsi_device_beyond_16 =
    2064;  // units of PVSCSI that VMware's numbering has no room for
constexpr int ide_device = 3000;
constexpr int network_adapter = 4000;
constexpr int sound = 5000;
constexpr int usb = 7000;
constexpr int usb_device = 7100;
constexpr int floppy = 8000;
constexpr int serial_port = 9000;
constexpr int parallel_port = 10000;
constexpr int tpm = 11000;
constexpr int vmci = 12000;
constexpr int passthrough = 13000;
constexpr int xhci = 14000;
constexpr int sata = 15000;
constexpr int sata_device = 16000;
constexpr int watchdog = 18000;
constexpr int nvme = 31000;
constexpr int nvme_device = 32000;
}  // namespace keys

constexpr int most_displays = 10;  // that a VM can be set to; its guest sees one
constexpr int most_rdma_adapters = 10;
constexpr int most_serial_ports = 4;  // a PC's, and the hypervisor's

int device_key(const vmx::Slot& slot);
int device_key(const vmx::Floppy& floppy);
int device_key(const vmx::ParallelPort& port);
int device_key(const vmx::SoundCard& card);
int device_key(const vmx::Watchdog& watchdog);
int device_key(const vmx::Tpm& tpm);
int device_key(const vmx::PassthroughDevice& device);
int device_key(const vmx::UsbDevice& device);

// Types of the API by name; nullopt for a type that is no such device.
std::string_view api_type(vmx::ControllerModel model);  // "ParaVirtualSCSIController"
std::optional<vmx::ControllerModel> controller_model_of(std::string_view api_type);
std::string_view api_type(vmx::AdapterModel model);  // "VirtualVmxnet3"
std::optional<vmx::AdapterModel> adapter_model_of(std::string_view api_type);

vmx::Bus bus_of(vmx::ControllerModel model);

// What of these the hypervisor can give a guest; nullopt: it cannot.
std::optional<hypervisor::ControllerModel> machine_model(vmx::ControllerModel model);
std::optional<hypervisor::NicModel> machine_model(vmx::AdapterModel model);

// Low is half of `normal`, high twice.
vim::SharesInfo shares_info(const vmx::Allocation& granted, std::int64_t normal);

std::string_view api_word(vmx::BusSharing sharing);  // "noSharing", "virtualSharing", …

// Whether other VMs may write to the disk while this one runs: by its own leave (multi-writer) or
// its controller's (bus sharing).
bool is_shared(const vmx::MachineConfig& config, const vmx::Disk& disk);

// "persistent", "independent_nonpersistent", …
std::string_view api_word(vmx::DiskMode mode);
std::optional<vmx::DiskMode> disk_mode_of(std::string_view word);
std::string_view api_word(vmx::AddressType type);  // "generated", "assigned", "manual"
std::optional<vmx::AddressType> address_type_of(std::string_view word);
std::string_view api_word(vmx::RdmaProtocol protocol);  // "rocev1", "rocev2"
std::optional<vmx::RdmaProtocol> rdma_protocol_of(std::string_view word);
std::string_view api_word(vmx::Renderer renderer);  // "automatic", "software", "hardware"
std::optional<vmx::Renderer> renderer_of(std::string_view word);
std::string_view api_word(vmx::PowerOption option);  // "preset", "soft", "hard"
std::optional<vmx::PowerOption> power_option_of(std::string_view word);

// "Hard disk 1", "SCSI controller 0", …: what users call a device of this configuration.
std::string label(const vmx::Controller& controller);
std::string label(const vmx::MachineConfig& config, const vmx::Disk& disk);
std::string label(const vmx::MachineConfig& config, const vmx::CdRom& cdrom);
std::string label(const vmx::NetworkAdapter& adapter);
std::string label(const vmx::SerialPort& port);
std::string label(const vmx::Floppy& floppy);
std::string label(const vmx::ParallelPort& port);
std::string label(const vmx::SoundCard& card);
std::string label(const vmx::Watchdog& watchdog);
std::string label(const vmx::Tpm& tpm);
std::string label(const vmx::PassthroughDevice& device);
std::string label(const vmx::UsbDevice& device);

// The name of a device of the host that means the first there is: "", "auto detect", "-1".
bool is_auto_detected(std::string_view device);
// Whether such a drive can have a medium: all but those at the user's end.
bool is_served(vmx::CdRomBacking backing);

// As resolve_file(); nullopt for a file that lies in no datastore.
std::optional<vmx::DatastorePath> find_file(const ConfigContext& context, const std::string& file);
// "/vmfs/volumes/UUID/…", which holds whatever the datastore is called.
std::string volume_path(const Volumes& volumes, const vmx::DatastorePath& path);
// The words by which a .vmx means the file: its name when it lies beside, else its volume_path().
std::string file_reference(const ConfigContext& context, const vmx::DatastorePath& path);
// The variables of its EFI firmware.
vmx::DatastorePath nvram_file(const vmx::MachineConfig& config, const ConfigContext& context);
// The folder of what its TPM remembers.
vmx::DatastorePath tpm_folder(const ConfigContext& context);

// VirtualHardwareVersionNotSupported: newer than what the host runs.
kernel::Fault unsupported_version(int hardware_version, const ConfigContext& context);

// Short, and the same on every host (FNV-1a).
std::uint64_t digest(std::string_view text);

// The .vmx key that orders the disks among themselves: "scsi0:1,sata0:0".
constexpr std::string_view disk_boot_order_key = "bios.hddOrder";

}  // namespace virga::host
