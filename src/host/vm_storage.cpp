#include "host/vm_storage.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/error.h"
#include "datastore/browse.h"
#include "host/vm_config_words.h"
#include "host/vm_log.h"
#include "host/vm_redo.h"
#include "host/vm_swap.h"
#include "kernel/faults.h"

namespace virga::host {

// --- What to look at ---------------------------------------------------------------------------

VmFiles files_of(const vmx::MachineConfig& config, const ConfigContext& context) {
  VmFiles wanted{.config_file = context.config_file, .volumes = context.volumes};
  const std::string stem = context.config_file.stem();
  const auto add = [&](const char* type, const vmx::DatastorePath& path, bool optional = true) {
    wanted.files.push_back({type, path, optional});
  };
  const auto add_named = [&](const char* type, const std::string& file, bool optional = true) {
    if (file.empty()) return;
    if (const auto path = find_file(context, file)) add(type, *path, optional);
  };
  add("config", context.config_file, false);
  add_named("extendedConfig", config.extended_config);
  add("nvram", nvram_file(config, context));
  if (!config.tpms.empty()) add("nvram", tpm_folder(context) / "tpm2-00.permall");
  add("snapshotList", context.config_file.sibling(stem + ".vmsd"));
  for (const vmx::Disk& disk : config.disks) {
    if (const auto path = find_file(context, disk.file))
      wanted.disks.push_back({device_key(disk), *path});
    if (has_redo(disk)) add("diskExtent", redo_file(context.config_file, disk));
  }
  if (!config.suspend_state.empty()) {
    add_named("suspend", config.suspend_state, false);
    const vmx::DatastorePath state = context.config_file.sibling(config.suspend_state);
    add("suspendMemory", state.sibling(state.stem() + ".vmem"));
  }
  add("log", context.config_file.sibling(log_name));
  if (context.config_file.extension() != ".vmtx") {
    wanted.swap = swap_file(config, context);
    wanted.swap_size = swap_size(config);
    add("swap", *wanted.swap);
  }
  return wanted;
}

// --- Looking -----------------------------------------------------------------------------------

namespace {

class Surveyor {
 public:
  Surveyor(const VmFiles& wanted, const Datastores& datastores)
      : wanted_(wanted), datastores_(datastores) {}

  FileSurvey take() {
    for (const VmFiles::File& file : wanted_.files) add(file);
    for (const VmFiles::Disk& disk : wanted_.disks) found_.disks.push_back(look_at(disk));
    for (const VmFiles::Snapshot& snapshot : wanted_.snapshots) add(snapshot);
    add_numbered();
    measure_swap();
    return std::move(found_);
  }

 private:
  std::optional<datastore::Location> locate(const vmx::DatastorePath& path) const {
    const auto found = datastores_.find(path.datastore());
    if (found == datastores_.end()) return std::nullopt;
    return datastore::Location{found->second, path.path()};
  }

  std::optional<datastore::Occupancy> measure(const vmx::DatastorePath& path) const {
    const auto place = locate(path);
    if (!place) return std::nullopt;
    try {
      return datastore::occupancy(*place);
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  // A file that several disks have in common is one file.
  int put(const std::string& type, const vmx::DatastorePath& path,
          std::optional<datastore::Occupancy> occupancy) {
    const auto same = std::ranges::find(found_.files, path, &FileSurvey::File::path);
    if (same != found_.files.end()) return static_cast<int>(same - found_.files.begin());
    found_.files.push_back({type, path, occupancy});
    return static_cast<int>(found_.files.size()) - 1;
  }

  void add(const VmFiles::File& file) {
    const auto occupancy = measure(file.path);
    if (occupancy || !file.optional) put(file.type, file.path, occupancy);
  }

  void add(const VmFiles::Snapshot& snapshot) {
    FileSurvey::Snapshot surveyed{.reference = snapshot.reference};
    surveyed.data = put("snapshotData", snapshot.data, measure(snapshot.data));
    if (snapshot.memory)
      surveyed.memory = put("snapshotMemory", *snapshot.memory, measure(*snapshot.memory));
    for (const VmFiles::Disk& disk : snapshot.disks) surveyed.disks.push_back(look_at(disk));
    found_.snapshots.push_back(std::move(surveyed));
  }

  FileSurvey::Disk look_at(const VmFiles::Disk& disk) {
    FileSurvey::Disk surveyed{.key = disk.key};
    std::set<vmx::DatastorePath> seen;
    std::optional<vmx::DatastorePath> next = disk.path;
    while (next && seen.insert(*next).second) {
      const auto info = query(*next);
      std::vector<int> unit = {put("diskDescriptor", *next, measure(*next))};
      if (info) {
        for (const std::string& extent : info->extents) {
          const vmx::DatastorePath path(next->datastore(), extent);
          unit.push_back(put("diskExtent", path, measure(path)));
        }
        if (!info->change_track.empty()) {
          const vmx::DatastorePath track(next->datastore(), info->change_track);
          put("diskExtent", track, measure(track));
        }
        if (surveyed.chain.empty() && !info->mapping && info->capacity > info->allocated)
          surveyed.growth = info->capacity - info->allocated;
      }
      surveyed.chain.insert(surveyed.chain.begin(), std::move(unit));
      next = info ? parent_of(*next, info->parent) : std::nullopt;
    }
    return surveyed;
  }

  std::optional<datastore::DiskInfo> query(const vmx::DatastorePath& disk) const {
    const auto place = locate(disk);
    if (!place) return std::nullopt;
    try {
      return datastore::query_disk(*place);
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  std::optional<vmx::DatastorePath> parent_of(const vmx::DatastorePath& disk,
                                              const std::string& parent) const {
    if (parent.empty()) return std::nullopt;
    try {
      return resolve_file(wanted_.volumes, disk, parent);
    } catch (const kernel::Fault&) {
      return std::nullopt;
    }
  }

  // Earlier runs' logs, and pictures of the console.
  void add_numbered() {
    const auto folder = locate(wanted_.config_file.parent());
    if (!folder) return;
    const std::string picture = wanted_.config_file.stem() + "-";
    for (const std::string& name : datastore::file_names(*folder)) {
      const vmx::DatastorePath path = wanted_.config_file.sibling(name);
      if (log_number(name)) put("log", path, measure(path));
      if (numbered(name, picture, ".png")) put("screenshot", path, measure(path));
    }
  }

  void measure_swap() {
    if (!wanted_.swap) return;
    const auto file = measure(*wanted_.swap);
    found_.swap_datastore = wanted_.swap->datastore();
    found_.swap_growth = file ? file->length - file->used : wanted_.swap_size;
  }

  const VmFiles& wanted_;
  const Datastores& datastores_;
  FileSurvey found_;
};

}  // namespace

FileSurvey survey(const VmFiles& files, const Datastores& datastores) {
  return Surveyor(files, datastores).take();
}

// --- Wording -----------------------------------------------------------------------------------

namespace {

vim::VirtualMachineFileLayoutExDiskLayout disk_layout_ex(const FileSurvey::Disk& disk) {
  vim::VirtualMachineFileLayoutExDiskLayout layout;
  layout.key = disk.key;
  for (const std::vector<int>& unit : disk.chain)
    layout.chain.emplace_back().fileKey.assign(unit.begin(), unit.end());
  return layout;
}

vim::VirtualMachineFileLayoutEx layout_ex(const FileSurvey& survey, model::Time now) {
  vim::VirtualMachineFileLayoutEx layout;
  layout.timestamp = now;
  for (const FileSurvey::File& file : survey.files) {
    vim::VirtualMachineFileLayoutExFileInfo& info = layout.file.emplace_back();
    info.key = static_cast<std::int32_t>(layout.file.size()) - 1;
    info.name = file.path.format();
    info.type = file.type;
    info.accessible = file.occupancy.has_value();
    if (!file.occupancy) continue;
    info.size = static_cast<std::int64_t>(file.occupancy->used);
    if (file.occupancy->unshared)
      info.uniqueSize = static_cast<std::int64_t>(*file.occupancy->unshared);
  }
  for (const FileSurvey::Disk& disk : survey.disks) layout.disk.push_back(disk_layout_ex(disk));
  for (const FileSurvey::Snapshot& snapshot : survey.snapshots) {
    vim::VirtualMachineFileLayoutExSnapshotLayout& of_snapshot = layout.snapshot.emplace_back();
    of_snapshot.key = snapshot.reference;
    of_snapshot.dataKey = snapshot.data;
    of_snapshot.memoryKey = snapshot.memory;
    for (const FileSurvey::Disk& disk : snapshot.disks)
      of_snapshot.disk.push_back(disk_layout_ex(disk));
  }
  return layout;
}

vim::VirtualMachineFileLayout layout(const FileSurvey& survey) {
  vim::VirtualMachineFileLayout layout;
  for (const FileSurvey::File& file : survey.files) {
    if (file.type == "nvram" || file.type == "snapshotList" || file.type == "extendedConfig")
      layout.configFile.push_back(file.path.name());
    if (file.type == "log") layout.logFile.push_back(file.path.name());
    if (file.type == "swap") layout.swapFile = file.path.format();
  }
  for (const FileSurvey::Disk& disk : survey.disks) {
    vim::VirtualMachineFileLayoutDiskLayout& of_disk = layout.disk.emplace_back();
    of_disk.key = disk.key;
    for (const std::vector<int>& unit : disk.chain)
      of_disk.diskFile.push_back(
          survey.files[static_cast<std::size_t>(unit.front())].path.format());
  }
  for (const FileSurvey::Snapshot& snapshot : survey.snapshots) {
    vim::VirtualMachineFileLayoutSnapshotLayout& of_snapshot = layout.snapshot.emplace_back();
    of_snapshot.key = snapshot.reference;
    for (const int file : {snapshot.data, snapshot.memory})
      if (file >= 0)
        of_snapshot.snapshotFile.push_back(
            survey.files[static_cast<std::size_t>(file)].path.name());
  }
  return layout;
}

class UsageByDatastore {
 public:
  void add(const FileSurvey::File& file, bool is_shared) {
    auto& usage = usage_[file.path.datastore()];
    if (!file.occupancy) return;
    usage.committed += static_cast<std::int64_t>(file.occupancy->used);
    const std::uint64_t own = file.occupancy->unshared.value_or(file.occupancy->used);
    if (!is_shared) usage.unshared += static_cast<std::int64_t>(own);
  }
  void add_growth(const std::string& datastore, std::uint64_t growth) {
    usage_[datastore].uncommitted += static_cast<std::int64_t>(growth);
  }
  const auto& all() const { return usage_; }

 private:
  std::map<std::string, vim::VirtualMachineUsageOnDatastore> usage_;
};

UsageByDatastore usage_of(const FileSurvey& survey, const StorageContext& context) {
  UsageByDatastore usage;
  for (const FileSurvey::File& file : survey.files)
    usage.add(file, context.is_shared(file.path.format()));
  for (const FileSurvey::Disk& disk : survey.disks) {
    const int descriptor = disk.chain.back().front();
    usage.add_growth(survey.files[static_cast<std::size_t>(descriptor)].path.datastore(),
                     disk.growth);
  }
  if (!survey.swap_datastore.empty()) usage.add_growth(survey.swap_datastore, survey.swap_growth);
  return usage;
}

}  // namespace

VmStorage describe(const FileSurvey& survey, const StorageContext& context) {
  VmStorage storage;
  storage.layout = layout(survey);
  storage.layout_ex = layout_ex(survey, context.now);
  storage.usage.timestamp = storage.summary.timestamp = context.now;
  const UsageByDatastore usage = usage_of(survey, context);
  for (const auto& [name, of_datastore] : usage.all()) {
    const auto ref = context.datastore(name);
    if (!ref) continue;
    vim::VirtualMachineUsageOnDatastore& stated = storage.usage.perDatastoreUsage.emplace_back();
    stated = of_datastore;
    stated.datastore = *ref;
    storage.summary.committed += of_datastore.committed;
    storage.summary.uncommitted += of_datastore.uncommitted;
    storage.summary.unshared += of_datastore.unshared;
  }
  return storage;
}

}  // namespace virga::host
