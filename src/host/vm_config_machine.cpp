// A configuration as the hypervisor builds it.
#include <algorithm>

#include "host/hardware_version.h"
#include "host/vm_config.h"
#include "host/vm_config_devices.h"
#include "host/vm_config_words.h"
#include "host/vm_disk_chain.h"
#include "kernel/faults.h"
#include "vmx/text.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::host {
namespace {

class SpecBuilder {
 public:
  SpecBuilder(const vmx::MachineConfig& config, const ConfigContext& context,
              const DeviceState& connections)
      : config_(config), context_(context), connections_(connections) {}

  hypervisor::MachineSpec build(const std::string& id) {
    if (config_.hardware_version > parse_hardware_version(context_.host_version))
      throw unsupported_version(config_.hardware_version, context_);
    set_machine(id);
    set_firmware();
    for (const vmx::OtherDevice& device : config_.other_devices)
      throw kernel::not_supported(fmt::format("A {} device at {}", device.type, device.slot.key()));
    for (const vmx::Controller& controller : config_.controllers) add(controller);
    for (const vmx::Disk& disk : config_.disks) add(disk);
    for (const vmx::CdRom& cdrom : config_.cdroms) add(cdrom);
    for (const vmx::NetworkAdapter& adapter : config_.network_adapters) add(adapter);
    for (const vmx::SerialPort& port : config_.serial_ports) add(port);
    refuse_floppies();
    set_boot();
    return std::move(spec_);
  }

 private:
  void set_machine(const std::string& id) {
    spec_.id = id;
    spec_.name = config_.display_name.empty() ? context_.config_file.stem() : config_.display_name;
    spec_.bios_uuid = config_.bios_uuid;
    spec_.memory_mib = static_cast<std::uint64_t>(config_.memory_mib);
    spec_.vcpus = config_.cpus;
    spec_.cores_per_socket = config_.cores_per_socket;
    spec_.nested_virtualization = config_.nested_virtualization;
    spec_.video_memory_kib = static_cast<std::uint64_t>(config_.video.memory_bytes / 1024);
  }

  void set_firmware() {
    if (config_.firmware == vmx::Firmware::bios) return;
    if (config_.secure_boot) throw kernel::not_supported("Secure boot of " + spec_.name);
    spec_.firmware = hypervisor::Firmware::efi;
    spec_.nvram_path = context_.absolute(nvram_file(config_, context_));
  }

  bool connected(int key, bool start_connected) const {
    const auto now = connections_.connected.find(key);
    return now == connections_.connected.end() ? start_connected : now->second;
  }

  // The two IDE controllers are there only for what hangs on them: nothing else sees them.
  void need_ide_controller(const vmx::Slot& slot) {
    const int key = controller_key(slot);
    const auto same_key = [key](const hypervisor::Controller& it) { return it.key == key; };
    if (slot.bus != vmx::Bus::ide || std::ranges::any_of(spec_.controllers, same_key)) return;
    spec_.controllers.push_back({key, hypervisor::ControllerModel::ide, slot.controller});
  }

  void add(const vmx::Controller& controller) {
    const auto model = machine_model(controller.model);
    if (!model)
      throw kernel::not_supported(
          fmt::format("{} ({})", label(controller), api_type(controller.model)));
    spec_.controllers.push_back({device_key(controller), *model, controller.number});
  }

  // An empty drive is no loss to the guest; one with a medium would be.
  void refuse_floppies() const {
    for (const vmx::Floppy& floppy : config_.floppies) {
      if (floppy.backing == vmx::FloppyBacking::image && floppy.start_connected)
        throw kernel::not_supported(fmt::format("{} ({})", label(floppy), floppy.file));
    }
  }

  hypervisor::DiskImage image(const std::string& name, const vmx::DatastorePath& path) const;
  void add(const vmx::Disk& disk);
  void add(const vmx::CdRom& cdrom);
  void add(const vmx::NetworkAdapter& adapter);
  void add(const vmx::SerialPort& port);
  void set_boot();
  void append_boot_device(const std::string& device);

  const vmx::MachineConfig& config_;
  const ConfigContext& context_;
  const DeviceState& connections_;
  hypervisor::MachineSpec spec_;
};

bool is_flat(const datastore::DiskInfo& info) {
  return info.extents.size() == 1 && info.parent.empty() &&
         (info.create_type == "vmfs" || info.create_type == "monolithicFlat");
}

// disk.EnableUUID: the guest is to see the disk's uuid, of which it can take 20 characters.
std::string serial_of(const datastore::DiskInfo& info) {
  std::string digits = vmx::to_lower(info.uuid);
  std::erase_if(digits, [](char c) { return c == ' ' || c == '-'; });
  return digits.substr(0, 20);
}

// As vSphere has it: nothing may have to be allocated or zeroed while several write.
void require_shareable(const std::string& name, const vmx::DatastorePath& path,
                       const datastore::DiskInfo& info) {
  if (info.provisioning != datastore::Provisioning::eager_zeroed)
    throw kernel::not_supported(
        fmt::format("{}: sharing {}, which is not thick and eagerly zeroed,", name, path.format()));
}

// `name`: the disk, as faults call it; `path`: it, or one it is a delta of.
hypervisor::DiskImage SpecBuilder::image(const std::string& name,
                                         const vmx::DatastorePath& path) const {
  const auto info = context_.disk(path);
  if (!info) {
    vim::FileNotFound detail;
    detail.file = path.format();
    throw kernel::Fault(std::move(detail),
                        fmt::format("{}: {} is missing or cannot be read.", name, path.format()));
  }
  if (!is_flat(*info) && !is_delta(*info))
    throw kernel::not_supported(
        fmt::format("{}: {} of type {}{}", name, path.format(), info->create_type,
                    info->parent.empty() ? "" : ", a delta of " + info->parent));
  return {context_.absolute(vmx::DatastorePath(path.datastore(), info->extents.front())),
          is_delta(*info) ? hypervisor::DiskFormat::qcow2 : hypervisor::DiskFormat::raw};
}

void SpecBuilder::add(const vmx::Disk& disk) {
  const std::string name = label(config_, disk);
  const auto path = resolve_file(context_, disk.file);
  if (disk.mode != vmx::DiskMode::persistent && disk.mode != vmx::DiskMode::independent_persistent)
    throw kernel::not_supported(fmt::format("{}: disk mode {}", name, api_word(disk.mode)));
  need_ide_controller(disk.slot);
  hypervisor::Disk machine;
  machine.key = device_key(disk);
  machine.controller_key = controller_key(disk.slot);
  machine.unit = disk.slot.unit;
  machine.shared = is_shared(config_, disk);
  const std::vector<vmx::DatastorePath> links = disk_chain(path, context_);
  for (auto link = links.rbegin(); link != links.rend(); ++link)
    machine.chain.insert(machine.chain.begin(), image(name, *link));
  if (machine.chain.front().format != hypervisor::DiskFormat::raw)
    throw kernel::not_supported(fmt::format("{}: a delta of a disk in no datastore", name));
  const auto info = context_.disk(path);
  if (machine.shared) require_shareable(name, path, *info);
  if (config_.disk_uuids_shown) machine.serial = serial_of(*info);
  spec_.disks.push_back(std::move(machine));
}

// A drive of the host or of a user's machine has nothing in it here, nor has one with an image in a
// datastore of other hosts.
void SpecBuilder::add(const vmx::CdRom& cdrom) {
  need_ide_controller(cdrom.slot);
  hypervisor::Cdrom machine;
  machine.key = device_key(cdrom);
  machine.controller_key = controller_key(cdrom.slot);
  machine.unit = cdrom.slot.unit;
  if (cdrom.backing == vmx::CdRomBacking::image && connected(machine.key, cdrom.start_connected)) {
    const auto image = find_file(context_, cdrom.file);
    if (image && context_.datastore(image->datastore())) machine.path = context_.absolute(*image);
  }
  spec_.cdroms.push_back(std::move(machine));
}

void SpecBuilder::add(const vmx::NetworkAdapter& adapter) {
  const auto model = machine_model(adapter.model);
  if (!model)
    throw kernel::not_supported(fmt::format("{} ({})", label(adapter), api_type(adapter.model)));
  hypervisor::Nic machine;
  machine.key = device_key(adapter);
  machine.model = *model;
  machine.slot = adapter.number;
  machine.mac = adapter.mac;
  machine.link_up = connected(machine.key, adapter.start_connected);
  spec_.nics.push_back(std::move(machine));
}

void SpecBuilder::add(const vmx::SerialPort& port) {
  hypervisor::SerialPort machine;
  machine.key = device_key(port);
  if (connected(machine.key, port.start_connected)) {
    if (port.backing == vmx::SerialBacking::pipe) {
      machine.backend = hypervisor::SerialBackend::socket;
      machine.log_path =
          context_.absolute(context_.config_file.sibling(fmt::format("serial{}.log", port.number)));
    } else if (port.backing == vmx::SerialBacking::file) {
      machine.backend = hypervisor::SerialBackend::file;
      machine.path = context_.absolute(resolve_file(context_, port.target));
    } else {
      throw kernel::not_supported(fmt::format("{} on {}", label(port), port.target));
    }
  }
  spec_.serial_ports.push_back(std::move(machine));
}

// --- Booting -----------------------------------------------------------------------------------

template <class Devices>
void append_ids(const Devices& devices, std::vector<std::string>& order) {
  for (const auto& device : devices) {
    const std::string id = hypervisor::device_id(device);
    if (std::ranges::find(order, id) == order.end()) order.push_back(id);
  }
}

void SpecBuilder::append_boot_device(const std::string& device) {
  if (device == "hdd") {
    for (const vmx::Disk& disk : disks_in_boot_order(config_, true))
      append_ids(std::vector{hypervisor::find_disk(spec_, device_key(disk))}, spec_.boot_order);
  } else if (device == "cdrom") {
    append_ids(spec_.cdroms, spec_.boot_order);
  } else {
    for (const hypervisor::Nic& nic : spec_.nics)
      if (device == fmt::format("ethernet{}", nic.slot))
        append_ids(std::vector{nic}, spec_.boot_order);
  }
}

// After the devices named come the others, as the firmware has them by default.
void SpecBuilder::set_boot() {
  spec_.boot_delay_ms = static_cast<std::uint32_t>(config_.boot.delay_ms);
  if (config_.boot.retry)
    spec_.boot_retry_ms = static_cast<std::uint32_t>(config_.boot.retry_delay_ms);
  for (const std::string& device : config_.boot.order) append_boot_device(device);
  append_boot_device("hdd");
  append_ids(spec_.cdroms, spec_.boot_order);
  append_ids(spec_.nics, spec_.boot_order);
}

}  // namespace

void require_savable(const vmx::MachineConfig& config) {
  for (const vmx::Controller& controller : config.controllers) {
    const std::string name = label(controller);
    if (controller.bus == vmx::Bus::nvme)
      throw kernel::not_supported(
          fmt::format("Saving the memory of {} with its {}", config.display_name, name));
    if (controller.sharing == vmx::BusSharing::none) continue;
    vim::SharedBusControllerNotSupported detail;
    detail.device = name;
    throw kernel::Fault(std::move(detail),
                        fmt::format("The memory of {} cannot be saved: {} shares its bus.",
                                    config.display_name, name));
  }
}

hypervisor::MachineSpec machine_spec(const vmx::MachineConfig& config, const ConfigContext& context,
                                     const std::string& id, const DeviceState& connections) {
  return SpecBuilder(config, context, connections).build(id);
}

}  // namespace virga::host
