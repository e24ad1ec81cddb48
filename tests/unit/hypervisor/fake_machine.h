// For tests of the probes.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "base/file.h"

namespace virga::hypervisor {

// A /proc and /sys of our own making.
struct FakeMachine : ::testing::Test {
  FakeMachine() {
    std::string pattern = "/tmp/virga-probe-XXXXXX";
    root = ::mkdtemp(pattern.data());
  }
  ~FakeMachine() override { fs::remove_all(root); }

  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root + "/" + path).parent_path());
    std::ofstream(root + "/" + path) << text;
  }
  void link(const std::string& path, const std::string& target) {
    fs::create_directories(fs::path(root + "/" + path).parent_path());
    fs::create_directories(root + "/" + target);
    fs::create_symlink(root + "/" + target, root + "/" + path);
  }

  std::string root;
};

}  // namespace virga::hypervisor
