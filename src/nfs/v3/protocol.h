// Internal to the module: NFS 3 (RFC 1813) in terms of the operating system.
#pragma once

#include <nfsc/libnfs.h>
// After the above.
#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-raw.h>

#include "nfs/export.h"

namespace virga::nfs::v3 {

Handle handle_from(const nfs_fh3& handle);
// Refers to the handle's own bytes.
nfs_fh3 to_wire(const Handle& handle);

// 0 for NFS3_OK.
int errno_of(nfsstat3 status);

struct stat stat_from(const fattr3& attributes);

sattr3 to_wire(const Change& change);

}  // namespace virga::nfs::v3
