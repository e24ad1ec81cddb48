// Specs as clients write them, and a VM for them to make or change.
#pragma once

#include <gtest/gtest.h>

#include "vm_config_sample.h"

namespace virga::host {

using Spec = vim::VirtualMachineConfigSpec;
using Operation = vim::VirtualDeviceConfigSpecOperation;
using FileOperation = vim::VirtualDeviceConfigSpecFileOperation;

inline vim::VirtualDeviceConfigSpec& change(Spec& spec, Operation operation,
                                            const Ptr<vim::VirtualDevice>& device) {
  vim::VirtualDeviceConfigSpec& change = spec.deviceChange.emplace_back();
  change.operation = operation;
  change.device = device;
  return change;
}

template <class Device>
vim::VirtualDeviceConfigSpec& add(Spec& spec, Device device) {
  return change(spec, Operation::add, model::share(std::move(device)));
}

template <class Controller>
Controller controller(int key, int bus = 0) {
  Controller device;
  device.key = key;
  device.busNumber = bus;
  return device;
}

inline vim::VirtualDisk disk(int controller, std::int64_t kib, const std::string& file = "",
                             std::optional<int> unit = std::nullopt) {
  vim::VirtualDiskFlatVer2BackingInfo backing;
  backing.fileName = file;
  backing.diskMode = "persistent";
  backing.thinProvisioned = true;
  vim::VirtualDisk device;
  device.key = -1;
  device.controllerKey = controller;
  device.unitNumber = unit;
  device.capacityInKB = kib;
  device.backing = model::share(std::move(backing));
  return device;
}

inline vim::VirtualDeviceConfigSpec& add_new_disk(Spec& spec, vim::VirtualDisk device) {
  vim::VirtualDeviceConfigSpec& added = add(spec, std::move(device));
  added.fileOperation = FileOperation::create;
  return added;
}

inline vim::VirtualCdrom image_drive(int controller, const std::string& iso) {
  vim::VirtualCdromIsoBackingInfo backing;
  backing.fileName = iso;
  vim::VirtualCdrom device;
  device.key = -1;
  device.controllerKey = controller;
  device.backing = model::share(std::move(backing));
  vim::VirtualDeviceConnectInfo connect;
  connect.startConnected = connect.allowGuestControl = true;
  device.connectable = model::share(connect);
  return device;
}

inline Ptr<vim::VirtualDeviceBackingInfo> network_backing(const std::string& network) {
  vim::VirtualEthernetCardNetworkBackingInfo backing;
  backing.deviceName = network;
  return model::share(std::move(backing));
}

template <class Card>
Card card(const std::string& network) {
  Card device;
  device.key = -1;
  device.backing = network_backing(network);
  device.addressType = "generated";
  return device;
}

inline vim::VirtualSerialPort console_port() {
  vim::VirtualSerialPortPipeBackingInfo backing;
  backing.pipeName = "console";
  backing.endpoint = "server";
  vim::VirtualSerialPort device;
  device.key = -1;
  device.yieldOnPoll = true;
  device.backing = model::share(std::move(backing));
  return device;
}

// The device as the API shows it, for a client to change and send back.
template <class Device, class Edit>
vim::VirtualDeviceConfigSpec& edit(Spec& spec, const vim::VirtualMachineConfigInfo& info, int key,
                                   Edit edit) {
  Device device = device_at<Device>(info, key);
  edit(device);
  return change(spec, Operation::edit, model::share(std::move(device)));
}

inline vim::VirtualDeviceConfigSpec& remove(Spec& spec, const vim::VirtualMachineConfigInfo& info,
                                            int key) {
  for (const auto& device : info.hardware.device)
    if (device->key == key) return change(spec, Operation::remove, device);
  throw std::runtime_error("no such device");
}

class PlanTest : public testing::Test {
 protected:
  PlanTest() { around.add_disk("[ds1] web/web.vmdk"); }

  ConfigPlan create(const Spec& spec) const { return plan_creation(spec, around.context); }
  ConfigPlan change_vm(const Spec& spec, bool powered_on = false) const {
    return plan_change(present, spec, around.context, powered_on);
  }
  vim::VirtualMachineConfigInfo info(bool powered_on = false) const {
    return config_info(present, around.context, {}, powered_on);
  }

  Surroundings around;
  vmx::MachineConfig present = sample_config();
};

class VmCreation : public PlanTest {
 protected:
  VmCreation() {
    around.disks.clear();
    spec.name = "web";
  }
  Spec spec;
};

class VmChange : public PlanTest {
 protected:
  Spec spec;
};

}  // namespace virga::host
