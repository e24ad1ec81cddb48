// USB controllers, and the host's USB devices on them.
#include "host/config_target.h"
#include "host/device_option_list.h"
#include "host/vm_device_kind.h"
#include "host/vm_machine_build.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

// --- Controllers -------------------------------------------------------------------------------

std::vector<int> controllers_of(const vmx::MachineConfig& config) {
  std::vector<int> keys;
  if (config.usb.xhci) keys.push_back(keys::xhci);
  if (config.usb.uhci || config.usb.ehci) keys.push_back(keys::usb);
  return keys;
}

class UsbControllers final : public DeviceKind {
 public:
  bool covers(std::string_view api_type) const override {
    return api_type == "VirtualUSBController" || api_type == "VirtualUSBXHCIController";
  }
  void show(DeviceList& list) const override;
  void offer(DeviceOptionList& options) const override;
  void add(DevicePlanner& planner, const DeviceChange& change) const override;
  bool edit(DevicePlanner& planner, const DeviceChange& change) const override;
  bool remove(DevicePlanner& planner, const DeviceChange& change) const override;
  void build(MachineBuild& machine) const override;

 private:
  static int key_of(const DeviceChange& change) {
    return change.type() == "VirtualUSBController" ? keys::usb : keys::xhci;
  }
  static bool is_there(const vmx::MachineConfig& config, int key) {
    const auto present = controllers_of(config);
    return std::ranges::find(present, key) != present.end();
  }
};

void UsbControllers::show(DeviceList& list) const {
  const vmx::UsbControllers& present = list.config().usb;
  if (present.uhci || present.ehci) {
    vim::VirtualUSBController usb;
    place(usb, keys::usb, keys::pci, pci_units::usb);
    usb.deviceInfo = description("USB controller", "Auto connect Disabled");
    usb.autoConnectDevices = false;
    usb.ehciEnabled = present.ehci;
    list.append(std::move(usb));
  }
  if (present.xhci) {
    vim::VirtualUSBXHCIController xhci;
    place(xhci, keys::xhci, keys::pci, pci_units::xhci);
    xhci.deviceInfo = description("USB xHCI controller", "USB xHCI controller");
    xhci.autoConnectDevices = false;
    list.append(std::move(xhci));
  }
}

void UsbControllers::offer(DeviceOptionList& options) const {
  const auto add = [&](auto option, std::string_view type) {
    option.type = type;
    option.controllerType = "VirtualPCIController";
    option.devices = int_option(0, vmx::max_usb_devices, 0);
    option.supportedDevice = {"VirtualUSB"};
    option.autoConnectDevices = bool_option(false, false);
    options.add(std::move(option));
  };
  vim::VirtualUSBControllerOption usb;
  usb.ehciSupported = bool_option(true, true);
  usb.supportedSpeeds = {"low", "full", "high"};
  add(std::move(usb), "VirtualUSBController");
  vim::VirtualUSBXHCIControllerOption xhci;
  xhci.supportedSpeeds = {"low", "full", "high", "superSpeed"};
  add(std::move(xhci), "VirtualUSBXHCIController");
}

void UsbControllers::add(DevicePlanner& planner, const DeviceChange& change) const {
  const int key = key_of(change);
  if (is_there(planner.config(), key))
    throw too_many(change, fmt::format("a virtual machine has at most one {}", change.type()));
  planner.require_hot_plug(change, false, "A USB controller");
  planner.rename_controller(change, key);
  vmx::UsbControllers& usb = planner.config().usb;
  if (key == keys::xhci) {
    usb.xhci = true;
  } else {
    usb.uhci = true;
    usb.ehci = change.device_as<vim::VirtualUSBController>().ehciEnabled.value_or(false);
  }
  planner.added(change, key, {"device", "busNumber"});
}

bool UsbControllers::edit(DevicePlanner& planner, const DeviceChange& change) const {
  const int key = key_of(change);
  if (change.device().key != key || !is_there(planner.config(), key)) return false;
  bool& ehci = planner.config().usb.ehci;
  const bool wanted = key == keys::usb
                          ? change.device_as<vim::VirtualUSBController>().ehciEnabled.value_or(ehci)
                          : ehci;
  const bool changed = wanted != ehci;
  if (changed) {
    planner.require_powered_off("The USB controller");
    planner.need("VirtualMachine.Config.EditDevice");
    ehci = wanted;
  }
  planner.edited(change, key, changed, {"device", "busNumber"});
  return true;
}

bool UsbControllers::remove(DevicePlanner& planner, const DeviceChange& change) const {
  const int key = key_of(change);
  vmx::MachineConfig& config = planner.config();
  if (change.device().key != key || !is_there(config, key)) return false;
  planner.require_hot_plug(change, false, "A USB controller");
  if (controllers_of(config).size() == 1 && !config.usb_devices.empty())
    throw change.invalid_operation("USB devices hang on it");
  if (key == keys::xhci)
    config.usb.xhci = false;
  else
    config.usb.uhci = config.usb.ehci = false;
  planner.removed(change);
  return true;
}

// Input devices on USB, as VMware's settings of these names have them: a tablet's pointer is where
// the user's is.
void add_input(MachineBuild& machine, int controller) {
  using hypervisor::UsbDeviceModel;
  constexpr std::pair<const char*, UsbDeviceModel> settings[] = {
      {"keyboard.vusb.enable", UsbDeviceModel::keyboard},
      {"mouse.vusb.enable", UsbDeviceModel::tablet}};
  int key = keys::usb_device + vmx::max_usb_devices;
  for (const auto& [setting, model] : settings) {
    if (vmx::equal_ignoring_case(vmx::find_extra(machine.config, setting).value_or(""), "TRUE"))
      machine.spec.usb_devices.push_back(
          {.key = key, .controller_key = controller, .model = model});
    ++key;
  }
}

void UsbControllers::build(MachineBuild& machine) const {
  using Model = hypervisor::UsbControllerModel;
  const vmx::UsbControllers& usb = machine.config.usb;
  if (usb.uhci || usb.ehci)
    machine.spec.usb_controllers.push_back({keys::usb, usb.ehci ? Model::ehci : Model::uhci});
  if (usb.xhci) machine.spec.usb_controllers.push_back({keys::xhci, Model::xhci});
  const auto keys = controllers_of(machine.config);
  if (!keys.empty()) add_input(machine, keys.front());
}

// --- Devices -----------------------------------------------------------------------------------

class UsbDevices final : public NumberedKind<vmx::UsbDevice> {
 public:
  UsbDevices()
      : NumberedKind({.devices = &vmx::MachineConfig::usb_devices,
                      .plural = "USB devices",
                      .most = vmx::max_usb_devices,
                      .controller_key = keys::usb,
                      .first_unit = 0,
                      .served = {"connected", "vendor", "product", "family", "speed", "connectable",
                                 "backing.useAutoDetect"},
                      .hot_plug = true}) {}

  bool covers(std::string_view api_type) const override { return api_type == "VirtualUSB"; }

  void offer(DeviceOptionList& options) const override {
    vim::VirtualUSBOption option;
    option.type = "VirtualUSB";
    option.plugAndPlay = option.hotRemoveSupported = true;
    add_backing<vim::VirtualUSBUSBBackingOption>(option, "VirtualUSBUSBBackingInfo");
    options.add(std::move(option));
  }

  void build(MachineBuild& machine) const override;

 protected:
  int controller_key(const vmx::MachineConfig& config) const override {
    const auto keys = controllers_of(config);
    return keys.empty() ? keys::usb : keys.front();
  }
  Ptr<vim::VirtualDevice> to_api(const DeviceList& list,
                                 const vmx::UsbDevice& device) const override;
  void from_api(DevicePlanner& planner, const DeviceChange& change,
                vmx::UsbDevice& device) const override;
};

Ptr<vim::VirtualDevice> UsbDevices::to_api(const DeviceList& list,
                                           const vmx::UsbDevice& device) const {
  vim::VirtualUSB usb;
  usb.deviceInfo = description(label(device), device.pattern);
  usb.connected = list.connectable(device_key(device), true, false, true)->connected;
  vim::VirtualUSBUSBBackingInfo backing;
  backing.deviceName = device.pattern;
  backing.useAutoDetect = false;
  usb.backing = model::share(std::move(backing));
  return model::share(std::move(usb));
}

// Which USB devices there are is asked of the host, where they may come and go.
void UsbDevices::from_api(DevicePlanner& planner, const DeviceChange& change,
                          vmx::UsbDevice& device) const {
  planner.controller_among(change, controllers_of(planner.config()));
  const auto& backing = change.device().backing;
  const auto* host = backing.as<vim::VirtualUSBUSBBackingInfo>();
  if (!backing)
    throw change.invalid<vim::InvalidDeviceBacking>("device.backing", "it names no device");
  if (!host || &host->type_info() != &vim::VirtualUSBUSBBackingInfo::static_type())
    throw change.not_supported(fmt::format("a USB device with a {}", backing->type_info().name));
  if (host->deviceName == device.pattern) return;
  if (!find_usb(planner.context().host_devices().usb, host->deviceName))
    throw change.invalid<vim::InvalidDeviceBacking>(
        "device.backing.deviceName",
        fmt::format("this host has no USB device '{}'", host->deviceName));
  device.pattern = host->deviceName;
}

void UsbDevices::build(MachineBuild& machine) const {
  if (machine.config.usb_devices.empty()) return;
  const auto controllers = controllers_of(machine.config);
  const auto present = machine.context.host_devices().usb;
  for (const vmx::UsbDevice& device : machine.config.usb_devices) {
    const auto found = find_usb(present, device.pattern);
    if (found && !controllers.empty())
      machine.spec.usb_devices.push_back({.key = device_key(device),
                                          .controller_key = controllers.front(),
                                          .path = found->node()});
    else
      machine.warn(fmt::format("{} is not connected: there is no {} for this machine.",
                               label(device), device.pattern));
  }
}

}  // namespace

const DeviceKind& usb_controllers() {
  static const UsbControllers kind;
  return kind;
}

const DeviceKind& usb_devices() {
  static const UsbDevices kind;
  return kind;
}

}  // namespace virga::host
