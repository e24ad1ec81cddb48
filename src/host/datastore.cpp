#include "host/datastore.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "datastore/browse.h"
#include "host/host_datastore_browser.h"
#include "host/io_shares.h"
#include "host/names.h"
#include "host/nas_datastore.h"
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
  capability.storageIORMSupported = true;
  return capability;
}

// As it is for all (io_shares.h); StorageResourceManager, which changes it, is a vCenter Server's.
vim::StorageIORMInfo io_resource_management() {
  vim::StorageIORMInfo info;
  info.enabled = true;
  info.congestionThresholdMode = "manual";
  info.congestionThreshold = static_cast<std::int32_t>(congestion_threshold.count());
  return info;
}

bool is_accessible(const datastore::Datastore& files, const NasMount* nas) {
  return !files.is_absent() && (!nas || nas->failure().empty());
}

vim::DatastoreHostMount mount(const datastore::Datastore& files, const NasMount* nas) {
  vim::DatastoreHostMount mount;
  mount.key = names::host_system;
  // As the .vmx files name it; where it really is, info.path tells.
  mount.mountInfo.path = "/vmfs/volumes/" + files.uuid();
  mount.mountInfo.accessMode = files.read_only() ? "readOnly" : "readWrite";
  mount.mountInfo.mounted = true;
  mount.mountInfo.accessible = is_accessible(files, nas);
  if (!*mount.mountInfo.accessible) mount.mountInfo.inaccessibleReason = "AllPathsDown_Start";
  return mount;
}

void fill_info(vim::DatastoreInfo& info, const datastore::Datastore& files,
               const datastore::Space& space) {
  info.name = files.name();
  info.url = files.url();
  info.freeSpace = static_cast<std::int64_t>(space.free);
  info.maxFileSize = static_cast<std::int64_t>(datastore::max_disk_capacity);
  info.maxVirtualDiskCapacity = info.maxFileSize;
  info.maxMemoryFileSize = info.maxFileSize;
  info.timestamp = model::now();
}

model::Ptr<vim::DatastoreInfo> info_of(const datastore::Datastore& files, const NasMount* nas,
                                       const datastore::Space& space) {
  if (nas) {
    vim::NasDatastoreInfo info;
    fill_info(info, files, space);
    vim::HostNasVolume volume = nas_volume(nas->source(), files.name());
    volume.capacity = static_cast<std::int64_t>(space.capacity);
    info.nas = model::share(std::move(volume));
    return model::share(std::move(info));
  }
  vim::LocalDatastoreInfo info;
  fill_info(info, files, space);
  info.path = files.root().string();
  return model::share(std::move(info));
}

void fill(vim::DatastoreProperties& p, const MoRef& self, const datastore::Datastore& files,
          const NasMount* nas, const datastore::Space& space, std::uint64_t uncommitted) {
  p.name = files.name();
  p.info = info_of(files, nas, space);
  p.summary.edit().datastore = self;
  p.summary.edit().name = files.name();
  p.summary.edit().url = files.url();
  p.summary.edit().capacity = static_cast<std::int64_t>(space.capacity);
  p.summary.edit().freeSpace = static_cast<std::int64_t>(space.free);
  p.summary.edit().uncommitted = static_cast<std::int64_t>(uncommitted);
  p.summary.edit().accessible = is_accessible(files, nas);
  p.summary.edit().multipleHostAccess = files.leases().has_value();
  p.summary.edit().type = nas ? nas_type(nas->source()) : "OTHER";
  p.summary.edit().maintenanceMode = "normal";
}

void record(Host& host, const datastore::Datastore& files) {
  host.kernel.database->put(kTable, files.uuid(), files.name() + "\n" + files.root().string());
}

}  // namespace

void check_datastore_name(const Host& host, const std::string& name) {
  try {
    vmx::check_datastore_name(name);
  } catch (const Error& refused) {
    throw kernel::invalid_name(name, refused.what());
  }
  const auto existing = host.datastores.find(name);
  if (existing != host.datastores.end())
    throw kernel::duplicate_name(name, existing->second->self());
}

Datastore::Datastore(Host& host, MoRef self, std::shared_ptr<const datastore::Datastore> files,
                     std::shared_ptr<NasMount> nas)
    : Entity(host, self,
             [&] {
               auto properties =
                   entity_properties<Properties>(files->name(), names::datastore_folder);
               properties.capability = model::share(capability());
               properties.iormConfiguration = model::share(io_resource_management());
               properties.host.push_back(mount(*files, nas.get()));
               properties.browser = {"HostDatastoreBrowser", "browser-" + self.value};
               const auto space = files->is_absent() ? datastore::Space() : files->space();
               fill(properties, self, *files, nas.get(), space, 0);
               return properties;
             }()),
      files_(std::move(files)),
      nas_(std::move(nas)) {
  keep_lease();
}

void Datastore::keep_lease() {
  if (!files_->leases()) return;
  lease_ = std::make_shared<DatastoreLease>(host(), *files_);
  lease_->start();
}

void Datastore::follow_mount() {
  if (!nas_) return;
  const std::weak_ptr<Object> weak = weak_from_this();
  nas_->follow([weak] {
    if (const auto me = std::static_pointer_cast<Datastore>(weak.lock())) me->show_accessibility();
  });
}

void Datastore::show_accessibility() {
  update([&](Properties& p) {
    p.host.clear();
    p.host.push_back(mount(*files_, nas_.get()));
    p.summary.edit().accessible = is_accessible(*files_, nas_.get());
  });
  host().datastores_changed();
  if (!files_->is_absent() || !nas_->is_mounted() || std::exchange(is_coming_back_, true)) return;
  const auto me = std::static_pointer_cast<Datastore>(shared_from_this());
  spawn(host().kernel.executor, "datastore", come_back(me));
}

// Its server answers for the first time since this daemon has started.
Async<void> Datastore::come_back(std::shared_ptr<Datastore> self) {
  const auto& absent = *self->files_;
  const auto open = [name = absent.name(), root = absent.root(), host = absent.host_uuid()] {
    auto files = std::make_shared<const datastore::Datastore>(name, root, host);
    datastore::sweep(*files);
    return files;
  };
  const auto files = co_await offload(self->host().kernel.workers, open);
  if (files->uuid() != absent.uuid())
    throw error(ErrorKind::invalid_state, absent.name(), "another datastore lies where {} was",
                absent.name());
  self->files_ = files;
  self->keep_lease();
  co_await self->refresh();
  self->show_accessibility();
  for (const auto& [ref, vm] : std::map(self->host().virtual_machines))
    co_await vm->follow_return(files);
}

void Datastore::require_accessible() const {
  if (is_accessible(*files_, nas_.get())) return;
  const std::string& failure = nas_->failure();
  const std::string why = failure.empty() ? "it is being opened" : failure;
  vim::InaccessibleDatastore detail;
  detail.datastore = self();
  detail.name = properties().name;
  detail.detail = why;
  const std::string message = fmt::format("{} is not accessible: {}.", properties().name, why);
  throw kernel::Fault(std::move(detail), message);
}

Async<void> Datastore::refresh() {
  if (!is_accessible(*files_, nas_.get())) co_return;
  const auto files = files_;
  const auto work = [files] {
    return std::pair(files->space(), datastore::uncommitted_space(*files));
  };
  const auto found = co_await offload(host().kernel.workers, work);
  update([&](Properties& p) { fill(p, self(), *files, nas_.get(), found.first, found.second); });
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
  require_accessible();
  check_datastore_name(host(), name);
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
  files_ = std::make_shared<datastore::Datastore>(name, files_->root(), host().identity.uuid);
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
  co_await close_datastore(host(), self(), kernel::context(call).user());
}

Async<MoRef> Datastore::Destroy_Task(model::Call& call, const vim::DestroyRequestType&) {
  const std::string user = kernel::context(call).user();
  host().kernel.authorization.check(host().kernel.inventory, user, *this, "Datastore.Delete");
  co_return host().kernel.tasks.run(
      call, {"Destroy_Task", "Datastore.destroy", self(), properties().name},
      [this, user](kernel::TaskHandle&) -> Async<Any> {
        co_await close_datastore(host(), self(), user);
        co_return Any();
      });
}

namespace {

std::shared_ptr<Datastore> add_datastore(Host& host,
                                         std::shared_ptr<const datastore::Datastore> files,
                                         std::shared_ptr<NasMount> nas) {
  for (const auto& [other, existing] : host.datastores) {
    if (existing->files()->uuid() == files->uuid())
      throw kernel::duplicate_name(other, existing->self());
  }
  record(host, *files);
  const MoRef ref{"Datastore", files->uuid()};
  auto opened = std::make_shared<Datastore>(host, ref, files, std::move(nas));
  opened->follow_mount();
  host.kernel.inventory.emplace<HostDatastoreBrowser>(host, opened->properties().browser, ref);
  host.add_datastore(opened);
  return opened;
}

}  // namespace

std::shared_ptr<Datastore> open_datastore(Host& host, const std::string& name,
                                          const std::string& path,
                                          std::shared_ptr<NasMount> nas) {
  check_datastore_name(host, name);
  auto files = std::make_shared<const datastore::Datastore>(name, path, host.identity.uuid);
  datastore::sweep(*files);
  return add_datastore(host, std::move(files), std::move(nas));
}

Async<void> close_datastore(Host& host, MoRef ref, std::string user) {
  auto closed = host.datastore(ref);
  const std::string name = closed->properties().name;
  if (!closed->properties().vm.empty()) {
    vim::ResourceInUse detail;
    detail.type = "Datastore";
    detail.name = name;
    throw kernel::Fault(std::move(detail), fmt::format("Virtual machines lie on {}.", name));
  }
  const auto nas = closed->nas();
  host.kernel.database->erase(kTable, closed->files()->uuid());
  if (closed->lease()) closed->lease()->stop();
  host.kernel.inventory.remove(closed->properties().browser);
  host.remove_datastore(ref);
  vim::DatastoreRemovedOnHostEvent event;
  event.datastore.name = name;
  event.datastore.datastore = ref;
  host.post(std::move(event), fmt::format("Removed datastore {} from {}", name, host.identity.name),
            user);
  closed.reset();  // it has the folder open
  if (nas) co_await unmount_nas(host, nas);
}

Async<void> restore_datastores(Host& host) {
  const auto known = host.kernel.database->all(kTable);
  std::set<std::string> folders;
  for (const auto& [uuid, text] : known) folders.insert(text.substr(text.find('\n') + 1));
  const NasMounts mounts = co_await restore_nas_mounts(host, folders);
  for (const auto& [uuid, text] : known) {
    const auto newline = text.find('\n');
    const std::string name = text.substr(0, newline), path = text.substr(newline + 1);
    const auto mount = mounts.find(path);
    try {
      if (mount != mounts.end() && !mount->second->is_mounted())
        add_datastore(host,
                      datastore::Datastore::absent(name, path, uuid, host.identity.uuid),
                      mount->second);
      else
        open_datastore(host, name, path, mount == mounts.end() ? nullptr : mount->second);
    } catch (const std::exception& failure) {
      logger("datastore")->error("datastore {} at {} is left out: {}", name, path, failure.what());
    }
  }
}

}  // namespace virga::host
