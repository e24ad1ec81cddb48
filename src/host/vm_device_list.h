// Internal to vm_config: the list of a VM's devices as the API shows it, in the making.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "host/vm_config.h"
#include "host/vm_config_words.h"

namespace virga::host {

using model::Ptr;

// Places on the virtual PCI bus, by vSphere's numbering.
namespace pci_units {
constexpr int video = 0;
constexpr int sound = 1;
constexpr int watchdog = 2;
constexpr int tpm = 5;
constexpr int scsi = 3;
constexpr int network_adapter = 7;
constexpr int vmci = 17;
constexpr int passthrough = 34;
constexpr int usb = 22;
constexpr int xhci = 23;
constexpr int sata = 24;
constexpr int nvme = 30;
}  // namespace pci_units

Ptr<vim::Description> description(std::string label, std::string summary);
void place(vim::VirtualDevice& device, int key, int controller, int unit);

// An object of the API's type of that name, which is a T.
template <class T>
Ptr<T> make_device(std::string_view type) {
  return Ptr<T>(model::DataPtr(model::find_type(type)->create()));
}

template <class Backing>
Ptr<vim::VirtualDeviceBackingInfo> device_backing(const std::string& name) {
  Backing backing;
  backing.deviceName = name;
  backing.useAutoDetect = is_auto_detected(name);
  return model::share(std::move(backing));
}

class DeviceList {
 public:
  DeviceList(const vmx::MachineConfig& config, const ConfigContext& context,
             const DeviceState& state, bool powered_on)
      : config_(config), context_(context), state_(state), powered_on_(powered_on) {}

  const vmx::MachineConfig& config() const { return config_; }

  void append(Ptr<vim::VirtualDevice> device);
  template <class T>
  void append(T device) {
    append(Ptr<vim::VirtualDevice>(model::share(std::move(device))));
  }
  // What was appended; each controller knows the devices on it.
  model::List<vim::VirtualDevice> take();

  Ptr<vim::VirtualDeviceBackingInfo> network_backing(const std::string& network) const;
  void set_file(vim::VirtualDeviceFileBackingInfo& backing, const std::string& file) const;
  // `can_connect`: what it is backed by is served here.
  Ptr<vim::VirtualDeviceConnectInfo> connectable(int key, bool start_connected, bool guest_control,
                                                 bool can_connect) const;

 protected:
  const vmx::MachineConfig& config_;
  const ConfigContext& context_;

 private:
  const DeviceState& state_;
  const bool powered_on_;
  std::vector<Ptr<vim::VirtualDevice>> devices_;
  std::map<int, model::Array<std::int32_t>> children_;
};

}  // namespace virga::host
