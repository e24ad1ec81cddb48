#include "host/virtual_machine.h"

#include <algorithm>

#include "base/log.h"
#include "base/uuid.h"
#include "datastore/files.h"
#include "host/config_option.h"
#include "host/console.h"
#include "host/datastore.h"
#include "host/host_graphics_manager.h"
#include "host/host_pci_passthru_system.h"
#include "host/mac_conflicts.h"
#include "host/names.h"
#include "host/network.h"
#include "host/raw_devices.h"
#include "host/resource_pools.h"
#include "host/vm_config_words.h"
#include "host/vm_disk_chain.h"
#include "host/vm_identity.h"
#include "host/vm_log.h"
#include "host/vm_storage.h"
#include "host/vm_swap.h"
#include "model/clock.h"

namespace virga::host {
VirtualMachine::VirtualMachine(Host& host, MoRef self, datastore::Location config_file,
                               vmx::VmxFile file)
    : Entity(host, std::move(self), [&] {
        auto properties = entity_properties<Properties>(
            vmx::DatastorePath::parse(config_file.display()).stem(), names::vm_folder);
        properties.capability = model::share(machine_capability(hardware_versions().back()));
        properties.environmentBrowser = names::environment_browser;
        properties.runtime.edit().host = names::host_system;
        properties.runtime.edit().connectionState = vim::VirtualMachineConnectionState::connected;
        properties.runtime.edit().powerState = vim::VirtualMachinePowerState::poweredOff;
        properties.runtime.edit().faultToleranceState = vim::VirtualMachineFaultToleranceState::notConfigured;
        properties.runtime.edit().recordReplayState = vim::VirtualMachineRecordReplayState::inactive;
        properties.guestHeartbeatStatus = vim::ManagedEntityStatus::gray;
        properties.summary.edit().overallStatus = vim::ManagedEntityStatus::green;
        properties.summary.edit().quickStats.guestHeartbeatStatus = vim::ManagedEntityStatus::gray;
        properties.summary.edit().config.name = properties.name;
        properties.summary.edit().config.vmPathName = config_file.display();
        return properties;
      }()),
      config_file_(std::move(config_file)),
      file_(std::move(file)),
      snapshots_(host, this->self().value),
      memory_(host, this->self().value, config_file_),
      run_ended_(host.kernel.executor) {
  update([&](Properties& p) {
    p.summary.edit().vm = this->self();
    p.summary.edit().runtime = *p.runtime;
  });
}

std::string VirtualMachine::display_name() const {
  return config_.display_name.empty()
             ? vmx::DatastorePath::parse(config_file_.display()).stem()
             : config_.display_name;
}

Async<void> VirtualMachine::load() {
  config_ = vmx::read(file_);
  vmx::MachineConfig completed = config_;
  vmx::generate_missing_macs(completed, context().mac_in_use);
  if (completed.bios_uuid.empty()) completed.bios_uuid = make_uuid();
  if (completed.instance_uuid.empty()) completed.instance_uuid = make_uuid();
  adopt_references(completed, context(), {});
  co_await take_over(std::move(completed));
  co_await snapshots_.load(config_file_);
  disks_ = co_await query_disks(config_);
  publish_config();
  publish_snapshots();
  co_await refresh_storage();
}

void VirtualMachine::mark_invalid(const std::string& reason) {
  using State = vim::VirtualMachineConnectionState;
  update([&](Properties& p) {
    p.runtime.edit().connectionState = config_file_.datastore->is_absent() ? State::inaccessible
                                                                           : State::invalid;
    p.summary.edit().runtime = *p.runtime;
    p.overallStatus = p.summary.edit().overallStatus = vim::ManagedEntityStatus::red;
    vim::VmDisconnectedEvent issue;
    issue.fullFormattedMessage = reason;
    issue.createdTime = model::now();
    p.configIssue.clear();
    p.configIssue.push_back(model::Ptr<vim::Event>(model::share(std::move(issue)).data()));
  });
  logger("vm")->error("{}: {}", config_file_.display(), reason);
}

ConfigContext config_context(const Host& host, const vmx::DatastorePath& config_file) {
  ConfigContext context{config_file, host.volumes()};
  context.disk = [&host](const vmx::DatastorePath& path) { return look_up_disk(host, path); };
  context.datastore = [&host](const std::string& name) -> std::optional<MoRef> {
    const auto found = host.datastores.find(name);
    return found == host.datastores.end() ? std::nullopt : std::optional(found->second->self());
  };
  context.network = [&host](const std::string& name) -> std::optional<MoRef> {
    const auto network = host.network(name);
    return network ? std::optional(network->self()) : std::nullopt;
  };
  context.name_of = [&host](const MoRef& ref) {
    const auto object = host.kernel.inventory.get(ref);
    return static_cast<const vim::ManagedEntityProperties&>(*object->snapshot()).name;
  };
  context.absolute = [&host](const vmx::DatastorePath& path) {
    const auto place = host.locate(path.format());
    return (place.datastore->root() / place.path).string();
  };
  context.mac_in_use = [&host, here = config_file.format()](const std::string& mac) {
    return std::any_of(host.virtual_machines.begin(), host.virtual_machines.end(),
                       [&](const auto& entry) {
                         const VirtualMachine& other = *entry.second;
                         return other.config_file().display() != here && other.has_mac(mac);
                       });
  };
  context.host_devices = [] { return hypervisor::probe_host_devices(); };
  context.pci_label = [&host](const std::string& address) { return pci_label(host, address); };
  context.uplink_policy = [&host](const std::string& network) {
    return uplink_policy(*host.switching, network);
  };
  context.pci_in_use = [&host, here = config_file.format()](const std::string& address) {
    return host.pci_changes.contains(address) || std::any_of(
        host.virtual_machines.begin(), host.virtual_machines.end(), [&](const auto& entry) {
          const VirtualMachine& other = *entry.second;
          return other.config_file().display() != here && other.has_pci_device(address);
        });
  };
  context.raw_device = [&host](const std::string& name) { return find_raw_device(host, name); };
  context.raw_device_obstacle = [&host](const std::string& unit) {
    return raw_device_obstacle(host, unit);
  };
  context.raw_device_image = [&host](const std::string& unit) {
    return raw_device_image(host, unit);
  };
  context.graphics = [&host] { return *host.graphics_manager->properties().graphicsConfig; };
  context.host_name = host.identity.name;
  context.processors = host.facts.cpu.threads;
  context.max_vcpus = host.capabilities.max_vcpus;
  context.max_memory_mib = host.capabilities.max_memory_mib;
  return context;
}

std::string VirtualMachine::raw_disk_on(const std::string& unit) const {
  for (const auto& [path, info] : disks_)
    if (info.mapping && info.mapping->unit == unit) return path;
  return {};
}

std::optional<std::uint64_t> VirtualMachine::capacity_of(const vmx::Disk& disk) const {
  const auto path = find_file(context(), disk.file);
  const auto info = path ? disks_.find(path->format()) : disks_.end();
  return info == disks_.end() ? std::nullopt : std::optional(info->second.capacity);
}

// Of the VM's own disks what was read last.
ConfigContext VirtualMachine::context() const {
  ConfigContext context =
      config_context(host(), vmx::DatastorePath::parse(config_file_.display()));
  context.disk = [disks = disks_](const vmx::DatastorePath& path) -> std::optional<datastore::DiskInfo> {
    const auto found = disks.find(path.format());
    return found == disks.end() ? std::nullopt : std::optional(found->second);
  };
  context.growth = growth();
  return context;
}

// What the machine that runs can still be given.
std::optional<Growth> VirtualMachine::growth() const {
  const hypervisor::Machine* running = machine();
  if (!running) return std::nullopt;
  const hypervisor::MachineSpec& spec = running->spec();
  return Growth{.max_vcpus = spec.max_vcpus,
                .max_memory_mib = static_cast<std::int64_t>(spec.max_memory_mib),
                .has_free_slot = spec.dimms.size() < hypervisor::max_dimms,
                .tools_running = running->agent_connected()};
}

std::optional<datastore::DiskInfo> look_up_disk(const Host& host, const vmx::DatastorePath& path) {
  try {
    return datastore::query_disk(host.locate(path.format()));
  } catch (const Error&) {
    return std::nullopt;
  } catch (const kernel::Fault&) {
    return std::nullopt;
  }
}

namespace {

// Adds the disk and all it is a delta of, as far as they can be read. Those on a datastore that this
// host has not got are shown without their size.
void query_chain(const Datastores& datastores, const Volumes& volumes,
                 std::optional<vmx::DatastorePath> disk,
                 std::map<std::string, datastore::DiskInfo>& disks) {
  while (disk && !disks.contains(disk->format())) {
    const auto found = datastores.find(disk->datastore());
    if (found == datastores.end()) return;
    try {
      const auto& info = disks[disk->format()] = datastore::query_disk({found->second, disk->path()});
      disk = parent_disk(volumes, *disk, info);
    } catch (const Error& failure) {
      disks.erase(disk->format());
      logger("vm")->warn("{}", failure.what());
      return;
    }
  }
}

}  // namespace

Async<VirtualMachine::Disks> VirtualMachine::query_disks(vmx::MachineConfig config) const {
  const ConfigContext here = context();
  std::vector<std::string> files;
  for (const vmx::Disk& disk : config.disks) files.push_back(disk.file);
  for (const vmx::Snapshot& snapshot : snapshots_.tree().snapshots)
    for (const vmx::SnapshotDisk& disk : snapshot.disks) files.push_back(disk.file);
  std::vector<vmx::DatastorePath> paths;
  for (const std::string& file : files)
    if (const auto path = find_file(here, file)) paths.push_back(*path);
  const auto work = [paths, volumes = here.volumes, datastores = datastores()] {
    Disks disks;
    for (const auto& path : paths) query_chain(datastores, volumes, path, disks);
    return disks;
  };
  co_return co_await offload(host().kernel.workers, work);
}

void VirtualMachine::publish_config() {
  const ConfigContext here = context();
  auto info = model::share(config_info(config_, here, device_state_, powered_on()));
  const auto summary = config_summary(config_, here);
  const auto capability =
      model::share(machine_capability(hardware_version(config_.hardware_version)));
  model::Array<MoRef> datastores = {host().datastore(here.config_file.datastore())->self()};
  for (const vmx::Disk& disk : config_.disks) {
    try {
      if (const auto ref = here.datastore(resolve_file(here, disk.file).datastore()))
        add_reference(datastores, *ref);
    } catch (const kernel::Fault&) {
      // A file outside every datastore: shown as it stands in the .vmx.
    }
  }
  model::Array<MoRef> networks;
  vmx::for_each_adapter(config_, [&](const auto& adapter) {
    if (const auto ref = here.network(adapter.network)) add_reference(networks, *ref);
  });
  update([&](Properties& p) {
    p.name = display_name();
    p.config = info;
    p.capability = capability;
    p.summary.edit().config = summary;
    p.datastore = datastores;
    p.network = networks;
    p.resourceConfig = model::share([&] {
      vim::ResourceConfigSpec resources;
      resources.entity = self();
      if (info->cpuAllocation) resources.cpuAllocation = *info->cpuAllocation;
      if (info->memoryAllocation) resources.memoryAllocation = *info->memoryAllocation;
      return resources;
    }());
  });
  const MoRef ref = self();
  for (const auto& [name, datastore] : host().datastores) {
    const bool uses = std::find(datastores.begin(), datastores.end(), datastore->self()) != datastores.end();
    datastore->update([&](auto& p) { uses ? add_reference(p.vm, ref) : remove_reference(p.vm, ref); });
  }
  for (const auto& [name, network] : host().networks) {
    const bool uses = std::find(networks.begin(), networks.end(), network->self()) != networks.end();
    network->update([&](auto& p) { uses ? add_reference(p.vm, ref) : remove_reference(p.vm, ref); });
  }
}

void require_not_in_use(const Host& host, const datastore::Location& place) {
  const std::string path = place.display();
  for (const auto& [ref, vm] : host.virtual_machines) {
    const bool runs_with_it = vm->machine() && vm->has_files_at(path);
    if (!runs_with_it && !vm->is_linked_to(path)) continue;
    vim::FileLocked detail;
    detail.file = path;
    throw kernel::Fault(std::move(detail),
                        fmt::format("{} is in use: {} {}.", path, vm->properties().name,
                                    runs_with_it ? "runs with it" : "is a linked clone of it"));
  }
}

bool VirtualMachine::is_linked_to(const std::string& path) const {
  const std::string below = path.ends_with(' ') ? path : path + "/";
  const auto tree = disk_tree(config_, snapshots_.tree(), context()).parents;
  const auto is_elsewhere = [](const std::string& disk, const std::string& parent) {
    return vmx::DatastorePath::parse(disk).parent() != vmx::DatastorePath::parse(parent).parent();
  };
  for (const auto& [child, first] : tree) {
    if (first.empty() || !is_elsewhere(child, first)) continue;
    for (std::string disk = first; !disk.empty(); disk = tree.at(disk)) {
      if (disk == path || disk.starts_with(below)) return true;
      const auto info = disks_.find(disk);
      if (info == disks_.end()) continue;
      const std::string datastore = vmx::DatastorePath::parse(disk).datastore();
      for (const std::string& extent : info->second.extents)
        if (vmx::DatastorePath(datastore, extent).format() == path) return true;
    }
  }
  return false;
}

bool VirtualMachine::has_files_at(const std::string& path) const {
  const auto& layout = properties().layoutEx;
  const std::string below = path.ends_with(' ') ? path : path + "/";
  if (!layout) return false;
  for (const auto& own : layout->file)
    if (own->type != "log" && (own->name == path || own->name.starts_with(below))) return true;
  return false;
}

bool VirtualMachine::consists_of(const std::string& file) const {
  const auto& layout = properties().layoutEx;
  if (!layout) return false;
  for (const auto& own : layout->file)
    if (own->name == file) return true;
  return false;
}

bool VirtualMachine::is_shared_with_others(const std::string& disk) const {
  const auto& vms = host().virtual_machines;
  return std::any_of(vms.begin(), vms.end(), [&](const auto& entry) {
    return entry.second.get() != this && entry.second->consists_of(disk);
  });
}

Datastores VirtualMachine::datastores() const {
  Datastores datastores;
  for (const auto& [name, datastore] : host().datastores) datastores[name] = datastore->files();
  return datastores;
}

Async<void> VirtualMachine::refresh_storage() {
  const ConfigContext here = context();
  VmFiles files = files_of(config_, here);
  add_snapshot_files(files);
  const auto look = [files, all = datastores()] { return survey(files, all); };
  const FileSurvey found = co_await offload(host().kernel.workers, look);
  StorageContext around{.datastore = here.datastore, .now = model::now()};
  around.is_shared = [this](const std::string& file) {
    return file.ends_with(".vmdk") && is_shared_with_others(file);
  };
  VmStorage storage = describe(found, around);
  update([&](Properties& p) {
    p.layout = model::share(std::move(storage.layout));
    p.layoutEx = model::share(std::move(storage.layout_ex));
    p.storage = model::share(std::move(storage.usage));
    p.summary.edit().storage = model::share(std::move(storage.summary));
  });
  publish_issues(snapshot_issues(properties().name, snapshots_.tree(), found, around.now));
}

Async<void> VirtualMachine::save_config(vmx::MachineConfig config) {
  vmx::VmxFile next = file_;
  vmx::write(config, next);
  const std::string text = next.serialise();
  const datastore::Location place = config_file_;
  const auto work = [place, text] {
    datastore::Upload upload(place, datastore::IfExists::replace);
    upload.write(text);
    upload.commit();
  };
  co_await offload(host().kernel.workers, work);
  file_ = std::move(next);
  config_ = std::move(config);
}

vim::VmEventArgument VirtualMachine::event_argument() const {
  vim::VmEventArgument argument;
  argument.name = properties().name;
  argument.vm = self();
  return argument;
}

void VirtualMachine::post_extended(const char* identifier, const char* severity,
                                   const std::string& message, const std::string& user) {
  vim::EventEx event;
  event.vm = model::share(event_argument());
  event.eventTypeId = identifier;
  event.severity = severity;
  event.message = message;
  event.objectId = self().value;
  event.objectType = self().type;
  event.objectName = properties().name;
  host().post(std::move(event), message, user);
}

void VirtualMachine::log(const std::string& line) {
  append_log(config_file_, log_policy(config_), line);
}

bool VirtualMachine::has_mac(const std::string& mac) const {
  bool found = false;
  vmx::for_each_adapter(config_, [&](const auto& adapter) { found |= adapter.mac == mac; });
  return found;
}

bool VirtualMachine::has_pci_device(const std::string& address) const {
  return run_ && run_->has_pci_device(address);
}

// --- Tasks ------------------------------------------------------------------------------------

MoRef VirtualMachine::run_task(model::Call& call, const char* method, const char* description_id,
                               Work work, bool cancelable) {
  kernel::TaskSpec spec{method, description_id, self(), properties().name, cancelable};
  const auto me = std::static_pointer_cast<VirtualMachine>(shared_from_this());
  return host().kernel.tasks.run(
      call, std::move(spec), [me, work = std::move(work)](kernel::TaskHandle& handle) -> Async<Any> {
        return exclusively(me, work, handle);
      });
}

Async<Any> VirtualMachine::exclusively(std::shared_ptr<VirtualMachine> self, Work work,
                                       kernel::TaskHandle& handle) {
  self->require_no_question();
  self->refuse_while_busy();
  struct Reset {
    std::optional<MoRef>& task;
    ~Reset() { task.reset(); }
  } reset{self->current_task_};
  self->current_task_ = handle.task();
  Any result;
  std::exception_ptr failure;
  try {
    co_await self->lock_files();
    result = co_await work(handle);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await self->unlock_files();
  if (failure) std::rethrow_exception(failure);
  if (self->inventory().find(self->self())) co_await self->refresh_storage();
  co_return result;
}

void VirtualMachine::refuse_while_busy() const {
  if (!current_task_) return;
  vim::TaskInProgress detail;
  detail.task = *current_task_;
  throw kernel::Fault(std::move(detail), fmt::format("{} is busy with another task, {}.",
                                                     display_name(), current_task_->value));
}

void VirtualMachine::require_accessible() const {
  if (properties().runtime->connectionState == vim::VirtualMachineConnectionState::connected) return;
  throw kernel::invalid_state(fmt::format("{} is not accessible: {} cannot be read.",
                                          properties().name, config_file_.display()));
}

void VirtualMachine::refuse_power_state(vim::VirtualMachinePowerState wanted) const {
  const auto word = [](vim::VirtualMachinePowerState state) {
    return state == vim::VirtualMachinePowerState::poweredOn    ? "powered on"
           : state == vim::VirtualMachinePowerState::suspended ? "suspended"
                                                               : "powered off";
  };
  vim::InvalidPowerState detail;
  detail.requestedState = wanted;
  detail.existingState = properties().runtime->powerState;
  const std::string is = fmt::format("{} is {}", properties().name, word(detail.existingState));
  const bool already = detail.existingState == wanted;
  throw kernel::Fault(std::move(detail), already ? is + " already."
                                                 : fmt::format("{}; this needs it {}.", is, word(wanted)));
}

void VirtualMachine::require_power_state(vim::VirtualMachinePowerState wanted) const {
  if (properties().runtime->powerState != wanted) refuse_power_state(wanted);
}

// --- Configuration ----------------------------------------------------------------------------

Async<void> VirtualMachine::reload() {
  const datastore::Location place = config_file_;
  const auto read = [place] { return datastore::read_small_file(place, vmx::VmxFile::max_size); };
  const std::string text = co_await offload(host().kernel.workers, read);
  file_ = vmx::VmxFile::parse(text, place.display());
  co_await load();
}

Async<void> VirtualMachine::Reload(model::Call&, const vim::ReloadRequestType&) {
  co_await reload();
  show_connected();
}

void VirtualMachine::show_connected() {
  update([](Properties& p) {
    p.runtime.edit().connectionState = vim::VirtualMachineConnectionState::connected;
    p.summary.edit().runtime = *p.runtime;
    p.overallStatus = p.summary.edit().overallStatus = vim::ManagedEntityStatus::green;
    p.configIssue.clear();
  });
}

Async<void> VirtualMachine::RefreshStorageInfo(model::Call&,
                                               const vim::RefreshStorageInfoRequestType&) {
  disks_ = co_await query_disks(config_);
  publish_config();
  co_await refresh_storage();
}

Async<MoRef> VirtualMachine::Rename_Task(model::Call& call, const vim::RenameRequestType& r) {
  const auto spec = model::share([&] {
    vim::VirtualMachineConfigSpec renamed;
    renamed.name = r.newName;
    return renamed;
  }());
  const std::string user = kernel::context(call).user();
  host().kernel.authorization.check(host().kernel.inventory, user, *this,
                                    "VirtualMachine.Config.Rename");
  co_return run_task(call, "Rename_Task", "VirtualMachine.rename",
                     [this, spec, user](kernel::TaskHandle& handle) -> Async<Any> {
                       co_await reconfigure(spec, user, handle);
                       co_return Any();
                     });
}

Async<MoRef> VirtualMachine::ReconfigVM_Task(model::Call& call, const vim::ReconfigVMRequestType& r) {
  const auto spec = model::share(vim::VirtualMachineConfigSpec(r.spec));
  const std::string user = kernel::context(call).user();
  co_return run_task(call, "ReconfigVM_Task", "VirtualMachine.reconfigure",
                     [this, spec, user](kernel::TaskHandle& handle) -> Async<Any> {
                       co_await reconfigure(spec, user, handle);
                       co_return Any();
                     });
}

Async<void> VirtualMachine::change_allocations(model::Call& call,
                                               model::Ptr<vim::ResourceConfigSpec> wanted) {
  const auto spec = model::share([&] {
    vim::VirtualMachineConfigSpec spec;
    spec.cpuAllocation = model::share(wanted->cpuAllocation);
    spec.memoryAllocation = model::share(wanted->memoryAllocation);
    return spec;
  }());
  const std::string user = kernel::context(call).user();
  const Work work = [this, spec, user](kernel::TaskHandle& handle) -> Async<Any> {
    co_await reconfigure(spec, user, handle);
    co_return Any();
  };
  co_await complete_task(call, "ReconfigVM_Task", "VirtualMachine.reconfigure", work);
}

namespace {

// Disks made for a change that then fails must not stay behind.
Async<void> create_disks(Host& host, const std::vector<DiskToCreate>& disks,
                         kernel::TaskHandle& handle) {
  std::vector<std::pair<datastore::Location, datastore::DiskSpec>> wanted;
  for (const DiskToCreate& disk : disks) wanted.emplace_back(host.locate(disk.path.format()), disk.spec);
  const auto work = [&handle, wanted] {
    std::size_t made = 0;
    try {
      for (const auto& [place, spec] : wanted) {
        datastore::create_disk(place, spec, [&](std::uint64_t done, std::uint64_t total) {
          if (total > 0) handle.report(static_cast<int>(done * 90 / total));
        }, handle.stop_token());
        ++made;
      }
    } catch (...) {
      while (made > 0) datastore::delete_disk(wanted[--made].first);
      throw;
    }
  };
  co_await offload(host.kernel.workers, work);
}

Async<void> delete_disks(Host& host, std::vector<vmx::DatastorePath> disks) {
  std::vector<datastore::Location> places;
  for (const auto& disk : disks) places.push_back(host.locate(disk.format()));
  const auto work = [places] {
    for (const auto& place : places) datastore::delete_disk(place);
  };
  co_await offload(host.kernel.workers, work);
}

std::vector<vmx::DatastorePath> paths_of(const std::vector<DiskToCreate>& disks) {
  std::vector<vmx::DatastorePath> paths;
  for (const DiskToCreate& disk : disks) paths.push_back(disk.path);
  return paths;
}

}  // namespace

Async<void> VirtualMachine::reconfigure(model::Ptr<vim::VirtualMachineConfigSpec> spec,
                                        std::string user, kernel::TaskHandle& handle) {
  require_accessible();
  ConfigContext here = config_context(host(), vmx::DatastorePath::parse(config_file_.display()));
  here.growth = growth();
  const ConfigPlan plan = plan_change(config_, *spec, here, powered_on());
  if (is_template()) require_description_only(plan);
  auto& kernel = host().kernel;
  for (const std::string& privilege : plan.privileges)
    kernel.authorization.check(kernel.inventory, user, *this, privilege);
  for (const auto& [ref, other] : host().virtual_machines) {
    if (other.get() != this && other->properties().name == plan.config.display_name)
      throw kernel::duplicate_name(plan.config.display_name, other->self());
  }
  std::vector<vmx::DatastorePath> made_or_removed = paths_of(plan.create);
  made_or_removed.insert(made_or_removed.end(), plan.destroy.begin(), plan.destroy.end());
  const DiskJournal journal(host(), config_file_, made_or_removed);
  const vmx::MachineConfig before = config_;
  co_await create_disks(host(), plan.create, handle);
  std::exception_ptr failure;
  try {
    if (machine()) host().resource_pools->admit(*this, plan.config);
    for (const DiskToGrow& disk : plan.grow) {
      const auto place = host().locate(disk.path.format());
      if (machine()) co_await machine()->resize_disk(disk.key, disk.capacity);
      const bool live = machine() != nullptr;
      const auto grow = [place, disk, live] {
        if (live) {
          datastore::adopt_size(place);
        } else {
          datastore::extend_disk(place, disk.capacity, disk.eager_zero);
        }
      };
      co_await offload(kernel.workers, grow);
    }
    disks_ = co_await query_disks(plan.config);
    if (machine()) co_await prepare_added_tracks(plan);
    if (machine()) co_await apply_hot(plan);
    if (before.tpms.empty() && !plan.config.tpms.empty()) co_await forget_tpm();
    co_await save_config(plan.config);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await note_growth();
    if (machine()) host().resource_pools->hold(*this);
    co_await delete_disks(host(), paths_of(plan.create));
    disks_ = co_await query_disks(config_);
    publish_config();
    std::rethrow_exception(failure);
  }
  if (machine()) show_capacity();
  report_mac_conflicts(host(), *this, before);
  for (const auto& [key, connected] : plan.connections.connected) device_state_.connected[key] = connected;
  co_await delete_disks(host(), plan.destroy);
  if (!before.tpms.empty() && plan.config.tpms.empty()) co_await forget_tpm();
  publish_config();
  vim::VmReconfiguredEvent event;
  event.configSpec = *spec;
  post(std::move(event), fmt::format("Reconfigured {} on {} in ha-datacenter", properties().name,
                                     host().identity.name), user);
  log("Reconfigured by " + user);
}

// When a TPM goes, and once more before one comes: a daemon killed in between did not get to it.
Async<void> VirtualMachine::forget_tpm() {
  const datastore::Location state = host().locate(tpm_folder(context()).format());
  const auto forget = [state] { datastore::remove_if_present(state); };
  co_await offload(host().kernel.workers, forget);
}

Async<MoRef> VirtualMachine::UpgradeVM_Task(model::Call& call, const vim::UpgradeVMRequestType& r) {
  const std::string user = kernel::context(call).user();
  co_return run_task(call, "UpgradeVM_Task", "VirtualMachine.upgradeVirtualHardware",
                     [this, version = r.version, user](kernel::TaskHandle&) -> Async<Any> {
                       co_await upgrade(version, user);
                       co_return Any();
                     });
}

Async<void> VirtualMachine::upgrade(std::optional<std::string> version, std::string user) {
  require_accessible();
  refuse_template("Upgrading");
  require_power_state(vim::VirtualMachinePowerState::poweredOff);
  const int wanted = upgraded_version(config_, version, context());
  vim::VmUpgradingEvent begun;
  begun.version = format_hardware_version(wanted);
  post(std::move(begun), fmt::format("Upgrading the virtual hardware of {} to {}",
                                     properties().name, format_hardware_version(wanted)), user);
  vmx::MachineConfig upgraded = config_;
  upgraded.hardware_version = wanted;
  std::exception_ptr failure;
  try {
    co_await save_config(std::move(upgraded));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    post(vim::VmUpgradeFailedEvent{},
         fmt::format("The virtual hardware of {} could not be upgraded", properties().name), user);
    std::rethrow_exception(failure);
  }
  publish_config();
  vim::VmUpgradeCompleteEvent complete;
  complete.version = format_hardware_version(wanted);
  post(std::move(complete), fmt::format("The virtual hardware of {} was upgraded to {}",
                                        properties().name, format_hardware_version(wanted)), user);
  log("Virtual hardware upgraded to " + format_hardware_version(wanted) + " by " + user);
}

const vmx::NetworkAdapter& VirtualMachine::adapter_with(const vmx::MachineConfig& config, int key) {
  const auto found = std::find_if(config.network_adapters.begin(), config.network_adapters.end(),
                                  [&](const auto& adapter) { return device_key(adapter) == key; });
  if (found == config.network_adapters.end())
    throw error(ErrorKind::not_found, std::to_string(key), "there is no network adapter {}", key);
  return *found;
}

Async<void> VirtualMachine::apply_hot(const ConfigPlan& plan) {
  const hypervisor::MachineSpec spec = machine_spec(plan.config, context(), machine_id(), plan.connections);
  require_disks_free(plan.config, spec);
  for (const int key : plan.removed) co_await unplug(key);
  for (const int key : plan.added) co_await plug(plan, spec, key);
  for (const int key : plan.edited) co_await change_live(spec, key, plan);
  co_await grow(plan.config);
}

Async<void> VirtualMachine::grow(vmx::MachineConfig config) {
  const hypervisor::MachineSpec present = machine()->spec();
  const auto memory = static_cast<std::uint64_t>(config.memory_mib);
  if (memory > present.memory_mib) {
    co_await run_->make_swap(swap_size(config));
    co_await machine()->add_memory(memory - present.memory_mib);
  }
  if (config.cpus > present.vcpus) co_await machine()->add_vcpus(config.cpus - present.vcpus);
}

// Processors and memory that came stay, whatever became of the rest of the change.
Async<void> VirtualMachine::note_growth() {
  if (!machine()) co_return;
  const hypervisor::MachineSpec present = machine()->spec();
  vmx::MachineConfig grown = config_;
  grown.cpus = std::max(grown.cpus, present.vcpus);
  grown.memory_mib = std::max(grown.memory_mib, static_cast<std::int64_t>(present.memory_mib));
  if (grown.memory_reservation_locked) grown.memory.reservation = grown.memory_mib;
  if (grown == config_) co_return;
  try {
    co_await save_config(grown);
  } catch (const std::exception& failure) {
    logger("vm")->error("{}: {}", config_file_.display(), failure.what());
  }
  config_ = std::move(grown);  // true even when the .vmx could not be written
  show_capacity();
}

void VirtualMachine::show_capacity() {
  update([&](Properties& p) {
    p.runtime.edit().maxCpuUsage = static_cast<std::int32_t>(config_.cpus * host().facts.cpu.mhz);
    p.runtime.edit().maxMemoryUsage = static_cast<std::int32_t>(config_.memory_mib);
    p.summary.edit().runtime = *p.runtime;
  });
}

Async<void> VirtualMachine::plug(const ConfigPlan& plan, const hypervisor::MachineSpec& spec,
                                 int key) {
  for (const auto& controller : spec.controllers)
    if (controller.key == key) co_return co_await machine()->add_controller(controller);
  for (const auto& disk : spec.disks)
    if (disk.key == key) co_return co_await machine()->add_disk(disk);
  for (const auto& device : spec.usb_devices)
    if (device.key == key) co_return co_await machine()->add_usb_device(device);
  for (const auto& wanted : spec.nics) {
    if (wanted.key != key) continue;
    hypervisor::Nic nic = wanted;
    Fd tap = co_await run_->attach(nic, adapter_with(plan.config, key).network);
    co_return co_await machine()->add_nic(nic, std::move(tap));
  }
}

Async<void> VirtualMachine::unplug(int key) {
  const hypervisor::MachineSpec present = machine()->spec();
  for (const auto& disk : present.disks)
    if (disk.key == key) co_return co_await machine()->remove_disk(key);
  for (const auto& device : present.usb_devices)
    if (device.key == key) co_return co_await machine()->remove_usb_device(key);
  for (const auto& controller : present.controllers)
    if (controller.key == key) co_return co_await machine()->remove_controller(key);
  for (const auto& nic : present.nics) {
    if (nic.key != key) continue;
    co_await machine()->remove_nic(key);
    co_return co_await run_->detach(nic);
  }
}

Async<void> VirtualMachine::change_medium(int drive_key, std::optional<std::string> path) {
  hypervisor::MachineSpec present = machine()->spec();
  if (medium_of(present, drive_key) != path)
    co_await machine()->change_medium(drive_key, std::move(path));
}

Async<void> VirtualMachine::change_live(const hypervisor::MachineSpec& spec, int key,
                                        const ConfigPlan& plan) {
  for (const auto& disk : spec.disks) {
    if (disk.key != key) continue;
    if (hypervisor::find_disk(machine()->spec(), key).iops_limit == disk.iops_limit) co_return;
    co_return co_await machine()->limit_disk(key, disk.iops_limit);
  }
  for (const auto& cdrom : spec.cdroms)
    if (cdrom.key == key) co_return co_await change_medium(key, cdrom.path);
  for (const auto& floppy : spec.floppies)
    if (floppy.key == key) co_return co_await change_medium(key, floppy.path);
  for (const auto& nic : spec.nics) {
    if (nic.key != key) continue;
    const std::string network = adapter_with(plan.config, key).network;
    for (const auto& port : host().switching->ports()) {
      if (port.vm == machine_id() && port.nic_key == key && port.port_group != network)
        co_await host().switching->move(port.id, network);
    }
    const auto connected = plan.connections.connected.find(key);
    if (connected != plan.connections.connected.end())
      co_await machine()->set_link(key, connected->second);
    co_return;
  }
}

Async<void> VirtualMachine::follow_renaming(
    std::shared_ptr<const datastore::Datastore> renamed) {
  if (config_file_.datastore->uuid() == renamed->uuid()) config_file_.datastore = renamed;
  disks_ = co_await query_disks(config_);
  publish_config();
  co_await refresh_storage();
}

Async<void> VirtualMachine::follow_return(
    std::shared_ptr<const datastore::Datastore> returned) {
  const bool lies_there = config_file_.datastore->uuid() == returned->uuid();
  if (lies_there) config_file_.datastore = returned;
  std::string reason;
  try {
    if (lies_there) {
      co_await reload();
      show_connected();
      co_await recover_without_guest();
      co_await recover_snapshots();
      finish_revert();
    } else {
      co_await follow_renaming(returned);  // disks of it may lie there
    }
  } catch (const std::exception& failure) {
    reason = failure.what();
  }
  if (reason.empty()) co_return;
  if (lies_there)
    mark_invalid(reason);
  else
    logger("vm")->error("{}: {}", config_file_.display(), reason);
}

void VirtualMachine::set_quick_stats(const vim::VirtualMachineQuickStats& stats) {
  update([&](Properties& p) { p.summary.edit().quickStats = stats; });
}

}  // namespace virga::host
