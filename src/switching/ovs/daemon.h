// A program that serves the switches and outlives this process. It is known by its pid file, and
// taken for ours only if its command line bears out what the pid file says.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/file.h"

namespace virga::switching::ovs {

struct DaemonProgram {
  std::string name;               // for messages
  std::vector<std::string> argv;  // exits with 0 once the program has put itself in the background
  fs::path pid_file;
  // The name of its executable, and an argument no other process is run with.
  std::string executable;
  std::string mark;
};

// Use on one strand.
class Daemon {
 public:
  // `pool` takes the start, which blocks; it must outlive the daemon's operations.
  Daemon(asio::any_io_executor executor, asio::thread_pool& pool, DaemonProgram program);
  // Leaves the process alone.
  ~Daemon();

  const std::string& name() const { return program_.name; }
  bool running() const;
  int pid() const;  // 0 unless it runs

  // Finds the program running from an earlier start; false when it does not. Throws invalid_state
  // when it runs in another network namespace than this thread.
  bool adopt();
  // Starts it; throws io with the program's own words when it does not come up.
  Async<void> start();
  // Returns true when the process ended without stop() having been called, false after stop() and
  // when the daemon is abandoned.
  Async<bool> wait_failure();
  // Waits up to `patience` for the process to end by itself, then asks with SIGTERM and after 5 s
  // insists with SIGKILL. Returns when it has ended.
  Async<void> stop(std::chrono::steady_clock::duration patience = std::chrono::seconds(0));
  // Wakes wait_failure() without touching the process.
  void abandon();

 private:
  struct Process;
  static void watch(std::shared_ptr<Process> process);

  asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  DaemonProgram program_;
  std::shared_ptr<Process> process_;
};

}  // namespace virga::switching::ovs
