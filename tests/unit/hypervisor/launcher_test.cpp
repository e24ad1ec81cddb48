#include "hypervisor/qemu/launcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../expect_error.h"
#include "base/error.h"
#include "lab.h"

namespace virga::hypervisor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Script : ::testing::Test {
  Fd output{::memfd_create("output", MFD_CLOEXEC)};

  LaunchRequest request(const std::string& script) const {
    LaunchRequest request;
    request.argv = {"sh", "-c", script};
    request.output = output.get();
    return request;
  }
  // What the script wrote, once it has ended.
  std::string run(const LaunchRequest& request) {
    const Launched launched = launch(request, [](const ProcessIdentity&) {});
    pollfd ended{launched.process.get(), POLLIN, 0};
    if (::poll(&ended, 1, 30000) != 1) throw std::runtime_error("the script does not end");
    ::waitpid(launched.identity.pid, nullptr, 0);
    return read_file(fmt::format("/proc/self/fd/{}", output.get()));
  }
};

TEST_F(Script, HasItsOwnSessionAndNothingOfOurs) {
  const Fd leak = open_file("/etc/passwd", O_RDONLY);
  ::fcntl(leak.get(), F_SETFD, 0);
  const std::string said = run(request("ls /proc/self/fd; cat /proc/self/stat; env; pwd; umask"));
  EXPECT_THAT(said, Not(HasSubstr(fmt::format("\n{}\n", leak.get()))));
  EXPECT_THAT(said, Not(HasSubstr("HOME=")));
  EXPECT_THAT(said, HasSubstr("\n/\n0077\n"));
}

TEST_F(Script, IsHandedDescriptorsUnderTheNumbersItExpects) {
  // Their numbers here are the other's numbers there.
  const Fd first(::memfd_create("first", 0)), second(::memfd_create("second", 0));
  write_all(first.get(), "1", "first");
  write_all(second.get(), "2", "second");
  LaunchRequest wanted = request("cat /proc/self/fd/3 /proc/self/fd/4");
  const Fd a(::fcntl(first.get(), F_DUPFD, 3)), b(::fcntl(second.get(), F_DUPFD, 3));
  wanted.descriptors = {{b.get(), 3}, {a.get(), 4}};
  EXPECT_EQ(run(wanted), "21");
}

TEST_F(Script, RunsAsTheAccountItIsGiven) {
  if (guest_user().empty()) GTEST_FAIL() << "this test must run as root";
  LaunchRequest wanted =
      request("id -un; id -G; grep -E 'NoNewPrivs|CapEff|CapPrm' /proc/self/status");
  wanted.account = find_account(guest_user(), false);
  const std::string said = run(wanted);
  EXPECT_THAT(said, HasSubstr(guest_user() + "\n"));
  EXPECT_THAT(said, HasSubstr(fmt::format("\n{}\n", wanted.account->gid)));
  EXPECT_THAT(said, HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(said, HasSubstr("CapPrm:\t0000000000000000"));
  EXPECT_THAT(said, HasSubstr("CapEff:\t0000000000000000"));
}

TEST_F(Script, DoesNotRunWhenItCouldNotBeWrittenDown) {
  pid_t pid = 0;
  EXPECT_THROW(launch(request("echo ran"),
                      [&](const ProcessIdentity& identity) {
                        pid = identity.pid;
                        throw error(ErrorKind::no_space, "record", "the disk is full");
                      }),
               Error);
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(read_file(fmt::format("/proc/self/fd/{}", output.get())), "");
}

TEST_F(Script, DoesNotRunWhenTheDaemonDiesBeforeItIsWrittenDown) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    launch(request("echo ran"), [&](const ProcessIdentity& identity) {
      (void)!::write(pipe[1], &identity.pid, sizeof identity.pid);
      ::raise(SIGKILL);
    });
    ::_exit(0);
  }
  ::close(pipe[1]);
  pid_t child = 0;
  ASSERT_EQ(::read(pipe[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  // The pipe's writing end is the child's too: its end is the child's end.
  char rest;
  EXPECT_EQ(::read(pipe[0], &rest, 1), 0);
  ::close(pipe[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(daemon, &status, 0), daemon);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_file(fmt::format("/proc/self/fd/{}", output.get())), "");
}

TEST_F(Script, NamesAProgramThatIsNotThere) {
  LaunchRequest wanted = request("");
  wanted.argv = {"no-such-program"};
  try {
    launch(wanted, [](const ProcessIdentity&) {});
    FAIL() << "it ran";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::not_found);
    EXPECT_EQ(e.subject(), "no-such-program");
  }
}

TEST_F(Script, NamesAProgramThatCannotRun) {
  LaunchRequest wanted = request("");
  wanted.argv = {"/etc/passwd"};
  try {
    launch(wanted, [](const ProcessIdentity&) {});
    FAIL() << "it ran";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::access_denied);
    EXPECT_THAT(e.what(), HasSubstr("could not execute"));
  }
}

TEST(ConnectUnix, NamesASocketThatNobodyListensOn) {
  Lab lab;
  const Error failure = failure_of([&] { connect_unix(lab.path("nobody.sock")); });
  EXPECT_EQ(failure.kind(), ErrorKind::gone);
  EXPECT_EQ(failure.subject(), lab.path("nobody.sock"));
}

TEST(ListenForQemu, DoesNotHoldUpWhoAcceptsInVain) {
  Lab lab;
  const Fd listener = listen_for_qemu(lab.path("socket"));
  EXPECT_EQ(::accept(listener.get(), nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
}

}  // namespace
}  // namespace virga::hypervisor
