// Copies of a VM. Those of a VM that runs are of one moment: while its disks are copied the guest
// writes to deltas, which are merged afterwards.
#include "base/log.h"
#include "datastore/delta_disk.h"
#include "datastore/files.h"
#include "host/datastore.h"
#include "host/folder.h"
#include "host/mac_conflicts.h"
#include "host/names.h"
#include "host/new_machine.h"
#include "host/virtual_machine_snapshot.h"
#include "host/vm_clone.h"
#include "host/vm_config_words.h"

namespace virga::host {
namespace {

vim::FolderEventArgument folder_argument(const Host& host) {
  vim::FolderEventArgument argument;
  argument.name = host.vm_folder->properties().name;
  argument.folder = host.vm_folder->self();
  return argument;
}

template <class E>
E event_of_target(const Host& host, const std::string& name) {
  E event;
  event.destFolder = folder_argument(host);
  event.destName = name;
  event.destHost = host.host_argument();
  return event;
}

const char* privilege_to_clone(bool from_template, bool to_template) {
  if (from_template)
    return to_template ? "VirtualMachine.Provisioning.CloneTemplate"
                       : "VirtualMachine.Provisioning.DeployTemplate";
  return to_template ? "VirtualMachine.Provisioning.CreateTemplateFromVM"
                     : "VirtualMachine.Provisioning.Clone";
}

NewPart new_copy(const Host& host, const DiskToCopy& disk) {
  const auto from = host.locate(disk.from.format()), to = host.locate(disk.to.format());
  return {to, disk.capacity,
          [from, to, disk](const datastore::Progress& progress, std::stop_token stop) {
            datastore::CopySpec spec;
            spec.provisioning = disk.provisioning;
            datastore::copy_disk(from, to, spec, progress, stop);
            if (!disk.growth) return;
            try {
              datastore::extend_disk(to, disk.growth->capacity, disk.growth->eager_zero, {}, stop);
            } catch (...) {
              datastore::delete_disk(to);
              throw;
            }
          }};
}

// A guest tells disks apart by their uuid.
NewPart new_child(const Host& host, const DiskToCopy& disk) {
  const auto parent = host.locate(disk.from.format()), child = host.locate(disk.to.format());
  return {child, 0, [parent, child](const datastore::Progress&, std::stop_token) {
            datastore::create_delta(child, parent);
            try {
              datastore::set_disk_uuid(child, vmx::make_disk_uuid());
            } catch (...) {
              datastore::delete_disk(child);
              throw;
            }
          }};
}

NewPart new_copy_of_file(const datastore::Location& from, const datastore::Location& to) {
  return {to, 0, [from, to](const datastore::Progress&, std::stop_token) {
            datastore::write_small_file(to, datastore::read_at_rest(from));
          }};
}

}  // namespace

// --- What is asked for -------------------------------------------------------------------------

void VirtualMachine::check_clone(const vim::CloneVMRequestType& request,
                                 const std::string& user) const {
  const vim::VirtualMachineRelocateSpec& location = request.spec.location;
  const MoRef folder = location.folder.value_or(request.folder);
  const auto target = host().kernel.inventory.get(folder);
  if (folder != names::vm_folder)
    throw kernel::not_supported("A virtual machine in " + folder.value);
  host().vm_folder->check_placement(location.pool, location.host);
  if (is_template() && !request.spec.template_ && !location.pool)
    throw kernel::invalid_argument("spec.location.pool",
                                   "a VM made of a template needs a resource pool");
  const auto& kernel = host().kernel;
  const auto check = [&](const kernel::Object& object, const char* privilege) {
    kernel.authorization.check(kernel.inventory, user, object, privilege);
  };
  check(*this, privilege_to_clone(is_template(), request.spec.template_));
  check(*target, "VirtualMachine.Inventory.CreateFromExisting");
  const auto check_datastore = [&](const MoRef& datastore) {
    check(*host().datastore(datastore), "Datastore.AllocateSpace");
  };
  if (location.datastore) check_datastore(*location.datastore);
  for (const auto& disk : location.disk) check_datastore(disk->datastore);
}

VirtualMachine::CloneSource VirtualMachine::clone_source(
    const std::optional<MoRef>& snapshot) const {
  const auto nvram = host().locate(nvram_file(config_, context()).format());
  if (!snapshot) return {file_, config_, nvram, powered_on()};
  const auto found = std::ranges::find_if(
      snapshot_objects_, [&](const auto& entry) { return entry.second->self() == *snapshot; });
  if (found == snapshot_objects_.end()) {
    host().kernel.inventory.get(*snapshot);
    throw kernel::invalid_argument(
        "spec.snapshot",
        fmt::format("{} is no snapshot of {}", snapshot->value, properties().name));
  }
  const int uid = found->first;
  const vmx::SnapshotState* state = snapshots_.state_of(uid);
  if (!state)
    throw kernel::Fault(
        vim::InvalidSnapshotFormat{},
        fmt::format("{} cannot be copied as of \"{}\": {} cannot be read.", properties().name,
                    snapshot_with(uid).name, snapshot_with(uid).state_file));
  return {vmx::VmxFile::parse(state->config, config_file_.display()),
          snapshots_.config_of(uid, config_file_),
          state->nvram_file.empty() ? nvram : config_file_.sibling(state->nvram_file), false};
}

// Templates are in none, which is to be in the root.
MoRef VirtualMachine::pool_of_clone(const vim::VirtualMachineCloneSpec& spec) const {
  if (spec.template_) return names::resource_pool;
  return spec.location.pool.value_or(properties().resourcePool.value_or(names::resource_pool));
}

NewMachine VirtualMachine::plan_new_machine(const CloneSource& source, const CloneRequest& wanted,
                                            const vmx::DatastorePath& config_file,
                                            const std::string& user) const {
  const ConfigContext here = config_context(host(), config_file);
  ClonePlan plan = plan_clone(source.config, context(), wanted, here);
  const auto& kernel = host().kernel;
  for (const std::string& privilege : plan.privileges)
    kernel.authorization.check(kernel.inventory, user, *this, privilege);
  vmx::VmxFile file = source.file;
  vmx::write(plan.config, file);
  std::vector<NewPart> parts;
  for (const DiskToCopy& disk : plan.copy)
    parts.push_back(disk.is_linked ? new_child(host(), disk) : new_copy(host(), disk));
  for (const DiskToCreate& disk : plan.create) parts.push_back(new_disk(host(), disk));
  const bool has_nvram = plan.config.firmware == vmx::Firmware::efi &&
                         source.config.firmware == vmx::Firmware::efi &&
                         source.nvram.datastore->exists(source.nvram.path);
  if (has_nvram) {
    const auto nvram = host().locate(nvram_file(plan.config, here).format());
    parts.push_back(new_copy_of_file(source.nvram, nvram));
  }
  return NewMachine(host(), config_file, std::move(file), std::move(parts),
                    pool_of_clone(*wanted.spec));
}

// --- Copying -----------------------------------------------------------------------------------

Async<Any> VirtualMachine::clone(std::string name, model::Ptr<vim::VirtualMachineCloneSpec> spec,
                                 std::string user, kernel::TaskHandle& handle) {
  require_accessible();
  post(event_of_target<vim::VmBeingClonedEvent>(host(), name),
       fmt::format("{} on {} in ha-datacenter is being cloned to {}", properties().name,
                   host().identity.name, name),
       user);
  std::shared_ptr<VirtualMachine> made;
  std::exception_ptr failure;
  try {
    co_await make_clone(name, spec, user, handle, made);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    const auto fault = kernel::from_exception(failure, "Cloning " + properties().name);
    auto event = event_of_target<vim::VmCloneFailedEvent>(host(), name);
    event.reason.fault = model::Ptr<vim::MethodFault>(fault.detail());
    event.reason.localizedMessage = fault.message();
    post(std::move(event),
         fmt::format("{} could not be cloned to {}: {}", properties().name, name, fault.message()),
         user);
    throw fault;
  }
  made->log(fmt::format("Cloned from {} by {}", properties().name, user));
  vim::VmClonedEvent event;
  event.sourceVm = event_argument();
  made->post(std::move(event),
             fmt::format("{} on {} in ha-datacenter was cloned from {}", name, host().identity.name,
                         properties().name),
             user);
  report_mac_conflicts(host(), *made, {});
  if (spec->powerOn) {
    const Work start = [made, user](kernel::TaskHandle& task) -> Async<Any> {
      co_await made->power_on(user, task);
      co_return Any();
    };
    co_await exclusively(made, start, handle);
  }
  co_return model::any(made->self());
}

namespace {

Async<void> make_into(std::shared_ptr<VirtualMachine>& made, NewMachine& machine,
                      kernel::TaskHandle& handle) {
  const std::function<void(int)> report = [&handle](int percent) {
    handle.report(percent * 9 / 10);
  };
  std::exception_ptr failure;
  try {
    const auto stop = handle.stop_token();
    co_await machine.make_disks(report, stop);
    made = co_await machine.complete();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  co_await machine.undo();
  std::rethrow_exception(failure);
}

}  // namespace

Async<void> VirtualMachine::make_clone(std::string name,
                                       model::Ptr<vim::VirtualMachineCloneSpec> spec,
                                       std::string user, kernel::TaskHandle& handle,
                                       std::shared_ptr<VirtualMachine>& made) {
  check_new_name(host(), name);
  disks_ = co_await query_disks(config_);
  const CloneSource source = clone_source(spec->snapshot);
  const std::string datastore = datastore_of_clone(spec->location, context());
  const char* extension = spec->template_ ? ".vmtx" : ".vmx";
  auto config_path = place_for(host(), name, fmt::format("[{}]", datastore));
  config_path = config_path.sibling(config_path.stem() + extension);
  std::map<std::string, vmx::DatastorePath> folders = {{datastore, config_path.parent()}};
  CloneRequest wanted{name, spec, {}};
  wanted.folder_on = [&](const std::string& other) {
    const auto known = folders.find(other);
    if (known != folders.end()) return known->second;
    return folders.emplace(other, free_folder(host(), other, name)).first->second;
  };
  NewMachine machine = plan_new_machine(source, wanted, config_path, user);
  if (source.is_being_written) require_readable_beside_guest(source.config);
  auto making = make_into(made, machine, handle);
  if (!source.is_being_written) co_return co_await std::move(making);
  require_snapshots();
  require_own_deltas();
  std::vector<NewDelta> deltas = co_await plan_deltas(config_);
  SnapshotWork work = work_on(deltas);
  auto copying = make_beside_guest(std::move(deltas), std::move(making));
  co_await with_snapshot_work(std::move(work), std::move(copying));
}

// The deltas are merged whatever becomes of the copy. When they cannot be, the VM shows that they
// have to be.
Async<void> VirtualMachine::make_beside_guest(std::vector<NewDelta> deltas, Async<void> making) {
  vmx::SnapshotState disks_only;
  auto of_guest = snapshot_guest(disks_only, std::chrono::minutes(0), nullptr);
  co_await write_to_deltas(std::move(deltas), std::move(of_guest));
  std::exception_ptr failure;
  try {
    co_await std::move(making);
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    co_await consolidate(nullptr, std::stop_token());
  } catch (const std::exception& left) {
    logger("vm")->error("{}: what it wrote while it was copied is not merged: {}", display_name(),
                        left.what());
  }
  if (failure) std::rethrow_exception(failure);
}

Async<MoRef> VirtualMachine::CloneVM_Task(model::Call& call, const vim::CloneVMRequestType& r) {
  const std::string user = kernel::context(call).user();
  check_clone(r, user);
  const auto spec = model::share(vim::VirtualMachineCloneSpec(r.spec));
  co_return run_task(
      call, "CloneVM_Task", "VirtualMachine.clone",
      [this, name = r.name, spec, user](kernel::TaskHandle& handle) -> Async<Any> {
        return clone(name, spec, user, handle);
      },
      true);
}

}  // namespace virga::host
