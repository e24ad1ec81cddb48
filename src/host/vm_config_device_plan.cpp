#include "host/vm_config_device_plan.h"

#include "base/error.h"
#include "host/hardware_version.h"
#include "host/vm_device_kind.h"

namespace virga::host {

using Operation = vim::VirtualDeviceConfigSpecOperation;

kernel::Fault DeviceChange::invalid_operation(const std::string& why) const {
  vim::InvalidDeviceOperation detail;
  detail.badOp = spec->operation;
  detail.badFileOp = spec->fileOperation;
  return invalid("operation", why, std::move(detail));
}

kernel::Fault DeviceChange::not_supported(const std::string& what) const {
  return kernel::not_supported(fmt::format("Device '{}': {}", index, what));
}

kernel::Fault too_many(const DeviceChange& change, const std::string& why) {
  vim::TooManyDevices detail;
  detail.property = "virtualDeviceSpec.device";
  return kernel::Fault(std::move(detail), fmt::format("Device '{}': {}.", change.index, why));
}

namespace {

const DeviceKind* kind_of(std::string_view api_type) {
  for (const DeviceKind* kind : device_kinds())
    if (kind->covers(api_type)) return kind;
  return nullptr;
}

}  // namespace

DevicePlanner::DevicePlanner(Planning& planning,
                             const model::List<vim::VirtualDeviceConfigSpec>& changes)
    : planning_(planning) {
  for (const auto& spec : changes) changes_.push_back({static_cast<int>(changes_.size()), spec});
}

// What goes makes room for what comes, and controllers come before what refers to them, in whatever
// order the caller names them.
void DevicePlanner::apply() {
  for (const DeviceChange& change : changes_) check(change);
  const auto pass = [this](Operation operation, bool controllers, Handler handler) {
    for (const DeviceChange& change : changes_) {
      const bool is_controller = change.spec->device.as<vim::VirtualController>() != nullptr;
      if (change.operation() == operation && is_controller == controllers) (this->*handler)(change);
    }
  };
  pass(Operation::remove, false, &DevicePlanner::remove);
  pass(Operation::remove, true, &DevicePlanner::remove);
  pass(Operation::add, true, &DevicePlanner::add);
  pass(Operation::edit, true, &DevicePlanner::edit);
  pass(Operation::edit, false, &DevicePlanner::edit);
  pass(Operation::add, false, &DevicePlanner::add);
  refuse_unserved_fields();
}

void DevicePlanner::check(const DeviceChange& change) const {
  if (!change.spec->device) {
    vim::InvalidDeviceSpec detail;
    detail.deviceIndex = change.index;
    detail.property = "virtualDeviceSpec.device";
    throw kernel::Fault(
        std::move(detail),
        fmt::format("Invalid configuration for device '{}': it is missing.", change.index));
  }
  if (!change.spec->operation)
    throw change.invalid("operation", "it says neither add nor edit nor remove");
  const bool is_disk = change.spec->device.as<vim::VirtualDisk>() != nullptr;
  if (change.spec->fileOperation && !is_disk)
    throw change.invalid_operation("only a disk has a file operation");
  const std::string name = fmt::format("config.deviceChange[{}]", change.index);
  refuse_unserved(*change.spec, nullptr, {"operation", "fileOperation", "device", "profile"}, name);
  refuse_profiles(change.spec->profile, name + ".profile");
  if (planning_.life == Life::suspended) planning_.require_powered_off(name);
}

// --- By kind of device -------------------------------------------------------------------------

void DevicePlanner::add(const DeviceChange& change) {
  const std::string_view type = change.type();
  require_version(change, type, type);
  if (controller_model_of(type)) return add_controller(change);
  if (adapter_model_of(type)) return add_adapter(change);
  if (type == "VirtualDisk") return add_disk(change);
  if (type == "VirtualCdrom") return add_cdrom(change);
  if (const DeviceKind* kind = kind_of(type)) return kind->add(*this, change);
  if (fixed_device_key(change.device())) return add_fixed(change);
  throw change.not_supported(fmt::format("adding a {}", type));
}

void DevicePlanner::remove(const DeviceChange& change) {
  if (fixed_device_key(change.device()) == change.device().key)
    throw change.invalid_operation("every virtual machine has it");
  const DeviceKind* kind = kind_of(change.type());
  const bool removed = kind ? kind->remove(*this, change)
                            : remove_controller(change) || remove_disk(change) ||
                                  remove_cdrom(change) || remove_adapter(change);
  if (!removed)
    throw change.invalid<vim::DeviceNotFound>(
        "device.key", fmt::format("there is no such device {}", change.device().key));
}

void DevicePlanner::edit(const DeviceChange& change) {
  const int key = change.device().key;
  const std::string_view type = change.type();
  if (change.spec->fileOperation) throw change.invalid_operation("an edited disk keeps its file");
  if (type == "VirtualDisk") {
    if (auto* disk = find_device(config().disks, key)) return edit_disk(change, *disk);
  } else if (type == "VirtualCdrom") {
    if (auto* cdrom = find_device(config().cdroms, key)) return edit_cdrom(change, *cdrom);
  } else if (const auto adapter_model = adapter_model_of(type)) {
    auto* adapter = find_device(config().network_adapters, key);
    if (adapter && adapter->model == *adapter_model) return edit_adapter(change, *adapter);
  } else if (const DeviceKind* kind = kind_of(type)) {
    if (kind->edit(*this, change)) return;
  } else if (const auto controller_model = controller_model_of(type)) {
    auto* controller = find_device(config().controllers, key);
    if (controller && controller->model == *controller_model)
      return edit_controller(change, *controller);
  } else if (fixed_device_key(change.device()) == key) {
    return edit_fixed(change, key);
  } else {
    throw change.not_supported(fmt::format("editing a {}", type));
  }
  throw change.invalid<vim::DeviceNotFound>("device.key",
                                            fmt::format("there is no {} {}", type, key));
}

// --- What all share ----------------------------------------------------------------------------

void DevicePlanner::note(const DeviceChange& change, int key, FieldPaths other) {
  other.merge(FieldPaths{"key", "deviceInfo", "controllerKey", "unitNumber",
                         "connectable.connected", "connectable.status"});
  noted_.push_back({change, key, std::move(other)});
}

void DevicePlanner::added(const DeviceChange& change, int key, FieldPaths served) {
  planning_.plan.added.push_back(key);
  planning_.need("VirtualMachine.Config.AddRemoveDevice");
  note(change, key, std::move(served));
}

void DevicePlanner::edited(const DeviceChange& change, int key, bool changed, FieldPaths served) {
  if (changed || planning_.plan.connections.connected.contains(key))
    planning_.plan.edited.push_back(key);
  note(change, key, std::move(served));
}

void DevicePlanner::removed(const DeviceChange& change) {
  planning_.plan.removed.push_back(change.device().key);
  planning_.need("VirtualMachine.Config.AddRemoveDevice");
}

void DevicePlanner::rename_controller(const DeviceChange& change, int key) {
  if (!keys_.emplace(change.device().key, key).second)
    throw change.invalid("device.key",
                         fmt::format("two new controllers have the key {}", change.device().key));
}

int DevicePlanner::controller_among(const DeviceChange& change,
                                    const std::vector<int>& keys) const {
  if (!change.device().controllerKey && !keys.empty()) return keys.front();
  const int asked = change.device().controllerKey.value_or(0);
  const auto renamed = keys_.find(asked);
  const int key = renamed == keys_.end() ? asked : renamed->second;
  if (std::ranges::find(keys, key) != keys.end()) return key;
  vim::InvalidController detail;
  detail.controllerKey = asked;
  throw change.invalid("device.controllerKey",
                       fmt::format("there is no controller {} for it", asked), std::move(detail));
}

// Whatever was asked of a device must be so in the end.
void DevicePlanner::refuse_unserved_fields() const {
  if (noted_.empty()) return;
  const auto info = config_info(config(), planning_.context, {}, planning_.is_running());
  for (const auto& [change, key, served] : noted_) {
    const vim::VirtualDevice* granted = nullptr;
    for (const auto& device : info.hardware.device)
      if (device->key == key) granted = device.get();
    refuse_unserved(change.device(), granted, served,
                    fmt::format("config.deviceChange[{}].device", change.index));
  }
}

void DevicePlanner::require_version(const DeviceChange& change, std::string_view feature,
                                    std::string_view name) const {
  const int version = config().hardware_version;
  const int first = first_version_with(feature);
  if (version >= first) return;
  vim::DeviceUnsupportedForVmVersion detail;
  detail.currentVersion = format_hardware_version(version);
  detail.expectedVersion = format_hardware_version(first);
  const std::string why = fmt::format("hardware version {} has no {}; {} is the first that has",
                                      detail.currentVersion, name, detail.expectedVersion);
  throw change.invalid("device", why, std::move(detail));
}

void DevicePlanner::require_hot_plug(const DeviceChange& change, bool possible,
                                     const std::string& what) const {
  if (!planning_.is_running() || possible) return;
  throw change.invalid<vim::DeviceHotPlugNotSupported>(
      "device", what + " cannot come or go while the virtual machine is powered on");
}

void DevicePlanner::set_connection(const DeviceChange& change, int key, bool possible) {
  const auto& connectable = change.device().connectable;
  if (!connectable || !planning_.is_running()) return;
  if (connectable->connected && !possible)
    throw change.not_supported(
        fmt::format("connecting a {} that is not backed by this host", change.type()));
  planning_.plan.connections.connected[key] = connectable->connected;
  planning_.need("VirtualMachine.Interact.DeviceConnection");
}

bool DevicePlanner::is_taken(const vmx::Slot& slot) const {
  const auto holds = [&](const auto& device) { return device.slot == slot; };
  return std::ranges::any_of(config().disks, holds) ||
         std::ranges::any_of(config().cdroms, holds) ||
         std::ranges::any_of(config().other_devices, holds);
}

DevicePlanner::Place DevicePlanner::place_of(const DeviceChange& change) const {
  if (!change.device().controllerKey)
    throw change.invalid<vim::MissingController>("device.controllerKey", "it names no controller");
  const int asked = *change.device().controllerKey;
  const auto renamed = keys_.find(asked);
  const int key = renamed == keys_.end() ? asked : renamed->second;
  for (int number = 0; number < vmx::max_controllers(vmx::Bus::ide); ++number) {
    const vmx::Slot slot{vmx::Bus::ide, number, 0};
    if (controller_key(slot) == key)
      return {slot, hypervisor::ControllerModel::ide, fmt::format("IDE {}", number)};
  }
  if (const vmx::Controller* controller = find_device(config().controllers, key)) {
    const auto model = machine_model(controller->model);
    if (!model) throw change.not_supported("a device on " + label(*controller));
    return {{controller->bus, controller->number, 0}, *model, label(*controller)};
  }
  vim::InvalidController detail;
  detail.controllerKey = asked;
  throw change.invalid("device.controllerKey",
                       fmt::format("there is no controller {} for it", asked), std::move(detail));
}

vmx::Slot DevicePlanner::free_slot(const DeviceChange& change, Place place) const {
  vmx::Slot slot = place.slot;
  const int units = vmx::unit_count(config(), slot.bus, slot.controller);
  constexpr int any = -1;
  const int asked = change.device().unitNumber.value_or(any);
  if (asked == any) {
    for (slot.unit = 0; slot.unit < units; ++slot.unit)
      if (hypervisor::unit_is_valid(place.model, slot.unit) && !is_taken(slot)) return slot;
    vim::TooManyDevices detail;
    detail.property = "virtualDeviceSpec.device.unitNumber";
    throw kernel::Fault(std::move(detail), fmt::format("Device '{}': {} has no free unit.",
                                                       change.index, place.label));
  }
  slot.unit = asked;
  if (slot.bus == vmx::Bus::scsi && asked == vmx::scsi_own_unit)
    throw change.invalid("device.unitNumber",
                         fmt::format("unit {} is that of {} itself", asked, place.label));
  if (asked < 0 || asked >= units)
    throw change.invalid("device.unitNumber",
                         fmt::format("{} has {} units and no unit {}", place.label, units, asked));
  if (!hypervisor::unit_is_valid(place.model, asked))
    throw change.not_supported(fmt::format("unit {} of {}", asked, place.label));
  if (is_taken(slot))
    throw change.invalid("device.unitNumber",
                         fmt::format("unit {} of {} is taken", asked, place.label));
  return slot;
}

void DevicePlanner::require_same_slot(const DeviceChange& change, const vmx::Slot& slot,
                                      const std::string& what) const {
  const vim::VirtualDevice& device = change.device();
  if (device.controllerKey.value_or(controller_key(slot)) != controller_key(slot) ||
      device.unitNumber.value_or(slot.unit) != slot.unit)
    throw change.not_supported(fmt::format("moving {} from {}", what, slot.key()));
}

vmx::DatastorePath DevicePlanner::file_of(const DeviceChange& change,
                                          const std::string& name) const {
  const auto refuse = [&](const std::string& why) {
    return change.invalid<vim::InvalidDeviceBacking>("device.backing", why);
  };
  try {
    const auto path = vmx::DatastorePath::parse(name);
    if (!planning_.context.datastore(path.datastore()))
      throw refuse(fmt::format("there is no datastore '{}' for {}", path.datastore(), name));
    return path;
  } catch (const Error& failure) {
    throw refuse(failure.what());
  }
}

// --- Controllers -------------------------------------------------------------------------------

namespace {

vmx::BusSharing sharing_of(const DeviceChange& change) {
  const auto* scsi = change.spec->device.as<vim::VirtualSCSIController>();
  if (!scsi) return vmx::BusSharing::none;
  switch (scsi->sharedBus) {
    case vim::VirtualSCSISharing::virtualSharing:
      return vmx::BusSharing::within_host;
    case vim::VirtualSCSISharing::physicalSharing:
      return vmx::BusSharing::across_hosts;
    case vim::VirtualSCSISharing::noSharing:
      break;
  }
  return vmx::BusSharing::none;
}

}  // namespace

void DevicePlanner::edit_controller(const DeviceChange& change, vmx::Controller& controller) {
  const int key = device_key(controller);
  const vmx::BusSharing wanted = sharing_of(change);
  if (wanted != controller.sharing) {
    planning_.require_powered_off("The bus sharing of " + label(controller));
    planning_.need("VirtualMachine.Config.EditDevice");
    controller.sharing = wanted;
    planning_.plan.edited.push_back(key);
  }
  note(change, key, {"device"});
}

void DevicePlanner::add_controller(const DeviceChange& change) {
  const auto& device = change.device_as<vim::VirtualController>();
  vmx::Controller controller;
  controller.model = *controller_model_of(change.type());
  controller.bus = bus_of(controller.model);
  controller.sharing = sharing_of(change);
  if (!machine_model(controller.model))
    throw change.not_supported(fmt::format("adding a {}", change.type()));
  const auto free = vmx::first_free_controller(config(), controller.bus);
  if (!free) {
    vim::TooManyDevices detail;
    detail.property = "virtualDeviceSpec.device.busNumber";
    throw kernel::Fault(
        std::move(detail),
        fmt::format("Device '{}': a virtual machine has at most {} {} controllers.", change.index,
                    vmx::max_controllers(controller.bus), vmx::to_string(controller.bus)));
  }
  controller.number = device.busNumber < 0 ? *free : device.busNumber;
  if (controller.number >= vmx::max_controllers(controller.bus))
    throw change.invalid("device.busNumber",
                         fmt::format("bus {} is not below {}", controller.number,
                                     vmx::max_controllers(controller.bus)));
  const int key = device_key(controller);
  if (find_device(config().controllers, key))
    throw change.invalid("device.busNumber", label(controller) + " is there already");
  rename_controller(change, key);
  require_hot_plug(change, controller.bus == vmx::Bus::scsi, label(controller));
  config().controllers.push_back(controller);
  added(change, key, {"busNumber", "device"});
}

bool DevicePlanner::remove_controller(const DeviceChange& change) {
  const vmx::Controller* found = find_device(config().controllers, change.device().key);
  if (!found) return false;
  const vmx::Controller controller = *found;
  const auto hangs_on_it = [&](const auto& device) {
    return device.slot.bus == controller.bus && device.slot.controller == controller.number;
  };
  if (std::ranges::any_of(config().disks, hangs_on_it) ||
      std::ranges::any_of(config().cdroms, hangs_on_it) ||
      std::ranges::any_of(config().other_devices, hangs_on_it))
    throw change.invalid_operation("devices hang on " + label(controller));
  require_hot_plug(change, controller.bus == vmx::Bus::scsi, label(controller));
  std::erase(config().controllers, controller);
  removed(change);
  return true;
}

void plan_devices(Planning& planning, const model::List<vim::VirtualDeviceConfigSpec>& changes) {
  DevicePlanner(planning, changes).apply();
}

}  // namespace virga::host
