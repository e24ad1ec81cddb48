// The lock that keeps a VM to one host: NAME.vmx.lck beside the .vmx, held by an OFD lock
// (fcntl(2)) for as long as any copy of its descriptor is open. Passed on to the guest's QEMU
// process, it lives as long as the guest does, whatever becomes of the daemon; file systems shared
// by hosts (NFS) carry it between machines. Its text names the owner, for messages and for a
// restarted daemon.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "datastore/datastore.h"

namespace virga::datastore {

struct LockOwner {
  std::string host_uuid;  // names a host for good
  std::string host_name;  // what people call it
  std::string boot_id;    // of the machine, from the kernel: tells a pid of this boot
  pid_t pid = 0;          // the daemon that took the lock

  // Of this process.
  static LockOwner self(std::string host_uuid, std::string host_name);

  bool operator==(const LockOwner&) const = default;
};

class VmLock {
 public:
  // `config` is the VM's .vmx. Throws ErrorKind::busy naming the owner when somebody has it.
  static VmLock acquire(const Location& config, const LockOwner& owner);

  VmLock(VmLock&&) noexcept = default;
  VmLock& operator=(VmLock&&) noexcept = default;
  // Closes our descriptor only: a guest that inherited it keeps the lock.
  ~VmLock() = default;

  // Close-on-exec like every descriptor of ours: whoever starts the guest passes it on by name.
  int fd() const { return fd_.get(); }
  // Removes the file. For an owner whose guest has ended.
  void release();

 private:
  VmLock(Location file, Fd fd);

  Location file_;
  Fd fd_;
};

// NAME.vmx.lck. That it is there says nothing of who holds the lock.
Location lock_file(const Location& config);

// Who holds the VM's lock now, without disturbing it; nullopt when nobody does, whatever file an
// earlier owner left. How a restarted daemon finds that a guest of its own host still runs.
std::optional<LockOwner> lock_owner(const Location& config);

}  // namespace virga::datastore
