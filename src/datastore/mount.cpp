#include "datastore/mount.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <string>
#include <vector>

namespace virga::datastore {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool stay_local(std::string_view type, std::string_view options) {
  if (type == "nfs") {
    for (const std::string_view option : split(options, ','))
      if (option == "nolock" || option == "local_lock=all" || option == "local_lock=posix")
        return true;
    return false;
  }
  return type == "fuse" || type.starts_with("fuse.") || type == "cifs" || type == "smb3" ||
         type == "9p" || type == "virtiofs";
}

}  // namespace

bool locks_stay_local(std::string_view mountinfo, dev_t device) {
  const std::string number = fmt::format("{}:{}", major(device), minor(device));
  for (const std::string_view line : split(mountinfo, '\n')) {
    const std::size_t dash = line.find(" - ");
    const auto before = split(line.substr(0, dash), ' ');
    if (dash == std::string_view::npos || before.size() < 3 || before[2] != number) continue;
    const auto after = split(line.substr(dash + 3), ' ');
    if (after.size() >= 3) return stay_local(after[0], after[2]);
  }
  return false;
}

}  // namespace virga::datastore
