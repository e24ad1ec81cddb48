#include "datastore/datastore.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "fixture.h"

namespace virga::datastore {
namespace {

TEST_F(DatastoreTest, HasTheSameIdentifierEveryTime) {
  const Datastore again("renamed", folder.path());
  EXPECT_EQ(again.uuid(), datastore->uuid());
  EXPECT_EQ(datastore->uuid().size(), 35u);
  EXPECT_EQ(datastore->url(), "ds:///vmfs/volumes/" + datastore->uuid() + "/");
  const TestFolder other;
  EXPECT_NE(Datastore("other", other.path()).uuid(), datastore->uuid());
}

TEST_F(DatastoreTest, RefusesADamagedIdentifier) {
  put(".virga/uuid", "junk\n");
  expect_error(ErrorKind::damaged, "identifier", [&] { Datastore("ds", folder.path()); });
}

TEST(Datastore, ComputesAnIdentifierWhereItCannotWrite) {
  const TestFolder folder(testing::TempDir(), 1 << 20);
  const auto remount_read_only = [&] {
    return ::mount("", folder.path().c_str(), "", MS_REMOUNT | MS_RDONLY, "") == 0;
  };
  ASSERT_TRUE(remount_read_only());
  const Datastore datastore("iso", folder.path());
  EXPECT_TRUE(datastore.read_only());
  EXPECT_EQ(datastore.uuid().size(), 35u);
  EXPECT_EQ(Datastore("iso", folder.path()).uuid(), datastore.uuid());
  EXPECT_EQ(sweep(datastore), 0u);
}

TEST(Datastore, RefusesWhatIsNoFolder) {
  expect_error(ErrorKind::not_found, "nowhere", [] { Datastore("ds", "/nowhere"); });
  expect_error(ErrorKind::not_found, "passwd", [] { Datastore("ds", "/etc/passwd"); });
  expect_error(ErrorKind::invalid_argument, "a/b", [] { Datastore("a/b", "/tmp"); });
}

TEST(Datastore, RefusesWhatIsAskedOfFilesWhileItIsAbsent) {
  const TestFolder folder;
  const std::string uuid = Datastore("ds", folder.path()).uuid();
  const auto absent = Datastore::absent("ds", folder.path(), uuid, "host");
  EXPECT_TRUE(absent->is_absent());
  EXPECT_EQ(absent->uuid(), uuid);
  EXPECT_EQ(absent->url(), "ds:///vmfs/volumes/" + uuid + "/");
  expect_error(ErrorKind::gone, "ds", [&] { absent->space(); });
  expect_error(ErrorKind::gone, "ds", [&] { absent->exists("web/web.vmx"); });
  expect_error(ErrorKind::gone, "ds", [&] { absent->status(""); });
  expect_error(ErrorKind::gone, "ds", [&] { absent->open("web/web.vmx", O_RDONLY); });
}

TEST(Datastore, MeasuresItsSpace) {
  const TestFolder folder(testing::TempDir(), 8 << 20);
  const Datastore datastore("ds", folder.path());
  EXPECT_EQ(datastore.space().capacity, 8u << 20);
  const std::uint64_t before = datastore.space().free;
  std::ofstream(folder.path() / "a") << std::string(1 << 20, 'x') << std::flush;
  EXPECT_EQ(datastore.space().free, before - (1 << 20));
}

TEST_F(DatastoreTest, OpensFilesAndMakesThem) {
  put("vm/a", "hello");
  EXPECT_TRUE(datastore->open("vm/a", O_RDONLY));
  EXPECT_TRUE(datastore->open("vm/./b", O_WRONLY | O_CREAT));
  EXPECT_TRUE(datastore->exists("vm/b"));
  EXPECT_FALSE(datastore->exists("vm/c"));
  EXPECT_FALSE(datastore->exists("none/c"));
  EXPECT_EQ(datastore->status("vm/a").st_size, 5);
  EXPECT_TRUE(S_ISDIR(datastore->status("").st_mode));
  expect_error(ErrorKind::not_found, "[ds] vm/c", [&] { datastore->open("vm/c", O_RDONLY); });
  expect_error(ErrorKind::not_found, "[ds] vm/c", [&] { datastore->status("vm/c"); });
}

TEST_F(DatastoreTest, LetsNoPathLeadOut) {
  const TestFolder outside;
  std::ofstream(outside.path() / "secret") << "secret";
  put("vm/a", "inside");
  fs::create_symlink(outside.path() / "secret", real("vm/link"));
  fs::create_directory_symlink(outside.path(), real("out"));
  fs::create_directory_symlink(real("vm"), real("in"));
  const auto refuse = [&](const std::string& path, ErrorKind kind) {
    expect_error(kind, "", [&] { datastore->open(path, O_RDONLY); });
    expect_error(kind, "", [&] { datastore->open(path, O_WRONLY | O_CREAT); });
  };
  refuse("vm/link", ErrorKind::access_denied);
  refuse("out/secret", ErrorKind::access_denied);
  refuse("in/a", ErrorKind::access_denied);
  refuse("../" + outside.path().filename().string() + "/secret", ErrorKind::invalid_argument);
  refuse("vm/../../secret", ErrorKind::invalid_argument);
  refuse((outside.path() / "secret").string(), ErrorKind::invalid_argument);
  EXPECT_EQ(read_file(outside.path() / "secret"), "secret");
}

TEST_F(DatastoreTest, LetsNoMountLeadOut) {
  put("vm/a", "inside");
  ASSERT_EQ(::mount("virga-test", real("vm").c_str(), "tmpfs", 0, "size=1m"), 0);
  std::ofstream(real("vm/b")) << "elsewhere";
  expect_error(ErrorKind::access_denied, "leads out", [&] { datastore->open("vm/b", O_RDONLY); });
  ::umount2(real("vm").c_str(), MNT_DETACH);
  EXPECT_TRUE(datastore->open("vm/a", O_RDONLY));
}

TEST_F(DatastoreTest, KeepsItsPrivateFolderToItself) {
  for (const std::string path : {".virga", ".virga/uuid", "./.virga/drafts"})
    expect_error(ErrorKind::access_denied, "not for use", [&] { datastore->open(path, O_RDONLY); });
  expect_error(ErrorKind::access_denied, "not for use", [&] { datastore->status(".virga/uuid"); });
  put(".virgafiles", "x");
  EXPECT_TRUE(datastore->open(".virgafiles", O_RDONLY));
}

// Somebody swaps a folder for a link out of the datastore, again and again, while it is opened.
TEST_F(DatastoreTest, LosesNoRaceAgainstLinks) {
  const TestFolder outside;
  std::ofstream(outside.path() / "a") << "outside";
  put("vm/a", "inside");
  fs::create_directory_symlink(outside.path(), real("link"));
  std::atomic<bool> done = false;
  std::thread attacker([&] {
    while (!done) {
      ::renameat2(AT_FDCWD, real("vm").c_str(), AT_FDCWD, real("link").c_str(), RENAME_EXCHANGE);
    }
  });
  int inside = 0, refused = 0;
  while (inside < 200 || refused < 200) {
    try {
      const Fd fd = datastore->open("vm/a", O_RDONLY);
      char text[16] = {};
      ASSERT_GT(::read(fd.get(), text, sizeof text), 0);
      ASSERT_STREQ(text, "inside");
      ++inside;
    } catch (const Error& failure) {
      ASSERT_EQ(failure.kind(), ErrorKind::access_denied);
      ++refused;
    }
  }
  done = true;
  attacker.join();
}

}  // namespace
}  // namespace virga::datastore
