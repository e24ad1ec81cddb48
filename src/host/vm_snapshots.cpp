#include "host/vm_snapshots.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "datastore/files.h"
#include "kernel/database.h"
#include "vmx/datastore_path.h"
#include "vmx/vmsd_file.h"

namespace virga::host {
namespace {

constexpr const char* kSnapshotWork = "snapshot";          // moId → a SnapshotWork
constexpr const char* kPowerOn = "power_on_after_revert";  // moId → a user

struct SnapshotFiles {
  vmx::SnapshotTree tree;
  std::map<int, vmx::SnapshotState> states;
};

SnapshotFiles read_snapshots(const datastore::Location& config_file) {
  const auto list = snapshot_list(config_file);
  if (!list.datastore->exists(list.path)) return {};
  SnapshotFiles files{vmx::parse_vmsd(datastore::read_small_file(list), list.display()), {}};
  for (const vmx::Snapshot& snapshot : files.tree.snapshots) {
    try {
      const auto state = config_file.sibling(snapshot.state_file);
      files.states[snapshot.uid] =
          vmx::parse_vmsn(datastore::read_small_file(state), state.display());
    } catch (const Error& failure) {
      logger("vm")->warn("{}", failure.what());
    }
  }
  return files;
}

json::array to_json(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

std::vector<std::string> texts_from(const json::value& array) {
  std::vector<std::string> texts;
  for (const json::value& text : array.as_array()) texts.emplace_back(text.as_string());
  return texts;
}

std::string serialise(const SnapshotWork& work) {
  json::object object{{"disks", to_json(work.disks)}, {"files", to_json(work.files)}};
  if (work.revert)
    object["revert"] = json::object{{"config", work.revert->config},
                                    {"list", work.revert->list},
                                    {"variables", work.revert->variables},
                                    {"powerOn", work.revert->power_on}};
  return json::serialize(object);
}

SnapshotWork parse_work(const std::string& text) {
  const json::value value = json::parse(text);
  SnapshotWork work{texts_from(value.at("disks")), texts_from(value.at("files")), std::nullopt};
  if (const json::value* revert = value.as_object().if_contains("revert"))
    work.revert = SnapshotRevert{std::string(revert->at("config").as_string()),
                                 std::string(revert->at("list").as_string()),
                                 std::string(revert->at("variables").as_string()),
                                 std::string(revert->at("powerOn").as_string())};
  return work;
}

}  // namespace

std::string snapshot_file(const datastore::Location& config_file, int uid, const char* extension) {
  const std::string stem = vmx::DatastorePath::parse(config_file.display()).stem();
  return fmt::format("{}-Snapshot{}.{}", stem, uid, extension);
}

datastore::Location snapshot_list(const datastore::Location& config_file) {
  return config_file.sibling(vmx::DatastorePath::parse(config_file.display()).stem() + ".vmsd");
}

Async<void> VmSnapshots::load(datastore::Location config_file) {
  const auto work = [config_file] { return read_snapshots(config_file); };
  damage_.clear();
  try {
    SnapshotFiles files = co_await offload(host_.kernel.workers, work);
    tree_ = std::move(files.tree);
    states_ = std::move(files.states);
  } catch (const Error& failure) {
    damage_ = failure.what();
  }
  if (!damage_.empty()) logger("vm")->error("{}", damage_);
}

const vmx::SnapshotState* VmSnapshots::state_of(int uid) const {
  const auto found = states_.find(uid);
  return found == states_.end() ? nullptr : &found->second;
}

vmx::MachineConfig VmSnapshots::config_of(int uid, const datastore::Location& config_file) const {
  const auto file = vmx::VmxFile::parse(states_.at(uid).config, config_file.display());
  vmx::MachineConfig config = vmx::read(file);
  for (const vmx::SnapshotDisk& kept : vmx::find_snapshot(tree_, uid)->disks)
    for (vmx::Disk& disk : config.disks)
      if (disk.slot.key() == kept.node) disk.file = kept.file;
  return config;
}

std::vector<std::string> VmSnapshots::files() const {
  std::vector<std::string> files;
  for (const vmx::Snapshot& snapshot : tree_.snapshots) files.push_back(snapshot.state_file);
  for (const auto& [uid, state] : states_) {
    files.push_back(state.memory_file);
    files.push_back(state.nvram_file);
  }
  std::erase(files, "");
  return files;
}

bool VmSnapshots::is_memory(const std::string& file) const {
  return std::ranges::any_of(states_,
                             [&](const auto& entry) { return entry.second.memory_file == file; });
}

Async<void> VmSnapshots::save(datastore::Location config_file, vmx::SnapshotTree tree) {
  const auto place = snapshot_list(config_file);
  const std::string text = vmx::serialise_vmsd(tree);
  const auto work = [place, text] { datastore::write_small_file(place, text); };
  co_await offload(host_.kernel.workers, work);
  replace(std::move(tree));
}

Async<void> VmSnapshots::add(datastore::Location config_file, vmx::Snapshot snapshot,
                             vmx::SnapshotState state) {
  vmx::SnapshotTree tree = tree_;
  const int uid = vmx::add_snapshot(tree, std::move(snapshot));
  co_await save(std::move(config_file), std::move(tree));
  states_[uid] = std::move(state);
}

void VmSnapshots::replace(vmx::SnapshotTree tree) {
  tree_ = std::move(tree);
  std::erase_if(states_,
                [&](const auto& entry) { return !vmx::find_snapshot(tree_, entry.first); });
}

bool VmSnapshots::has_work() const {
  return host_.kernel.database->get(kSnapshotWork, vm_).has_value();
}

std::optional<SnapshotWork> VmSnapshots::noted_work() const {
  const auto noted = host_.kernel.database->get(kSnapshotWork, vm_);
  return noted ? std::optional(parse_work(*noted)) : std::nullopt;
}

void VmSnapshots::note(const SnapshotWork& work) {
  host_.kernel.database->put(kSnapshotWork, vm_, serialise(work));
}

void VmSnapshots::forget_work() {
  const auto work = noted_work();
  if (work && work->revert && !work->revert->power_on.empty())
    host_.kernel.database->put(kPowerOn, vm_, work->revert->power_on);
  host_.kernel.database->erase(kSnapshotWork, vm_);
}

std::optional<std::string> VmSnapshots::power_on_due() const {
  return host_.kernel.database->get(kPowerOn, vm_);
}

void VmSnapshots::forget_power_on() {
  host_.kernel.database->erase(kPowerOn, vm_);
}

}  // namespace virga::host
