#include "host/file_manager.h"

#include "datastore/files.h"
#include "datastore/virtual_disk.h"
#include "host/datastore.h"
#include "host/names.h"
#include "host/virtual_machine.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr const char* kFileManagement = "Datastore.FileManagement";

datastore::IfExists policy(const std::optional<bool>& force) {
  return force.value_or(false) ? datastore::IfExists::replace : datastore::IfExists::fail;
}

// A disk's descriptor takes its extents along; everything else is the one file or folder.
bool is_disk(const datastore::Location& place) {
  if (vmx::DatastorePath::parse(place.display()).extension() != ".vmdk") return false;
  try {
    datastore::read_descriptor(place);
    return true;
  } catch (const Error&) {
    return false;
  }
}

datastore::Progress into(kernel::TaskHandle& handle) {
  return [&handle](std::uint64_t done, std::uint64_t total) {
    if (total > 0) handle.report(static_cast<int>(done * 100 / total));
  };
}

}  // namespace

datastore::Location authorized_place(Host& host, model::Call& call, const std::string& path,
                                     const char* privilege) {
  const auto place = host.locate(path);
  const auto object = host.datastore(place.datastore->name());
  host.kernel.authorization.check(host.kernel.inventory, kernel::context(call).user(), *object,
                                  privilege);
  return place;
}

FileManager::FileManager(Host& host)
    : Implements(host.kernel.inventory, names::file_manager), host_(host) {}

Async<MoRef> FileManager::MoveDatastoreFile_Task(model::Call& call,
                                                 const vim::MoveDatastoreFileRequestType& r) {
  const auto from = authorized_place(host_, call, r.sourceName, kFileManagement);
  const auto to = authorized_place(host_, call, r.destinationName, kFileManagement);
  const auto if_exists = policy(r.force);
  co_return host_.kernel.tasks.run(
      call, {"MoveDatastoreFile_Task", "FileManager.move", {}, from.display(), true},
      [&host = host_, from, to, if_exists](kernel::TaskHandle& handle) -> Async<Any> {
        require_not_in_use(host, from);
        require_not_in_use(host, to);
        co_await offload(host.kernel.workers, [&] {
          if (is_disk(from)) {
            datastore::move_disk(from, to, if_exists, into(handle), handle.stop_token());
          } else {
            datastore::move(from, to, if_exists, into(handle), handle.stop_token());
          }
        });
        co_return Any();
      });
}

Async<MoRef> FileManager::CopyDatastoreFile_Task(model::Call& call,
                                                 const vim::CopyDatastoreFileRequestType& r) {
  const auto from = authorized_place(host_, call, r.sourceName, kFileManagement);
  const auto to = authorized_place(host_, call, r.destinationName, kFileManagement);
  const auto if_exists = policy(r.force);
  co_return host_.kernel.tasks.run(
      call, {"CopyDatastoreFile_Task", "FileManager.copy", {}, from.display(), true},
      [&host = host_, from, to, if_exists](kernel::TaskHandle& handle) -> Async<Any> {
        co_await offload(host.kernel.workers, [&] {
          if (is_disk(from)) {
            datastore::CopySpec spec;
            spec.if_exists = if_exists;
            spec.layout = datastore::query_disk(from).layout.value_or(spec.layout);
            datastore::copy_disk(from, to, spec, into(handle), handle.stop_token());
          } else {
            datastore::copy(from, to, if_exists, into(handle), handle.stop_token());
          }
        });
        co_return Any();
      });
}

Async<MoRef> FileManager::DeleteDatastoreFile_Task(model::Call& call,
                                                   const vim::DeleteDatastoreFileRequestType& r) {
  const auto place = authorized_place(host_, call, r.name, "Datastore.DeleteFile");
  co_return host_.kernel.tasks.run(
      call, {"DeleteDatastoreFile_Task", "FileManager.deleteFile", {}, place.display()},
      [&host = host_, place](kernel::TaskHandle&) -> Async<Any> {
        require_not_in_use(host, place);
        co_await offload(host.kernel.workers, [&] {
          if (is_disk(place)) {
            datastore::delete_disk(place);
          } else {
            datastore::remove(place);
          }
        });
        co_return Any();
      });
}

Async<void> FileManager::MakeDirectory(model::Call& call, const vim::MakeDirectoryRequestType& r) {
  const auto place = authorized_place(host_, call, r.name, kFileManagement);
  const bool parents = r.createParentDirectories.value_or(false);
  const auto work = [=] { datastore::make_folder(place, parents); };
  co_await offload(host_.kernel.workers, work);
}

}  // namespace virga::host
