#include "datastore/files.h"

#include <fcntl.h>
#include <unistd.h>

#include "fixture.h"

namespace virga::datastore {
namespace {

struct FilesTest : DatastoreTest {
  void TearDown() override { EXPECT_EQ(drafts_in(folder.path()), 0u); }

  // 4 MiB of which only the first and the last 64 KiB are there.
  void put_sparse(const std::string& path) {
    put(path, std::string(64 << 10, 'a'));
    const Fd fd = open_file(real(path), O_WRONLY);
    const std::string end(64 << 10, 'z');
    ASSERT_EQ(::pwrite(fd.get(), end.data(), end.size(), (4 << 20) - (64 << 10)), 64 << 10);
  }
};

TEST_F(FilesTest, MakesFolders) {
  make_folder(at("a"), false);
  EXPECT_TRUE(fs::is_directory(real("a")));
  expect_error(ErrorKind::not_found, "[ds] b", [&] { make_folder(at("b/c"), false); });
  make_folder(at("b/c/d"), true);
  EXPECT_TRUE(fs::is_directory(real("b/c/d")));
  expect_error(ErrorKind::already_exists, "[ds] b/c", [&] { make_folder(at("b/c"), true); });
  expect_error(ErrorKind::already_exists, "[ds]", [&] { make_folder(at(""), true); });
  put("file", "x");
  expect_error(ErrorKind::not_found, "", [&] { make_folder(at("file/a/b"), true); });
}

TEST_F(FilesTest, CopiesAFileWithItsHoles) {
  put_sparse("a");
  std::vector<std::uint64_t> reported;
  copy(at("a"), at("b"), IfExists::fail, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, 4u << 20);
    reported.push_back(done);
  });
  EXPECT_EQ(text("b"), text("a"));
  EXPECT_LE(allocated(real("b")), 256u << 10);
  EXPECT_TRUE(std::is_sorted(reported.begin(), reported.end()));
  EXPECT_EQ(reported.back(), 4u << 20);
  EXPECT_EQ(fs::last_write_time(real("b")), fs::last_write_time(real("a")));
}

TEST_F(FilesTest, CopiesAFolder) {
  put("vm/a", "1");
  put("vm/sub/deep/b", "2");
  fs::create_directory(real("vm/empty"));
  copy(at("vm"), at("copy"));
  EXPECT_EQ(text("copy/a"), "1");
  EXPECT_EQ(text("copy/sub/deep/b"), "2");
  EXPECT_TRUE(fs::is_directory(real("copy/empty")));
}

TEST_F(FilesTest, RefusesToCopyWhatIsNoFile) {
  put("vm/a", "1");
  fs::create_symlink("/etc/passwd", real("vm/link"));
  expect_error(ErrorKind::unsupported, "[ds] vm/link", [&] { copy(at("vm"), at("copy")); });
  EXPECT_FALSE(fs::exists(real("copy")));
}

TEST_F(FilesTest, RefusesToCopyOrMoveAFolderIntoItself) {
  put("vm/a", "1");
  expect_error(ErrorKind::invalid_argument, "lies within", [&] { copy(at("vm"), at("vm/b")); });
  expect_error(ErrorKind::invalid_argument, "lies within", [&] { move(at("vm"), at("vm/b")); });
}

TEST_F(FilesTest, ReplacesOnlyFilesAndOnlyWhenTold) {
  put("a", "new");
  put("b", "old");
  put("dir/x", "1");
  expect_error(ErrorKind::already_exists, "[ds] b", [&] { copy(at("a"), at("b")); });
  expect_error(ErrorKind::already_exists, "[ds] b", [&] { move(at("a"), at("b")); });
  copy(at("a"), at("b"), IfExists::replace);
  EXPECT_EQ(text("b"), "new");
  expect_error(ErrorKind::already_exists, "folder",
               [&] { copy(at("a"), at("dir"), IfExists::replace); });
  expect_error(ErrorKind::already_exists, "[ds] b",
               [&] { move(at("dir"), at("b"), IfExists::replace); });
  move(at("a"), at("b"), IfExists::replace);
  EXPECT_FALSE(fs::exists(real("a")));
}

TEST_F(FilesTest, SaysWhatIsMissing) {
  expect_error(ErrorKind::not_found, "[ds] a does not", [&] { copy(at("a"), at("b")); });
  expect_error(ErrorKind::not_found, "[ds] a does not", [&] { move(at("a"), at("b")); });
  expect_error(ErrorKind::not_found, "[ds] a does not", [&] { remove(at("a")); });
  put("a", "1");
  expect_error(ErrorKind::not_found, "[ds] no", [&] { copy(at("a"), at("no/b")); });
  for (const std::string path : {"", ".virga", ".virga/uuid"})
    expect_error(ErrorKind::access_denied, "", [&] { remove(at(path)); });
}

TEST_F(FilesTest, MovesBetweenDatastores) {
  const TestFolder other("/dev/shm");
  const auto target = std::make_shared<Datastore>("other", other.path());
  put("vm/a", "1");
  put_sparse("vm/b");
  const std::string sparse = text("vm/b");
  move(at("vm"), {target, "moved"});
  EXPECT_FALSE(fs::exists(real("vm")));
  EXPECT_EQ(read_file(other.path() / "moved/a"), "1");
  EXPECT_EQ(read_file(other.path() / "moved/b"), sparse);
  EXPECT_LE(allocated(other.path() / "moved/b"), 256u << 10);
  EXPECT_EQ(drafts_in(other.path()), 0u);
}

TEST_F(FilesTest, RemovesAFolderAndALinkButNotItsTarget) {
  put("vm/sub/a", "1");
  put("keep", "2");
  fs::create_symlink(real("keep"), real("vm/link"));
  remove(at("vm"));
  EXPECT_FALSE(fs::exists(real("vm")));
  EXPECT_EQ(text("keep"), "2");
}

TEST_F(FilesTest, LeavesNothingWhenCancelled) {
  put_sparse("vm/a");
  put_sparse("vm/b");
  std::stop_source stop;
  const Progress cancel_soon = [&](std::uint64_t, std::uint64_t) { stop.request_stop(); };
  expect_error(ErrorKind::cancelled, "[ds] copy",
               [&] { copy(at("vm"), at("copy"), IfExists::fail, cancel_soon, stop.get_token()); });
  EXPECT_FALSE(fs::exists(real("copy")));
}

TEST(Files, LeaveNothingOnAFullDatastore) {
  const TestFolder source, full(testing::TempDir(), 1 << 20);
  std::ofstream(source.path() / "a") << std::string(4 << 20, 'x') << std::flush;
  const auto from = std::make_shared<Datastore>("from", source.path());
  const auto to = std::make_shared<Datastore>("full", full.path());
  expect_error(ErrorKind::no_space, "[full] a", [&] { copy({from, "a"}, {to, "a"}); });
  EXPECT_TRUE(content_of(full.path()).empty());
  EXPECT_EQ(drafts_in(full.path()), 0u);
  EXPECT_GT(to->space().free, 900u << 10);

  Upload upload({to, "b"});
  expect_error(ErrorKind::no_space, "[full] b", [&] { upload.write(std::string(4 << 20, 'x')); });
}

TEST_F(FilesTest, ShowsAnUploadOnlyWhenCommitted) {
  {
    Upload upload(at("a.iso"));
    upload.write("hello ");
    upload.write("world");
    EXPECT_EQ(upload.written(), 11u);
    EXPECT_FALSE(fs::exists(real("a.iso")));
    upload.commit();
    EXPECT_EQ(text("a.iso"), "hello world");
  }
  {
    Upload upload(at("a.iso"));
    upload.write("other");
  }
  EXPECT_EQ(text("a.iso"), "hello world");
  Upload moved = Upload(at("a.iso"));
  moved.write("new");
  moved.commit();
  EXPECT_EQ(text("a.iso"), "new");
}

TEST_F(FilesTest, RefusesAnUploadInPlaceOfWhatIsThere) {
  put("a", "old");
  expect_error(ErrorKind::already_exists, "[ds] a", [&] { Upload(at("a"), IfExists::fail); });
  Upload upload(at("b"), IfExists::fail);
  put("b", "meanwhile");
  expect_error(ErrorKind::already_exists, "[ds] b", [&] { upload.commit(); });
  EXPECT_EQ(text("b"), "meanwhile");
}

TEST_F(FilesTest, SendsRanges) {
  put("a", "0123456789");
  const Download download(at("a"));
  EXPECT_EQ(download.size(), 10u);
  char buffer[4];
  EXPECT_EQ(download.read(3, buffer), 4u);
  EXPECT_EQ(std::string(buffer, 4), "3456");
  EXPECT_EQ(download.read(8, buffer), 2u);
  EXPECT_EQ(download.read(10, buffer), 0u);
  remove(at("a"));
  EXPECT_EQ(download.read(0, buffer), 4u);
  expect_error(ErrorKind::not_found, "[ds] a", [&] { Download(at("a")); });
  make_folder(at("d"), false);
  expect_error(ErrorKind::invalid_argument, "[ds] d", [&] { Download(at("d")); });
}

TEST_F(FilesTest, ReadsAndReplacesSmallFiles) {
  write_small_file(at("a.vmx"), "one");
  write_small_file(at("a.vmx"), "two");
  EXPECT_EQ(read_small_file(at("a.vmx")), "two");
  expect_error(ErrorKind::damaged, "[ds] a.vmx is larger",
               [&] { read_small_file(at("a.vmx"), 2); });
}

// While its process lives, what is under way is nobody else's to clear.
TEST_F(FilesTest, IsNotSweptUnderWay) {
  Upload upload(at("a"));
  upload.write("hello");
  const Datastore other_host("ds", folder.path());
  EXPECT_EQ(sweep(other_host), 0u);
  upload.commit();
  EXPECT_EQ(text("a"), "hello");
}

}  // namespace
}  // namespace virga::datastore
