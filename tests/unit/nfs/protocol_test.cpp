// What NFS 3 says, in terms of the operating system.
#include "nfs/protocol.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "nfs/nodes.h"

namespace virga::nfs {
namespace {

TEST(Protocol, TellsFailuresAsTheOperatingSystemDoes) {
  EXPECT_EQ(errno_of(NFS3_OK), 0);
  EXPECT_EQ(errno_of(NFS3ERR_NOTEMPTY), ENOTEMPTY);
  EXPECT_EQ(errno_of(NFS3ERR_NAMETOOLONG), ENAMETOOLONG);
  EXPECT_EQ(errno_of(NFS3ERR_DQUOT), EDQUOT);
  EXPECT_EQ(errno_of(NFS3ERR_BADHANDLE), ESTALE);
  EXPECT_EQ(errno_of(NFS3ERR_SERVERFAULT), EIO);
  EXPECT_EQ(errno_of(static_cast<nfsstat3>(12345)), EIO);
}

TEST(Protocol, TellsWhatAFileIs) {
  fattr3 told{};
  told.type = NF3DIR;
  told.mode = 0755;
  told.fileid = 1ULL << 40;
  told.size = 5ULL << 32;
  told.used = 513;
  told.mtime = {1'700'000'000, 5};
  const struct stat status = stat_from(told);
  EXPECT_TRUE(S_ISDIR(status.st_mode));
  EXPECT_EQ(status.st_mode & 07777, 0755U);
  EXPECT_EQ(status.st_ino, 1ULL << 40);
  EXPECT_EQ(status.st_size, 5LL << 32);
  EXPECT_EQ(status.st_blocks, 2);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'700'000'000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 5);
}

TEST(Protocol, SetsOnlyWhatIsWanted) {
  struct stat status {};
  status.st_size = 7LL << 32;
  status.st_mode = S_IFREG | 0600;
  const sattr3 size = to_wire(status, {.size = true});
  EXPECT_TRUE(size.size.set_it);
  EXPECT_EQ(size.size.set_size3_u.size, 7ULL << 32);
  EXPECT_FALSE(size.mode.set_it || size.uid.set_it || size.gid.set_it);
  EXPECT_EQ(size.mtime.set_it, DONT_CHANGE);
  EXPECT_EQ(to_wire(status, {.mode = true}).mode.set_mode3_u.mode, 0600U);
}

TEST(Nodes, GiveAFileOneNumberUntilItIsForgotten) {
  Nodes nodes("root");
  EXPECT_EQ(nodes.handle(Nodes::root), "root");
  const auto web = nodes.remember("web");
  EXPECT_EQ(nodes.remember("web"), web);
  EXPECT_NE(nodes.remember("mail"), web);
  nodes.forget(web, 1);
  EXPECT_EQ(nodes.handle(web), "web");
  nodes.forget(web, 1);
  EXPECT_EQ(nodes.handle(web), "");
  EXPECT_NE(nodes.remember("web"), web);
}

TEST(Nodes, NeverForgetTheRoot) {
  Nodes nodes("root");
  nodes.remember("root");
  nodes.forget(Nodes::root, 100);
  EXPECT_EQ(nodes.handle(Nodes::root), "root");
  nodes.forget(12345, 1);
  EXPECT_EQ(nodes.size(), 1U);
}

}  // namespace
}  // namespace virga::nfs
