// Programs that the agent in a guest runs, as the guest's root: whose wish it is, and whether the
// guest grants it, is for the caller to find out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace virga::hypervisor {

// What a program may be given, and may answer, at once.
constexpr std::size_t max_guest_program_data = 2 << 20;

struct GuestProgram {
  std::string path;
  std::vector<std::string> arguments;    // without the program's own name
  std::vector<std::string> environment;  // NAME=VALUE, all of it
  std::string input;                     // its standard input
  bool capture = true;                   // its output; else nobody hears it
};

struct GuestProgramState {
  bool ended = false;
  int exit_code = 0;  // 128 + N when signal N ended it
  std::string output, errors;
};

}  // namespace virga::hypervisor
