// The lock that keeps a VM to one host: NAME.vmx.lck beside the .vmx, whose text names the owner.
//
// Where file locks reach every host, it is an OFD lock (fcntl(2)), held for as long as any copy of
// its descriptor is open: passed on to the guest's process it lives as long as the guest does,
// whatever becomes of the daemon. Where they do not (Datastore::leases()), the file itself is the
// lock: it is its owner's for as long as it is there and the owner's lease lasts (lease.h).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "datastore/datastore.h"
#include "datastore/lease.h"

namespace virga::datastore {

// An attempt to take a lock, from the first look to the last.
struct LockAttempt {
  LockOwner judged;  // whom `watch` watches
  std::optional<LeaseWatch> watch;
};

class VmLock {
 public:
  // `config` is the VM's .vmx. Throws ErrorKind::busy naming the owner when somebody has it.
  // nullopt, with leases only: whether the owner lives cannot be told yet; ask again, with the same
  // attempt, a heartbeat later.
  static std::optional<VmLock> try_acquire(const Location& config, const LockOwner& owner,
                                           LockAttempt& attempt,
                                           LeaseWatch::Time now = std::chrono::steady_clock::now());
  // The lock that a former daemon of this host left, whose guest is gone; nullopt when nobody left
  // one, or another host has it by now.
  static std::optional<VmLock> reclaim(const Location& config, const LockOwner& owner);

  VmLock(VmLock&&) noexcept = default;
  VmLock& operator=(VmLock&&) noexcept = default;
  // Closes our descriptor only: a guest that inherited it keeps the lock, and with leases the file
  // does.
  ~VmLock() = default;

  // Close-on-exec like every descriptor of ours: whoever starts the guest passes it on by name. -1
  // with leases.
  int fd() const { return fd_ ? fd_.get() : -1; }
  // Removes the file. For an owner whose guest has ended.
  void release();

 private:
  VmLock(Location file, LockOwner owner, Fd fd);
  static std::optional<VmLock> try_file_lock(const Location& file, const Location& config,
                                             const LockOwner& owner);
  static std::optional<VmLock> try_lease(const Location& file, const Location& config,
                                         const LockOwner& owner, LockAttempt& attempt,
                                         LeaseWatch::Time now);

  Location file_;
  LockOwner owner_;
  Fd fd_;
};

// NAME.vmx.lck. With file locks, that it is there says nothing of who holds the lock.
Location lock_file(const Location& config);

// Who holds the VM's lock now, without disturbing it; nullopt when nobody does, whatever file an
// earlier owner left. With leases, the owner may have died.
std::optional<LockOwner> lock_owner(const Location& config);

// With leases: the file says that it is this host's, and since the machine was booted.
bool is_lock_of(const Location& lock_file, const LockOwner& owner);

}  // namespace virga::datastore
