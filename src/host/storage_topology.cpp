// Which path leads from which adapter to which unit, as HostStorageDeviceInfo tells it four times.
#include <algorithm>
#include <map>
#include <set>

#include "host/storage_info.h"
#include "host/storage_keys.h"

namespace virga::host {
namespace {

using storage::AdapterKind;
using storage::PathState;

std::string topology_key(std::string_view part, const std::string& name) {
  return fmt::format("key-vim.host.{}-{}", part, name);
}
std::string multipath_unit_key(const storage::LogicalUnit& unit) {
  return topology_key("MultipathInfo.LogicalUnit", unit.uuid);
}
std::string target_name(const storage::Path& path) {
  return fmt::format("{}:{}:{}", path.adapter, path.channel, path.target);
}

// ---- Paths

std::string path_state(PathState state) {
  switch (state) {
    case PathState::active: return "active";
    case PathState::standby: return "standby";
    case PathState::disabled: return "disabled";
    case PathState::dead: return "dead";
    case PathState::unknown: break;
  }
  return "unknown";
}

model::Ptr<vim::HostTargetTransport> iscsi_transport(const storage::IscsiTarget& target) {
  vim::HostInternetScsiTargetTransport transport;
  transport.iScsiName = target.name;
  transport.iScsiAlias = target.alias;
  for (const auto& address : target.addresses) transport.address.push_back(address);
  return model::share(std::move(transport));
}

model::Ptr<vim::HostTargetTransport> transport_of(const storage::Path& path, AdapterKind kind) {
  using model::share;
  if (const auto* target = std::get_if<storage::IscsiTarget>(&path.remote))
    return iscsi_transport(*target);
  if (const auto* port = std::get_if<storage::FibreChannelPort>(&path.remote)) {
    vim::HostFibreChannelTargetTransport transport;
    transport.portWorldWideName = static_cast<std::int64_t>(port->port_name);
    transport.nodeWorldWideName = static_cast<std::int64_t>(port->node_name);
    return share(std::move(transport));
  }
  switch (kind) {
    case AdapterKind::block: return share(vim::HostBlockAdapterTargetTransport());
    case AdapterKind::sas: return share(vim::HostSerialAttachedTargetTransport());
    case AdapterKind::nvme_pcie: return share(vim::HostPcieTargetTransport());
    case AdapterKind::nvme_tcp: return share(vim::HostTcpTargetTransport());
    case AdapterKind::nvme_rdma: return share(vim::HostRdmaTargetTransport());
    default: return share(vim::HostParallelScsiTargetTransport());
  }
}

// The whole of it in one walk, each part filled by a function of its own.
class Topologies {
 public:
  explicit Topologies(const storage::Devices& devices) : devices_(devices) {}

  model::Ptr<vim::HostScsiTopology> scsi() const;
  model::Ptr<vim::HostMultipathInfo> multipath() const;
  model::Ptr<vim::HostPlugStoreTopology> plug_store() const;
  model::Ptr<vim::HostNvmeTopology> nvme() const;

 private:
  const storage::Adapter& adapter_of(const storage::Path& path) const {
    return *find_adapter(devices_, path.adapter);
  }
  model::Ptr<vim::HostTargetTransport> transport(const storage::Path& path) const {
    return transport_of(path, adapter_of(path).kind);
  }
  void add_targets(vim::HostScsiTopologyInterface& interface,
                   const storage::Adapter& adapter) const;

  const storage::Devices& devices_;
};

void Topologies::add_targets(vim::HostScsiTopologyInterface& interface,
                             const storage::Adapter& adapter) const {
  std::map<std::string, std::vector<const storage::Path*>> targets;
  for (const auto& path : devices_.paths)
    if (path.adapter == adapter.name) targets[target_name(path)].push_back(&path);
  for (const auto& [name, paths] : targets) {
    auto& target = interface.target.emplace_back();
    target.key = topology_key("ScsiTopology.Target", name);
    target.target = paths.front()->target;
    target.transport = transport(*paths.front());
    for (const auto* path : paths) {
      auto& lun = target.lun.emplace_back();
      lun.key = topology_key("ScsiTopology.Lun", path->name());
      lun.lun = path->lun;
      lun.scsiLun = unit_key(*find_unit(devices_, path->unit));
    }
  }
}

model::Ptr<vim::HostScsiTopology> Topologies::scsi() const {
  vim::HostScsiTopology topology;
  for (const auto& adapter : devices_.adapters) {
    auto& interface = topology.adapter.emplace_back();
    interface.key = topology_key("ScsiTopology.Interface", adapter.name);
    interface.adapter = adapter_key(adapter);
    add_targets(interface, adapter);
  }
  return model::share(std::move(topology));
}

std::string_view policy_word(storage::PathPolicy policy) {
  switch (policy) {
    case storage::PathPolicy::round_robin:
      return psp_round_robin;
    case storage::PathPolicy::most_recent:
      return psp_most_recent;
    case storage::PathPolicy::fixed:
      break;
  }
  return psp_fixed;
}

// Where the kernel has several paths and nobody tells more, I/O is spread over the active ones.
// Everywhere else one path is used until it fails.
model::Ptr<vim::HostMultipathInfoLogicalUnitPolicy> policy_of(
    const storage::LogicalUnit& unit, const std::vector<const storage::Path*>& paths) {
  const auto rule = unit.path_rule.value_or(storage::PathRule{});
  if (unit.multipath && rule.policy != storage::PathPolicy::fixed) {
    vim::HostMultipathInfoLogicalUnitPolicy policy;
    policy.policy = policy_word(rule.policy);
    return model::share(std::move(policy));
  }
  vim::HostMultipathInfoFixedLogicalUnitPolicy policy;
  policy.policy = psp_fixed;
  const auto working = std::ranges::find_if(paths, [&](const auto* path) {
    return rule.preferred.empty() ? path->working : path->scsi_address == rule.preferred;
  });
  policy.prefer = (working == paths.end() ? paths.front() : *working)->name();
  return model::share(std::move(policy));
}

model::Ptr<vim::HostMultipathInfo> Topologies::multipath() const {
  vim::HostMultipathInfo info;
  for (const auto& unit : devices_.units) {
    const auto paths = paths_to(devices_, unit);
    auto& described = info.lun.emplace_back();
    described.key = multipath_unit_key(unit);
    described.id = unit.uuid;
    described.lun = unit_key(unit);
    described.policy = policy_of(unit, paths);
    for (const auto* path : paths) {
      auto& way = described.path.emplace_back();
      way.key = topology_key("MultipathInfo.Path", path->name());
      way.name = path->name();
      way.pathState = path_state(path->state);
      way.state = way.pathState;
      way.isWorkingPath = path->working;
      way.adapter = adapter_key(adapter_of(*path));
      way.lun = described.key;
      way.transport = transport(*path);
    }
  }
  return model::share(std::move(info));
}

model::Ptr<vim::HostPlugStoreTopology> Topologies::plug_store() const {
  vim::HostPlugStoreTopology topology;
  auto& plugin = topology.plugin.emplace_back();
  plugin.key = topology_key("PlugStoreTopology.Plugin", "Linux");
  plugin.name = "Linux";
  std::map<std::string, std::vector<std::string>> by_adapter;
  std::set<std::string> targets;
  for (const auto& unit : devices_.units) {
    auto& device = topology.device.emplace_back();
    device.key = topology_key("PlugStoreTopology.Device", unit.uuid);
    device.lun = unit_key(unit);
    plugin.device.push_back(device.key);
    for (const auto* path : paths_to(devices_, unit)) {
      auto& way = topology.path.emplace_back();
      way.key = topology_key("PlugStoreTopology.Path", path->name());
      way.name = path->name();
      way.channelNumber = path->channel;
      way.targetNumber = path->target;
      way.lunNumber = path->lun;
      way.adapter = topology_key("PlugStoreTopology.Adapter", path->adapter);
      way.target = topology_key("PlugStoreTopology.Target", target_name(*path));
      way.device = device.key;
      device.path.push_back(way.key);
      plugin.claimedPath.push_back(way.key);
      by_adapter[path->adapter].push_back(way.key);
      if (!targets.insert(*way.target).second) continue;
      auto& target = topology.target.emplace_back();
      target.key = *way.target;
      target.transport = transport(*path);
    }
  }
  for (const auto& adapter : devices_.adapters) {
    auto& described = topology.adapter.emplace_back();
    described.key = topology_key("PlugStoreTopology.Adapter", adapter.name);
    described.adapter = adapter_key(adapter);
    for (auto& path : by_adapter[adapter.name]) described.path.push_back(std::move(path));
  }
  return model::share(std::move(topology));
}

vim::HostNvmeController describe(const storage::Devices& devices,
                                 const storage::NvmeController& controller) {
  vim::HostNvmeController described;
  described.key = topology_key("NvmeController", controller.name);
  described.controllerNumber = controller.number;
  described.subnqn = controller.subsystem;
  described.name = controller.name;
  described.associatedAdapter = adapter_key(*find_adapter(devices, controller.adapter));
  described.transportType = controller.transport;
  described.numberOfQueues = controller.queues;
  described.queueSize = controller.queue_size;
  if (!controller.vendor_id.empty()) described.vendorId = controller.vendor_id;
  if (!controller.model.empty()) described.model = controller.model;
  if (!controller.serial.empty()) described.serialNumber = controller.serial;
  if (!controller.firmware.empty()) described.firmwareVersion = controller.firmware;
  for (const auto& space : controller.namespaces) {
    const auto& unit = *find_unit(devices, space.unit);
    auto& attached = described.attachedNamespace.emplace_back();
    attached.key = topology_key("NvmeNamespace", fmt::format("{}:{}", controller.name, space.id));
    attached.name = space.unit;
    attached.id = static_cast<std::int32_t>(space.id);
    attached.blockSize = static_cast<std::int32_t>(unit.block_bytes);
    attached.capacityInBlocks = static_cast<std::int64_t>(unit.bytes / unit.block_bytes);
  }
  return described;
}

model::Ptr<vim::HostNvmeTopology> Topologies::nvme() const {
  vim::HostNvmeTopology topology;
  for (const auto& adapter : devices_.adapters) {
    if (!is_nvme(adapter.kind)) continue;
    auto& interface = topology.adapter.emplace_back();
    interface.key = topology_key("NvmeTopology.Interface", adapter.name);
    interface.adapter = adapter_key(adapter);
    for (const auto& controller : devices_.controllers)
      if (controller.adapter == adapter.name)
        interface.connectedController.push_back(describe(devices_, controller));
  }
  return model::share(std::move(topology));
}

}  // namespace

model::Ptr<vim::HostScsiTopology> scsi_topology(const storage::Devices& devices) {
  return Topologies(devices).scsi();
}

model::Ptr<vim::HostMultipathInfo> multipath_info(const storage::Devices& devices) {
  return Topologies(devices).multipath();
}

model::Ptr<vim::HostPlugStoreTopology> plug_store_topology(const storage::Devices& devices) {
  return Topologies(devices).plug_store();
}

model::Ptr<vim::HostNvmeTopology> nvme_topology(const storage::Devices& devices) {
  return Topologies(devices).nvme();
}

vim::HostMultipathStateInfo multipath_state_info(const storage::Devices& devices) {
  vim::HostMultipathStateInfo info;
  for (const auto& path : devices.paths) {
    auto& state = info.path.emplace_back();
    state.name = path.name();
    state.pathState = path_state(path.state);
  }
  return info;
}

}  // namespace virga::host
