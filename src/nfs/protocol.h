// Internal to the module: NFS 3 (RFC 1813) in terms of the operating system.
#pragma once

#include <nfsc/libnfs.h>
// After the above.
#include <nfsc/libnfs-raw-nfs.h>
#include <nfsc/libnfs-raw.h>
#include <sys/stat.h>

#include <string>

namespace virga::nfs {

// What names a file at its server for as long as it exists. Opaque.
using Handle = std::string;

Handle handle_from(const nfs_fh3& handle);
// Refers to the handle's own bytes.
nfs_fh3 to_wire(const Handle& handle);

// 0 for NFS3_OK.
int errno_of(nfsstat3 status);

struct stat stat_from(const fattr3& attributes);

// Which fields of a struct stat to set.
struct Wanted {
  bool mode = false, owner = false, group = false, size = false, access_time = false,
       modification_time = false;
};
sattr3 to_wire(const struct stat& status, const Wanted& wanted);

}  // namespace virga::nfs
