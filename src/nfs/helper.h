// The process behind a mounted NFS export (virga-nfs): apart from the daemon, because guests have
// files open there when that ends. It ends when it is unmounted.
#pragma once

#include <string>

#include "nfs/export.h"

namespace virga::nfs {

struct HelperOptions {
  Source source;
  std::string folder;  // where it is mounted
  bool read_only = false;
  int listener = -1;  // of a companion, base/companion.h
};

// Returns when it has been unmounted.
void serve_mount(const HelperOptions& options);

// What a helper tells its daemons, at once and whenever it changes.
namespace helper_protocol {
// "up": mounted, and the server answers.
constexpr const char* up = "up";
// "down REASON": the server does not answer; what is asked of the mount waits.
constexpr const char* down = "down ";
// "failed KIND REASON": nothing was mounted, and nothing will be. KIND is an ErrorKind's number.
constexpr const char* failed = "failed ";
}  // namespace helper_protocol

}  // namespace virga::nfs
