// Network adapters and the devices every VM has.
#include "base/error.h"
#include "host/hardware_version.h"
#include "host/vm_config_device_plan.h"
#include "vmx/text.h"

namespace virga::host {

// --- Network adapters --------------------------------------------------------------------------

std::string DevicePlanner::network_of(const DeviceChange& change) const {
  const auto& backing = change.device().backing;
  if (!backing)
    throw change.invalid<vim::InvalidDeviceBacking>("device.backing", "it names no network");
  const auto& type = backing->type_info();
  if (&type != &vim::VirtualEthernetCardNetworkBackingInfo::static_type())
    throw change.not_supported(fmt::format("a network adapter with a {}", type.name));
  const auto& network = static_cast<const vim::VirtualEthernetCardNetworkBackingInfo&>(*backing);
  // The name decides: clients that change it leave an old reference beside it.
  const std::string name = network.deviceName.empty() && network.network
                               ? planning_.context.name_of(*network.network)
                               : network.deviceName;
  if (!planning_.context.network(name))
    throw change.invalid<vim::InvalidDeviceBacking>(
        "device.backing.deviceName", fmt::format("there is no network '{}' on this host", name));
  return name;
}

// A generated address is not the caller's to choose; the one the adapter has may be said again.
void DevicePlanner::set_address(const DeviceChange& change, vmx::AddressType& present_type,
                                std::string& present_mac) const {
  const auto& card = change.device_as<vim::VirtualEthernetCard>();
  const std::string mac = card.macAddress.value_or("");
  const bool same_mac = mac.empty() || vmx::normalise_mac(mac) == present_mac;
  if (!card.addressType && same_mac) return;
  const auto refuse = [&](const std::string& why) {
    return change.invalid("device.macAddress", why);
  };
  const std::string word = card.addressType.value_or("");
  const auto type = word.empty()
                        ? (mac.empty() ? vmx::AddressType::generated : vmx::AddressType::manual)
                        : address_type_of(word);
  if (!type)
    throw change.invalid("device.addressType", fmt::format("there is no address type '{}'", word));
  if (*type == present_type && same_mac) return;
  if (*type == vmx::AddressType::generated) {
    if (!same_mac) throw refuse(fmt::format("{} cannot be a generated address", mac));
    present_mac.clear();
  } else {
    const auto address = vmx::normalise_mac(mac);
    if (!address) throw refuse(fmt::format("'{}' is no MAC address", mac));
    if (vmx::parse_unsigned(address->substr(0, 2), 16).value_or(1) & 1)
      throw refuse(*address + " is no unicast address");
    try {
      if (*type == vmx::AddressType::manual) vmx::check_manual_mac(*address);
    } catch (const Error& failure) {
      throw refuse(failure.what());
    }
    const auto refuse_same = [&](const std::string& other_mac, const auto& other) {
      if (&other_mac != &present_mac && other_mac == *address)
        throw refuse(fmt::format("{} has the address {} already", label(other), *address));
    };
    for (const vmx::NetworkAdapter& other : config().network_adapters)
      refuse_same(other.mac, other);
    for (const vmx::PassthroughDevice& other : config().passthrough)
      if (other.sriov) refuse_same(other.sriov->mac, other);
    present_mac = *address;
  }
  present_type = *type;
}

void DevicePlanner::set_adapter(const DeviceChange& change, vmx::NetworkAdapter& adapter) const {
  const auto& card = change.device_as<vim::VirtualEthernetCard>();
  set_address(change, adapter.address_type, adapter.mac);
  adapter.wake_on_lan = card.wakeOnLanEnabled.value_or(adapter.wake_on_lan);
  if (const auto& connectable = card.connectable) {
    adapter.start_connected = connectable->startConnected;
    adapter.guest_may_disconnect = connectable->allowGuestControl;
  }
}

// As vSphere does, we take the unit number (7 for the first adapter, …) as a wish.
int DevicePlanner::adapter_number(const DeviceChange& change) const {
  constexpr int first_unit = 7;
  const auto is_free = [&](int number) {
    return std::ranges::find(config().network_adapters, number, &vmx::NetworkAdapter::number) ==
           config().network_adapters.end();
  };
  const int wish = change.device().unitNumber.value_or(0) - first_unit;
  const int count = hardware_version(config().hardware_version).max_network_adapters;
  if (wish >= 0 && wish < count && is_free(wish)) return wish;
  const auto number = vmx::first_free_network_adapter(config());
  if (number && *number < count) return *number;
  vim::TooManyDevices detail;
  detail.property = "virtualDeviceSpec.device";
  throw kernel::Fault(
      std::move(detail),
      fmt::format("Device '{}': hardware version {} has at most {} network adapters.", change.index,
                  format_hardware_version(config().hardware_version), count));
}

namespace {

const FieldPaths kAdapterFields = {"addressType", "macAddress", "backing.deviceName",
                                   "backing.useAutoDetect", "backing.network"};

// VMXNET and VMXNET 2 are in no machine that runs.
bool can_come_and_go(vmx::AdapterModel model) {
  return machine_model(model) && model != vmx::AdapterModel::vrdma;
}

void set_rdma(const DeviceChange& change, vmx::NetworkAdapter& adapter) {
  const auto* card = change.spec->device.as<vim::VirtualVmxnet3Vrdma>();
  if (!card || !card->deviceProtocol) return;
  const auto protocol = rdma_protocol_of(*card->deviceProtocol);
  if (!protocol)
    throw change.invalid("device.deviceProtocol",
                         fmt::format("there is no RDMA protocol '{}'", *card->deviceProtocol));
  adapter.rdma_protocol = *protocol;
}

}  // namespace

void DevicePlanner::add_adapter(const DeviceChange& change) {
  vmx::NetworkAdapter adapter;
  adapter.model = *adapter_model_of(change.type());
  require_hot_plug(change, can_come_and_go(adapter.model), fmt::format("A {}", change.type()));
  adapter.number = adapter_number(change);
  adapter.network = network_of(change);
  set_adapter(change, adapter);
  set_rdma(change, adapter);
  const int key = device_key(adapter);
  config().network_adapters.push_back(adapter);
  planning_.plan.added.push_back(key);
  planning_.need("VirtualMachine.Config.AddRemoveDevice");
  set_connection(change, key, true);
  note(change, key, kAdapterFields);
}

void DevicePlanner::edit_adapter(const DeviceChange& change, vmx::NetworkAdapter& adapter) {
  const int key = device_key(adapter);
  const vmx::NetworkAdapter before = adapter;
  FieldPaths served = kAdapterFields;
  if (change.device().backing) {
    const auto& type = change.device().backing->type_info();
    if (adapter.distributed_port &&
        &type == &vim::VirtualEthernetCardDistributedVirtualPortBackingInfo::static_type()) {
      // The port it is on: held to what it is by refuse_unserved_fields().
    } else {
      const std::string network = network_of(change);
      if (network != adapter.network || adapter.distributed_port) {
        adapter.network = network;
        adapter.distributed_port.reset();
        adapter.connection_type.clear();
      }
    }
  }
  set_adapter(change, adapter);
  set_rdma(change, adapter);
  vmx::NetworkAdapter hot = before;
  hot.network = adapter.network;
  hot.distributed_port = adapter.distributed_port;
  hot.connection_type = adapter.connection_type;
  hot.start_connected = adapter.start_connected;
  hot.guest_may_disconnect = adapter.guest_may_disconnect;
  if (adapter != hot)
    planning_.require_powered_off("The address, wake-on-LAN or RDMA protocol of " + label(adapter));
  if (adapter != before) planning_.need("VirtualMachine.Config.EditDevice");
  set_connection(change, key, true);
  if (adapter != before || planning_.plan.connections.connected.contains(key))
    planning_.plan.edited.push_back(key);
  note(change, key, std::move(served));
}

bool DevicePlanner::remove_adapter(const DeviceChange& change) {
  const vmx::NetworkAdapter* found = find_device(config().network_adapters, change.device().key);
  if (!found || !change.spec->device.as<vim::VirtualEthernetCard>()) return false;
  const vmx::NetworkAdapter adapter = *found;
  require_hot_plug(change, can_come_and_go(adapter.model), label(adapter));
  std::erase(config().network_adapters, adapter);
  std::erase(config().boot.order, fmt::format("ethernet{}", adapter.number));
  planning_.plan.removed.push_back(device_key(adapter));
  planning_.need("VirtualMachine.Config.AddRemoveDevice");
  return true;
}

// --- What every VM has -------------------------------------------------------------------------

std::optional<int> fixed_device_key(const vim::VirtualDevice& device) {
  const std::string_view type = device.type_info().name;
  if (type == "VirtualIDEController") {
    const int bus = static_cast<const vim::VirtualIDEController&>(device).busNumber;
    const bool exists = bus >= 0 && bus < vmx::max_controllers(vmx::Bus::ide);
    return exists ? std::optional(keys::ide + bus) : std::nullopt;
  }
  if (type == "VirtualPS2Controller") return keys::ps2;
  if (type == "VirtualPCIController") return keys::pci;
  if (type == "VirtualSIOController") return keys::sio;
  if (type == "VirtualKeyboard") return keys::keyboard;
  if (type == "VirtualPointingDevice") return keys::pointing;
  if (type == "VirtualMachineVideoCard") return keys::video;
  if (type == "VirtualMachineVMCIDevice") return keys::vmci;
  return std::nullopt;
}

// Clients name them when they make a VM; others are to refer to them by the caller's keys.
void DevicePlanner::add_fixed(const DeviceChange& change) {
  const int key = *fixed_device_key(change.device());
  if (change.spec->device.as<vim::VirtualController>()) rename_controller(change, key);
  edit_fixed(change, key);
}

void DevicePlanner::edit_fixed(const DeviceChange& change, int key) {
  if (key == keys::video) set_video(change);
  note(change, key, {"device", "backing.deviceName", "backing.hostPointingDevice"});
}

namespace {

// What is asked for where it differs from what there is.
template <class Number>
std::int64_t within(const DeviceChange& change, const char* field,
                    const std::optional<Number>& asked, std::int64_t present, std::int64_t least,
                    std::int64_t most) {
  if (!asked || *asked == present) return present;
  if (*asked < least || *asked > most)
    throw change.invalid(std::string("device.") + field,
                         fmt::format("{} is not within {} and {}", *asked, least, most));
  return *asked;
}

}  // namespace

// Sizes are KiB, as the API counts them.
void DevicePlanner::set_video(const DeviceChange& change) {
  const auto& card = change.device_as<vim::VirtualMachineVideoCard>();
  vmx::Video video = config().video;
  video.memory_bytes = within(change, "videoRamSizeInKB", card.videoRamSizeInKB,
                              video.memory_bytes >> 10, 1 << 10, 256 << 10)
                       << 10;
  video.graphics_memory_bytes =
      within(change, "graphicsMemorySizeInKB", card.graphicsMemorySizeInKB,
             video.graphics_memory_bytes >> 10, 64 << 10, 8 << 20)
      << 10;
  video.displays = static_cast<int>(
      within(change, "numDisplays", card.numDisplays, video.displays, 1, most_displays));
  video.autodetect = card.useAutoDetect.value_or(video.autodetect);
  video.enable_3d = card.enable3DSupport.value_or(video.enable_3d);
  if (card.use3dRenderer) {
    const auto renderer = renderer_of(*card.use3dRenderer);
    if (!renderer)
      throw change.invalid("device.use3dRenderer",
                           fmt::format("there is no renderer '{}'", *card.use3dRenderer));
    video.renderer = *renderer;
  }
  if (video == config().video) return;
  planning_.require_powered_off("The video card");
  config().video = video;
  planning_.plan.edited.push_back(keys::video);
  planning_.need("VirtualMachine.Config.EditDevice");
}

}  // namespace virga::host
