#include "host/vm_config_words.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "host/hardware_version.h"
#include "host/names.h"
#include "host/vm_config.h"
#include "kernel/faults.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

template <class Value>
struct Word {
  Value value;
  std::string_view text;
};

constexpr Word<vmx::ControllerModel> kControllers[] = {
    {vmx::ControllerModel::pvscsi, "ParaVirtualSCSIController"},
    {vmx::ControllerModel::lsi_logic, "VirtualLsiLogicController"},
    {vmx::ControllerModel::lsi_sas, "VirtualLsiLogicSASController"},
    {vmx::ControllerModel::bus_logic, "VirtualBusLogicController"},
    {vmx::ControllerModel::ahci, "VirtualAHCIController"},
    {vmx::ControllerModel::nvme, "VirtualNVMEController"}};
constexpr Word<vmx::AdapterModel> kAdapters[] = {{vmx::AdapterModel::vlance, "VirtualPCNet32"},
                                                 {vmx::AdapterModel::vmxnet, "VirtualVmxnet"},
                                                 {vmx::AdapterModel::vmxnet2, "VirtualVmxnet2"},
                                                 {vmx::AdapterModel::vmxnet3, "VirtualVmxnet3"},
                                                 {vmx::AdapterModel::e1000, "VirtualE1000"},
                                                 {vmx::AdapterModel::e1000e, "VirtualE1000e"},
                                                 {vmx::AdapterModel::vrdma, "VirtualVmxnet3Vrdma"}};
constexpr Word<vmx::DiskMode> kDiskModes[] = {
    {vmx::DiskMode::persistent, "persistent"},
    {vmx::DiskMode::nonpersistent, "nonpersistent"},
    {vmx::DiskMode::undoable, "undoable"},
    {vmx::DiskMode::append, "append"},
    {vmx::DiskMode::independent_persistent, "independent_persistent"},
    {vmx::DiskMode::independent_nonpersistent, "independent_nonpersistent"}};
constexpr Word<vmx::AddressType> kAddressTypes[] = {{vmx::AddressType::generated, "generated"},
                                                    {vmx::AddressType::assigned, "assigned"},
                                                    {vmx::AddressType::manual, "manual"}};
constexpr Word<vmx::PowerOption> kPowerOptions[] = {{vmx::PowerOption::preset, "preset"},
                                                    {vmx::PowerOption::soft, "soft"},
                                                    {vmx::PowerOption::hard, "hard"}};

constexpr Word<vmx::RdmaProtocol> kRdmaProtocols[] = {{vmx::RdmaProtocol::rocev1, "rocev1"},
                                                      {vmx::RdmaProtocol::rocev2, "rocev2"}};
constexpr Word<vmx::Renderer> kRenderers[] = {{vmx::Renderer::automatic, "automatic"},
                                              {vmx::Renderer::software, "software"},
                                              {vmx::Renderer::hardware, "hardware"}};

template <class Value, std::size_t N>
std::string_view text_of(const Word<Value> (&words)[N], Value value) {
  return std::ranges::find(words, value, &Word<Value>::value)->text;
}

template <class Value, std::size_t N>
std::optional<Value> value_of(const Word<Value> (&words)[N], std::string_view text) {
  const auto found = std::ranges::find(words, text, &Word<Value>::text);
  return found == std::end(words) ? std::nullopt : std::optional(found->value);
}

// The place of `device` among the machine's own, from 1.
template <class Device>
std::ptrdiff_t ordinal(const std::vector<Device>& devices, const Device& device) {
  return 1 + std::ranges::count_if(devices,
                                   [&](const Device& other) { return other.slot < device.slot; });
}

constexpr std::string_view kVolumes = "/vmfs/volumes/";

vmx::DatastorePath in_volume(const Volumes& volumes, std::string_view file) {
  file.remove_prefix(kVolumes.size());
  const auto slash = std::min(file.find('/'), file.size());
  return {volumes.name_of(std::string(file.substr(0, slash))),
          file.substr(std::min(slash + 1, file.size()))};
}

vmx::DatastorePath in_brackets(const Volumes& volumes, std::string_view file) {
  const auto path = vmx::DatastorePath::parse(file);
  return {volumes.name_of(path.datastore()), path.path()};
}

vmx::DatastorePath beside(const vmx::DatastorePath& referrer, std::string_view file) {
  vmx::DatastorePath folder = referrer.parent();
  for (; file.starts_with("../"); file.remove_prefix(3)) {
    if (folder.is_root())
      throw error(ErrorKind::invalid_argument, std::string(file), "{} leaves its datastore", file);
    folder = folder.parent();
  }
  return folder / file;
}

}  // namespace

// --- Keys --------------------------------------------------------------------------------------

int device_key(const vmx::Slot& slot) {
  switch (slot.bus) {
    case vmx::Bus::ide:
      return keys::ide_device + 2 * slot.controller + slot.unit;
    case vmx::Bus::sata:
      return keys::sata_device + 30 * slot.controller + slot.unit;
    case vmx::Bus::nvme:
      return keys::nvme_device + 15 * slot.controller + slot.unit;
    case vmx::Bus::scsi:
      break;
  }
  if (slot.unit < 16) return keys::scsi_device + 16 * slot.controller + slot.unit;
  constexpr int units_beyond_16 = 65 - 16;
  return keys::scsi_device_beyond_16 + units_beyond_16 * slot.controller + slot.unit - 16;
}

int controller_key(const vmx::Slot& slot) {
  switch (slot.bus) {
    case vmx::Bus::ide:
      return keys::ide + slot.controller;
    case vmx::Bus::sata:
      return keys::sata + slot.controller;
    case vmx::Bus::nvme:
      return keys::nvme + slot.controller;
    case vmx::Bus::scsi:
      break;
  }
  return keys::scsi + slot.controller;
}

int device_key(const vmx::Controller& controller) {
  return controller_key({controller.bus, controller.number, 0});
}
int device_key(const vmx::Disk& disk) {
  return device_key(disk.slot);
}
int device_key(const vmx::CdRom& cdrom) {
  return device_key(cdrom.slot);
}
int device_key(const vmx::NetworkAdapter& adapter) {
  return keys::network_adapter + adapter.number;
}
int device_key(const vmx::SerialPort& port) {
  return keys::serial_port + port.number;
}
int device_key(const vmx::Floppy& floppy) {
  return keys::floppy + floppy.number;
}

int device_key(const vmx::ParallelPort& port) {
  return keys::parallel_port + port.number;
}
int device_key(const vmx::SoundCard& card) {
  return keys::sound + card.number;
}
int device_key(const vmx::Watchdog& watchdog) {
  return keys::watchdog + watchdog.number;
}
int device_key(const vmx::Tpm& tpm) {
  return keys::tpm + tpm.number;
}
int device_key(const vmx::PassthroughDevice& device) {
  return keys::passthrough + device.number;
}
int device_key(const vmx::UsbDevice& device) {
  return keys::usb_device + device.number;
}

// --- Words -------------------------------------------------------------------------------------

std::string_view api_type(vmx::ControllerModel model) {
  return text_of(kControllers, model);
}
std::optional<vmx::ControllerModel> controller_model_of(std::string_view api_type) {
  return value_of(kControllers, api_type);
}
std::string_view api_type(vmx::AdapterModel model) {
  return text_of(kAdapters, model);
}
std::optional<vmx::AdapterModel> adapter_model_of(std::string_view api_type) {
  return value_of(kAdapters, api_type);
}

vmx::Bus bus_of(vmx::ControllerModel model) {
  switch (model) {
    case vmx::ControllerModel::ahci:
      return vmx::Bus::sata;
    case vmx::ControllerModel::nvme:
      return vmx::Bus::nvme;
    default:
      return vmx::Bus::scsi;
  }
}

std::optional<hypervisor::ControllerModel> machine_model(vmx::ControllerModel model) {
  switch (model) {
    case vmx::ControllerModel::pvscsi:
      return hypervisor::ControllerModel::pvscsi;
    case vmx::ControllerModel::lsi_logic:
      return hypervisor::ControllerModel::lsi_logic;
    case vmx::ControllerModel::lsi_sas:
      return hypervisor::ControllerModel::lsi_sas;
    case vmx::ControllerModel::ahci:
      return hypervisor::ControllerModel::ahci;
    case vmx::ControllerModel::nvme:
      return hypervisor::ControllerModel::nvme;
    case vmx::ControllerModel::bus_logic:
      break;
  }
  return std::nullopt;
}

std::optional<hypervisor::NicModel> machine_model(vmx::AdapterModel model) {
  switch (model) {
    case vmx::AdapterModel::vmxnet3:
    case vmx::AdapterModel::vrdma:
      return hypervisor::NicModel::vmxnet3;
    case vmx::AdapterModel::e1000e:
      return hypervisor::NicModel::e1000e;
    case vmx::AdapterModel::e1000:
      return hypervisor::NicModel::e1000;
    case vmx::AdapterModel::vlance:
      return hypervisor::NicModel::pcnet;
    case vmx::AdapterModel::vmxnet:
    case vmx::AdapterModel::vmxnet2:
      break;
  }
  return std::nullopt;
}

std::string_view api_word(vmx::BusSharing sharing) {
  switch (sharing) {
    case vmx::BusSharing::within_host:
      return "virtualSharing";
    case vmx::BusSharing::across_hosts:
      return "physicalSharing";
    case vmx::BusSharing::none:
      break;
  }
  return "noSharing";
}

bool is_shared(const vmx::MachineConfig& config, const vmx::Disk& disk) {
  const auto shares_its_bus = [&](const vmx::Controller& controller) {
    return controller.bus == disk.slot.bus && controller.number == disk.slot.controller &&
           controller.sharing != vmx::BusSharing::none;
  };
  return disk.multi_writer || std::ranges::any_of(config.controllers, shares_its_bus);
}

std::string_view api_word(vmx::DiskMode mode) {
  return text_of(kDiskModes, mode);
}
std::optional<vmx::DiskMode> disk_mode_of(std::string_view word) {
  return value_of(kDiskModes, word);
}
std::string_view api_word(vmx::AddressType type) {
  return text_of(kAddressTypes, type);
}
// Clients of old versions capitalise it.
std::optional<vmx::AddressType> address_type_of(std::string_view word) {
  return value_of(kAddressTypes, vmx::to_lower(word));
}
std::string_view api_word(vmx::RdmaProtocol protocol) {
  return text_of(kRdmaProtocols, protocol);
}
std::optional<vmx::RdmaProtocol> rdma_protocol_of(std::string_view word) {
  return value_of(kRdmaProtocols, word);
}
std::string_view api_word(vmx::Renderer renderer) {
  return text_of(kRenderers, renderer);
}
std::optional<vmx::Renderer> renderer_of(std::string_view word) {
  return value_of(kRenderers, word);
}
std::string_view api_word(vmx::PowerOption option) {
  return text_of(kPowerOptions, option);
}
std::optional<vmx::PowerOption> power_option_of(std::string_view word) {
  return value_of(kPowerOptions, word);
}

vim::SharesInfo shares_info(const vmx::Allocation& granted, std::int64_t normal) {
  vim::SharesInfo shares;
  switch (granted.level) {
    case vmx::SharesLevel::low:
      shares.level = vim::SharesLevel::low;
      shares.shares = static_cast<std::int32_t>(normal / 2);
      break;
    case vmx::SharesLevel::normal:
      shares.level = vim::SharesLevel::normal;
      shares.shares = static_cast<std::int32_t>(normal);
      break;
    case vmx::SharesLevel::high:
      shares.level = vim::SharesLevel::high;
      shares.shares = static_cast<std::int32_t>(normal * 2);
      break;
    case vmx::SharesLevel::custom:
      shares.level = vim::SharesLevel::custom;
      shares.shares = static_cast<std::int32_t>(granted.custom_shares);
      break;
  }
  return shares;
}

// --- Labels ------------------------------------------------------------------------------------

std::string label(const vmx::Controller& controller) {
  const char* bus = controller.bus == vmx::Bus::sata   ? "SATA"
                    : controller.bus == vmx::Bus::nvme ? "NVME"
                                                       : "SCSI";
  return fmt::format("{} controller {}", bus, controller.number);
}
std::string label(const vmx::MachineConfig& config, const vmx::Disk& disk) {
  return fmt::format("Hard disk {}", ordinal(config.disks, disk));
}
std::string label(const vmx::MachineConfig& config, const vmx::CdRom& cdrom) {
  return fmt::format("CD/DVD drive {}", ordinal(config.cdroms, cdrom));
}
std::string label(const vmx::NetworkAdapter& adapter) {
  return fmt::format("Network adapter {}", adapter.number + 1);
}
std::string label(const vmx::SerialPort& port) {
  return fmt::format("Serial port {}", port.number + 1);
}
std::string label(const vmx::Floppy& floppy) {
  return fmt::format("Floppy drive {}", floppy.number + 1);
}

std::string label(const vmx::ParallelPort& port) {
  return fmt::format("Parallel port {}", port.number + 1);
}
std::string label(const vmx::SoundCard&) {
  return "Sound card";
}
std::string label(const vmx::Watchdog&) {
  return "Watchdog timer";
}
std::string label(const vmx::Tpm&) {
  return "Virtual TPM";
}
std::string label(const vmx::PassthroughDevice& device) {
  return fmt::format("{} {}", device.sriov ? "SR-IOV adapter" : "PCI device", device.number);
}
std::string label(const vmx::UsbDevice& device) {
  return fmt::format("USB {}", device.number + 1);
}

bool is_auto_detected(std::string_view device) {
  return device.empty() || device == "-1" || vmx::equal_ignoring_case(device, "auto detect");
}

bool is_served(vmx::CdRomBacking backing) {
  return backing != vmx::CdRomBacking::client_emulated &&
         backing != vmx::CdRomBacking::client_passthrough;
}

// --- Files -------------------------------------------------------------------------------------

std::string Volumes::name_of(const std::string& volume) const {
  const auto known = names_by_id.find(volume);
  return known == names_by_id.end() ? volume : known->second;
}

std::string Volumes::id_of(const std::string& name) const {
  for (const auto& [id, known] : names_by_id)
    if (known == name) return id;
  return name;
}

vmx::DatastorePath resolve_file(const Volumes& volumes, const vmx::DatastorePath& referrer,
                                const std::string& file) {
  try {
    if (file.starts_with("[")) return in_brackets(volumes, file);
    if (file.starts_with(kVolumes)) return in_volume(volumes, file);
    if (!file.empty() && !file.starts_with("/")) return beside(referrer, file);
  } catch (const Error&) {
    // Named below as what it is to the user: a place that is none.
  }
  vim::InvalidDatastorePath detail;
  detail.datastorePath = file;
  throw kernel::Fault(std::move(detail),
                      fmt::format("{}: '{}' lies in no datastore.", referrer.format(), file));
}

vmx::DatastorePath resolve_file(const ConfigContext& context, const std::string& file) {
  return resolve_file(context.volumes, context.config_file, file);
}

std::optional<vmx::DatastorePath> find_file(const ConfigContext& context, const std::string& file) {
  try {
    return resolve_file(context, file);
  } catch (const kernel::Fault&) {
    return std::nullopt;
  }
}

std::string volume_path(const Volumes& volumes, const vmx::DatastorePath& path) {
  return fmt::format("{}{}/{}", kVolumes, volumes.id_of(path.datastore()), path.path());
}

std::string file_reference(const ConfigContext& context, const vmx::DatastorePath& path) {
  if (path.parent() == context.config_file.parent()) return path.name();
  return volume_path(context.volumes, path);
}

vmx::DatastorePath nvram_file(const vmx::MachineConfig& config, const ConfigContext& context) {
  return resolve_file(context,
                      config.nvram.empty() ? context.config_file.stem() + ".nvram" : config.nvram);
}

vmx::DatastorePath tpm_folder(const ConfigContext& context) {
  return context.config_file.sibling(context.config_file.stem() + ".vtpm");
}

kernel::Fault unsupported_version(int hardware_version, const ConfigContext& context) {
  vim::VirtualHardwareVersionNotSupported detail;
  detail.hostName = context.host_name;
  detail.host = names::host_system;
  return kernel::Fault(std::move(detail),
                       fmt::format("Hardware version {} is newer than {}, the newest that {} runs.",
                                   format_hardware_version(hardware_version), context.host_version,
                                   context.host_name));
}

std::uint64_t digest(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

}  // namespace virga::host
