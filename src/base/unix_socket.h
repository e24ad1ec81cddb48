// Unix sockets that are files, and descriptors sent through them.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <string>
#include <string_view>

#include "base/file.h"

namespace virga {

// Throws ErrorKind::invalid_argument when the path does not fit.
sockaddr_un unix_address(const std::string& path);
// `type`: SOCK_STREAM or SOCK_SEQPACKET, with SOCK_NONBLOCK or without.
Fd make_unix_socket(int type);
// A listening socket at `path`, replacing what was there; only its owner may connect.
Fd listen_unix(const std::string& path, int type = SOCK_STREAM);

// sendmsg() with its result and its errno. -1 for `descriptor`: none goes along.
ssize_t send_with_descriptor(int socket, std::string_view text, int descriptor, int flags = 0);

}  // namespace virga
