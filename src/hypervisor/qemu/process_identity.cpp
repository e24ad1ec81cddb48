#include "hypervisor/qemu/process_identity.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <sstream>

#include "base/error.h"

namespace virga::hypervisor {
namespace {

// Files of /proc vanish with their process; that is an answer, not an error.
std::optional<std::string> read_proc(const std::string& path) {
  try {
    return read_file(path);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string boot_id() {
  std::string text = read_file("/proc/sys/kernel/random/boot_id");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

std::optional<ProcessStat> parse_process_stat(const std::string& text) {
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string state, skipped;
  std::uint64_t user = 0, system = 0;
  ProcessStat stat;
  fields >> state;
  for (int field = 4; field <= 13; ++field) fields >> skipped;
  fields >> user >> system;
  for (int field = 16; field <= 21; ++field) fields >> skipped;
  fields >> stat.start_time;
  if (!fields || state == "Z" || state == "X") return std::nullopt;
  static const auto tick =
      std::chrono::nanoseconds(std::chrono::seconds(1)) / ::sysconf(_SC_CLK_TCK);
  stat.cpu_time = (user + system) * tick;
  return stat;
}

std::optional<ProcessStat> read_process_stat(pid_t pid) {
  const auto text = read_proc(fmt::format("/proc/{}/stat", pid));
  return text ? parse_process_stat(*text) : std::nullopt;
}

std::optional<std::chrono::nanoseconds> read_thread_cpu_time(pid_t pid, pid_t thread) {
  const auto text = read_proc(fmt::format("/proc/{}/task/{}/stat", pid, thread));
  const auto stat = text ? parse_process_stat(*text) : std::nullopt;
  if (!stat) return std::nullopt;
  return stat->cpu_time;
}

std::uint64_t read_resident_bytes(pid_t pid) {
  const auto text = read_proc(fmt::format("/proc/{}/statm", pid));
  if (!text) return 0;
  std::istringstream fields(*text);
  std::uint64_t total = 0, resident = 0;
  fields >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

ProcessIdentity identify(pid_t pid) {
  const auto stat = read_process_stat(pid);
  if (!stat) throw error(ErrorKind::gone, std::to_string(pid), "process {} is gone", pid);
  return {pid, stat->start_time, boot_id()};
}

// The C library's declarations of these two lack C linkage in glibc 2.36.
Fd open_pidfd(pid_t pid) {
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

void kill_process(int pidfd) {
  ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
}

Fd open_process(const ProcessIdentity& identity) {
  if (identity.pid <= 0 || identity.boot_id != boot_id()) return {};
  Fd fd = open_pidfd(identity.pid);
  if (!fd) return {};
  // The pidfd is for whoever has the pid now; only then is it certain whose start time is read.
  const auto stat = read_process_stat(identity.pid);
  if (!stat || stat->start_time != identity.start_time) return {};
  return fd;
}

}  // namespace virga::hypervisor
