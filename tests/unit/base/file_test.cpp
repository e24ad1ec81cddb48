#include "base/file.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/uuid.h"

namespace virga {
namespace {

struct FileTest : testing::Test {
  fs::path directory = fs::path(testing::TempDir()) / ("file-" + make_uuid());
  void SetUp() override { fs::create_directory(directory); }
  void TearDown() override { fs::remove_all(directory); }
};

TEST_F(FileTest, ReplacesWholeAndLeavesNoDraft) {
  const fs::path path = directory / "a";
  write_file_atomically(path, "old");
  write_file_atomically(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(directory), {}), 1);
}

TEST_F(FileTest, RefusesAFileOverTheLimit) {
  write_file_atomically(directory / "a", "12345");
  EXPECT_THROW(read_file(directory / "a", 4), Error);
  EXPECT_EQ(read_file(directory / "a", 5), "12345");
}

TEST(Uuid, IsVersionFourAndNew) {
  const std::string a = make_uuid();
  EXPECT_TRUE(is_uuid(a));
  EXPECT_EQ(a[14], '4');
  EXPECT_NE(a, make_uuid());
  EXPECT_FALSE(is_uuid("not-a-uuid"));
}

}  // namespace
}  // namespace virga
