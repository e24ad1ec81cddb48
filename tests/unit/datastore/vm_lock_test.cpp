#include "datastore/vm_lock.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

#include "fixture.h"

namespace virga::datastore {
namespace {

const LockOwner first{"11111111-1111-4111-8111-111111111111", "first", "boot-a", 10};
const LockOwner second{"22222222-2222-4222-8222-222222222222", "second", "boot-b", 20};

VmLock acquire(const Location& config, const LockOwner& owner) {
  LockAttempt attempt;
  return VmLock::try_acquire(config, owner, attempt).value();
}

struct VmLockTest : DatastoreTest {
  Location config = at("web/web.vmx");
  void SetUp() override { put("web/web.vmx", ""); }
};

TEST_F(VmLockTest, KeepsASecondHostOut) {
  EXPECT_EQ(lock_owner(config), std::nullopt);
  VmLock lock = acquire(config, first);
  EXPECT_EQ(lock_owner(config), first);
  expect_error(ErrorKind::busy, "[ds] web/web.vmx is locked by host first",
               [&] { acquire(config, second); });
  lock.release();
  EXPECT_FALSE(fs::exists(real("web/web.vmx.lck")));
  acquire(config, second);
}

TEST_F(VmLockTest, TakesOverAFileItsOwnerLeft) {
  { const VmLock lock = acquire(config, first); }
  EXPECT_TRUE(fs::exists(real("web/web.vmx.lck")));
  EXPECT_EQ(lock_owner(config), std::nullopt);
  const VmLock lock = acquire(config, second);
  EXPECT_EQ(lock_owner(config), second);
}

TEST_F(VmLockTest, ReleasesOnlyItsOwnFile) {
  VmLock lock = acquire(config, first);
  fs::remove(real("web/web.vmx.lck"));
  const VmLock other = acquire(config, second);
  lock.release();
  EXPECT_EQ(lock_owner(config), second);
}

TEST_F(VmLockTest, NamesAnOwnerThatDidNotWriteItsName) {
  VmLock lock = acquire(config, first);
  fs::resize_file(real("web/web.vmx.lck"), 5);
  expect_error(ErrorKind::busy, "locked by another host", [&] { acquire(config, second); });
}

TEST_F(VmLockTest, KnowsThisProcess) {
  const LockOwner self = LockOwner::self(first.host_uuid, "name");
  EXPECT_EQ(self.pid, ::getpid());
  EXPECT_TRUE(is_uuid(self.boot_id)) << self.boot_id;
}

// The daemon takes the lock, starts a guest that inherits it, and dies. The guest waits until its
// end of the pipe is closed.
TEST_F(VmLockTest, LivesAsLongAsTheGuestThatInheritedIt) {
  int started[2], keep_running[2];
  ASSERT_EQ(::pipe2(started, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(keep_running, O_CLOEXEC), 0);
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    const VmLock lock = acquire(config, first);
    if (::fork() == 0) {
      ::close(keep_running[1]);
      char byte = 'x';
      if (::write(started[1], &byte, 1) != 1) ::_exit(1);
      ::_exit(::read(keep_running[0], &byte, 1) == 0 ? 0 : 1);
    }
    ::kill(::getpid(), SIGKILL);
  }
  char byte;
  ASSERT_EQ(::read(started[0], &byte, 1), 1);
  int status;
  ASSERT_EQ(::waitpid(daemon, &status, 0), daemon);
  EXPECT_TRUE(WIFSIGNALED(status));

  EXPECT_EQ(lock_owner(config), first);
  expect_error(ErrorKind::busy, "host first", [&] { acquire(config, second); });

  // The guest's end closes the last writer of `started`: no need to guess when it is over.
  ::close(started[1]);
  ::close(keep_running[1]);
  EXPECT_EQ(::read(started[0], &byte, 1), 0);
  EXPECT_EQ(lock_owner(config), std::nullopt);
  acquire(config, second);
  ::close(started[0]);
  ::close(keep_running[0]);
}

}  // namespace
}  // namespace virga::datastore
