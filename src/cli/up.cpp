#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstring>
#include <iostream>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"

namespace virga::cli {
namespace {

constexpr const char* kReady = "ready ";

fs::path host_program() { return fs::read_symlink("/proc/self/exe").parent_path() / "virga-host"; }

struct Child {
  pid_t pid = -1;
  Fd output;
};

[[noreturn]] void execute(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  std::cerr << "virga: cannot run " << arguments[0] << ": " << std::strerror(errno) << "\n";
  ::_exit(127);
}

Child start(const std::vector<std::string>& arguments) {
  int ends[2];
  if (::pipe(ends) != 0) throw system_error("pipe", "cannot make");
  const pid_t pid = ::fork();
  if (pid < 0) throw system_error("virga-host", "cannot start");
  if (pid == 0) {
    ::dup2(ends[1], 1);
    ::close(ends[0]);
    ::close(ends[1]);
    execute(arguments);
  }
  ::close(ends[1]);
  return {pid, Fd(ends[0])};
}

int exit_code_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Runs virga-host to its end, its output ours.
int run_host(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), host_program().string());
  const pid_t pid = ::fork();
  if (pid < 0) throw system_error("virga-host", "cannot start");
  if (pid == 0) execute(arguments);
  return exit_code_of(pid);
}

// The host's ready line; "" when it ended before.
std::string read_ready_line(int fd) {
  std::string line;
  char c;
  while (::read(fd, &c, 1) == 1) {
    if (c != '\n') {
      line += c;
      continue;
    }
    if (line.starts_with(kReady)) return line;
    line.clear();
  }
  return {};
}

void run_welcome(const UpOptions& options) {
  asio::io_context io;
  std::exception_ptr failure;
  asio::co_spawn(io, make_welcome(options.state, options.welcome_image),
                 [&](std::exception_ptr thrown) { failure = thrown; });
  io.run();
  if (failure) std::rethrow_exception(failure);
  std::cout << "see its console:  virga vm console welcome" << std::endl;
}

volatile sig_atomic_t child_to_signal = 0;
void pass_on(int signal) {
  if (child_to_signal) ::kill(child_to_signal, signal);
}

}  // namespace

int up(const UpOptions& options) {
  std::vector<std::string> arguments = {host_program().string(), "--state", options.state.string()};
  if (!options.listen.empty()) arguments.insert(arguments.end(), {"--listen", options.listen});
  if (!options.password_file.empty())
    arguments.insert(arguments.end(), {"--password-file", options.password_file.string()});
  std::cerr << "virga: starting the host\n";
  const Child child = start(arguments);
  child_to_signal = child.pid;
  ::signal(SIGTERM, pass_on);
  ::signal(SIGINT, pass_on);    // the host leaves the guests running and ends; so do we
  const std::string ready = read_ready_line(child.output.get());
  if (ready.empty()) return exit_code_of(child.pid);
  std::cout << ready << std::endl;
  if (!options.welcome_image.empty()) {
    try {
      run_welcome(options);
    } catch (const std::exception& failure) {
      std::cerr << "virga: the virtual machine welcome: " << failure.what() << "\n";
    }
  }
  return exit_code_of(child.pid);
}

int check_host(const fs::path& state) {
  return run_host({"--state", state.string(), "--check"});
}

int down(const fs::path& state) {
  const fs::path pid_file = state / "virga-host.pid";
  const pid_t pid = fs::exists(pid_file) ? std::atoi(read_file(pid_file).c_str()) : 0;
  const fs::path program = pid > 0 ? fs::path("/proc") / std::to_string(pid) / "comm" : fs::path();
  const bool serving = pid > 0 && fs::exists(program) && read_file(program) == "virga-host\n";
  if (!serving)
    return run_host({"--state", state.string(), "--down"});
  std::cerr << "virga: shutting the guests and the host down\n";
  if (::kill(pid, SIGUSR1) != 0) throw system_error("virga-host", "cannot signal");
  // The daemon holds its pid file locked until it has ended.
  const Fd lock = open_file(pid_file, O_RDWR);
  if (::flock(lock.get(), LOCK_EX) != 0) throw system_error(pid_file.string(), "cannot wait for");
  return 0;
}

}  // namespace virga::cli
