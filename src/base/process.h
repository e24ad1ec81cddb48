// Child processes: short-lived helpers whose output is wanted. Programs that outlive the daemon
// (QEMU, Open vSwitch) are started by their own modules.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace virga {

struct Pipe {
  Fd read, write;
};
// Close-on-exec at both ends.
Pipe make_pipe();

struct ProcessResult {
  int exit_code = 0;     // 128 + N when signal N ended it
  std::string output;    // standard output
  std::string errors;    // standard error
};

// Runs argv[0] (found through PATH), waits for its end; blocks: call it through offload().
// Signals of the terminal do not reach it. Throws ErrorKind::not_found when the program does not
// exist.
ProcessResult run_process(const std::vector<std::string>& argv, const std::string& input = {});

// As above, and throws ErrorKind::io with the program's own words when it does not exit with 0.
std::string run_checked(const std::vector<std::string>& argv, const std::string& input = {});

}  // namespace virga
