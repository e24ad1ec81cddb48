#include "base/unix_socket.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"

namespace virga {

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw error(ErrorKind::invalid_argument, path,
                "{} is too long for a socket: at most {} bytes; choose a shorter run directory",
                path, sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Fd make_unix_socket(int type) {
  Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd) throw system_error("socket", "cannot make");
  return fd;
}

Fd listen_unix(const std::string& path, int type) {
  const sockaddr_un address = unix_address(path);
  Fd fd = make_unix_socket(type);
  ::unlink(path.c_str());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw system_error(path, "cannot bind");
  if (::chmod(path.c_str(), 0600) != 0) throw system_error(path, "cannot protect");
  if (::listen(fd.get(), 16) != 0) throw system_error(path, "cannot listen on");
  return fd;
}

ssize_t send_with_descriptor(int socket, std::string_view text, int descriptor, int flags) {
  iovec data{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  return ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}

}  // namespace virga
