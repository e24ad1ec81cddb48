// Which process is meant, beyond the reuse of its pid: pid, start time and the boot it belongs to.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace virga::hypervisor {

struct ProcessIdentity {
  pid_t pid = -1;
  std::uint64_t start_time = 0;  // clock ticks after boot, /proc/PID/stat field 22
  std::string boot_id;           // /proc/sys/kernel/random/boot_id

  bool operator==(const ProcessIdentity&) const = default;
};

// What /proc says of a process; none if there is none or it is a zombie.
struct ProcessStat {
  std::uint64_t start_time = 0;
  std::chrono::nanoseconds cpu_time{};  // user and system
};
std::optional<ProcessStat> read_process_stat(pid_t pid);
std::optional<std::chrono::nanoseconds> read_thread_cpu_time(pid_t pid, pid_t thread);
// 0 when the process is gone.
std::uint64_t read_resident_bytes(pid_t pid);

// Throws ErrorKind::gone when there is no such process.
ProcessIdentity identify(pid_t pid);

// A pidfd for whatever process has this pid now; empty when none has.
Fd open_pidfd(pid_t pid);
// SIGKILL to the process behind a pidfd, and to no other.
void kill_process(int pidfd);

// A pidfd for exactly that process; empty when it no longer runs.
Fd open_process(const ProcessIdentity& identity);

// Parses the text of /proc/PID/stat, whose second field may hold any character.
std::optional<ProcessStat> parse_process_stat(const std::string& text);

}  // namespace virga::hypervisor
