#include "base/process.h"

#include <poll.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/error.h"

extern char** environ;

namespace virga {

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw system_error("pipe", "cannot make");
  return {Fd(ends[0]), Fd(ends[1])};
}

namespace {

pid_t start(const std::vector<std::string>& argv, const Pipe& in, const Pipe& out,
            const Pipe& err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.read.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, out.write.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, err.write.get(), 2);
  // Asio opens its sockets without close-on-exec: a child that lives on would keep our ports bound.
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  // Ctrl-C goes to all of the terminal's process group; it is our caller who decides what ends.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  std::vector<char*> arguments;
  for (const auto& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = -1;
  const int code =
      posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) throw system_error(argv.front(), "cannot run", code);
  return pid;
}

// Feeds the child and drains both its outputs, so that neither side can block the other.
void exchange(std::string_view input, Pipe& in, Pipe& out, Pipe& err, ProcessResult& result) {
  in.read.reset();
  out.write.reset();
  err.write.reset();
  if (input.empty()) in.write.reset();
  // A blocking write of more than the pipe holds would never return while the child waits for us
  // to read.
  if (in.write) ::fcntl(in.write.get(), F_SETFL, O_NONBLOCK);
  while (in.write || out.read || err.read) {
    pollfd polls[] = {{in.write.get(), POLLOUT, 0}, {out.read.get(), POLLIN, 0},
                      {err.read.get(), POLLIN, 0}};
    if (::poll(polls, 3, -1) < 0 && errno != EINTR) throw system_error("pipe", "cannot poll");
    if (polls[0].revents) {
      const ssize_t n = ::write(in.write.get(), input.data(), input.size());
      if (n > 0) input.remove_prefix(static_cast<std::size_t>(n));
      const bool refused = n < 0 && errno != EAGAIN && errno != EINTR;
      if (refused || input.empty()) in.write.reset();
    }
    const auto drain = [](short events, Fd& fd, std::string& into) {
      if (!events) return;
      char buffer[65536];
      const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
      if (n > 0) into.append(buffer, static_cast<std::size_t>(n));
      if (n == 0 || (n < 0 && errno != EINTR)) fd.reset();
    };
    drain(polls[1].revents, out.read, result.output);
    drain(polls[2].revents, err.read, result.errors);
  }
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& argv, const std::string& input) {
  Pipe in = make_pipe(), out = make_pipe(), err = make_pipe();
  const pid_t pid = start(argv, in, out, err);
  ProcessResult result;
  exchange(input, in, out, err, result);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) throw system_error(argv.front(), "cannot wait for");
  }
  result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

std::string run_checked(const std::vector<std::string>& argv, const std::string& input) {
  ProcessResult result = run_process(argv, input);
  if (result.exit_code != 0) {
    throw error(ErrorKind::io, argv.front(), "{} exited with {}: {}", argv.front(),
                result.exit_code, result.errors.empty() ? result.output : result.errors);
  }
  return std::move(result.output);
}

}  // namespace virga
