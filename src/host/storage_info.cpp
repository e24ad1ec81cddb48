#include "host/storage_info.h"

#include <algorithm>
#include <functional>

namespace virga::host {
namespace {

using storage::AdapterKind;
using storage::PathState;

constexpr std::uint64_t alignment = 1 << 20;  // bytes: where partitions begin

// ---- Keys, as clients know them from vSphere

std::string_view hba_type(AdapterKind kind) {
  switch (kind) {
    case AdapterKind::block: return "BlockHba";
    case AdapterKind::parallel_scsi: return "ParallelScsiHba";
    case AdapterKind::sas: return "SerialAttachedHba";
    case AdapterKind::fibre_channel:
    case AdapterKind::nvme_fc: return "FibreChannelHba";
    case AdapterKind::fcoe: return "FibreChannelOverEthernetHba";
    case AdapterKind::iscsi: return "InternetScsiHba";
    case AdapterKind::nvme_pcie: return "PcieHba";
    case AdapterKind::nvme_tcp: return "TcpHba";
    case AdapterKind::nvme_rdma: return "RdmaHba";
  }
  return {};
}

std::string adapter_key(const storage::Adapter& adapter) {
  return fmt::format("key-vim.host.{}-{}", hba_type(adapter.kind), adapter.name);
}
std::string unit_key(const storage::LogicalUnit& unit) {
  return fmt::format("key-vim.host.{}-{}", unit.is_disk() ? "ScsiDisk" : "ScsiLun", unit.uuid);
}
std::string topology_key(std::string_view part, const std::string& name) {
  return fmt::format("key-vim.host.{}-{}", part, name);
}
std::string multipath_unit_key(const storage::LogicalUnit& unit) {
  return topology_key("MultipathInfo.LogicalUnit", unit.uuid);
}
std::string target_name(const storage::Path& path) {
  return fmt::format("{}:{}:{}", path.adapter, path.channel, path.target);
}

// ---- Adapters

vim::FibreChannelPortType port_type(const std::string& words) {
  if (words.find("loop") != std::string::npos) return vim::FibreChannelPortType::loop;
  if (words.find("fabric") != std::string::npos) return vim::FibreChannelPortType::fabric;
  return words.starts_with("Point-To-Point") ? vim::FibreChannelPortType::pointToPoint
                                             : vim::FibreChannelPortType::unknown;
}

void fill_port(vim::HostFibreChannelHba& hba, const storage::Adapter& adapter) {
  hba.portType = vim::FibreChannelPortType::unknown;
  const auto* link = std::get_if<storage::FibreChannelLink>(&adapter.identity);
  if (!link) return;
  hba.portWorldWideName = static_cast<std::int64_t>(link->port.port_name);
  hba.nodeWorldWideName = static_cast<std::int64_t>(link->port.node_name);
  hba.portType = port_type(link->type);
  hba.speed = static_cast<std::int64_t>(link->bits_per_second);
}

vim::HostFibreChannelOverEthernetHba fcoe_hba(const storage::Adapter& adapter) {
  vim::HostFibreChannelOverEthernetHba hba;
  fill_port(hba, adapter);
  hba.isSoftwareFcoe = adapter.driver == "fcoe";
  if (const auto* link = std::get_if<storage::FibreChannelLink>(&adapter.identity)) {
    hba.underlyingNic = link->nic;
    hba.linkInfo.vnportMac = link->mac;
    hba.linkInfo.fcfMac = link->forwarder_mac;
    hba.linkInfo.vlanId = link->vlan;
  }
  return hba;
}

// What the kernel's initiator or a card's is set up as: by its own tools, not through the API.
vim::HostInternetScsiHba iscsi_hba(const storage::Adapter& adapter) {
  vim::HostInternetScsiHba hba;
  const auto& initiator = std::get<storage::IscsiInitiator>(adapter.identity);
  hba.isSoftwareBased = initiator.software;
  hba.canBeDisabled = false;
  hba.networkBindingSupport = vim::HostInternetScsiHbaNetworkBindingSupportType::notsupported;
  hba.iScsiName = initiator.name;
  if (!initiator.alias.empty()) hba.iScsiAlias = initiator.alias;
  if (!initiator.address.empty()) hba.ipProperties.address = initiator.address;
  if (!initiator.mac.empty()) hba.ipProperties.mac = initiator.mac;
  return hba;
}

model::Ptr<vim::HostHostBusAdapter> make_hba(const storage::Adapter& adapter) {
  using model::share;
  switch (adapter.kind) {
    case AdapterKind::block: return share(vim::HostBlockHba());
    case AdapterKind::parallel_scsi: return share(vim::HostParallelScsiHba());
    case AdapterKind::sas: {
      vim::HostSerialAttachedHba hba;
      if (const auto* address = std::get_if<std::uint64_t>(&adapter.identity))
        hba.nodeWorldWideName = fmt::format("{:016x}", *address);
      return share(std::move(hba));
    }
    case AdapterKind::fibre_channel:
    case AdapterKind::nvme_fc: {
      vim::HostFibreChannelHba hba;
      fill_port(hba, adapter);
      return share(std::move(hba));
    }
    case AdapterKind::fcoe: return share(fcoe_hba(adapter));
    case AdapterKind::iscsi: return share(iscsi_hba(adapter));
    case AdapterKind::nvme_pcie: return share(vim::HostPcieHba());
    case AdapterKind::nvme_tcp: return share(vim::HostTcpHba());
    case AdapterKind::nvme_rdma: return share(vim::HostRdmaHba());
  }
  return {};
}

bool is_nvme(AdapterKind kind) {
  return kind == AdapterKind::nvme_pcie || kind == AdapterKind::nvme_tcp ||
         kind == AdapterKind::nvme_rdma || kind == AdapterKind::nvme_fc;
}

model::Ptr<vim::HostHostBusAdapter> describe(const storage::Adapter& adapter) {
  auto hba = make_hba(adapter);
  auto& filled = hba.edit();
  filled.key = adapter_key(adapter);
  filled.device = adapter.name;
  filled.status = adapter.online ? "online" : "offline";
  filled.model = adapter.model.empty() ? adapter.driver : adapter.model;
  filled.driver = adapter.driver;
  filled.storageProtocol = is_nvme(adapter.kind) ? "nvme" : "scsi";
  if (!adapter.pci_address.empty()) {
    filled.pci = adapter.pci_address;
    filled.bus = std::stoi(adapter.pci_address.substr(5, 2), nullptr, 16);
  }
  return hba;
}

// ---- Units

std::string_view unit_type(int type) {
  switch (type) {
    case 0:
    case 14: return "disk";
    case 1: return "tape";
    case 2: return "printer";
    case 3: return "processor";
    case 4: return "worm";
    case 5: return "cdrom";
    case 6: return "scanner";
    case 7: return "opticalDevice";
    case 8: return "mediaChanger";
    case 9: return "communications";
    case 12: return "storageArrayController";
    case 13: return "enclosure";
    default: return "unknown";
  }
}

std::string_view operational_state(const std::string& state) {
  if (state.empty() || state == "running") return "ok";
  if (state == "offline") return "off";
  if (state == "transport-offline") return "lostCommunication";
  if (state == "quiesce" || state == "blocked") return "quiesced";
  return "error";
}

std::string device_path(const storage::LogicalUnit& unit) {
  return unit.device_path.empty() ? storage::device_folder + unit.name : unit.device_path;
}

void fill(vim::ScsiLun& lun, const storage::LogicalUnit& unit) {
  lun.key = unit_key(unit);
  lun.uuid = unit.uuid;
  lun.deviceName = device_path(unit);
  lun.deviceType = lun.lunType = unit_type(unit.type);
  lun.canonicalName = unit.name;
  const bool is_identified = !unit.name.starts_with("mpx.");
  auto& descriptor = lun.descriptor.emplace_back();
  descriptor.quality = is_identified ? "highQuality" : "lowQuality";
  descriptor.id = unit.name;
  const std::string make = unit.vendor.empty() ? "Block" : unit.vendor;
  lun.displayName = fmt::format("{}{} {} ({})", unit.local ? "Local " : "", make,
                                unit.is_disk() ? "Disk" : unit_type(unit.type), unit.name);
  if (!unit.vendor.empty()) lun.vendor = unit.vendor;
  if (!unit.model.empty()) lun.model = unit.model;
  if (!unit.revision.empty()) lun.revision = unit.revision;
  if (!unit.serial.empty()) lun.serialNumber = unit.serial;
  if (unit.scsi_level > 0) lun.scsiLevel = unit.scsi_level;
  if (unit.queue_depth > 0) lun.queueDepth = unit.queue_depth;
  for (const char byte : unit.inquiry) lun.standardInquiry.push_back(static_cast<std::int8_t>(byte));
  lun.operationalState = {std::string(operational_state(unit.state))};
  lun.vStorageSupport = "vStorageUnsupported";
}

std::string disk_type(const storage::LogicalUnit& unit) {
  if (unit.block_bytes != 512) return "native4k";
  return unit.physical_block_bytes > 512 ? "emulated512" : "native512";
}

model::Ptr<vim::ScsiLun> describe(const storage::Devices& devices,
                                  const storage::LogicalUnit& unit) {
  if (unit.is_disk()) return model::share(describe_disk(unit, paths_to(devices, unit)));
  vim::ScsiLun lun;
  fill(lun, unit);
  return model::share(std::move(lun));
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

// Where the kernel has several paths, dm-multipath or NVMe spreads I/O over the active ones; its
// selector is not told by sysfs. Everywhere else one path is used until it fails.
model::Ptr<vim::HostMultipathInfoLogicalUnitPolicy> policy_of(
    const storage::LogicalUnit& unit, const std::vector<const storage::Path*>& paths) {
  if (unit.multipath) {
    vim::HostMultipathInfoLogicalUnitPolicy policy;
    policy.policy = "VMW_PSP_RR";
    return model::share(std::move(policy));
  }
  vim::HostMultipathInfoFixedLogicalUnitPolicy policy;
  policy.policy = "VMW_PSP_FIXED";
  const auto working = std::ranges::find_if(paths, [](const auto* path) { return path->working; });
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

// ---- Partitions

// Types by the numbers of the DOS table and the GUIDs of the GPT.
std::string_view partition_type(std::string type) {
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::toupper(c); });
  if (type == "83" || type == "0FC63DAF-8483-4772-8E79-3D69D8477DE4") return "linuxNative";
  if (type == "82" || type == "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F") return "linuxSwap";
  if (type == "5" || type == "F" || type == "85") return "extended";
  if (type == "7" || type == "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7") return "ntfs";
  if (type == "FB" || type == "AA31E02A-400F-11DB-9590-000C2911D1B8") return "vmfs";
  if (type == "FC" || type == "9D275380-40AD-11DB-BF97-000C2911D1B8") return "vmkDiagnostic";
  return "none";
}

void add_range(vim::HostDiskPartitionLayout& layout, const storage::Partition& partition,
               std::uint32_t sector_bytes) {
  auto& range = layout.partition.emplace_back();
  range.partition = partition.number;
  range.type = partition_type(partition.type);
  range.start.blockSize = range.end.blockSize = static_cast<std::int32_t>(sector_bytes);
  range.start.block = static_cast<std::int64_t>(partition.start);
  range.end.block = static_cast<std::int64_t>(partition.start + partition.sectors - 1);
}

// ---- iSCSI settings

std::string chap_type(storage::Chap use) {
  switch (use) {
    case storage::Chap::prohibited: return "chapProhibited";
    case storage::Chap::discouraged: return "chapDiscouraged";
    case storage::Chap::preferred: return "chapPreferred";
    case storage::Chap::required: break;
  }
  return "chapRequired";
}

model::Ptr<vim::HostInternetScsiHbaAuthenticationProperties> authentication(
    const storage::ChapCredentials& initiator, const storage::ChapCredentials& target,
    std::optional<bool> initiator_inherited, std::optional<bool> target_inherited) {
  vim::HostInternetScsiHbaAuthenticationProperties properties;
  properties.chapAuthEnabled = initiator.use != storage::Chap::prohibited;
  properties.chapAuthenticationType = chap_type(initiator.use);
  if (!initiator.name.empty()) properties.chapName = initiator.name;
  properties.chapInherited = initiator_inherited;
  properties.mutualChapAuthenticationType = chap_type(target.use);
  if (!target.name.empty()) properties.mutualChapName = target.name;
  properties.mutualChapInherited = target_inherited;
  return model::share(std::move(properties));
}

std::string digest_type(bool wanted) { return wanted ? "digestPreferred" : "digestProhibited"; }

vim::HostInternetScsiHbaDigestProperties digests(bool header, std::optional<bool> inherited) {
  vim::HostInternetScsiHbaDigestProperties properties;
  properties.headerDigestType = digest_type(header);
  properties.headerDigestInherited = inherited;
  properties.dataDigestType = digest_type(false);
  return properties;
}

// Of a portal or target: what it overrides, and what it inherits.
template <class Target>
void describe_overrides(Target& described, const storage::IscsiSettings& settings,
                        const storage::IscsiOverrides& own) {
  described.authenticationProperties =
      authentication(own.initiator.value_or(settings.authentication.initiator),
                     own.target.value_or(settings.authentication.target), !own.initiator,
                     !own.target);
  described.digestProperties = model::share(
      digests(own.header_digest.value_or(settings.header_digest), !own.header_digest));
}

void add_option(vim::HostInternetScsiHba& hba, const char* name, int value, int fallback,
                const char* summary) {
  vim::OptionDef definition;
  definition.key = name;
  definition.label = name;
  definition.summary = summary;
  vim::IntOption range;
  range.min = 1;
  range.max = 60;
  range.defaultValue = fallback;
  range.valueIsReadonly = false;
  definition.optionType = model::share(std::move(range));
  hba.supportedAdvancedOptions.push_back(std::move(definition));
  auto& current = hba.advancedOptions.emplace_back();
  current.key = name;
  current.value = model::any(std::int32_t{value});
}

}  // namespace

vim::HostScsiDisk describe_disk(const storage::LogicalUnit& unit,
                                const std::vector<const storage::Path*>& paths) {
  vim::HostScsiDisk disk;
  fill(disk, unit);
  disk.devicePath = device_path(unit);
  disk.capacity.blockSize = static_cast<std::int32_t>(unit.block_bytes);
  disk.capacity.block = static_cast<std::int64_t>(unit.bytes / unit.block_bytes);
  disk.ssd = !unit.rotational;
  disk.localDisk = unit.local;
  disk.scsiDiskType = disk_type(unit);
  for (const auto* path : paths) disk.physicalLocation.push_back(path->name());
  return disk;
}

vim::HostStorageDeviceInfo storage_device_info(const storage::Devices& devices) {
  vim::HostStorageDeviceInfo info;
  for (const auto& adapter : devices.adapters) info.hostBusAdapter.push_back(describe(adapter));
  for (const auto& unit : devices.units) info.scsiLun.push_back(describe(devices, unit));
  const Topologies topologies(devices);
  info.scsiTopology = topologies.scsi();
  info.nvmeTopology = topologies.nvme();
  info.multipathInfo = topologies.multipath();
  info.plugStoreTopology = topologies.plug_store();
  return info;
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

vim::HostDiskPartitionInfo partition_info(const std::string& device,
                                          const storage::PartitionTable& table,
                                          std::uint64_t device_bytes) {
  vim::HostDiskPartitionInfo info;
  info.deviceName = device;
  const bool is_gpt = table.label == "gpt";
  info.spec.partitionFormat = is_gpt ? "gpt" : table.label == "dos" ? "mbr" : "unknown";
  info.spec.totalSectors = static_cast<std::int64_t>(device_bytes / table.sector_bytes);
  vim::HostDiskDimensionsLba total;
  total.blockSize = static_cast<std::int32_t>(table.sector_bytes);
  total.block = *info.spec.totalSectors;
  info.layout.total = model::share(std::move(total));
  for (const auto& partition : table.partitions) {
    auto& attributes = info.spec.partition.emplace_back();
    attributes.partition = partition.number;
    attributes.startSector = static_cast<std::int64_t>(partition.start);
    attributes.endSector = static_cast<std::int64_t>(partition.start + partition.sectors - 1);
    attributes.type = partition_type(partition.type);
    if (is_gpt) attributes.guid = partition.type;
    attributes.logical = !is_gpt && partition.number > 4;
    attributes.attributes = static_cast<std::int8_t>(partition.bootable ? 0x80 : 0);
    add_range(info.layout, partition, table.sector_bytes);
  }
  return info;
}

vim::HostDiskPartitionSpec partition_spec(const vim::HostDiskPartitionLayout& layout,
                                          const std::string& format) {
  vim::HostDiskPartitionSpec spec;
  spec.partitionFormat = format;
  if (layout.total) spec.totalSectors = layout.total->block;
  int number = 0;
  for (const auto& range : layout.partition) {
    auto& attributes = spec.partition.emplace_back();
    number = range->partition.value_or(number + 1);
    attributes.partition = number;
    attributes.startSector = range->start.block;
    attributes.endSector = range->end.block;
    attributes.type = range->type;
    attributes.logical = format == "mbr" && number > 4;
    const auto block = static_cast<std::uint64_t>(std::max(range->start.blockSize, 1));
    attributes.partitionAlignment = static_cast<std::int64_t>(alignment / block);
  }
  return spec;
}

void describe_iscsi_settings(vim::HostInternetScsiHba& hba, const storage::IscsiSettings& settings,
                             const std::vector<storage::IscsiAdapter::Discovered>& discovered) {
  hba.canBeDisabled = true;
  hba.discoveryCapabilities.staticTargetDiscoverySettable = false;
  hba.discoveryCapabilities.sendTargetsDiscoverySettable = true;
  hba.discoveryProperties.staticTargetDiscoveryEnabled = true;
  hba.discoveryProperties.sendTargetsDiscoveryEnabled = settings.send_targets;
  hba.authenticationCapabilities.chapAuthSettable = true;
  hba.authenticationCapabilities.mutualChapSettable = true;
  hba.authenticationCapabilities.targetChapSettable = true;
  hba.authenticationCapabilities.targetMutualChapSettable = true;
  const auto& [initiator, target] = settings.authentication;
  hba.authenticationProperties =
      *authentication(initiator, target, std::nullopt, std::nullopt);
  vim::HostInternetScsiHbaDigestCapabilities digestible;
  digestible.headerDigestSettable = digestible.targetHeaderDigestSettable = true;
  digestible.dataDigestSettable = digestible.targetDataDigestSettable = false;
  hba.digestCapabilities = model::share(std::move(digestible));
  hba.digestProperties = model::share(digests(settings.header_digest, std::nullopt));
  hba.ipCapabilities.ipv6Supported = true;
  hba.ipCapabilities.hostNameAsTargetAddress = true;
  add_option(hba, "LoginTimeout", settings.login_timeout, 5, "Seconds a login may take");
  add_option(hba, "NoopOutInterval", settings.check_interval, 15,
             "Seconds between looks at idle sessions");
  for (const auto& portal : settings.portals) {
    auto& described = hba.configuredSendTarget.emplace_back();
    described.address = portal.portal.address;
    described.port = portal.portal.port;
    describe_overrides(described, settings, portal.overrides);
  }
  const auto add_target = [&](const storage::StaticTarget& target) -> auto& {
    auto& described = hba.configuredStaticTarget.emplace_back();
    described.address = target.portal.address;
    described.port = target.portal.port;
    described.iScsiName = target.target;
    describe_overrides(described, settings, target.overrides);
    return described;
  };
  for (const auto& target : settings.targets)
    add_target(target).discoveryMethod = "staticMethod";
  for (const auto& found : discovered) {
    auto& described = add_target(found.target);
    described.discoveryMethod = "sendTargetMethod";
    described.parent = found.parent.text();
  }
}

}  // namespace virga::host
