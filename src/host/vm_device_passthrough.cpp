// PCI devices of the host: DirectPath I/O, static by the device's address, dynamic by what it is,
// and by way of vm_device_sriov.cpp and vm_device_vgpu.cpp parts of them.
#include "host/vm_device_passthrough.h"

#include <cstdlib>

#include "host/device_option_list.h"
#include "host/hardware_version.h"
#include "host/pci_patterns.h"
#include "host/vm_device_kind.h"
#include "host/vm_machine_build.h"
#include "hypervisor/vfio.h"

namespace virga::host {
namespace {

using hypervisor::PciDevice;

class PassthroughDevices final : public NumberedKind<vmx::PassthroughDevice> {
 public:
  PassthroughDevices()
      : NumberedKind({.devices = &vmx::MachineConfig::passthrough,
                      .plural = "PCI devices of the host",
                      .most = vmx::max_passthrough_devices,
                      .controller_key = keys::pci,
                      .first_unit = pci_units::passthrough,
                      .served = {"backing.deviceName", "backing.useAutoDetect", "backing.deviceId",
                                 "backing.vendorId", "backing.systemId", "backing.assignedId",
                                 "backing.network", "addressType", "macAddress", "sriovBacking"}}) {
  }

  bool covers(std::string_view api_type) const override {
    return api_type == "VirtualPCIPassthrough" || api_type == sriov_type;
  }
  void offer(DeviceOptionList& options) const override;
  void build(MachineBuild& machine) const override;

 protected:
  Ptr<vim::VirtualDevice> to_api(const DeviceList& list,
                                 const vmx::PassthroughDevice& device) const override;
  void from_api(DevicePlanner& planner, const DeviceChange& change,
                vmx::PassthroughDevice& device) const override;
};

void PassthroughDevices::offer(DeviceOptionList& options) const {
  vim::VirtualPCIPassthroughOption option;
  option.type = "VirtualPCIPassthrough";
  option.controllerType = "VirtualPCIController";
  add_backing<vim::VirtualPCIPassthroughDeviceBackingOption>(
      option, "VirtualPCIPassthroughDeviceBackingInfo");
  if (options.version_has(features::dynamic_passthrough))
    add_backing<vim::VirtualPCIPassthroughDynamicBackingOption>(
        option, "VirtualPCIPassthroughDynamicBackingInfo");
  if (options.version_has(features::vgpu)) offer_vgpus(option);
  options.add(std::move(option));
  offer_sriov(options);
}

// --- To the API --------------------------------------------------------------------------------

Ptr<vim::VirtualDeviceBackingInfo> dynamic_backing(const vmx::PassthroughDevice& device) {
  vim::VirtualPCIPassthroughDynamicBackingInfo backing;
  for (const PciPattern& pattern : parse_pci_patterns(device.allowed)) {
    auto& allowed = backing.allowedDevice.emplace_back();
    allowed.vendorId = pattern.vendor;
    allowed.deviceId = pattern.device;
    if (pattern.subsystem_vendor) allowed.subVendorId = *pattern.subsystem_vendor;
    if (pattern.subsystem_device) allowed.subDeviceId = *pattern.subsystem_device;
    if (pattern.revision) allowed.revisionId = static_cast<std::int16_t>(*pattern.revision);
  }
  if (!device.label.empty()) backing.customLabel = device.label;
  return model::share(std::move(backing));
}

Ptr<vim::VirtualDeviceBackingInfo> backing_of(const vmx::PassthroughDevice& device) {
  if (!device.vgpu.empty()) return vgpu_backing(device);
  if (device.id.empty()) return dynamic_backing(device);
  return Ptr<vim::VirtualDeviceBackingInfo>(pci_backing(device));
}

Ptr<vim::VirtualDevice> PassthroughDevices::to_api(const DeviceList& list,
                                                   const vmx::PassthroughDevice& device) const {
  if (device.sriov) return sriov_to_api(list, device);
  vim::VirtualPCIPassthrough shown;
  shown.deviceInfo = description(label(device), !device.vgpu.empty() ? device.vgpu
                                                : device.id.empty()  ? device.allowed
                                                                     : device.id);
  shown.backing = backing_of(device);
  return model::share(std::move(shown));
}

// --- From the API ------------------------------------------------------------------------------

vmx::PassthroughDevice static_device(const DevicePlanner& planner, const DeviceChange& change,
                                     const vim::VirtualPCIPassthroughDeviceBackingInfo& backing) {
  const auto devices = planner.context().host_devices().pci;
  const PciDevice* device = find_pci(devices, backing.id);
  if (!device)
    throw bad_backing(change, "backing.id",
                      fmt::format("this host has no PCI device '{}'", backing.id));
  if (!device->can_be_passed_through())
    throw bad_backing(change, "backing.id",
                      fmt::format("{} cannot be passed through: no IOMMU stands before it, or it "
                                  "is a bridge",
                                  backing.id));
  return {.id = device->address,
          .vendor_id = fmt::format("0x{:04x}", device->vendor),
          .device_id = fmt::format("0x{:04x}", device->device),
          .system_id = backing.systemId};
}

std::uint16_t id_of(const DeviceChange& change, std::int32_t value) {
  if (value < 0 || value > 0xffff)
    throw bad_backing(change, "backing.allowedDevice",
                      fmt::format("{} is no PCI identifier", value));
  return static_cast<std::uint16_t>(value);
}

vmx::PassthroughDevice dynamic_device(const DeviceChange& change,
                                      const vim::VirtualPCIPassthroughDynamicBackingInfo& backing) {
  if (backing.allowedDevice.empty())
    throw bad_backing(change, "backing.allowedDevice", "it allows no device");
  std::vector<PciPattern> patterns;
  for (const auto& allowed : backing.allowedDevice) {
    PciPattern& pattern = patterns.emplace_back();
    pattern.vendor = id_of(change, allowed->vendorId);
    pattern.device = id_of(change, allowed->deviceId);
    if (allowed->subVendorId) pattern.subsystem_vendor = id_of(change, *allowed->subVendorId);
    if (allowed->subDeviceId) pattern.subsystem_device = id_of(change, *allowed->subDeviceId);
    if (allowed->revisionId) pattern.revision = id_of(change, *allowed->revisionId) & 0xff;
  }
  return {.allowed = format_pci_patterns(patterns), .label = backing.customLabel.value_or("")};
}

void PassthroughDevices::from_api(DevicePlanner& planner, const DeviceChange& change,
                                  vmx::PassthroughDevice& device) const {
  const bool is_new = change.operation() == vim::VirtualDeviceConfigSpecOperation::add;
  const bool is_adapter = change.type() == sriov_type;
  if (!is_new && is_adapter != device.sriov.has_value())
    throw change.invalid("device", fmt::format("{} is no {}", label(device), change.type()));
  if (is_adapter) return sriov_from_api(planner, change, device);
  const auto& backing = change.device().backing;
  if (!backing && !is_new) return;
  if (!backing) throw bad_backing(change, "backing.id", "it names no device");
  vmx::PassthroughDevice asked;
  if (const auto* fixed = backing.as<vim::VirtualPCIPassthroughDeviceBackingInfo>()) {
    if (!is_new && fixed->id == device.id) return;
    asked = static_device(planner, change, *fixed);
  } else if (const auto* dynamic = backing.as<vim::VirtualPCIPassthroughDynamicBackingInfo>()) {
    planner.require_version(change, features::dynamic_passthrough, "dynamic DirectPath I/O");
    asked = dynamic_device(change, *dynamic);
  } else if (const auto* vgpu = backing.as<vim::VirtualPCIPassthroughVmiopBackingInfo>()) {
    if (!is_new && vgpu->vgpu.value_or("") == device.vgpu) return;
    asked = vgpu_from_api(planner, change, *vgpu);
  } else {
    throw change.not_supported(fmt::format("a PCI device with a {}", backing->type_info().name));
  }
  asked.number = device.number;
  device = std::move(asked);
}

// --- To the hypervisor -------------------------------------------------------------------------

// A device writes to the guest's memory whenever it likes: all of it has to stay.
void require_reserved_memory(const vmx::MachineConfig& config) {
  if (config.memory_reservation_locked || config.memory.reservation >= config.memory_mib) return;
  vim::GenericVmConfigFault detail;
  detail.reason = "Invalid memory setting: memory reservation (sched.mem.min)";
  throw kernel::Fault(
      std::move(detail),
      fmt::format("Invalid memory setting: with PCI devices of the host the memory reservation "
                  "(sched.mem.min) of {} must be equal to its {} MB of memory.",
                  config.display_name, config.memory_mib));
}

const PciDevice& choose(const MachineBuild& machine, const std::vector<PciDevice>& devices,
                        const vmx::PassthroughDevice& wanted) {
  if (!wanted.id.empty()) {
    const PciDevice* device = find_pci(devices, wanted.id);
    if (!device) throw unavailable(wanted, "this host has no " + wanted.id);
    if (!is_ready(*device))
      throw unavailable(wanted, wanted.id + " is not enabled for passthrough on this host");
    if (!is_free(machine, *device))
      throw unavailable(wanted, wanted.id + " belongs to another virtual machine that runs");
    return *device;
  }
  const auto patterns = parse_pci_patterns(wanted.allowed);
  const auto fits = [&](const PciDevice& device) {
    return is_ready(device) && is_free(machine, device) && matches(patterns, device) &&
           (wanted.label.empty() || machine.context.pci_label(device.address) == wanted.label);
  };
  const auto found = std::ranges::find_if(devices, fits);
  if (found == devices.end())
    throw unavailable(wanted, fmt::format("no device {}{} is free and enabled for passthrough on "
                                          "this host",
                                          wanted.allowed,
                                          wanted.label.empty() ? "" : " labelled " + wanted.label));
  return *found;
}

hypervisor::PassthroughDevice build_whole(const MachineBuild& machine,
                                          const std::vector<PciDevice>& devices,
                                          const vmx::PassthroughDevice& wanted) {
  const PciDevice& device = choose(machine, devices, wanted);
  return {.key = device_key(wanted),
          .slot = wanted.number,
          .address = device.address,
          .iommu_group = *device.iommu_group};
}

void PassthroughDevices::build(MachineBuild& machine) const {
  if (machine.config.passthrough.empty()) return;
  require_reserved_memory(machine.config);
  const auto devices = machine.context.host_devices().pci;
  for (const vmx::PassthroughDevice& wanted : machine.config.passthrough) {
    machine.spec.passthrough.push_back(wanted.sriov ? build_sriov(machine, devices, wanted)
                                       : !wanted.vgpu.empty()
                                           ? build_vgpu(machine, devices, wanted)
                                           : build_whole(machine, devices, wanted));
  }
}

}  // namespace

// --- What functions of cards need too ----------------------------------------------------------

const PciDevice* find_pci(const std::vector<PciDevice>& devices, const std::string& address) {
  const auto found = std::ranges::find(devices, address, &PciDevice::address);
  return found == devices.end() ? nullptr : &*found;
}

kernel::Fault bad_backing(const DeviceChange& change, const std::string& field,
                          const std::string& why) {
  return change.invalid<vim::InvalidDeviceBacking>("device." + field, why);
}

kernel::Fault unavailable(const vmx::PassthroughDevice& device, const std::string& why) {
  vim::GenericVmConfigFault detail;
  detail.reason = fmt::format("{}: {}", label(device), why);
  return kernel::Fault(std::move(detail), fmt::format("{}: {}.", label(device), why));
}

bool is_ready(const PciDevice& device) {
  return device.can_be_passed_through() && device.driver == hypervisor::vfio_driver;
}

bool is_free(const MachineBuild& machine, const PciDevice& device) {
  const auto taken = [&](const hypervisor::PassthroughDevice& other) {
    return other.address == device.address;
  };
  return !machine.context.pci_in_use(device.address) &&
         std::ranges::none_of(machine.spec.passthrough, taken);
}

Ptr<vim::VirtualPCIPassthroughDeviceBackingInfo> pci_backing(const vmx::PassthroughDevice& device) {
  vim::VirtualPCIPassthroughDeviceBackingInfo backing;
  backing.id = device.id;
  backing.deviceName = device.id;
  backing.deviceId = device.device_id;
  backing.systemId = device.system_id;
  backing.vendorId = static_cast<std::int16_t>(std::strtoul(device.vendor_id.c_str(), nullptr, 16));
  return model::share(std::move(backing));
}

const DeviceKind& passthrough_devices() {
  static const PassthroughDevices kind;
  return kind;
}

}  // namespace virga::host
