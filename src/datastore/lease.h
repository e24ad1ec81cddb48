// A host's lease on a datastore. Where file locks do not reach other hosts (NFS without its lock
// protocol, most file systems in user space), a host shows that it is alive by changing a file of
// its own in the datastore, PRIVATE/hosts/HOST-UUID, every `interval`: its heartbeat.
//
// No clocks are compared. Others see that the heartbeat changes, or, by their own clock, that it
// has not for `others_take`; then what the host held is theirs. Before that comes about, the host
// itself has stopped its guests, `owner_stops` after it began the last heartbeat that reached the
// datastore. They go on after two heartbeats in time, at each of which the host looked whether
// their locks are its own still; a guest whose lock is not is killed.
//
// What that rests on:
// - The clocks of two machines pass others_take - owner_stops apart from owner_stops alike. A
//   machine that is suspended and comes back runs its guests until its keeper runs, too.
// - A write that a guest began before it was stopped has reached the datastore, or never will,
//   others_take - owner_stops later.
// - Whoever takes a lock over does so within `interval` of his last look at the heartbeat. If he
//   was slower, he waits owner_stops more: an owner that has come back knows by then.
// - Nobody kills the keeper (virga-lease) and the daemon of a host and lets its guests run.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "datastore/datastore.h"

namespace virga::datastore {

// Who holds something, as files in datastores tell it.
struct LockOwner {
  std::string host_uuid;  // names a host for good
  std::string host_name;  // what people call it
  std::string boot_id;    // of the machine, from the kernel: no guest outlives a boot
  pid_t pid = 0;          // the daemon's

  // Of this process.
  static LockOwner self(std::string host_uuid, std::string host_name);

  bool operator==(const LockOwner&) const = default;
};

struct Heartbeat {
  std::string boot_id;
  std::uint64_t count = 0;

  bool operator==(const Heartbeat&) const = default;
};

// The file of one host, kept by one process of it at a time.
class HeartbeatFile {
 public:
  HeartbeatFile(std::shared_ptr<const Datastore> datastore, std::string host_uuid,
                std::string boot_id);
  // On stable storage when it returns. May hang for as long as the datastore does.
  void beat();
  // For a host that holds nothing any more.
  void remove();

 private:
  std::shared_ptr<const Datastore> datastore_;
  std::string path_, boot_id_;
  std::uint64_t count_;
};

// nullopt: there is none, or it is just being written.
std::optional<Heartbeat> read_heartbeat(const Datastore& datastore, const std::string& host_uuid);

// Judges from what is seen of a host's heartbeat, time after time, whether the host lives.
class LeaseWatch {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Verdict { alive, unknown, dead };

  explicit LeaseWatch(const LeaseTiming& timing) : timing_(timing) {}

  // `held_since`: the boot in which the host took what it holds. With another boot it holds
  // nothing.
  Verdict observe(const std::string& held_since, const std::optional<Heartbeat>& seen, Time now);

 private:
  struct Observation {
    std::optional<Heartbeat> seen;
    Time since;
  };
  LeaseTiming timing_;
  std::optional<Observation> first_;
};

// Decides what is done with the guests of this host, so that none touches the datastore when others
// may take what it holds. Pure: it is told what happened, and when.
class LeaseGuard {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Guests = std::set<std::string>;
  struct Orders {
    Guests freeze, thaw, kill;
  };

  explicit LeaseGuard(const LeaseTiming& timing) : timing_(timing) {}

  void add(const std::string& guest) { guests_.insert(guest); }
  void remove(const std::string& guest);
  bool guards_any() const { return !guests_.empty(); }

  // A heartbeat reached the datastore. `lost`: the guests whose lock was then somebody else's.
  Orders beat_arrived(Time begun, Time arrived, const Guests& lost);
  Orders time_passed(Time now);
  // What begins now has the time to learn that the lease is lost.
  bool is_held(Time now) const;

 private:
  LeaseTiming timing_;
  std::optional<Time> last_beat_;  // when it was begun: others may have seen it since
  int in_time_ = 0;                // heartbeats in a row
  Guests guests_, frozen_;
};

}  // namespace virga::datastore
