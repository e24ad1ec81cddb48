// What NFS 3 says, in terms of the operating system.
#include "nfs/v3/protocol.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace virga::nfs::v3 {
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

TEST(Protocol, SetsOnlyWhatIsToChange) {
  Change change;
  change.size = 7ULL << 32;
  const sattr3 size = to_wire(change);
  EXPECT_TRUE(size.size.set_it);
  EXPECT_EQ(size.size.set_size3_u.size, 7ULL << 32);
  EXPECT_FALSE(size.mode.set_it || size.uid.set_it || size.gid.set_it);
  EXPECT_EQ(size.mtime.set_it, DONT_CHANGE);
  Change others;
  others.mode = S_IFREG | 0600;
  others.access_time = timespec{0, UTIME_NOW};
  others.modification_time = timespec{1'700'000'000, 5};
  const sattr3 wire = to_wire(others);
  EXPECT_EQ(wire.mode.set_mode3_u.mode, 0600U);
  EXPECT_EQ(wire.atime.set_it, SET_TO_SERVER_TIME);
  EXPECT_EQ(wire.mtime.set_it, SET_TO_CLIENT_TIME);
  EXPECT_EQ(wire.mtime.set_mtime_u.mtime.seconds, 1'700'000'000U);
}

}  // namespace
}  // namespace virga::nfs::v3
