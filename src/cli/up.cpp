#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cstring>
#include <iostream>

#include "base/error.h"
#include "base/process.h"
#include "base/process_lock.h"
#include "cli/commands.h"
#include "cli/connection.h"

namespace virga::cli {
namespace {

constexpr const char* kReady = "ready ";

fs::path host_program() {
  return fs::read_symlink("/proc/self/exe").parent_path() / "virga-host";
}

// What asks `virga up` to end goes to the host, which leaves the guests running; its end is ours.
volatile sig_atomic_t running_host = 0;
volatile sig_atomic_t asked_to_end = 0;

void pass_on(int number) {
  asked_to_end = 1;
  ::kill(running_host, number);
}

[[noreturn]] void execute(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  std::cerr << "virga: cannot run " << arguments[0] << ": " << std::strerror(errno) << "\n";
  ::_exit(127);
}

// Starts virga-host, its standard output on `output` if that is a descriptor.
pid_t start_host(std::vector<std::string> arguments, int output = -1) {
  arguments.insert(arguments.begin(), host_program().string());
  sigset_t ends, before;
  sigemptyset(&ends);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ends, number);
  ::sigprocmask(SIG_BLOCK, &ends, &before);  // until there is somebody to pass them on to
  const pid_t pid = ::fork();
  if (pid < 0) throw system_error("virga-host", "cannot start");
  if (pid == 0) {
    if (output >= 0) ::dup2(output, STDOUT_FILENO);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    execute(arguments);
  }
  running_host = pid;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::signal(number, pass_on);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return pid;
}

int exit_code_of(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
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

// How the user would call `virga` for this host.
std::string command_for(const UpOptions& options) {
  const fs::path near = fs::proximate(options.program);
  const bool below = options.program.find('/') != std::string::npos && *near.begin() != "..";
  std::string command = below ? near.string() : options.program;
  if (options.state != UpOptions().state) command += " --state " + options.state.string();
  return command;
}

void run_welcome(const UpOptions& options) {
  asio::io_context io;
  std::exception_ptr failure;
  const Command make = [&](Connection& connection) {
    return make_welcome(connection, options.welcome_image);
  };
  asio::co_spawn(io, in_session(options.state, make),
                 [&](std::exception_ptr thrown, int) { failure = thrown; });
  io.run();
  if (failure) std::rethrow_exception(failure);
  std::cout << "see its console:  " << command_for(options) << " vm console welcome" << std::endl;
}

}  // namespace

int up(const UpOptions& options) {
  std::vector<std::string> arguments = {"--state", options.state.string()};
  if (!options.listen.empty()) arguments.insert(arguments.end(), {"--listen", options.listen});
  if (!options.password_file.empty())
    arguments.insert(arguments.end(), {"--password-file", options.password_file.string()});
  std::cerr << "virga: starting the host\n";
  Pipe pipe = make_pipe();
  const pid_t host = start_host(arguments, pipe.write.get());
  pipe.write = Fd();
  const std::string ready = read_ready_line(pipe.read.get());
  if (ready.empty()) return exit_code_of(host);
  std::cout << ready << std::endl;
  if (!options.welcome_image.empty()) {
    try {
      run_welcome(options);
    } catch (const std::exception& failure) {
      if (!asked_to_end)
        std::cerr << "virga: the virtual machine welcome: " << failure.what() << "\n";
    }
  }
  return exit_code_of(host);
}

int check_host(const fs::path& state) {
  return exit_code_of(start_host({"--state", state.string(), "--check", "--log", "warn"}));
}

int down(const fs::path& state) {
  const fs::path pid_file = state / "virga-host.pid";
  if (!fs::exists(pid_file))
    throw error(ErrorKind::not_found, state.string(), "there is no host in {}", state.string());
  // A daemon holds its pid file locked, and leaves it empty when all it was to do is done.
  const Fd lock = open_file(pid_file, O_RDWR);
  const auto pid = process_lock_holder(lock);
  if (!pid) return exit_code_of(start_host({"--state", state.string(), "--down"}));
  std::cerr << "virga: shutting the guests and the host down\n";
  if (*pid <= 0 || ::kill(*pid, SIGUSR1) != 0) throw system_error("virga-host", "cannot signal");
  wait_for_process_lock(lock);
  if (fs::file_size(pid_file) > 0)
    throw error(ErrorKind::io, state.string(), "the host of {} ended before all was shut down",
                state.string());
  return 0;
}

}  // namespace virga::cli
