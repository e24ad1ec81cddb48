#include "host/host_datastore_system.h"

#include <algorithm>

#include "host/datastore.h"
#include "host/host_system.h"
#include "host/names.h"
#include "host/nas_datastore.h"
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

void check_security(const std::string& type, const std::string& security) {
  if (security == "AUTH_SYS") return;
  if (type == "NFS") refuse_nas("NFS 3 knows no security of type " + security + ".");
  refuse_nas("Security of type " + security +
             " is not served: it needs RPCSEC_GSS and an account of this host with Kerberos.");
}

// NFS 3 has one server; NFS 4.1 may be told several addresses of it.
std::vector<std::string> servers_of(const vim::HostNasVolumeSpec& spec, nfs::Version version) {
  std::vector<std::string> servers = {spec.remoteHost};
  if (version == nfs::Version::v41 && !spec.remoteHostNames.empty())
    servers.assign(spec.remoteHostNames.begin(), spec.remoteHostNames.end());
  if (std::count(servers.begin(), servers.end(), "") != 0)
    throw kernel::invalid_argument("spec.remoteHost", "it names no server");
  return servers;
}

NasExport export_of(const vim::HostNasVolumeSpec& spec) {
  const std::string type = spec.type.value_or("NFS");
  if (type != "NFS" && type != "nfs" && type != "NFS41")
    refuse_nas("Volumes of type " + type + " are not served.");
  check_security(type == "NFS41" ? type : "NFS", spec.securityType.value_or("AUTH_SYS"));
  if (spec.accessMode != "readWrite" && spec.accessMode != "readOnly")
    throw kernel::invalid_argument("spec.accessMode", "'" + spec.accessMode + "' is no access mode");
  if (!spec.remotePath.starts_with('/'))
    throw kernel::invalid_argument("spec.remotePath", "'" + spec.remotePath + "' is no absolute path");
  NasExport source;
  source.version = type == "NFS41" ? nfs::Version::v41 : nfs::Version::v3;
  source.hosts = servers_of(spec, source.version);
  source.path = spec.remotePath;
  source.read_only = spec.accessMode == "readOnly";
  return source;
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
