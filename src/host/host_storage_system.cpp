#include "host/host_storage_system.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "host/datastore.h"
#include "host/host_system.h"
#include "host/names.h"
#include "host/storage_info.h"
#include "host/storage_keys.h"
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

vim::HostPathSelectionPolicyOption policy(std::string_view key, const char* label,
                                          const char* summary) {
  vim::HostPathSelectionPolicyOption option;
  auto& element = option.policy.edit();
  element.key = key;
  element.label = label;
  element.summary = summary;
  return option;
}

// By the WWID of a map: the rule it was given.
constexpr const char* kPathRules = "path_rules";

storage::PathRules kept_path_rules(const Host& host) {
  storage::PathRules rules;
  for (const auto& [wwid, text] : host.kernel.database->all(kPathRules)) {
    const json::value rule = json::parse(text);
    rules[wwid] = {static_cast<storage::PathPolicy>(rule.at("policy").as_int64()),
                   std::string(rule.at("preferred").as_string())};
  }
  return rules;
}

void keep_path_rule(Host& host, const std::string& wwid, const storage::PathRule& rule) {
  const json::object document = {{"policy", static_cast<int>(rule.policy)},
                                 {"preferred", rule.preferred}};
  host.kernel.database->put(kPathRules, wwid, json::serialize(document));
}

storage::PathRule rule_of(const storage::Devices& devices, const storage::LogicalUnit& unit,
                          const model::Ptr<vim::HostMultipathInfoLogicalUnitPolicy>& wanted) {
  const std::string& word = wanted->policy;
  if (word == psp_round_robin) return {storage::PathPolicy::round_robin, ""};
  if (word == psp_most_recent) return {storage::PathPolicy::most_recent, ""};
  if (word != psp_fixed)
    throw kernel::invalid_argument("policy", fmt::format("there is no path policy '{}'", word));
  const auto* fixed = wanted.as<vim::HostMultipathInfoFixedLogicalUnitPolicy>();
  const std::string name = fixed ? fixed->prefer : "";
  const storage::Path* path = find_path(devices, name);
  if (!path || path->unit != unit.name)
    throw kernel::invalid_argument("policy.prefer",
                                   fmt::format("'{}' is no path to {}", name, unit.name));
  return {storage::PathPolicy::fixed, path->scsi_address};
}

// What multipathd goes by. It does not tell which path is preferred: that is as it was asked for.
void tell_path_rules(storage::Devices& devices, const storage::PathRules& kept) {
  const auto has_map = [](const storage::LogicalUnit& unit) { return !unit.map.empty(); };
  if (std::ranges::none_of(devices.units, has_map)) return;
  const auto in_force = storage::path_rules_in_force();
  for (storage::LogicalUnit& unit : devices.units) {
    const auto rule = in_force.find(unit.map);
    if (rule == in_force.end()) continue;
    unit.path_rule = rule->second;
    const auto asked = kept.find(unit.map);
    if (asked != kept.end() && asked->second.policy == rule->second.policy)
      unit.path_rule = asked->second;
  }
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
  if (!kept_path_rules(host_).empty()) {
    try {
      co_await enforce_path_rules();
    } catch (const Error& failure) {
      logger("storage")->error("path policies: {}", failure.what());
    }
  }
  co_await read_machine();
  co_await iscsi_->rescan();
  publish();
  spawn(host_.kernel.executor, "watching iSCSI targets", iscsi_->watch([this] { publish(); }));
}

Async<void> HostStorageSystem::read_machine() {
  const auto read = [kept = kept_path_rules(host_)] {
    auto devices = storage::read_devices();
    tell_path_rules(devices, kept);
    return devices;
  };
  machine_ = co_await offload(host_.kernel.workers, read);
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
  options.push_back(policy(psp_fixed, "Fixed", "The preferred path whenever it works"));
  options.push_back(policy(psp_most_recent, "Most Recently Used", "One path until it fails"));
  options.push_back(policy(psp_round_robin, "Round Robin", "All active paths in turn"));
  co_return options;
}

Async<void> HostStorageSystem::enforce_path_rules() {
  const auto enforce = [rules = kept_path_rules(host_)] { storage::enforce(rules); };
  co_await offload(host_.kernel.workers, enforce);
}

// Noted first: what a killed daemon did not get to, the next one does.
Async<void> HostStorageSystem::SetMultipathLunPolicy(
    model::Call&, const vim::SetMultipathLunPolicyRequestType& r) {
  const storage::LogicalUnit wanted = unit(r.lunId);
  if (wanted.map.empty())
    throw kernel::not_supported(
        fmt::format("A path policy for {}, which dm-multipath has no map of,", wanted.name));
  const auto before = kept_path_rules(host_);
  keep_path_rule(host_, wanted.map, rule_of(devices_, wanted, r.policy));
  std::exception_ptr failure;
  try {
    co_await enforce_path_rules();
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    const auto old = before.find(wanted.map);
    if (old != before.end())
      keep_path_rule(host_, wanted.map, old->second);
    else
      host_.kernel.database->erase(kPathRules, wanted.map);
    try {
      std::rethrow_exception(failure);
    } catch (const Error& error) {
      rethrow(error);
    }
  }
  co_await read_machine();
  publish();
}

}  // namespace virga::host
