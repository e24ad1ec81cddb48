// Processes that outlive the one that started them, and what passes between the two.
#include "base/companion.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/uuid.h"

namespace virga {
namespace {

struct Pair {
  Fd one, other;
  Pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    one = Fd(fds[0]);
    other = Fd(fds[1]);
  }
};

TEST(Companion, MessagesCarryADescriptor) {
  Pair sockets, passed;
  send_message(sockets.one.get(), "with", passed.one.get());
  send_message(sockets.one.get(), "without");
  const auto with = receive_message(sockets.other.get());
  ASSERT_TRUE(with && with->descriptor);
  EXPECT_EQ(with->text, "with");
  send_message(with->descriptor.get(), "through it");
  EXPECT_EQ(receive_message(passed.other.get())->text, "through it");
  const auto without = receive_message(sockets.other.get());
  ASSERT_TRUE(without);
  EXPECT_EQ(without->text, "without");
  EXPECT_FALSE(without->descriptor);
}

TEST(Companion, TellsThatTheOtherSideIsGone) {
  Pair sockets;
  EXPECT_FALSE(is_readable(sockets.other.get()));
  sockets.one.reset();
  EXPECT_TRUE(is_readable(sockets.other.get()));
  EXPECT_EQ(receive_message(sockets.other.get()), std::nullopt);
  EXPECT_THROW(send_message(sockets.other.get(), "to nobody"), Error);
}

TEST(Companion, IsFoundByItsSocketAsLongAsItLives) {
  const std::string socket = testing::TempDir() + "/companion-" + make_uuid();
  EXPECT_FALSE(connect_to_companion(socket));
  const Companion companion = start_companion({"/bin/sleep", "60"}, socket);
  // sleep(1) does not understand "--listener" and ends; what it inherited ends with it.
  EXPECT_TRUE(companion.connection);
  EXPECT_EQ(::waitpid(companion.pid, nullptr, 0), companion.pid);
  EXPECT_FALSE(connect_to_companion(socket));
  EXPECT_NE(read_file(socket + ".log"), "");
  ::unlink(socket.c_str());
  ::unlink((socket + ".log").c_str());
}

}  // namespace
}  // namespace virga
