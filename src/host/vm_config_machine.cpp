// A configuration as the hypervisor builds it.
#include <algorithm>

#include "host/hardware_version.h"
#include "host/vm_config.h"
#include "host/vm_config_devices.h"
#include "host/vm_config_hot_add.h"
#include "host/vm_config_words.h"
#include "host/vm_device_kind.h"
#include "host/vm_disk_chain.h"
#include "host/vm_machine_build.h"
#include "host/vm_redo.h"
#include "kernel/faults.h"
#include "vmx/text.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::host {
namespace {

class SpecBuilder : private MachineBuild {
 public:
  explicit SpecBuilder(MachineBuild machine) : MachineBuild(std::move(machine)) {}

  hypervisor::MachineSpec build(const std::string& id) {
    if (config.hardware_version > parse_hardware_version(context.host_version))
      throw unsupported_version(config.hardware_version, context);
    set_machine(id);
    set_firmware();
    for (const vmx::OtherDevice& device : config.other_devices)
      throw kernel::not_supported(fmt::format("A {} device at {}", device.type, device.slot.key()));
    for (const vmx::Controller& controller : config.controllers) add(controller);
    for (const vmx::Disk& disk : config.disks) add(disk);
    for (const vmx::CdRom& cdrom : config.cdroms) add(cdrom);
    for (const vmx::NetworkAdapter& adapter : config.network_adapters) add(adapter);
    for (const DeviceKind* kind : device_kinds()) kind->build(*this);
    set_boot();
    return std::move(spec);
  }

 private:
  void set_machine(const std::string& id) {
    spec.id = id;
    spec.name = config.display_name.empty() ? context.config_file.stem() : config.display_name;
    spec.bios_uuid = config.bios_uuid;
    spec.memory_mib = static_cast<std::uint64_t>(config.memory_mib);
    spec.vcpus = config.cpus;
    spec.cores_per_socket = config.cores_per_socket;
    spec.max_vcpus = hot_add_limit_of_cpus(config, context);
    spec.max_memory_mib = static_cast<std::uint64_t>(hot_add_limit_of_memory(config, context));
    spec.nested_virtualization = config.nested_virtualization;
    spec.video_memory_kib = static_cast<std::uint64_t>(config.video.memory_bytes / 1024);
    check_video();
  }

  // The number of displays is the most that the guest may use, and 3D is left to the host where the
  // VM insists on no renderer: it starts with what there is.
  void check_video() const {
    const vmx::Video& video = config.video;
    if (video.displays > 1)
      warn(
          fmt::format("The video card has one display, of {} that it could have.", video.displays));
    if (!video.enable_3d) return;
    if (video.renderer != vmx::Renderer::automatic)
      throw kernel::not_supported(
          fmt::format("A video card with a {} renderer of 3D", api_word(video.renderer)));
    warn("The video card has no 3D.");
  }

  void set_firmware() {
    if (config.firmware == vmx::Firmware::bios) return;
    spec.firmware = hypervisor::Firmware::efi;
    spec.secure_boot = config.secure_boot;
    spec.nvram_path = context.absolute(nvram_file(config, context));
  }

  // The two IDE controllers are there only for what hangs on them: nothing else sees them.
  void need_ide_controller(const vmx::Slot& slot) {
    const int key = controller_key(slot);
    const auto same_key = [key](const hypervisor::Controller& it) { return it.key == key; };
    if (slot.bus != vmx::Bus::ide || std::ranges::any_of(spec.controllers, same_key)) return;
    spec.controllers.push_back({key, hypervisor::ControllerModel::ide, slot.controller});
  }

  void add(const vmx::Controller& controller) {
    const auto model = machine_model(controller.model);
    if (!model)
      throw kernel::not_supported(
          fmt::format("{} ({})", label(controller), api_type(controller.model)));
    spec.controllers.push_back({device_key(controller), *model, controller.number});
  }

  void add(const vmx::Disk& disk);
  std::optional<std::string> medium(const vmx::CdRom& cdrom) const;
  void add(const vmx::CdRom& cdrom);
  void add(const vmx::NetworkAdapter& adapter);
  hypervisor::RdmaFunction rdma_function(const vmx::NetworkAdapter& adapter) const;
  void set_boot();
  void append_boot_device(const std::string& device);
};

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

// Commands of a guest on another bus are none of SCSI.
bool passes_commands_on(const vmx::Disk& disk, const datastore::DiskInfo& info,
                        const ConfigContext& context) {
  if (!info.mapping || !info.mapping->passthrough || disk.slot.bus != vmx::Bus::scsi) return false;
  const auto device = context.raw_device(info.mapping->unit);
  return device && device->takes_scsi;
}

// A stream-optimized disk cannot be written.
void require_writable(const std::string& name, const vmx::Disk& disk,
                      const vmx::DatastorePath& path, const datastore::DiskInfo& info) {
  if (info.layout == datastore::DiskLayout::stream_optimized &&
      disk.mode != vmx::DiskMode::independent_nonpersistent)
    throw kernel::not_supported(
        fmt::format("{}: writing to {}, which is stream-optimized (a copy of it can be written; it "
                    "runs as it is in mode independent_nonpersistent),",
                    name, path.format()));
}

void SpecBuilder::add(const vmx::Disk& disk) {
  const std::string name = label(config, disk);
  const auto path = resolve_file(context, disk.file);
  const bool discards = disk.mode == vmx::DiskMode::independent_nonpersistent;
  if (disk.mode != vmx::DiskMode::persistent &&
      disk.mode != vmx::DiskMode::independent_persistent && !discards)
    throw kernel::not_supported(fmt::format("{}: disk mode {}", name, api_word(disk.mode)));
  need_ide_controller(disk.slot);
  hypervisor::Disk machine;
  machine.key = device_key(disk);
  machine.controller_key = controller_key(disk.slot);
  machine.unit = disk.slot.unit;
  machine.shared = is_shared(config, disk);
  const std::vector<vmx::DatastorePath> links = disk_chain(path, context);
  for (auto link = links.rbegin(); link != links.rend(); ++link)
    machine.chain.insert(machine.chain.begin(), disk_image(name, *link, context));
  if (machine.chain.front().format == hypervisor::DiskFormat::qcow2)
    throw kernel::not_supported(fmt::format("{}: a delta of a disk in no datastore", name));
  const auto info = context.disk(path);
  require_writable(name, disk, path, *info);
  if (machine.shared && !info->mapping) require_shareable(name, path, *info);
  machine.passthrough = passes_commands_on(disk, *info, context);
  machine.iops_limit = static_cast<std::uint64_t>(disk.io.limit.value_or(0));
  machine.discards_changes = discards;
  if (is_tracked(config, disk, context) && !info->change_track.empty())
    machine.chain.back().change_track =
        context.absolute(vmx::DatastorePath(path.datastore(), info->change_track));
  if (discards)
    machine.chain.push_back({context.absolute(redo_file(context.config_file, disk)),
                             hypervisor::DiskFormat::qcow2,
                             {}});
  if (config.disk_uuids_shown) machine.serial = serial_of(*info);
  spec.disks.push_back(std::move(machine));
}

// A drive of a user's machine has nothing in it here, nor has one with an image in a datastore of
// other hosts.
std::optional<std::string> SpecBuilder::medium(const vmx::CdRom& cdrom) const {
  if (cdrom.backing != vmx::CdRomBacking::image)
    return host_device(context.host_devices().optical_drives, cdrom.file, label(config, cdrom));
  const auto image = find_file(context, cdrom.file);
  if (!image || !context.datastore(image->datastore())) return std::nullopt;
  return context.absolute(*image);
}

void SpecBuilder::add(const vmx::CdRom& cdrom) {
  need_ide_controller(cdrom.slot);
  hypervisor::Cdrom machine;
  machine.key = device_key(cdrom);
  machine.controller_key = controller_key(cdrom.slot);
  machine.unit = cdrom.slot.unit;
  if (is_served(cdrom.backing) && connected(machine.key, cdrom.start_connected))
    machine.path = medium(cdrom);
  spec.cdroms.push_back(std::move(machine));
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
  if (adapter.model == vmx::AdapterModel::vrdma) machine.rdma = rdma_function(adapter);
  spec.nics.push_back(std::move(machine));
}

// The first device with RDMA among the uplinks of its network's switch.
hypervisor::RdmaFunction SpecBuilder::rdma_function(const vmx::NetworkAdapter& adapter) const {
  const auto policy = context.uplink_policy(adapter.network);
  for (const hypervisor::RdmaDevice& device : context.host_devices().rdma) {
    constexpr int port = 1;
    const auto is_it = [&](const std::string& uplink) { return uplink == device.interface; };
    if (policy && std::ranges::any_of(policy->uplinks, is_it))
      return {device.name, port, fmt::format("/run/rdmacm-mux-{}-{}", device.name, port)};
  }
  vim::GenericVmConfigFault detail;
  detail.reason = fmt::format("{} ({}): no uplink of the network '{}' has RDMA", label(adapter),
                              api_type(adapter.model), adapter.network);
  const std::string message = detail.reason + ".";
  throw kernel::Fault(std::move(detail), message);
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
    for (const vmx::Disk& disk : disks_in_boot_order(config, true))
      append_ids(std::vector{hypervisor::find_disk(spec, device_key(disk))}, spec.boot_order);
  } else if (device == "cdrom") {
    append_ids(spec.cdroms, spec.boot_order);
  } else if (device == "floppy") {
    append_ids(spec.floppies, spec.boot_order);
  } else {
    for (const hypervisor::Nic& nic : spec.nics)
      if (device == fmt::format("ethernet{}", nic.slot))
        append_ids(std::vector{nic}, spec.boot_order);
  }
}

// After the devices named come the others, as the firmware has them by default.
void SpecBuilder::set_boot() {
  spec.boot_delay_ms = static_cast<std::uint32_t>(config.boot.delay_ms);
  if (config.boot.retry)
    spec.boot_retry_ms = static_cast<std::uint32_t>(config.boot.retry_delay_ms);
  for (const std::string& device : config.boot.order) append_boot_device(device);
  append_boot_device("hdd");
  append_ids(spec.cdroms, spec.boot_order);
  append_ids(spec.nics, spec.boot_order);
}

}  // namespace

DeviceState connections(const vmx::MachineConfig& config, const hypervisor::MachineSpec& machine) {
  DeviceState state;
  for (const auto& nic : machine.nics) state.connected[nic.key] = nic.link_up;
  for (const auto& cdrom : machine.cdroms) state.connected[cdrom.key] = cdrom.path.has_value();
  for (const auto& floppy : machine.floppies) state.connected[floppy.key] = floppy.path.has_value();
  const auto note_lines = [&](const auto& ports) {
    for (const auto& port : ports)
      state.connected[port.key] = port.backend != hypervisor::LineBackend::none;
  };
  note_lines(machine.serial_ports);
  note_lines(machine.parallel_ports);
  for (const vmx::UsbDevice& device : config.usb_devices)
    state.connected[device_key(device)] = false;
  for (const auto& device : machine.usb_devices) state.connected[device.key] = true;
  return state;
}

void require_savable(const vmx::MachineConfig& config) {
  for (const vmx::PassthroughDevice& device : config.passthrough)
    throw kernel::not_supported(fmt::format("Saving the memory of {} with its {}",
                                            config.display_name, label(device)));
  for (const vmx::NetworkAdapter& adapter : config.network_adapters)
    if (adapter.model == vmx::AdapterModel::vrdma)
      throw kernel::not_supported(
          fmt::format("Saving the memory of {} with its {}", config.display_name, label(adapter)));
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
  return SpecBuilder({config, context, connections, {}}).build(id);
}

}  // namespace virga::host
