#include "host/storage_info.h"

#include "host/storage_keys.h"

namespace virga::host {
namespace {

using storage::AdapterKind;

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

model::Ptr<vim::ScsiLun> describe(const storage::LogicalUnit& unit) {
  if (unit.is_disk()) return model::share(describe_disk(unit));
  vim::ScsiLun lun;
  fill(lun, unit);
  return model::share(std::move(lun));
}

}  // namespace

// ---- Keys, as clients know them from vSphere

std::string adapter_key(const storage::Adapter& adapter) {
  return fmt::format("key-vim.host.{}-{}", hba_type(adapter.kind), adapter.name);
}

std::string unit_key(const storage::LogicalUnit& unit) {
  return fmt::format("key-vim.host.{}-{}", unit.is_disk() ? "ScsiDisk" : "ScsiLun", unit.uuid);
}

bool is_nvme(AdapterKind kind) {
  return kind == AdapterKind::nvme_pcie || kind == AdapterKind::nvme_tcp ||
         kind == AdapterKind::nvme_rdma || kind == AdapterKind::nvme_fc;
}

vim::HostScsiDisk describe_disk(const storage::LogicalUnit& unit) {
  vim::HostScsiDisk disk;
  fill(disk, unit);
  disk.devicePath = device_path(unit);
  disk.capacity.blockSize = static_cast<std::int32_t>(unit.block_bytes);
  disk.capacity.block = static_cast<std::int64_t>(unit.bytes / unit.block_bytes);
  disk.ssd = !unit.rotational;
  disk.localDisk = unit.local;
  disk.scsiDiskType = disk_type(unit);
  return disk;
}

vim::HostStorageDeviceInfo storage_device_info(const storage::Devices& devices) {
  vim::HostStorageDeviceInfo info;
  for (const auto& adapter : devices.adapters) info.hostBusAdapter.push_back(describe(adapter));
  for (const auto& unit : devices.units) info.scsiLun.push_back(describe(unit));
  info.scsiTopology = scsi_topology(devices);
  info.nvmeTopology = nvme_topology(devices);
  info.multipathInfo = multipath_info(devices);
  info.plugStoreTopology = plug_store_topology(devices);
  return info;
}

}  // namespace virga::host
