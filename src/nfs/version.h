// The versions of NFS that are spoken.
#pragma once

namespace virga::nfs {

enum class Version { v3, v41 };

}  // namespace virga::nfs
