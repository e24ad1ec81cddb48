// The process that keeps a host's lease on a datastore (virga-lease): apart from the daemon,
// because guests run on when that ends. It writes the heartbeat, and stops the guests that hold
// locks under the lease before others may take them. It ends with the last guest once no daemon
// needs it.
#pragma once

#include <string>

#include "base/file.h"

namespace virga::datastore {

struct LeaseKeeperOptions {
  std::string datastore;  // the folder
  std::string host_uuid;
  int listener = -1;  // of a companion, base/companion.h
};

// Returns when nobody needs the lease any more.
void keep_lease(const LeaseKeeperOptions& options);

// What passes between daemon and keeper: one request, one answer.
namespace lease_protocol {
// "renew": answered as soon as a heartbeat of now has reached the datastore.
constexpr const char* renew = "renew";
// "guard LOCK", with a pidfd: the guest that runs under the lock file LOCK.
constexpr const char* guard = "guard ";
constexpr const char* held = "held";
constexpr const char* late = "late";  // the datastore does not answer
}  // namespace lease_protocol

}  // namespace virga::datastore
