// Datastores on NFS exports: mounting what they lie on, at their creation and when a daemon starts.
#pragma once

#include <map>
#include <set>

#include "host/datastore.h"

namespace virga::host {

// Mounts the export and opens it as a datastore. Throws Fault: DuplicateName, InvalidName,
// AlreadyExists (be it by another version of NFS), HostConfigFault and those derived from it.
Async<std::shared_ptr<Datastore>> open_nas_datastore(Host& host, std::string name,
                                                     NasExport source);
// When its datastore has been closed.
Async<void> unmount_nas(Host& host, std::shared_ptr<NasMount> nas);

// By the folder where each is mounted, or is to be when its server answers.
using NasMounts = std::map<std::string, std::shared_ptr<NasMount>>;
// Mounts the exports that datastores lie at, whose folders those are. Takes away the others: what a
// killed daemon was about to mount or to unmount.
Async<NasMounts> restore_nas_mounts(Host& host, std::set<std::string> folders);

// HostFileSystemVolumeFileSystemType.
std::string nas_type(const NasExport& source);
vim::HostNasVolume nas_volume(const NasExport& source, const std::string& datastore);

}  // namespace virga::host
