#include "host/host_storage_system.h"

#include "host/datastore.h"
#include "host/host_system.h"
#include "host/names.h"
#include "host/storage_info.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

using storage::IscsiAdapter;

// What of a fault the storage column found is the host's configuration, in the API's terms.
[[noreturn]] void rethrow(const Error& failure) {
  switch (failure.kind()) {
    case ErrorKind::not_found: throw kernel::Fault(vim::NotFound{}, failure.what());
    case ErrorKind::invalid_argument:
    case ErrorKind::unsupported: throw kernel::from_error(failure);
    default: throw kernel::Fault(vim::HostConfigFault{}, failure.what());
  }
}

void append(storage::Devices& all, storage::Devices more) {
  for (auto& adapter : more.adapters) all.adapters.push_back(std::move(adapter));
  for (auto& unit : more.units)
    if (!find_unit(all, unit.name)) all.units.push_back(std::move(unit));
  for (auto& path : more.paths) all.paths.push_back(std::move(path));
}

model::Ptr<vim::HostFileSystemVolume> volume_of(const Datastore& datastore) {
  if (datastore.nas()) return datastore.properties().info.as<vim::NasDatastoreInfo>()->nas;
  vim::HostLocalFileSystemVolume volume;
  volume.type = datastore.properties().summary->type;
  volume.name = datastore.properties().name;
  volume.capacity = datastore.properties().summary->capacity;
  volume.device = datastore.files()->root().string();
  return model::share(std::move(volume));
}

vim::HostFileSystemMountInfo describe(const Datastore& datastore) {
  vim::HostFileSystemMountInfo info;
  info.volume = volume_of(datastore);
  info.mountInfo = datastore.properties().host.front()->mountInfo;
  info.vStorageSupport = "vStorageUnsupported";
  return info;
}

vim::HostPathSelectionPolicyOption policy(const char* key, const char* label,
                                          const char* summary) {
  vim::HostPathSelectionPolicyOption option;
  auto& element = option.policy.edit();
  element.key = key;
  element.label = label;
  element.summary = summary;
  return option;
}

}  // namespace

HostStorageSystem::HostStorageSystem(Host& host)
    : Implements(host.kernel.inventory, names::storage_system, [] {
        Properties properties;
        properties.fileSystemVolumeInfo.edit().volumeTypeList = {"OTHER", "NFS", "NFS41"};
        return properties;
      }()), host_(host) {
  set_guard(names::host_system);
}

Async<void> HostStorageSystem::start() {
  iscsi_ = std::make_unique<IscsiAdapter>(host_.kernel.executor, recorded_iscsi_settings());
  co_await read_machine();
  co_await iscsi_->rescan();
  publish();
  spawn(host_.kernel.executor, "watching iSCSI targets", iscsi_->watch([this] { publish(); }));
}

Async<void> HostStorageSystem::read_machine() {
  machine_ = co_await offload(host_.kernel.workers, [] { return storage::read_devices(); });
}

void HostStorageSystem::publish() {
  devices_ = machine_;
  append(devices_, iscsi_->devices());
  auto info = model::share(storage_device_info(devices_));
  info.edit().softwareInternetScsiEnabled = iscsi_->settings().enabled;
  auto& adapters = info.edit().hostBusAdapter;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    if (adapters[i]->device != IscsiAdapter::name) continue;
    vim::HostInternetScsiHba hba = *adapters[i].as<vim::HostInternetScsiHba>();
    describe_iscsi_settings(hba, iscsi_->settings(), iscsi_->discovered());
    adapters.replace(i, model::share(std::move(hba)));
  }
  const auto states = model::share(multipath_state_info(devices_));
  update([&](Properties& p) {
    p.storageDeviceInfo = info;
    p.multipathStateInfo = states;
  });
  host_.host_system->update([&](auto& p) {
    p.config.edit().storageDevice = info;
    p.config.edit().multipathState = states;
    if (p.summary->hardware)
      p.summary.edit().hardware.edit().numHBAs = static_cast<std::int32_t>(adapters.size());
  });
}

void HostStorageSystem::refresh_volumes() {
  update([&](Properties& p) {
    auto& mounted = p.fileSystemVolumeInfo.edit().mountInfo;
    mounted.clear();
    for (const auto& [name, datastore] : host_.datastores) mounted.push_back(describe(*datastore));
  });
  host_.host_system->update(
      [&](auto& p) { p.config.edit().fileSystemVolume = properties().fileSystemVolumeInfo; });
}

const storage::LogicalUnit& HostStorageSystem::unit(const std::string& device) const {
  const auto* found = find_unit(devices_, device);
  if (!found) throw kernel::not_found(fmt::format("disk '{}'", device));
  return *found;
}

// ---- Looking anew

Async<void> HostStorageSystem::RescanVmfs(model::Call&, const vim::RescanVmfsRequestType&) {
  for (const auto& [name, datastore] : std::map(host_.datastores)) co_await datastore->refresh();
  refresh_volumes();
}

Async<void> HostStorageSystem::RescanHba(model::Call&, const vim::RescanHbaRequestType& r) {
  const auto* found = find_adapter(devices_, r.hbaDevice);
  if (!found) throw kernel::not_found(fmt::format("adapter '{}'", r.hbaDevice));
  if (found->name == IscsiAdapter::name) {
    co_await iscsi_->rescan();
  } else {
    const auto look = [adapter = *found] { storage::rescan(adapter); };
    try {
      co_await offload(host_.kernel.workers, look);
    } catch (const Error& failure) {
      rethrow(failure);
    }
    co_await read_machine();
  }
  publish();
}

Async<void> HostStorageSystem::RescanAllHba(model::Call&, const vim::RescanAllHbaRequestType&) {
  const auto look = [adapters = machine_.adapters] {
    for (const auto& adapter : adapters) storage::rescan(adapter);
  };
  try {
    co_await offload(host_.kernel.workers, look);
  } catch (const Error& failure) {
    rethrow(failure);
  }
  co_await read_machine();
  co_await iscsi_->rescan();
  publish();
}

Async<void> HostStorageSystem::RefreshStorageSystem(model::Call&,
                                                    const vim::RefreshStorageSystemRequestType&) {
  co_await read_machine();
  publish();
  refresh_volumes();
}

// ---- Partitions

Async<model::List<vim::HostDiskPartitionInfo>> HostStorageSystem::RetrieveDiskPartitionInfo(
    model::Call&, const vim::RetrieveDiskPartitionInfoRequestType& r) {
  model::List<vim::HostDiskPartitionInfo> all;
  for (const std::string& device : r.devicePath) {
    const storage::LogicalUnit disk = unit(device);
    if (disk.device_path.empty())
      throw kernel::not_supported(fmt::format("Partitions of {}, which has no block device here,",
                                              disk.name));
    const auto read = [path = disk.device_path] { return storage::read_partitions(path); };
    try {
      const auto table = co_await offload(host_.kernel.workers, read);
      all.push_back(partition_info(device, table, disk.bytes));
    } catch (const Error& failure) {
      rethrow(failure);
    }
  }
  co_return all;
}

Async<model::Ptr<vim::HostDiskPartitionInfo>> HostStorageSystem::ComputeDiskPartitionInfo(
    model::Call&, const vim::ComputeDiskPartitionInfoRequestType& r) {
  const std::string format = r.partitionFormat.value_or("gpt");
  if (format != "gpt" && format != "mbr")
    throw kernel::invalid_argument("partitionFormat", fmt::format("'{}' is no format", format));
  unit(r.devicePath);
  vim::HostDiskPartitionInfo info;
  info.deviceName = r.devicePath;
  info.layout = r.layout;
  info.spec = partition_spec(r.layout, format);
  co_return model::share(std::move(info));
}

// ---- Paths

Async<void> HostStorageSystem::set_path_enabled(const std::string& name, bool enabled) {
  const auto* found = find_path(devices_, name);
  if (!found) throw kernel::not_found(fmt::format("path '{}'", name));
  if (found->adapter == IscsiAdapter::name) {
    auto settings = iscsi_->settings();
    const auto& target = std::get<storage::IscsiTarget>(found->remote);
    settings.set_path_enabled(target.name, target.addresses.front(), enabled);
    apply(std::move(settings));
    co_await iscsi_->rescan();
  } else {
    const auto set = [path = *found, enabled] { storage::set_path_enabled(path, enabled); };
    try {
      co_await offload(host_.kernel.workers, set);
    } catch (const Error& failure) {
      rethrow(failure);
    }
    co_await read_machine();
  }
  publish();
}

Async<void> HostStorageSystem::EnableMultipathPath(model::Call&,
                                                   const vim::EnableMultipathPathRequestType& r) {
  co_await set_path_enabled(r.pathName, true);
}

Async<void> HostStorageSystem::DisableMultipathPath(model::Call&,
                                                    const vim::DisableMultipathPathRequestType& r) {
  co_await set_path_enabled(r.pathName, false);
}

Async<model::List<vim::HostPathSelectionPolicyOption>>
HostStorageSystem::QueryPathSelectionPolicyOptions(
    model::Call&, const vim::QueryPathSelectionPolicyOptionsRequestType&) {
  model::List<vim::HostPathSelectionPolicyOption> options;
  options.push_back(policy("VMW_PSP_FIXED", "Fixed", "One path until it fails"));
  options.push_back(policy("VMW_PSP_RR", "Round Robin", "All active paths, by the kernel"));
  co_return options;
}

}  // namespace virga::host
