// A /sys laid out from a file of tests/unit/storage/sysfs (its form is told in server.tree there).
#pragma once

#include <fstream>
#include <string>

#include "base/file.h"

namespace virga::storage {

class SysfsTree {
 public:
  explicit SysfsTree(const std::string& name) {
    std::string pattern = "/tmp/virga-sysfs-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    std::ifstream lines(std::string(VIRGA_SOURCE_DIR "/tests/unit/storage/sysfs/") + name);
    for (std::string line; std::getline(lines, line);) lay_out(line);
  }
  ~SysfsTree() { fs::remove_all(root_); }

  const std::string& root() const { return root_; }
  std::string text(const std::string& path) const { return read_file(root_ + "/sys/" + path); }

 private:
  void lay_out(const std::string& line) {
    if (line.empty() || line[0] == '#') return;
    if (line.starts_with("@ ")) {
      folder_ = line.substr(2);
    } else if (const auto link = line.find(" -> "); link != std::string::npos) {
      const fs::path at = place(line.substr(0, link)),
                     target = root_ + "/sys/" + line.substr(link + 4);
      fs::create_directories(target);
      fs::create_symlink(target, at);
    } else if (const auto bytes = line.find(" := "); bytes != std::string::npos) {
      std::string binary;
      for (std::size_t i = bytes + 4; i + 1 < line.size(); i += 2)
        binary.push_back(static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16)));
      std::ofstream(place(line.substr(0, bytes))) << binary;
    } else {
      const auto equals = line.find(" =");
      std::ofstream(place(line.substr(0, equals)))
          << (line.size() > equals + 3 ? line.substr(equals + 3) : "") << "\n";
    }
  }

  fs::path place(const std::string& name) const {
    const fs::path path = root_ + "/sys/" + folder_ + "/" + name;
    fs::create_directories(path.parent_path());
    return path;
  }

  std::string root_, folder_;
};

}  // namespace virga::storage
