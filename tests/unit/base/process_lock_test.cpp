#include "base/process_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace virga {
namespace {

// What `work` returns in a child process.
template <class Work>
int in_a_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST(ProcessLock, KeepsOutOthersAndTellsThemWhoHasIt) {
  const Fd file(::memfd_create("lock", MFD_CLOEXEC));
  ASSERT_TRUE(take_process_lock(file));
  EXPECT_EQ(process_lock_holder(file), std::nullopt) << "we have it ourselves";
  const pid_t self = ::getpid();
  EXPECT_TRUE(in_a_child([&] { return !take_process_lock(file); }));
  EXPECT_TRUE(in_a_child([&] { return process_lock_holder(file) == self; }));
}

TEST(ProcessLock, EndsWithTheProcessThoughItsChildLives) {
  const Fd file(::memfd_create("lock", MFD_CLOEXEC));
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Fd ours(ends[1]);
  const Fd theirs(ends[0]);
  // The grandchild lives until our end of the pipe is closed.
  in_a_child([&] {
    if (!take_process_lock(file)) return 1;
    if (::fork() == 0) {
      ours.reset();
      char byte;
      ::_exit(static_cast<int>(::read(theirs.get(), &byte, 1)));
    }
    return 0;
  });
  EXPECT_TRUE(take_process_lock(file));
}

}  // namespace
}  // namespace virga
