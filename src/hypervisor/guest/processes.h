// What runs in a Linux guest, from its /proc.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace virga::hypervisor {

struct GuestProcess {
  std::int64_t pid = 0;
  std::string name;          // as the kernel has it, cut at 15 bytes
  std::string owner;         // the user's name, or number where it has none
  std::string command_line;  // words with blanks between; the kernel's own threads have none
  std::chrono::sys_seconds start{};
};

// For /bin/sh, as anybody.
extern const char* const process_list_script;
// What it printed, by pid. What makes no sense is left out.
std::vector<GuestProcess> parse_process_list(std::string_view output);

}  // namespace virga::hypervisor
