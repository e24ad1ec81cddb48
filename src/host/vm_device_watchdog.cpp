// The watchdog timer: to the guest Intel's 6300ESB, which it has to start itself.
#include "host/device_option_list.h"
#include "host/vm_device_kind.h"
#include "host/vm_machine_build.h"

namespace virga::host {
namespace {

class Watchdogs final : public NumberedKind<vmx::Watchdog> {
 public:
  Watchdogs()
      : NumberedKind({.devices = &vmx::MachineConfig::watchdogs,
                      .plural = "watchdog timer",
                      .most = 1,
                      .controller_key = keys::pci,
                      .first_unit = pci_units::watchdog,
                      .served = {"running"}}) {}

  bool covers(std::string_view api_type) const override { return api_type == "VirtualWDT"; }

  void offer(DeviceOptionList& options) const override {
    vim::VirtualWDTOption option;
    option.type = "VirtualWDT";
    option.controllerType = "VirtualPCIController";
    option.runOnBoot = bool_option(false, false);
    options.add(std::move(option));
  }

  void build(MachineBuild& machine) const override {
    for (const vmx::Watchdog& watchdog : machine.config.watchdogs) {
      if (watchdog.run_on_boot) throw kernel::not_supported(running_at_boot);
      machine.spec.watchdog = hypervisor::Watchdog{device_key(watchdog)};
    }
  }

 protected:
  Ptr<vim::VirtualDevice> to_api(const DeviceList&, const vmx::Watchdog& watchdog) const override {
    vim::VirtualWDT device;
    device.deviceInfo = description(label(watchdog), label(watchdog));
    device.runOnBoot = watchdog.run_on_boot;
    return model::share(std::move(device));
  }

  void from_api(DevicePlanner&, const DeviceChange& change, vmx::Watchdog&) const override {
    if (change.device_as<vim::VirtualWDT>().runOnBoot) throw change.not_supported(running_at_boot);
  }

 private:
  static constexpr const char* running_at_boot = "A watchdog timer that the firmware starts";
};

}  // namespace

const DeviceKind& watchdogs() {
  static const Watchdogs kind;
  return kind;
}

}  // namespace virga::host
