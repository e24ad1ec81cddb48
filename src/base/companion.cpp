#include "base/companion.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/unix_socket.h"

namespace virga {
namespace {

constexpr int listener_number = 3;  // of the socket in the companion

pid_t spawn(const std::vector<std::string>& command, int listener, const std::string& log) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, listener, listener_number);
  // Not every library marks its descriptors close-on-exec.
  ::posix_spawn_file_actions_addclosefrom_np(&actions, listener_number + 1);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int failed = ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) throw system_error(command.front(), "cannot start", failed);
  return pid;
}

}  // namespace

Fd connect_to_companion(const std::string& socket) {
  Fd fd = make_unix_socket(SOCK_SEQPACKET);
  const sockaddr_un address = unix_address(socket);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return fd;
  if (errno == ECONNREFUSED || errno == ENOENT) return Fd();
  throw system_error(socket, "cannot connect to");
}

Companion start_companion(std::vector<std::string> command, const std::string& socket) {
  const Fd listener = listen_unix(socket, SOCK_SEQPACKET);
  command.insert(command.end(), {"--listener", std::to_string(listener_number)});
  const pid_t pid = spawn(command, listener.get(), socket + ".log");
  return {connect_to_companion(socket), pid};
}

void send_message(int socket, std::string_view text, int descriptor) {
  if (send_with_descriptor(socket, text, descriptor) < 0)
    throw error(ErrorKind::gone, "companion", "a companion has ended: {}", std::strerror(errno));
}

std::optional<CompanionMessage> receive_message(int socket) {
  char text[max_companion_message];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec data{text, sizeof text};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (size <= 0) return std::nullopt;
  CompanionMessage message{std::string(text, static_cast<std::size_t>(size)), Fd()};
  const cmsghdr* rights = CMSG_FIRSTHDR(&header);
  if (rights && rights->cmsg_type == SCM_RIGHTS) {
    int fd;
    std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
    message.descriptor = Fd(fd);
  }
  return message;
}

bool is_readable(int fd, std::chrono::milliseconds patience) {
  pollfd event{fd, POLLIN, 0};
  return ::poll(&event, 1, static_cast<int>(patience.count())) > 0;
}

void become_companion() {
  ::mlockall(MCL_CURRENT | MCL_FUTURE);
  std::ofstream("/proc/self/oom_score_adj") << -1000;
  for (const int number : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) std::signal(number, SIG_IGN);
}

}  // namespace virga
