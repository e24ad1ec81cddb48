// The TPM. What it remembers lies in the folder NAME.vtpm beside the .vmx.
#include "host/device_option_list.h"
#include "host/vm_device_kind.h"
#include "host/vm_machine_build.h"

namespace virga::host {
namespace {

class Tpms final : public NumberedKind<vmx::Tpm> {
 public:
  Tpms()
      : NumberedKind({.devices = &vmx::MachineConfig::tpms,
                      .plural = "TPM",
                      .most = 1,
                      .controller_key = keys::pci,
                      .first_unit = pci_units::tpm,
                      .served = {}}) {}

  bool covers(std::string_view api_type) const override { return api_type == "VirtualTPM"; }

  void offer(DeviceOptionList& options) const override {
    vim::VirtualTPMOption option;
    option.type = "VirtualTPM";
    option.supportedFirmware = {"efi"};
    options.add(std::move(option));
  }

  void build(MachineBuild& machine) const override {
    for (const vmx::Tpm& tpm : machine.config.tpms)
      machine.spec.tpm =
          hypervisor::Tpm{device_key(tpm), machine.context.absolute(tpm_folder(machine.context))};
  }

 protected:
  Ptr<vim::VirtualDevice> to_api(const DeviceList&, const vmx::Tpm& tpm) const override {
    vim::VirtualTPM device;
    device.deviceInfo = description(label(tpm), "Trusted Platform Module 2.0");
    return model::share(std::move(device));
  }

  void from_api(DevicePlanner& planner, const DeviceChange& change, vmx::Tpm&) const override {
    if (planner.config().firmware != vmx::Firmware::efi)
      throw change.invalid("device", "a TPM needs EFI firmware");
  }
};

}  // namespace

const DeviceKind& tpms() {
  static const Tpms kind;
  return kind;
}

}  // namespace virga::host
