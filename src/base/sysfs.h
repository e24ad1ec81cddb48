// Small files of /proc and /sys, where absence is an answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file.h"

namespace virga {

// Without the white space at its end; empty for a file that cannot be read.
std::string read_text(const fs::path& path);
std::uint64_t read_number(const fs::path& path, int base = 10);  // 0 for none
// Tells the kernel, in one piece. Throws Error naming the file.
void write_attribute(const fs::path& path, const std::string& text);
// Sorted; empty for a directory there is not.
std::vector<fs::path> entries(const fs::path& directory);
// The last part of what a link leads to.
std::string link_target_name(const fs::path& link);
// The last PCI function on the way to a device, "0000:3b:00.0": the adapter it hangs on.
std::string pci_address_of(const fs::path& device);

}  // namespace virga
