#include "host/host_datastore_system.h"

#include "host/datastore.h"
#include "host/host_system.h"
#include "host/names.h"
#include "kernel/faults.h"

namespace virga::host {

HostDatastoreSystem::HostDatastoreSystem(Host& host)
    : Implements(host.kernel.inventory, names::datastore_system, [] {
        Properties properties;
        properties.capabilities.edit().localDatastoreSupported = true;
        return properties;
      }()), host_(host) {
  set_guard(names::host_system);
}

void HostDatastoreSystem::refresh() {
  update([&](Properties& p) { p.datastore = host_.host_system->properties().datastore; });
}

Async<MoRef> HostDatastoreSystem::CreateLocalDatastore(
    model::Call& call, const vim::CreateLocalDatastoreRequestType& r) {
  if (!r.path.starts_with('/'))
    throw kernel::invalid_argument("path", fmt::format("'{}' is no absolute path", r.path));
  const auto opened = open_datastore(host_, r.name, r.path);
  vim::LocalDatastoreCreatedEvent event;
  event.datastore.name = r.name;
  event.datastore.datastore = opened->self();
  event.datastoreUrl = opened->files()->url();
  host_.post(std::move(event), fmt::format("Created local datastore {} on {}", r.name,
                                           host_.identity.name), kernel::context(call).user());
  co_return opened->self();
}

Async<void> HostDatastoreSystem::RemoveDatastore(model::Call& call,
                                                 const vim::RemoveDatastoreRequestType& r) {
  close_datastore(host_, r.datastore, kernel::context(call).user());
  co_return;
}

Async<model::List<vim::HostScsiDisk>> HostDatastoreSystem::QueryAvailableDisksForVmfs(
    model::Call&, const vim::QueryAvailableDisksForVmfsRequestType&) {
  // Datastores are folders: no disk of the machine is ever formatted for one.
  co_return model::List<vim::HostScsiDisk>();
}

}  // namespace virga::host
