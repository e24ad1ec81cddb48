// The daemon's side of a lease: finds or starts the keeper, and tells it of guests.
#pragma once

#include <sys/types.h>

#include <mutex>
#include <optional>
#include <string>

#include "base/file.h"

namespace virga::datastore {

struct LeaseOptions {
  std::string program;       // virga-lease
  std::string run_folder;    // for its socket and its log
  std::string datastore;     // the folder
  std::string datastore_id;  // its uuid
  std::string host_uuid;
};

// All of it blocks. Any thread.
class LeaseClient {
 public:
  explicit LeaseClient(LeaseOptions options) : options_(std::move(options)) {}
  ~LeaseClient();
  LeaseClient(const LeaseClient&) = delete;
  LeaseClient& operator=(const LeaseClient&) = delete;

  // Returns when a heartbeat of now has reached the datastore: what is taken now is held. Throws
  // ErrorKind::timed_out when the datastore does not answer.
  void renew();
  // From now on the guest, a pidfd, stands still while the lease is not held, and is killed when
  // the lock under which it runs, a path in the datastore, is another host's. The first look at
  // that is over when it returns. Throws as renew().
  void guard(const std::string& lock_file, int guest);
  // A descriptor that becomes readable when the keeper has ended, which must not be: what it guards
  // is to be given to another.
  Fd watch();

 private:
  Fd connect_or_start();
  void request(const std::string& text, int descriptor);

  const LeaseOptions options_;
  std::mutex mutex_;
  Fd socket_;
  std::optional<pid_t> keeper_;  // if it is our child
};

}  // namespace virga::datastore
