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
        properties.capabilities.edit().nfsMountCreationSupported = true;
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

namespace {

[[noreturn]] void refuse_nas(const std::string& why) {
  vim::PlatformConfigFault fault;
  fault.text = why;
  throw kernel::Fault(std::move(fault), why);
}

NasExport export_of(const vim::HostNasVolumeSpec& spec) {
  const std::string type = spec.type.value_or("NFS");
  if (type == "NFS41")
    refuse_nas("NFS 4.1 needs a client that the kernel of this host does not lend: NFS 3 is served.");
  if (type != "NFS" && type != "nfs") refuse_nas("Volumes of type " + type + " are not served.");
  if (spec.securityType.value_or("AUTH_SYS") != "AUTH_SYS")
    refuse_nas("NFS 3 knows no security of type " + *spec.securityType + ".");
  if (spec.accessMode != "readWrite" && spec.accessMode != "readOnly")
    throw kernel::invalid_argument("spec.accessMode", "'" + spec.accessMode + "' is no access mode");
  if (spec.remoteHost.empty())
    throw kernel::invalid_argument("spec.remoteHost", "it names no server");
  if (!spec.remotePath.starts_with('/'))
    throw kernel::invalid_argument("spec.remotePath", "'" + spec.remotePath + "' is no absolute path");
  return {spec.remoteHost, spec.remotePath, spec.accessMode == "readOnly"};
}

}  // namespace

Async<MoRef> HostDatastoreSystem::CreateNasDatastore(model::Call& call,
                                                     const vim::CreateNasDatastoreRequestType& r) {
  const std::string name = r.spec.localPath;
  NasExport source = export_of(r.spec);
  const auto opened = co_await open_nas_datastore(host_, name, std::move(source));
  vim::NASDatastoreCreatedEvent event;
  event.datastore.name = name;
  event.datastore.datastore = opened->self();
  event.datastoreUrl = opened->files()->url();
  host_.post(std::move(event), fmt::format("Created NAS datastore {} on {}", name,
                                           host_.identity.name), kernel::context(call).user());
  co_return opened->self();
}

Async<void> HostDatastoreSystem::RemoveDatastore(model::Call& call,
                                                 const vim::RemoveDatastoreRequestType& r) {
  co_await close_datastore(host_, r.datastore, kernel::context(call).user());
}

Async<model::List<vim::HostScsiDisk>> HostDatastoreSystem::QueryAvailableDisksForVmfs(
    model::Call&, const vim::QueryAvailableDisksForVmfsRequestType&) {
  // Datastores are folders: no disk of the machine is ever formatted for one.
  co_return model::List<vim::HostScsiDisk>();
}

}  // namespace virga::host
