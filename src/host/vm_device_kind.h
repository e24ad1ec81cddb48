// Internal to vm_config: kinds of devices, each with all that the host knows of it in one file,
// vm_device_*.cpp: how the API shows it, changes it and offers it, and what it is to the
// hypervisor. How a .vmx has it: vmx/machine_devices.h.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "host/vm_config_device_plan.h"
#include "host/vm_device_list.h"

namespace virga::host {

class DeviceOptionList;
struct MachineBuild;

class DeviceKind {
 public:
  virtual ~DeviceKind() = default;

  virtual bool covers(std::string_view api_type) const = 0;

  virtual void show(DeviceList& list) const = 0;
  virtual void offer(DeviceOptionList& options) const = 0;

  virtual void add(DevicePlanner& planner, const DeviceChange& change) const = 0;
  // False: the VM has no such device.
  virtual bool edit(DevicePlanner& planner, const DeviceChange& change) const = 0;
  virtual bool remove(DevicePlanner& planner, const DeviceChange& change) const = 0;

  virtual void build(MachineBuild& machine) const = 0;
};

const DeviceKind& usb_controllers();
const DeviceKind& usb_devices();
const DeviceKind& serial_ports();
const DeviceKind& parallel_ports();
const DeviceKind& floppies();
const DeviceKind& sound_cards();
const DeviceKind& watchdogs();
const DeviceKind& tpms();
const DeviceKind& passthrough_devices();

// All of them, in the order in which a VM's devices are listed.
std::span<const DeviceKind* const> device_kinds();

// A kind whose devices have numbers and, but for USB's, neither come nor go while the VM runs.
template <class Device>
class NumberedKind : public DeviceKind {
 public:
  void show(DeviceList& list) const final {
    for (const Device& device : list.config().*traits_.devices) {
      Ptr<vim::VirtualDevice> shown = to_api(list, device);
      place(shown.edit(), device_key(device), controller_key(list.config()),
            traits_.first_unit + device.number);
      list.append(std::move(shown));
    }
  }

  void add(DevicePlanner& planner, const DeviceChange& change) const final {
    std::vector<Device>& devices = planner.config().*traits_.devices;
    auto at = devices.begin();
    Device device;
    for (; at != devices.end() && at->number == device.number; ++at) ++device.number;
    if (device.number >= traits_.most)
      throw too_many(
          change, fmt::format("a virtual machine has at most {} {}", traits_.most, traits_.plural));
    from_api(planner, change, device);
    planner.require_hot_plug(change, traits_.hot_plug, label(device));
    devices.insert(at, device);
    planner.added(change, device_key(device), traits_.served);
  }

  bool edit(DevicePlanner& planner, const DeviceChange& change) const final {
    Device* device = find_device(planner.config().*traits_.devices, change.device().key);
    if (!device) return false;
    const Device before = *device;
    from_api(planner, change, *device);
    if (*device != before) {
      if (!can_change_hot(before, *device)) planner.require_powered_off(label(*device));
      planner.need(privilege_to_change(before, *device));
    }
    planner.edited(change, device_key(*device), *device != before, traits_.served);
    return true;
  }

  bool remove(DevicePlanner& planner, const DeviceChange& change) const final {
    const Device* device = find_device(planner.config().*traits_.devices, change.device().key);
    if (!device || !covers(change.type())) return false;
    planner.require_hot_plug(change, traits_.hot_plug, label(*device));
    std::erase(planner.config().*traits_.devices, Device(*device));
    planner.removed(change);
    return true;
  }

 protected:
  struct Traits {
    std::vector<Device> vmx::MachineConfig::*devices;
    const char* plural;  // "serial ports"
    int most;
    int controller_key;
    int first_unit;
    FieldPaths served;  // fields that from_api() deals with though they may not come out as asked
    bool hot_plug = false;
  };
  explicit NumberedKind(Traits traits) : traits_(std::move(traits)) {}

  virtual int controller_key(const vmx::MachineConfig&) const { return traits_.controller_key; }
  // Without its place.
  virtual Ptr<vim::VirtualDevice> to_api(const DeviceList& list, const Device& device) const = 0;
  // Changes what the caller names. Throws InvalidDeviceSpec and its kin.
  virtual void from_api(DevicePlanner& planner, const DeviceChange& change,
                        Device& device) const = 0;
  virtual bool can_change_hot(const Device&, const Device&) const { return false; }
  virtual const char* privilege_to_change(const Device&, const Device&) const {
    return "VirtualMachine.Config.EditDevice";
  }

 private:
  const Traits traits_;
};

}  // namespace virga::host
