// Files of a Linux guest, as its stat(1) tells of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace virga::hypervisor {

struct GuestFile {
  enum class Kind { file, directory, symbolic_link };

  std::string name;  // of a directory's entry; "." and ".." too
  Kind kind = Kind::file;
  std::uint32_t permissions = 0;  // the lower twelve bits of its mode
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t size = 0;
  std::chrono::sys_seconds accessed{}, modified{};
  std::string target;  // of a symbolic link
};

// For /bin/sh, as the user who wants to know: the file $1, or the entries of the directory that it
// is or leads to; of those the ones that fit the extended regular expression $2, if it is not
// empty. Names with line breaks are left out.
extern const char* const file_list_script;
// What it printed, in the guest's order.
std::vector<GuestFile> parse_file_list(std::string_view output);

}  // namespace virga::hypervisor
