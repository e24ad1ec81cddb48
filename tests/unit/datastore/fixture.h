#pragma once

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "../expect_error.h"
#include "base/file.h"
#include "base/uuid.h"
#include "datastore/datastore.h"

namespace virga::datastore {

// A folder that is gone with the object; optionally a file system of its own, of `bytes`.
class TestFolder {
 public:
  explicit TestFolder(const fs::path& parent = testing::TempDir(), std::uint64_t bytes = 0)
      : path_(parent / ("datastore-" + make_uuid())) {
    fs::create_directory(path_);
    if (bytes == 0) return;
    const std::string options = fmt::format("size={}", bytes);
    mounted_ = ::mount("virga-test", path_.c_str(), "tmpfs", 0, options.c_str()) == 0;
    EXPECT_TRUE(mounted_) << "these tests mount small file systems, as root";
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
    fs::remove_all(path_);
  }

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  bool mounted_ = false;
};

struct DatastoreTest : testing::Test {
  TestFolder folder;
  std::shared_ptr<const Datastore> datastore = std::make_shared<Datastore>("ds", folder.path());

  Location at(const std::string& path) const { return {datastore, path}; }
  fs::path real(const std::string& path) const { return folder.path() / path; }

  void put(const std::string& path, const std::string& text) const {
    fs::create_directories(real(path).parent_path());
    std::ofstream(real(path), std::ios::binary) << text;
  }
  std::string text(const std::string& path) const { return read_file(real(path), 1ULL << 30); }
};

// Every file and folder of a datastore but its private ones, and the files' content.
inline std::map<std::string, std::string> content_of(const fs::path& root) {
  std::map<std::string, std::string> content;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::end(it); ++it) {
    if (it->path().filename() == private_folder) {
      it.disable_recursion_pending();
      continue;
    }
    content[fs::relative(it->path(), root)] =
        it->is_regular_file() ? read_file(it->path(), 1ULL << 30) : "";
  }
  return content;
}

// What operations have under way, or left behind.
inline std::size_t drafts_in(const fs::path& root) {
  const auto drafts = fs::directory_iterator(root / private_folder / "drafts");
  return static_cast<std::size_t>(std::distance(drafts, {}));
}

inline std::uint64_t allocated(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

}  // namespace virga::datastore
