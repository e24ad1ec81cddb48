// How VMs come and go: registered, brought back after a restart, unregistered, destroyed. How new
// ones are made: new_machine.h.
//
// What takes several steps is journaled in the database first (table "unfinished"), so that a
// daemon killed in between finishes or undoes it at its next start.
#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "base/log.h"
#include "base/uuid.h"
#include "datastore/browse.h"
#include "datastore/files.h"
#include "host/datastore.h"
#include "host/mac_conflicts.h"
#include "host/names.h"
#include "host/new_machine.h"
#include "host/network.h"
#include "host/resource_pools.h"
#include "host/virtual_machine.h"
#include "host/vm_disk_chain.h"
#include "host/vm_identity.h"
#include "host/vm_log.h"

namespace virga::host {
namespace {

constexpr const char* kVirtualMachines = "vm";  // moId → path of the .vmx, by uuid
constexpr const char* kRenamed = "renamed";     // moId → the path its .vmx is being given

std::string read_all(const datastore::Location& place) {
  const datastore::Download file(place);
  if (file.size() > vmx::VmxFile::max_size)
    throw error(ErrorKind::damaged, place.display(), "{} is too large for a .vmx", place.display());
  std::string text(file.size(), '\0');
  text.resize(file.read(0, text));
  return text;
}

// The files a VM of this configuration owns beside its disks.
std::vector<datastore::Location> own_files(const datastore::Location& config_file,
                                           const vmx::MachineConfig& config) {
  const std::string stem = vmx::DatastorePath::parse(config_file.display()).stem();
  std::vector<datastore::Location> files;
  for (const std::string& name :
       {config.nvram, config.extended_config, config.suspend_state, stem + ".nvram", stem + ".vtpm", stem + ".vmsd",
        stem + ".vmxf", stem + ".vmss", std::string(log_name),
        std::string("serial0.log")}) {
    if (!name.empty() && name.find('/') == std::string::npos)
      files.push_back(config_file.sibling(name));
  }
  files.push_back(datastore::lock_file(config_file));
  if (!config_file.datastore->exists(config_file.parent().path)) return files;
  for (const std::string& name : datastore::file_names(config_file.parent())) {
    const bool is_swap = name.starts_with(stem + "-") && name.ends_with(".vswp");
    if (log_number(name) || numbered(name, stem + "-", ".png") || is_swap)
      files.push_back(config_file.sibling(name));
  }
  return files;
}

// What else lies in the folder is not ours to remove.
void delete_folder_if_empty(const datastore::Location& folder) {
  if (folder.path.empty() || !folder.datastore->exists(folder.path)) return;
  if (fs::is_empty(folder.datastore->root() / folder.path)) datastore::remove(folder);
}

// Removes what a VM consists of: its disks and whatever else `parts` names, its own files, and the
// folders in which nothing is left. May be called again after it was interrupted.
void delete_files(const datastore::Location& config_file, const vmx::MachineConfig& config,
                  const std::vector<datastore::Location>& parts) {
  for (const auto& part : parts) {
    if (!part.datastore->exists(part.path)) continue;
    part.path.ends_with(".vmdk") ? datastore::delete_disk(part) : datastore::remove(part);
  }
  for (const auto& file : own_files(config_file, config)) datastore::remove_if_present(file);
  datastore::remove_if_present(config_file);
  for (const auto& part : parts) delete_folder_if_empty(part.parent());
  delete_folder_if_empty(config_file.parent());
}

std::vector<datastore::Location> disks_of(Host& host, const ConfigContext& context,
                                          const vmx::MachineConfig& config) {
  std::vector<datastore::Location> disks;
  for (const vmx::Disk& disk : config.disks) {
    try {
      disks.push_back(host.locate(resolve_file(context, disk.file).format()));
    } catch (const kernel::Fault&) {
      // On a datastore this host has not got: nothing of it can be removed here.
    }
  }
  return disks;
}

}  // namespace

// --- Registering ------------------------------------------------------------------------------

namespace {

void record(const Host& host, const VirtualMachine& vm) {
  record_virtual_machine(host, vm.self(), vm.config_file());
}

// A copy of a VM that is here already came with the same identity.
void tell_conflict(Host& host, const VirtualMachine& vm, const VirtualMachine& twin,
                   const std::string& user) {
  vim::VmInstanceUuidConflictEvent conflict;
  conflict.vm = model::share(vm.event_argument());
  conflict.conflictedVm = twin.event_argument();
  conflict.instanceUuid = twin.config().instance_uuid;
  host.post(std::move(conflict),
            fmt::format("The instance UUID of {} is that of {}", vm.properties().name,
                        twin.properties().name),
            user);
  vim::VmInstanceUuidChangedEvent change;
  change.vm = model::share(vm.event_argument());
  change.oldInstanceUuid = twin.config().instance_uuid;
  change.newInstanceUuid = vm.config().instance_uuid;
  host.post(std::move(change),
            fmt::format("The instance UUID of {} is {} now", vm.properties().name,
                        vm.config().instance_uuid),
            user);
}

}  // namespace

Async<Any> register_virtual_machine(Host& host, kernel::TaskHandle&, std::string user,
                                    Registration wanted) {
  const auto config_file = host.locate(wanted.path);
  const auto path = vmx::DatastorePath::parse(config_file.display());
  if (path.extension() != ".vmx" && path.extension() != ".vmtx")
    throw kernel::invalid_argument("path", path.format() + " is no .vmx");
  for (const auto& [ref, vm] : host.virtual_machines) {
    if (vm->config_file().display() == config_file.display())
      throw kernel::already_exists(vm->properties().name);
  }
  const auto work = [config_file] { return read_all(config_file); };
  const std::string text = co_await offload(host.kernel.workers, work);
  auto file = vmx::VmxFile::parse(text, config_file.display());
  vmx::MachineConfig config = vmx::read(file);
  if (wanted.name) config.display_name = *wanted.name;
  if (config.display_name.empty()) config.display_name = path.stem();
  check_new_name(host, config.display_name);
  const auto list_folder = [config_file] { return datastore::file_names(config_file.parent()); };
  const auto folder = co_await offload(host.kernel.workers, list_folder);
  adopt_references(config, config_context(host, path), folder);
  const auto twin = vm_with_instance_uuid(host, config.instance_uuid);
  if (twin) config.instance_uuid = make_uuid();
  auto vm =
      std::make_shared<VirtualMachine>(host, next_reference(host), config_file, std::move(file));
  const bool is_renamed = vm->is_template() != wanted.as_template;
  if (is_renamed) co_await vm->lock_files();  // another host may have it, and run it
  co_await vm->take_over(config);
  co_await vm->load();
  const MoRef pool = wanted.pool.value_or(names::resource_pool);
  host.resource_pools->assign(vm->self(), pool);
  record(host, *vm);
  host.add_virtual_machine(vm);
  co_await vm->load();
  vm->settle_without_guest();
  if (is_renamed) co_await vm->become_template(wanted.as_template, pool);
  if (is_renamed) co_await vm->unlock_files();
  vm->log("Registered by " + user);
  vim::VmRegisteredEvent event;
  event.vm = model::share(vm->event_argument());
  host.post(std::move(event),
            fmt::format("Registered {} on {} in ha-datacenter", vm->properties().name,
                        host.identity.name),
            user);
  report_mac_conflicts(host, *vm, {});
  if (twin) tell_conflict(host, *vm, *twin, user);
  co_return model::any(vm->self());
}

Async<void> VirtualMachine::take_over(vmx::MachineConfig config) {
  if (config == config_) co_return;
  const bool is_anothers = config_file_.datastore->read_only() || co_await is_locked_elsewhere();
  if (is_anothers)
    config_ = std::move(config);
  else
    co_await save_config(std::move(config));
}

// --- Renaming ---------------------------------------------------------------------------------

void record_virtual_machine(const Host& host, const MoRef& vm,
                            const datastore::Location& config_file) {
  host.kernel.database->put(kVirtualMachines, vm.value, config_file.lasting_name());
}

Async<void> rename_config_file(Host& host, MoRef vm, datastore::Location from,
                               datastore::Location to) {
  auto& database = *host.kernel.database;
  database.put(kRenamed, vm.value, to.lasting_name());
  std::exception_ptr failure;
  try {
    const auto rename = [from, to] { datastore::move(from, to); };
    co_await offload(host.kernel.workers, rename);
    record_virtual_machine(host, vm, to);
  } catch (...) {
    failure = std::current_exception();
  }
  database.erase(kRenamed, vm.value);
  if (failure) std::rethrow_exception(failure);
}

namespace {

// A .vmx whose new name exists has got it, and its old one is gone: a rename is one step.
void finish_renaming(Host& host) {
  auto& database = *host.kernel.database;
  for (const auto& [vm, path] : database.all(kRenamed)) {
    try {
      const auto to = host.locate(path);
      const auto from = host.locate(database.get(kVirtualMachines, vm).value_or(""));
      if (to.datastore->exists(to.path) && !from.datastore->exists(from.path))
        record_virtual_machine(host, {"VirtualMachine", vm}, to);
      database.erase(kRenamed, vm);
    } catch (const std::exception& failure) {
      logger("vm")->error("renaming to {} was interrupted: {}", path, failure.what());
    }
  }
}

}  // namespace

DiskJournal::DiskJournal(Host& host, const datastore::Location& config_file,
                         const std::vector<vmx::DatastorePath>& disks)
    : host_(host) {
  if (disks.empty()) return;
  json::array noted;
  for (const auto& disk : disks) noted.emplace_back(host.locate(disk.format()).lasting_name());
  entry_ = "reconfigure " + config_file.lasting_name();
  host_.kernel.database->put(unfinished_table, entry_, json::serialize(noted));
}

DiskJournal::~DiskJournal() {
  if (!entry_.empty()) host_.kernel.database->erase(unfinished_table, entry_);
}

// --- Restoring --------------------------------------------------------------------------------

namespace {

std::shared_ptr<VirtualMachine> vm_at(const Host& host, const std::string& config_file) {
  for (const auto& [ref, vm] : host.virtual_machines)
    if (vm->config_file().display() == config_file) return vm;
  return nullptr;
}

// Of the disks that an interrupted change was to make or remove, those are wanted that a VM names.
void finish_reconfiguration(const Host& host, const VirtualMachine* vm,
                            const std::vector<datastore::Location>& disks) {
  using State = vim::VirtualMachineConnectionState;
  if (!vm || vm->properties().runtime->connectionState != State::connected)
    throw error(ErrorKind::gone, {}, "its configuration cannot be read");
  for (const auto& disk : disks) {
    const auto& vms = host.virtual_machines;
    const bool wanted = std::any_of(
        vms.begin(), vms.end(), [&](const auto& entry) { return entry.second->has_disk(disk); });
    if (!wanted && disk.datastore->exists(disk.path)) datastore::delete_disk(disk);
  }
}

// What a killed daemon was in the middle of: creations are undone, destructions finished, and
// reconfigurations either.
void finish_unfinished(Host& host) {
  for (const auto& [what, document] : host.kernel.database->all(unfinished_table)) {
    const auto space = what.find(' ');
    const std::string verb = what.substr(0, space), path = what.substr(space + 1);
    try {
      const auto config_file = host.locate(path);
      const auto owner = datastore::lock_owner(config_file);
      if (owner && owner->host_uuid != host.identity.uuid) continue;  // it is not ours to finish now
      std::vector<datastore::Location> disks;
      const json::value planned = json::parse(document);
      for (const auto& disk : planned.as_array())
        disks.push_back(host.locate(std::string(disk.as_string())));
      const auto vm = vm_at(host, config_file.display());
      if (verb == "reconfigure") {
        finish_reconfiguration(host, vm.get(), disks);
      } else if (!vm) {
        delete_files(config_file, {}, disks);
      }
      host.kernel.database->erase(unfinished_table, what);
      logger("vm")->warn("{} {} was interrupted: what it left behind is removed", verb, path);
    } catch (const std::exception& failure) {
      logger("vm")->error("{} was interrupted and cannot be cleaned up: {}", what, failure.what());
    }
  }
}

Async<void> restore_one(Host& host, MoRef ref, std::string path) {
  std::string reason;
  std::shared_ptr<VirtualMachine> vm;
  try {
    const auto config_file = host.locate(path);
    const std::string text = read_all(config_file);
    vm = std::make_shared<VirtualMachine>(host, ref, config_file,
                                          vmx::VmxFile::parse(text, config_file.display()));
    host.add_virtual_machine(vm);
    co_await vm->load();
    record(host, *vm);
  } catch (const std::exception& failure) {
    reason = failure.what();
  }
  if (reason.empty()) co_return;
  if (!vm) {
    try {
      vm = std::make_shared<VirtualMachine>(host, ref, host.locate(path), vmx::VmxFile{});
    } catch (const kernel::Fault&) {
      logger("vm")->error("{} is left out: {}", path, reason);
      co_return;
    }
    host.add_virtual_machine(vm);
  }
  vm->mark_invalid(reason);
}

std::shared_ptr<VirtualMachine> vm_of(Host& host, const hypervisor::Machine& machine) {
  for (const auto& [ref, vm] : host.virtual_machines)
    if (vm->machine_id() == machine.id()) return vm;
  return nullptr;
}

// A guest of no VM that could be read is ended, unless it may be that of one that could not.
Async<void> end_stray(const Host& host, std::shared_ptr<hypervisor::Machine> machine) {
  using State = vim::VirtualMachineConnectionState;
  if (machine->state() == hypervisor::MachineState::exited) co_return;
  const auto known = host.kernel.database->all(kVirtualMachines);
  const auto& vms = host.virtual_machines;
  const bool all_read =
      vms.size() == known.size() && std::none_of(vms.begin(), vms.end(), [](const auto& vm) {
        return vm.second->properties().runtime->connectionState != State::connected;
      });
  logger("vm")->error("a guest runs that no VM of the inventory owns: {} ({}); it is {}",
                      machine->spec().name, machine->id(),
                      all_read ? "ended" : "left alone, for not every VM could be read");
  if (all_read) co_await machine->power_off();
}

}  // namespace

Async<void> restore_virtual_machines(Host& host) {
  finish_renaming(host);
  const auto known = host.kernel.database->all(kVirtualMachines);
  std::vector<std::pair<int, std::string>> in_order;
  for (const auto& [ref, path] : known) in_order.emplace_back(std::atoi(ref.c_str()), path);
  std::sort(in_order.begin(), in_order.end());
  for (const auto& [number, path] : in_order) {
    MoRef ref{"VirtualMachine", std::to_string(number)};
    co_await restore_one(host, std::move(ref), path);
  }
  finish_unfinished(host);

  auto machines = co_await host.hypervisor->adopt();
  std::map<std::string, std::shared_ptr<hypervisor::Machine>> guests;
  for (auto& machine : machines) {
    if (const auto vm = vm_of(host, *machine))
      guests[vm->self().value] = std::move(machine);
    else
      co_await end_stray(host, std::move(machine));
  }
  for (const auto& [ref, vm] : std::map(host.virtual_machines)) {
    auto guest = guests.extract(ref);
    std::exception_ptr failure;
    try {
      if (guest)
        co_await vm->adopt(std::move(guest.mapped()));
      else
        co_await vm->recover_without_guest();
      co_await vm->recover_snapshots();
    } catch (...) {
      failure = std::current_exception();
    }
    if (!failure) continue;
    const auto fault = kernel::from_exception(failure, "taking up " + vm->properties().name);
    logger("vm")->error("{}: {}", vm->properties().name, fault.message());
  }
  for (const auto& [ref, vm] : host.virtual_machines) vm->finish_revert();
}

bool VirtualMachine::has_disk(const datastore::Location& disk) const {
  const auto disks = disks_of(host(), context(), config_);
  return std::any_of(disks.begin(), disks.end(),
                     [&](const auto& own) { return own.display() == disk.display(); }) ||
         disks_.contains(disk.display());
}

namespace {

// Another VM lives in the folder, of whose disks nothing is known: it is not in the inventory, or
// cannot be read.
bool is_of_unknown_vm(const Host& host, const datastore::Location& folder) {
  using State = vim::VirtualMachineConnectionState;
  const vmx::DatastorePath path(folder.datastore->name(), folder.path);
  for (const std::string& name : datastore::file_names(folder)) {
    if (!name.ends_with(".vmx") && !name.ends_with(".vmtx")) continue;
    const auto vm = vm_at(host, (path / name).format());
    if (!vm || vm->properties().runtime->connectionState != State::connected) return true;
  }
  return false;
}

}  // namespace

// The disks of the VM and of its snapshots, but for those of others, and the snapshots' own files.
// What a linked clone is a delta of goes with the last that needs it.
std::vector<datastore::Location> VirtualMachine::own_parts() const {
  std::vector<datastore::Location> parts = disks_of(host(), context(), config_);
  for (const auto& [disk, parent] : disk_tree(config_, snapshots_.tree(), context()).parents) {
    const auto place = host().locate(disk);
    const bool lies_here = place.parent().lasting_name() == config_file_.parent().lasting_name();
    const bool listed = std::any_of(parts.begin(), parts.end(), [&disk = disk](const auto& part) {
      return part.display() == disk;
    });
    if (listed || is_shared_with_others(disk)) continue;
    if (!lies_here && is_of_unknown_vm(host(), place.parent())) continue;
    parts.push_back(place);
  }
  for (const std::string& file : snapshots_.files()) parts.push_back(config_file_.sibling(file));
  return parts;
}

// --- Unregistering and destroying -------------------------------------------------------------

void VirtualMachine::unregister(const std::string& user) {
  withdraw_snapshots();
  host().kernel.database->erase(kVirtualMachines, self().value);
  vim::VmRemovedEvent event;
  post(std::move(event),
       fmt::format("Removed {} on {} from ha-datacenter", properties().name, host().identity.name),
       user);
  host().remove_virtual_machine(self());
}

Async<void> VirtualMachine::UnregisterVM(model::Call& call, const vim::UnregisterVMRequestType&) {
  require_no_question();
  if (powered_on()) refuse_power_state(vim::VirtualMachinePowerState::poweredOff);
  refuse_while_busy();
  log("Unregistered by " + kernel::context(call).user());
  unregister(kernel::context(call).user());
  co_return;
}

Async<MoRef> VirtualMachine::Destroy_Task(model::Call& call, const vim::DestroyRequestType&) {
  const std::string user = kernel::context(call).user();
  auto& kernel = host().kernel;
  kernel.authorization.check(kernel.inventory, user, *this, "VirtualMachine.Inventory.Delete");
  co_return run_task(call, "Destroy_Task", "VirtualMachine.destroy",
                     [this, user](kernel::TaskHandle&) -> Async<Any> {
                       co_await destroy(user);
                       co_return Any();
                     });
}

Async<void> VirtualMachine::destroy(std::string user) {
  if (powered_on()) refuse_power_state(vim::VirtualMachinePowerState::poweredOff);
  const auto me = shared_from_this();
  disks_ = co_await query_disks(config_);
  const auto parts = own_parts();
  json::array planned;
  for (const auto& part : parts) planned.emplace_back(part.lasting_name());
  const std::string journal = "destroy " + config_file_.lasting_name();
  host().kernel.database->put(unfinished_table, journal, json::serialize(planned));
  unregister(user);
  const auto place = config_file_;
  const auto config = config_;
  const auto work = [=] { delete_files(place, config, parts); };
  co_await offload(host().kernel.workers, work);
  host().kernel.database->erase(unfinished_table, journal);
}

}  // namespace virga::host
