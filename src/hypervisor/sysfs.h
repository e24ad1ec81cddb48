// Internal to the probes: small files of /proc and /sys, where absence is an answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"

namespace virga::hypervisor {

// Without the white space at its end; empty for a file that cannot be read.
std::string read_text(const fs::path& path);
std::uint64_t read_number(const fs::path& path, int base = 10);  // 0 for none
// Sorted; empty for a directory there is not.
std::vector<fs::path> entries(const fs::path& directory);
// The last part of what a link leads to.
std::string link_target_name(const fs::path& link);

}  // namespace virga::hypervisor
