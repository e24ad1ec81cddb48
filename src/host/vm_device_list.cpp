#include "host/vm_device_list.h"

namespace virga::host {

Ptr<vim::Description> description(std::string label, std::string summary) {
  vim::Description description;
  description.label = std::move(label);
  description.summary = std::move(summary);
  return model::share(std::move(description));
}

void place(vim::VirtualDevice& device, int key, int controller, int unit) {
  device.key = key;
  device.controllerKey = controller;
  device.unitNumber = unit;
}

void DeviceList::append(Ptr<vim::VirtualDevice> device) {
  if (device->controllerKey) children_[*device->controllerKey].push_back(device->key);
  devices_.push_back(std::move(device));
}

model::List<vim::VirtualDevice> DeviceList::take() {
  model::List<vim::VirtualDevice> list;
  for (Ptr<vim::VirtualDevice>& device : devices_) {
    const auto children = children_.find(device->key);
    if (children != children_.end() && device.as<vim::VirtualController>())
      static_cast<vim::VirtualController&>(device.edit()).device = children->second;
    list.push_back(device);
  }
  return list;
}

Ptr<vim::VirtualDeviceBackingInfo> DeviceList::network_backing(const std::string& network) const {
  vim::VirtualEthernetCardNetworkBackingInfo backing;
  backing.deviceName = network;
  backing.useAutoDetect = false;
  backing.network = context_.network(network);
  backing.inPassthroughMode = false;
  return model::share(std::move(backing));
}

// What cannot be resolved is shown as the .vmx has it.
void DeviceList::set_file(vim::VirtualDeviceFileBackingInfo& backing,
                          const std::string& file) const {
  const auto path = find_file(context_, file);
  backing.fileName = path ? path->format() : file;
  if (path) backing.datastore = context_.datastore(path->datastore());
}

Ptr<vim::VirtualDeviceConnectInfo> DeviceList::connectable(int key, bool start_connected,
                                                           bool guest_control,
                                                           bool can_connect) const {
  vim::VirtualDeviceConnectInfo info;
  info.migrateConnect = "unset";
  info.startConnected = start_connected;
  info.allowGuestControl = guest_control;
  if (powered_on_) {
    const auto now = state_.connected.find(key);
    info.connected = can_connect && (now == state_.connected.end() ? start_connected : now->second);
    info.status = info.connected || !start_connected || can_connect ? "ok" : "recoverableError";
  } else {
    info.status = "untried";
  }
  return model::share(std::move(info));
}

}  // namespace virga::host
