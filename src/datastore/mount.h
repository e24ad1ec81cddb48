// Internal to the module: what /proc/self/mountinfo (proc(5)) tells of a file system.
#pragma once

#include <sys/types.h>

#include <string_view>

namespace virga::datastore {

// A lock on a file of the file system with that device number is seen by this machine only,
// although others may use the same file system: NFS without its lock protocol, and what has none.
bool locks_stay_local(std::string_view mountinfo, dev_t device);

}  // namespace virga::datastore
