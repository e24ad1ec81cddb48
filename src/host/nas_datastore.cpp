#include "host/nas_datastore.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

// Where an NFS export is mounted → a NasExport. Written before the export is mounted, and erased
// after it is unmounted: one that no datastore lies at is left over.
constexpr const char* kExports = "nfs export";

constexpr const char* kNfs = "NFS";
constexpr const char* kNfs41 = "NFS41";

void record(Host& host, const NasExport& source) {
  json::array hosts;
  for (const std::string& name : source.hosts) hosts.emplace_back(name);
  const json::object object{{"type", nas_type(source)},
                            {"hosts", hosts},
                            {"path", source.path},
                            {"read_only", source.read_only}};
  host.kernel.database->put(kExports, nas_folder(host, source), json::serialize(object));
}

NasExport recorded_export(const std::string& document) {
  const json::value value = json::parse(document);
  NasExport source;
  if (value.at("type").as_string() == kNfs41) source.version = nfs::Version::v41;
  for (const auto& name : value.at("hosts").as_array()) source.hosts.emplace_back(name.as_string());
  source.path = value.at("path").as_string();
  source.read_only = value.at("read_only").as_bool();
  return source;
}

// By one version of NFS a server does not know of what a client of the other is doing.
void check_not_mounted(const Host& host, const NasExport& source) {
  for (const auto& [folder, document] : host.kernel.database->all(kExports)) {
    const NasExport mounted = recorded_export(document);
    if (mounted.path != source.path) continue;
    for (const std::string& name : source.hosts) {
      if (std::find(mounted.hosts.begin(), mounted.hosts.end(), name) != mounted.hosts.end())
        throw kernel::already_exists(name + ":" + source.path);
    }
  }
}

// vSphere's faults for a mount that failed.
[[noreturn]] void refuse_mount(const Error& failure, const std::string& name,
                               const NasExport& source) {
  const auto refuse = [&](auto fault) {
    fault.name = name;
    throw kernel::Fault(std::move(fault), failure.what());
  };
  switch (failure.kind()) {
    case ErrorKind::timed_out:
      refuse(vim::NetworkInaccessible{});
      break;
    case ErrorKind::access_denied:
      refuse(vim::NoPermissionOnNasVolume{});
      break;
    case ErrorKind::not_found: {
      vim::InvalidNetworkResource fault;
      fault.remoteHost = source.hosts.front();
      fault.remotePath = source.path;
      refuse(std::move(fault));
      break;
    }
    default:
      break;
  }
  vim::PlatformConfigFault fault;
  fault.text = failure.what();
  throw kernel::Fault(std::move(fault), failure.what());
}

}  // namespace

std::string nas_type(const NasExport& source) {
  return source.version == nfs::Version::v41 ? kNfs41 : kNfs;
}

vim::HostNasVolume nas_volume(const NasExport& source, const std::string& datastore) {
  vim::HostNasVolume volume;
  volume.type = nas_type(source);
  volume.name = datastore;
  volume.remoteHost = source.hosts.front();
  volume.remotePath = source.path;
  volume.remoteHostNames = source.hosts;
  volume.securityType = "AUTH_SYS";
  return volume;
}

Async<std::shared_ptr<Datastore>> open_nas_datastore(Host& host, std::string name,
                                                     NasExport source) {
  check_datastore_name(host, name);
  check_not_mounted(host, source);
  const std::string folder = nas_folder(host, source);
  record(host, source);
  std::shared_ptr<NasMount> nas;
  std::shared_ptr<Datastore> opened;
  std::exception_ptr failure;
  std::optional<Error> refused;
  try {
    NasExport wanted = source;
    nas = co_await NasMount::open(host, std::move(wanted));
    opened = open_datastore(host, name, folder, nas);
  } catch (const Error& error) {
    refused = error;
  } catch (...) {
    failure = std::current_exception();
  }
  if (opened) co_return opened;
  if (nas) co_await nas->unmount();
  host.kernel.database->erase(kExports, folder);
  if (refused) refuse_mount(*refused, name, source);
  std::rethrow_exception(failure);
}

Async<void> unmount_nas(Host& host, std::shared_ptr<NasMount> nas) {
  co_await nas->unmount();
  host.kernel.database->erase(kExports, nas_folder(host, nas->source()));
}

Async<NasMounts> restore_nas_mounts(Host& host, std::set<std::string> folders) {
  NasMounts mounts;
  for (const auto& [folder, document] : host.kernel.database->all(kExports)) {
    if (!folders.contains(folder)) {
      const auto remove = [folder = folder] { nfs::remove_stray_mount(folder); };
      co_await offload(host.kernel.workers, remove);
      host.kernel.database->erase(kExports, folder);
      continue;
    }
    NasExport source = recorded_export(document);
    auto& mount = mounts[folder];
    std::string reason;
    try {
      NasExport wanted = source;
      mount = co_await NasMount::open(host, std::move(wanted));
    } catch (const Error& failure) {
      reason = failure.what();
    }
    if (mount) continue;
    logger("datastore")->error("{}", reason);
    mount = NasMount::await(host, std::move(source), std::move(reason));
  }
  co_return mounts;
}

}  // namespace virga::host
