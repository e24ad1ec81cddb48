// A VM's snapshots: taken, gone back to, forgotten; and the disks that nobody needs then, merged.
//
// The .vmx names the disks the VM runs on, the .vmsd those its snapshots need. Whatever else an
// operation has made or left without a use is noted in the database (table "snapshot") for as long
// as it runs, so that a daemon killed in between removes it at its next start. Of a disk that is
// merged, both the merged and the unmerged files hold the same content until the .vmx or .vmsd
// names the new one: an interrupted merge shows as runtime.consolidationNeeded and is done again.
#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "datastore/delta_disk.h"
#include "datastore/files.h"
#include "host/virtual_machine_snapshot.h"
#include "host/vm_config_words.h"
#include "host/vm_disk_chain.h"
#include "model/clock.h"
#include "vmx/snapshot_tree.h"

namespace virga::host {
namespace {

// Snapshots grow and age without anybody doing anything to them.
constexpr auto kReviewInterval = std::chrono::minutes(10);

constexpr const char* kSnapshotWork = "snapshot";  // moId → a SnapshotWork

// --- Reading -----------------------------------------------------------------------------------

struct SnapshotFiles {
  vmx::SnapshotTree tree;
  std::map<int, vmx::SnapshotState> states;
};

// A .vmsn that cannot be read, such as one of VMware's, leaves a snapshot one can only forget.
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

// --- What is under way -------------------------------------------------------------------------

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
                                    {"variables", work.revert->variables}};
  return json::serialize(object);
}

SnapshotWork parse_work(const std::string& text) {
  const json::value value = json::parse(text);
  SnapshotWork work{texts_from(value.at("disks")), texts_from(value.at("files")), std::nullopt};
  if (const json::value* revert = value.as_object().if_contains("revert"))
    work.revert = SnapshotRevert{std::string(revert->at("config").as_string()),
                                 std::string(revert->at("list").as_string()),
                                 std::string(revert->at("variables").as_string())};
  return work;
}

// --- The API's view ----------------------------------------------------------------------------

vim::VirtualMachinePowerState api_power(vmx::SnapshotState::Power power) {
  switch (power) {
    case vmx::SnapshotState::Power::on:
      return vim::VirtualMachinePowerState::poweredOn;
    case vmx::SnapshotState::Power::suspended:
      return vim::VirtualMachinePowerState::suspended;
    case vmx::SnapshotState::Power::off:
      break;
  }
  return vim::VirtualMachinePowerState::poweredOff;
}

model::Array<MoRef> references(const MoRef& vm, const std::vector<int>& uids) {
  model::Array<MoRef> all;
  for (const int uid : uids) all.push_back(snapshot_reference(vm, uid));
  return all;
}

vim::VirtualMachineSnapshotTree tree_node(const MoRef& vm, const vmx::SnapshotTree& tree,
                                          const std::map<int, vmx::SnapshotState>& states,
                                          int uid) {
  const vmx::Snapshot& snapshot = *vmx::find_snapshot(tree, uid);
  vim::VirtualMachineSnapshotTree node;
  node.snapshot = snapshot_reference(vm, uid);
  node.vm = vm;
  node.name = snapshot.name;
  node.description = snapshot.description;
  node.id = uid;
  node.createTime = model::Time(std::chrono::microseconds(snapshot.created));
  const auto state = states.find(uid);
  if (state != states.end()) {
    node.state = api_power(state->second.power);
    node.quiesced = state->second.quiesced;
  }
  node.replaySupported = false;
  for (const int child : vmx::children_of(tree, uid))
    node.childSnapshotList.push_back(tree_node(vm, tree, states, child));
  return node;
}

// --- Files -------------------------------------------------------------------------------------

void delete_disk_if_present(const datastore::Location& disk) {
  if (disk.datastore->exists(disk.path)) datastore::delete_disk(disk);
}

}  // namespace

// --- State -------------------------------------------------------------------------------------

std::string snapshot_file(const datastore::Location& config_file, int uid, const char* extension) {
  const std::string stem = vmx::DatastorePath::parse(config_file.display()).stem();
  return fmt::format("{}-Snapshot{}.{}", stem, uid, extension);
}

datastore::Location snapshot_list(const datastore::Location& config_file) {
  return config_file.sibling(vmx::DatastorePath::parse(config_file.display()).stem() + ".vmsd");
}

Async<void> VirtualMachine::load_snapshots() {
  const auto place = config_file_;
  const auto work = [place] { return read_snapshots(place); };
  std::string damage;
  try {
    SnapshotFiles files = co_await offload(host().kernel.workers, work);
    snapshots_ = std::move(files.tree);
    snapshot_states_ = std::move(files.states);
  } catch (const Error& failure) {
    damage = failure.what();
  }
  snapshot_damage_ = damage;
  if (!damage.empty()) logger("vm")->error("{}: {}", display_name(), damage);
}

void VirtualMachine::require_snapshots() const {
  require_accessible();
  if (!snapshot_damage_.empty())
    throw kernel::Fault(vim::InvalidSnapshotFormat{},
                        fmt::format("The snapshots of {} cannot be told: {}.", properties().name,
                                    snapshot_damage_));
}

// Deltas that VMware's products made can be neither merged nor written here.
void VirtualMachine::require_own_deltas() const {
  for (const auto& [disk, info] : disks_)
    if (!info.parent.empty() && !is_delta(info))
      throw kernel::not_supported(
          fmt::format("Changing snapshots of {}: {} of type {}, a delta of {}", properties().name,
                      disk, info.create_type, info.parent));
}

const vmx::Snapshot& VirtualMachine::snapshot_with(int uid) const {
  require_snapshots();
  const vmx::Snapshot* found = vmx::find_snapshot(snapshots_, uid);
  if (!found) throw kernel::managed_object_not_found(snapshot_reference(self(), uid));
  return *found;
}

// The .vmx as it was; but where the disks lie that it names, the .vmsd tells: merges rename them.
vmx::MachineConfig VirtualMachine::snapshot_config(int uid) const {
  const auto file = vmx::VmxFile::parse(snapshot_states_.at(uid).config, config_file_.display());
  vmx::MachineConfig config = vmx::read(file);
  for (const vmx::SnapshotDisk& kept : snapshot_with(uid).disks)
    for (vmx::Disk& disk : config.disks)
      if (disk.slot.key() == kept.node) disk.file = kept.file;
  return config;
}

// Snapshot objects come and go with the tree; the VM's own properties follow.
void VirtualMachine::publish_snapshots() {
  if (!inventory().find(self()) || !properties().config) return;
  const auto me = std::static_pointer_cast<VirtualMachine>(shared_from_this());
  for (const vmx::Snapshot& snapshot : snapshots_.snapshots) {
    auto& object = snapshot_objects_[snapshot.uid];
    if (!object) {
      vim::VirtualMachineSnapshotProperties initial;
      initial.vm = self();
      object = inventory().emplace<VirtualMachineSnapshot>(me, snapshot.uid, std::move(initial));
    }
    const auto children = references(self(), vmx::children_of(snapshots_, snapshot.uid));
    const auto config =
        snapshot_states_.contains(snapshot.uid)
            ? model::share(config_info(snapshot_config(snapshot.uid), context(), {}, false))
            : properties().config;
    object->update([&](auto& p) {
      p.childSnapshot = children;
      p.config = config;
    });
  }
  const auto roots = references(self(), vmx::children_of(snapshots_, 0));
  model::Ptr<vim::VirtualMachineSnapshotInfo> info;
  if (!roots.empty()) {
    vim::VirtualMachineSnapshotInfo tree;
    if (snapshots_.current != 0)
      tree.currentSnapshot = snapshot_reference(self(), snapshots_.current);
    for (const int uid : vmx::children_of(snapshots_, 0))
      tree.rootSnapshotList.push_back(tree_node(self(), snapshots_, snapshot_states_, uid));
    info = model::share(std::move(tree));
  }
  const bool consolidation_needed = !has_snapshot_work() && !consolidation().empty();
  update([&](Properties& p) {
    p.snapshot = info;
    p.rootSnapshot = roots;
    p.runtime.edit().consolidationNeeded = consolidation_needed;
    p.summary.edit().runtime = *p.runtime;
  });
  std::erase_if(snapshot_objects_, [&](const auto& entry) {
    if (vmx::find_snapshot(snapshots_, entry.first)) return false;
    inventory().remove(entry.second->self());
    return true;
  });
}

void VirtualMachine::withdraw_snapshots() {
  for (const auto& [uid, object] : std::exchange(snapshot_objects_, {}))
    inventory().remove(object->self());
}

Async<void> VirtualMachine::save_snapshots(vmx::SnapshotTree tree) {
  const auto place = snapshot_list(config_file_);
  const std::string text = vmx::serialise_vmsd(tree);
  const auto work = [place, text] { datastore::write_small_file(place, text); };
  co_await offload(host().kernel.workers, work);
  snapshots_ = std::move(tree);
  std::erase_if(snapshot_states_,
                [&](const auto& entry) { return !vmx::find_snapshot(snapshots_, entry.first); });
}

// Those of all snapshots, apart from disks.
std::vector<datastore::Location> VirtualMachine::snapshot_files() const {
  std::vector<datastore::Location> files;
  const auto add = [&](const std::string& name) {
    if (!name.empty()) files.push_back(config_file_.sibling(name));
  };
  for (const vmx::Snapshot& snapshot : snapshots_.snapshots) add(snapshot.state_file);
  for (const auto& [uid, state] : snapshot_states_) {
    add(state.memory_file);
    add(state.nvram_file);
  }
  return files;
}

void VirtualMachine::add_snapshot_files(VmFiles& files) const {
  const ConfigContext here = context();
  for (const vmx::Snapshot& snapshot : snapshots_.snapshots) {
    VmFiles::Snapshot& own = files.snapshots.emplace_back(
        VmFiles::Snapshot{.reference = snapshot_reference(self(), snapshot.uid),
                          .data = here.config_file.sibling(snapshot.state_file)});
    const auto state = snapshot_states_.find(snapshot.uid);
    if (state == snapshot_states_.end()) continue;
    if (!state->second.nvram_file.empty())
      files.files.push_back(
          {"snapshotData", here.config_file.sibling(state->second.nvram_file), false});
    if (!state->second.memory_file.empty())
      own.memory = here.config_file.sibling(state->second.memory_file);
    for (const vmx::Disk& disk : snapshot_config(snapshot.uid).disks)
      if (const auto path = find_file(here, disk.file))
        own.disks.push_back({device_key(disk), *path});
  }
}

// --- What is under way -------------------------------------------------------------------------

bool VirtualMachine::has_snapshot_work() const {
  return host().kernel.database->get(kSnapshotWork, self().value).has_value();
}

void VirtualMachine::note_snapshot_work(const SnapshotWork& work) {
  host().kernel.database->put(kSnapshotWork, self().value, serialise(work));
}

// Removes what is noted and of no use; the note goes with it.
Async<void> VirtualMachine::clean_up(SnapshotWork work) {
  disks_ = co_await query_disks(config_);
  const vmx::DiskTree tree = disk_tree(config_, snapshots_, context());
  std::set<std::string> used = {config_.suspend_state};
  for (const auto& [uid, state] : snapshot_states_)
    used.insert({state.memory_file, state.nvram_file});
  for (const vmx::Snapshot& snapshot : snapshots_.snapshots) used.insert(snapshot.state_file);
  std::vector<datastore::Location> disks, files;
  for (const std::string& disk : work.disks) {
    const auto place = host().locate(disk);
    if (!tree.parents.contains(place.display())) disks.push_back(place);
  }
  for (const std::string& file : work.files)
    if (!used.contains(file)) files.push_back(config_file_.sibling(file));
  const auto remove = [disks, files] {
    for (const auto& disk : disks) delete_disk_if_present(disk);
    for (const auto& file : files)
      if (file.datastore->exists(file.path)) datastore::remove(file);
  };
  co_await offload(host().kernel.workers, remove);
  host().kernel.database->erase(kSnapshotWork, self().value);
}

// Runs what `work` is noted for, and cleans up after it however it ends.
Async<void> VirtualMachine::with_snapshot_work(SnapshotWork work, Async<void> doing) {
  note_snapshot_work(work);
  std::exception_ptr failure;
  try {
    co_await std::move(doing);
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    co_await follow_machine_disks();
    co_await clean_up(std::move(work));
  } catch (const std::exception& left) {
    // The note is still there, for the next start.
    logger("vm")->error("{}: {}", display_name(), left.what());
  }
  publish_config();
  publish_snapshots();
  if (!failure) co_return;
  co_await refresh_storage();
  std::rethrow_exception(failure);
}

// Makes the .vmx name the disks that the guest really writes to. They differ when a snapshot or a
// merge did not come to its end.
Async<void> VirtualMachine::follow_machine_disks() {
  if (!machine()) co_return;
  const ConfigContext here = context();
  vmx::MachineConfig actual = config_;
  for (vmx::Disk& disk : actual.disks) {
    const auto path = find_file(here, disk.file);
    const auto written = machine_image(device_key(disk));
    if (!path || written.empty()) continue;
    for (const vmx::DatastorePath& link : disk_chain(*path, here))
      if (link != *path && image_of(link) == written) disk.file = file_reference(here, link);
  }
  if (actual == config_) co_return;
  co_await save_config(std::move(actual));
  disks_ = co_await query_disks(config_);
}

// The image a running guest writes for the disk; empty without one.
std::string VirtualMachine::machine_image(int key) const {
  if (!machine()) return {};
  for (const hypervisor::Disk& disk : machine()->spec().disks)
    if (disk.key == key) return disk.chain.back().path;
  return {};
}

// The one extent of a disk as a path of this machine; empty for others.
std::string VirtualMachine::image_of(const vmx::DatastorePath& disk) const {
  const ConfigContext here = context();
  const auto info = here.disk(disk);
  if (!info || info->extents.size() != 1) return {};
  return here.absolute(vmx::DatastorePath(disk.datastore(), info->extents.front()));
}

// --- What is amiss -----------------------------------------------------------------------------

// Of what was not known before, an event tells too.
void VirtualMachine::publish_issues(std::vector<SnapshotIssue> issues) {
  if (properties().runtime->consolidationNeeded)
    issues.push_back({"com.vmware.vc.VmDiskConsolidationNeeded",
                      fmt::format("The disks of {} need to be consolidated.", properties().name)});
  std::set<std::string> known;
  for (const auto& issue : properties().configIssue)
    if (const auto* event = issue.as<vim::EventEx>()) known.insert(event->eventTypeId);
  model::List<vim::Event> published;
  for (const SnapshotIssue& issue : issues) {
    vim::EventEx event;
    event.eventTypeId = issue.event_type;
    event.severity = "warning";
    event.message = event.fullFormattedMessage = issue.message;
    event.createdTime = model::now();
    event.vm = model::share(event_argument());
    published.push_back(model::Ptr<vim::Event>(model::share(std::move(event)).data()));
    if (!known.contains(issue.event_type))
      post_extended(issue.event_type, "warning", issue.message);
  }
  update([&](Properties& p) { p.configIssue = published; });
}

Async<void> VirtualMachine::review_snapshots() {
  if (!snapshots_.snapshots.empty() && !current_task_) co_await refresh_storage();
}

Async<void> watch_snapshots(Host& host) {
  for (;;) {
    co_await sleep_for(kReviewInterval);
    const auto all = host.virtual_machines;
    for (const auto& [ref, vm] : all) {
      try {
        co_await vm->review_snapshots();
      } catch (const std::exception& failure) {
        logger("vm")->error("{}: {}", vm->properties().name, failure.what());
      }
    }
  }
}

// A VM that went back to it is suspended in it, and it stays when the VM goes on.
bool VirtualMachine::is_snapshot_memory(const std::string& file) const {
  return std::ranges::any_of(snapshot_states_,
                             [&](const auto& entry) { return entry.second.memory_file == file; });
}

Async<void> VirtualMachine::recover_snapshots() {
  const auto noted = host().kernel.database->get(kSnapshotWork, self().value);
  const bool readable =
      properties().runtime->connectionState == vim::VirtualMachineConnectionState::connected;
  if (!noted || !readable || !snapshot_damage_.empty()) co_return;
  try {
    SnapshotWork work = parse_work(*noted);
    co_await finish_snapshot_work(std::move(work));
  } catch (const std::exception& failure) {
    logger("vm")->error("{}: {}", display_name(), failure.what());
  }
}

Async<void> VirtualMachine::finish_snapshot_work(SnapshotWork work) {
  log("An operation on snapshots was interrupted: what it left behind is removed");
  if (work.revert && !machine()) {
    SnapshotRevert noted_revert = *work.revert;
    co_await carry_out(std::move(noted_revert));
  }
  co_await follow_machine_disks();
  co_await clean_up(std::move(work));
  // A merge stops the guest for a moment; the daemon may have been killed in that very moment.
  if (machine() && machine()->state() == hypervisor::MachineState::paused)
    co_await machine()->resume();
  publish_config();
  publish_snapshots();
  co_await refresh_storage();
}

}  // namespace virga::host
