#include "host/datastore.h"

#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "datastore/browse.h"
#include "host/host_datastore_browser.h"
#include "host/names.h"
#include "host/virtual_machine.h"
#include "model/clock.h"

namespace virga::host {
namespace {

constexpr const char* kTable = "datastore";  // uuid → "name\npath"

vim::DatastoreCapability capability() {
  vim::DatastoreCapability capability;
  capability.directoryHierarchySupported = true;
  capability.perFileThinProvisioningSupported = true;
  capability.topLevelDirectoryCreateSupported = true;
  return capability;
}

vim::DatastoreHostMount mount(const datastore::Datastore& files) {
  vim::DatastoreHostMount mount;
  mount.key = names::host_system;
  // As the .vmx files name it; where it really is, info.path tells.
  mount.mountInfo.path = "/vmfs/volumes/" + files.uuid();
  mount.mountInfo.accessMode = files.read_only() ? "readOnly" : "readWrite";
  mount.mountInfo.mounted = true;
  mount.mountInfo.accessible = true;
  return mount;
}

void fill(vim::DatastoreProperties& p, const MoRef& self, const datastore::Datastore& files,
          const datastore::Space& space, std::uint64_t uncommitted) {
  p.name = files.name();
  vim::LocalDatastoreInfo info;
  info.name = files.name();
  info.url = files.url();
  info.freeSpace = static_cast<std::int64_t>(space.free);
  info.maxFileSize = static_cast<std::int64_t>(datastore::max_disk_capacity);
  info.maxVirtualDiskCapacity = info.maxFileSize;
  info.maxMemoryFileSize = info.maxFileSize;
  info.timestamp = model::now();
  info.path = files.root().string();
  p.info = model::share(std::move(info));
  p.summary.edit().datastore = self;
  p.summary.edit().name = files.name();
  p.summary.edit().url = files.url();
  p.summary.edit().capacity = static_cast<std::int64_t>(space.capacity);
  p.summary.edit().freeSpace = static_cast<std::int64_t>(space.free);
  p.summary.edit().uncommitted = static_cast<std::int64_t>(uncommitted);
  p.summary.edit().accessible = true;
  p.summary.edit().multipleHostAccess = false;
  p.summary.edit().type = "OTHER";
  p.summary.edit().maintenanceMode = "normal";
}

void record(Host& host, const datastore::Datastore& files) {
  host.kernel.database->put(kTable, files.uuid(), files.name() + "\n" + files.root().string());
}

void check_name(const Host& host, const std::string& name) {
  try {
    vmx::check_datastore_name(name);
  } catch (const Error& refused) {
    throw kernel::invalid_name(name, refused.what());
  }
  const auto existing = host.datastores.find(name);
  if (existing != host.datastores.end())
    throw kernel::duplicate_name(name, existing->second->self());
}

}  // namespace

Datastore::Datastore(Host& host, MoRef self, std::shared_ptr<const datastore::Datastore> files)
    : Entity(host, self,
             [&] {
               auto properties =
                   entity_properties<Properties>(files->name(), names::datastore_folder);
               properties.capability = model::share(capability());
               properties.host.push_back(mount(*files));
               properties.browser = {"HostDatastoreBrowser", "browser-" + self.value};
               fill(properties, self, *files, files->space(), 0);
               return properties;
             }()),
      files_(std::move(files)) {}

Async<void> Datastore::refresh() {
  const auto files = files_;
  const auto work = [files] {
    return std::pair(files->space(), datastore::uncommitted_space(*files));
  };
  const auto found = co_await offload(host().kernel.workers, work);
  update([&](Properties& p) { fill(p, self(), *files, found.first, found.second); });
}

Async<void> Datastore::RefreshDatastore(model::Call&, const vim::RefreshDatastoreRequestType&) {
  co_await refresh();
}

Async<void> Datastore::RefreshDatastoreStorageInfo(
    model::Call&, const vim::RefreshDatastoreStorageInfoRequestType&) {
  co_await refresh();
}

Async<void> Datastore::rename(std::string name, std::string user) {
  const std::string before = files_->name();
  if (name == before) co_return;
  check_name(host(), name);
  std::vector<std::shared_ptr<VirtualMachine>> vms;
  for (const MoRef& ref : properties().vm) vms.push_back(host().virtual_machines.at(ref.value));
  for (const auto& vm : vms) {
    if (!vm->is_busy()) continue;
    vim::ResourceInUse detail;
    detail.type = "VirtualMachine";
    detail.name = vm->properties().name;
    throw kernel::Fault(std::move(detail), fmt::format("{} on {} is busy with a task.",
                                                       vm->properties().name, before));
  }
  files_ = std::make_shared<datastore::Datastore>(name, files_->root());
  record(host(), *files_);
  const auto me = std::static_pointer_cast<Datastore>(shared_from_this());
  host().datastores.erase(before);
  host().datastores[name] = me;
  co_await refresh();
  host().datastores_changed();
  for (const auto& vm : vms) co_await vm->follow_renaming(files_);
  vim::DatastoreRenamedEvent event;
  event.oldName = before;
  event.newName = name;
  host().post(std::move(event), fmt::format("Renamed datastore from {} to {}", before, name), user);
}

Async<void> Datastore::RenameDatastore(model::Call& call,
                                       const vim::RenameDatastoreRequestType& r) {
  co_await rename(r.newName, kernel::context(call).user());
}

Async<MoRef> Datastore::Rename_Task(model::Call& call, const vim::RenameRequestType& r) {
  const std::string user = kernel::context(call).user(), name = r.newName;
  host().kernel.authorization.check(host().kernel.inventory, user, *this, "Datastore.Rename");
  co_return host().kernel.tasks.run(call,
                                    {"Rename_Task", "Datastore.rename", self(), properties().name},
                                    [this, name, user](kernel::TaskHandle&) -> Async<Any> {
                                      co_await rename(name, user);
                                      co_return Any();
                                    });
}

Async<void> Datastore::DestroyDatastore(model::Call& call,
                                        const vim::DestroyDatastoreRequestType&) {
  close_datastore(host(), self(), kernel::context(call).user());
  co_return;
}

Async<MoRef> Datastore::Destroy_Task(model::Call& call, const vim::DestroyRequestType&) {
  const std::string user = kernel::context(call).user();
  host().kernel.authorization.check(host().kernel.inventory, user, *this, "Datastore.Delete");
  co_return host().kernel.tasks.run(
      call, {"Destroy_Task", "Datastore.destroy", self(), properties().name},
      [this, user](kernel::TaskHandle&) -> Async<Any> {
        close_datastore(host(), self(), user);
        co_return Any();
      });
}

std::shared_ptr<Datastore> open_datastore(Host& host, const std::string& name,
                                          const std::string& path) {
  check_name(host, name);
  auto files = std::make_shared<const datastore::Datastore>(name, path);
  for (const auto& [other, existing] : host.datastores) {
    if (existing->files()->uuid() == files->uuid())
      throw kernel::duplicate_name(other, existing->self());
  }
  datastore::sweep(*files);
  record(host, *files);
  const MoRef ref{"Datastore", files->uuid()};
  auto opened = std::make_shared<Datastore>(host, ref, files);
  host.kernel.inventory.emplace<HostDatastoreBrowser>(host, opened->properties().browser, ref);
  host.add_datastore(opened);
  return opened;
}

void close_datastore(Host& host, const MoRef& ref, const std::string& user) {
  const auto closed = host.datastore(ref);
  const std::string name = closed->properties().name;
  if (!closed->properties().vm.empty()) {
    vim::ResourceInUse detail;
    detail.type = "Datastore";
    detail.name = name;
    throw kernel::Fault(std::move(detail), fmt::format("Virtual machines lie on {}.", name));
  }
  host.kernel.database->erase(kTable, closed->files()->uuid());
  host.kernel.inventory.remove(closed->properties().browser);
  host.remove_datastore(ref);
  vim::DatastoreRemovedOnHostEvent event;
  event.datastore.name = name;
  event.datastore.datastore = ref;
  host.post(std::move(event), fmt::format("Removed datastore {} from {}", name, host.identity.name),
            user);
}

void restore_datastores(Host& host) {
  for (const auto& [uuid, text] : host.kernel.database->all(kTable)) {
    const auto newline = text.find('\n');
    const std::string name = text.substr(0, newline), path = text.substr(newline + 1);
    try {
      open_datastore(host, name, path);
    } catch (const std::exception& failure) {
      logger("datastore")->error("datastore {} at {} is left out: {}", name, path, failure.what());
    }
  }
}

}  // namespace virga::host
