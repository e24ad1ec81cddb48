// Floppy drives.
#include "host/device_option_list.h"
#include "host/vm_device_kind.h"
#include "host/vm_machine_build.h"

namespace virga::host {
namespace {

class Floppies final : public NumberedKind<vmx::Floppy> {
 public:
  Floppies()
      : NumberedKind({.devices = &vmx::MachineConfig::floppies,
                      .plural = "floppy drives",
                      .most = vmx::max_floppies,
                      .controller_key = keys::sio,
                      .first_unit = 0,
                      .served = {"backing.fileName", "backing.datastore", "backing.deviceName",
                                 "backing.useAutoDetect", "connectable.allowGuestControl"}}) {}

  bool covers(std::string_view api_type) const override { return api_type == "VirtualFloppy"; }
  void offer(DeviceOptionList& options) const override;
  void build(MachineBuild& machine) const override;

 protected:
  Ptr<vim::VirtualDevice> to_api(const DeviceList& list, const vmx::Floppy& floppy) const override;
  void from_api(DevicePlanner& planner, const DeviceChange& change,
                vmx::Floppy& floppy) const override;
  bool can_change_hot(const vmx::Floppy&, const vmx::Floppy&) const override { return true; }
  const char* privilege_to_change(const vmx::Floppy& before,
                                  const vmx::Floppy& after) const override {
    return before.backing != after.backing || before.file != after.file
               ? "VirtualMachine.Interact.SetFloppyMedia"
               : "VirtualMachine.Config.EditDevice";
  }
};

void Floppies::offer(DeviceOptionList& options) const {
  vim::VirtualFloppyOption floppy;
  floppy.type = "VirtualFloppy";
  floppy.controllerType = "VirtualSIOController";
  add_connect_option(floppy);
  vim::VirtualFloppyImageBackingOption image;
  image.fileNameExtensions = model::share(choice({"flp", "img"}));
  add_backing(floppy, "VirtualFloppyImageBackingInfo", std::move(image));
  add_backing<vim::VirtualFloppyDeviceBackingOption>(floppy, "VirtualFloppyDeviceBackingInfo");
  options.add(std::move(floppy));
}

Ptr<vim::VirtualDevice> Floppies::to_api(const DeviceList& list, const vmx::Floppy& floppy) const {
  vim::VirtualFloppy device;
  if (floppy.backing == vmx::FloppyBacking::image) {
    vim::VirtualFloppyImageBackingInfo backing;
    list.set_file(backing, floppy.file);
    device.backing = model::share(std::move(backing));
  } else if (floppy.backing == vmx::FloppyBacking::host) {
    device.backing = device_backing<vim::VirtualFloppyDeviceBackingInfo>(floppy.file);
  } else {
    device.backing = device_backing<vim::VirtualFloppyRemoteDeviceBackingInfo>("");
  }
  device.deviceInfo = description(label(floppy), floppy.file.empty() ? "Remote" : floppy.file);
  device.connectable = list.connectable(device_key(floppy), floppy.start_connected, true,
                                        floppy.backing != vmx::FloppyBacking::client);
  return model::share(std::move(device));
}

void set_medium(const DevicePlanner& planner, const DeviceChange& change, vmx::Floppy& floppy) {
  const auto& backing = change.device().backing;
  if (!backing)
    throw change.invalid<vim::InvalidDeviceBacking>("device.backing", "the drive has no backing");
  const std::string_view type = backing->type_info().name;
  if (type == "VirtualFloppyImageBackingInfo") {
    const auto& name = static_cast<const vim::VirtualFloppyImageBackingInfo&>(*backing).fileName;
    const auto path = planner.file_of(change, name);
    if (path.is_root())
      throw change.invalid<vim::InvalidDeviceBacking>("device.backing.fileName",
                                                      fmt::format("'{}' is no file", name));
    floppy.backing = vmx::FloppyBacking::image;
    floppy.file = file_reference(planner.context(), path);
  } else if (type == "VirtualFloppyDeviceBackingInfo") {
    floppy.backing = vmx::FloppyBacking::host;
    floppy.file = static_cast<const vim::VirtualFloppyDeviceBackingInfo&>(*backing).deviceName;
  } else if (type == "VirtualFloppyRemoteDeviceBackingInfo") {
    floppy.backing = vmx::FloppyBacking::client;
    floppy.file.clear();
  } else {
    throw change.not_supported(fmt::format("a floppy drive with a {}", type));
  }
}

void Floppies::from_api(DevicePlanner& planner, const DeviceChange& change,
                        vmx::Floppy& floppy) const {
  const bool is_new = change.operation() == vim::VirtualDeviceConfigSpecOperation::add;
  if (is_new || change.device().backing) set_medium(planner, change, floppy);
  if (const auto& connectable = change.device().connectable)
    floppy.start_connected = connectable->startConnected;
  if (!is_new)
    planner.set_connection(change, device_key(floppy),
                           floppy.backing != vmx::FloppyBacking::client);
}

std::optional<std::string> medium(const MachineBuild& machine, const vmx::Floppy& floppy) {
  if (floppy.backing == vmx::FloppyBacking::client) return std::nullopt;
  if (floppy.backing == vmx::FloppyBacking::host)
    return machine.host_device(machine.context.host_devices().floppy_drives, floppy.file,
                               label(floppy));
  const auto image = find_file(machine.context, floppy.file);
  if (!image || !machine.context.datastore(image->datastore())) return std::nullopt;
  return machine.context.absolute(*image);
}

void Floppies::build(MachineBuild& machine) const {
  for (const vmx::Floppy& floppy : machine.config.floppies) {
    hypervisor::Floppy drive{.key = device_key(floppy), .unit = floppy.number};
    if (machine.connected(drive.key, floppy.start_connected)) drive.path = medium(machine, floppy);
    machine.spec.floppies.push_back(std::move(drive));
  }
}

}  // namespace

const DeviceKind& floppies() {
  static const Floppies kind;
  return kind;
}

}  // namespace virga::host
