#include "switching/ovs/daemon.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <charconv>

#include "base/error.h"
#include "base/log.h"
#include "base/process.h"

namespace virga::switching::ovs {
namespace {

using namespace std::chrono_literals;

constexpr auto term_patience = 5s;

int read_pid(const fs::path& pid_file) {
  int pid = 0;
  std::error_code ignored;
  if (!fs::exists(pid_file, ignored)) return 0;
  const std::string text = read_file(pid_file);
  std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid;
}

// The arguments of a process; none when it has ended.
std::vector<std::string> command_line(int pid) {
  const fs::path path = fmt::format("/proc/{}/cmdline", pid);
  std::vector<std::string> arguments;
  try {
    const std::string text = read_file(path);
    for (std::size_t start = 0; start < text.size();) {
      const auto end = std::min(text.find('\0', start), text.size());
      arguments.push_back(text.substr(start, end - start));
      start = end + 1;
    }
  } catch (const Error&) {
    // Ended between two looks.
  }
  return arguments;
}

bool is_program(int pid, const DaemonProgram& program) {
  const auto arguments = command_line(pid);
  return !arguments.empty() && fs::path(arguments[0]).filename() == program.executable &&
         std::find(arguments.begin(), arguments.end(), program.mark) != arguments.end();
}

// Asio passes wake-ups on that the descriptor did not cause; the kernel's word is final.
bool has_ended(int pidfd) {
  pollfd poll_for{pidfd, POLLIN, 0};
  return ::poll(&poll_for, 1, 0) > 0;
}

bool in_our_network(int pid) {
  std::error_code ignored;
  return fs::read_symlink(fmt::format("/proc/{}/ns/net", pid), ignored) ==
         fs::read_symlink("/proc/thread-self/ns/net", ignored);
}

}  // namespace

// One run of the program, watched by a pidfd: it becomes readable when the process ends, whoever
// its parent is.
struct Daemon::Process {
  Process(const asio::any_io_executor& executor, int pid, int pidfd)
      : pid(pid), end(executor, pidfd), ended(executor) {}

  int pid;
  asio::posix::stream_descriptor end;
  Signal ended;
  bool over = false;      // the process has ended, or nobody watches any more
  bool expected = false;  // ended by stop(), or abandoned
};

Daemon::Daemon(asio::any_io_executor executor, asio::thread_pool& pool, DaemonProgram program)
    : executor_(std::move(executor)), pool_(pool), program_(std::move(program)) {}

Daemon::~Daemon() {
  abandon();
}

bool Daemon::running() const {
  return process_ && !process_->over;
}

int Daemon::pid() const {
  return running() ? process_->pid : 0;
}

bool Daemon::adopt() {
  const int pid = read_pid(program_.pid_file);
  if (pid <= 0) return false;
  // Opened before the process is looked at: from then on the pid cannot become another's unnoticed.
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return false;
  auto process = std::make_shared<Process>(executor_, pid, pidfd);
  if (!is_program(pid, program_)) return false;
  if (!in_our_network(pid)) {
    throw error(ErrorKind::invalid_state, program_.name,
                "{} (pid {}, of {}) runs in another network namespace; end it first", program_.name,
                pid, program_.pid_file.string());
  }
  process_ = process;
  watch(process);
  return true;
}

void Daemon::watch(std::shared_ptr<Process> process) {
  auto& end = process->end;
  end.async_wait(asio::posix::stream_descriptor::wait_read,
                 [process](boost::system::error_code code) {
                   if (!code && !has_ended(process->end.native_handle())) return watch(process);
                   process->over = true;
                   process->ended.notify();
                 });
}

Async<void> Daemon::start() {
  const auto run = [argv = program_.argv] { run_checked(argv); };
  co_await offload(pool_, run);
  if (!adopt()) {
    throw error(ErrorKind::io, program_.name, "{} ended right after its start", program_.name);
  }
  logger("switching")->info("started {} pid={}", program_.name, pid());
}

Async<bool> Daemon::wait_failure() {
  const auto process = process_;
  if (!process) co_return false;
  if (!process->over) co_await process->ended.wait();
  co_return !process->expected;
}

Async<void> Daemon::stop(std::chrono::steady_clock::duration patience) {
  const auto process = process_;
  if (!process) co_return;
  process->expected = true;
  if (!process->over && patience > 0s) co_await process->ended.wait(patience);
  if (!process->over) {
    ::kill(process->pid, SIGTERM);
    co_await process->ended.wait(term_patience);
  }
  if (!process->over) {
    logger("switching")->warn("{} pid={} does not end; killing it", program_.name, process->pid);
    ::kill(process->pid, SIGKILL);
    co_await process->ended.wait();
  }
}

void Daemon::abandon() {
  if (!process_) return;
  process_->expected = true;
  boost::system::error_code ignored;
  process_->end.cancel(ignored);
}

}  // namespace virga::switching::ovs
