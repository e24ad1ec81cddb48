// Companions: processes of ours that a daemon starts and that outlive it, because guests depend on
// them. A daemon finds them again by the Unix socket (of sequenced packets) they listen at; what
// passes there is a text and, with it, at most one descriptor.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace virga {

struct Companion {
  Fd connection;
  pid_t pid = -1;  // our child
};

// Empty: nobody listens at `socket`.
Fd connect_to_companion(const std::string& socket);
// `command`, to which "--listener N" is added, runs in a session of its own; its output goes to
// SOCKET.log. Throws system_error's kinds.
Companion start_companion(std::vector<std::string> command, const std::string& socket);

struct CompanionMessage {
  std::string text;
  Fd descriptor;
};

constexpr std::size_t max_companion_message = 4096;

// -1: no descriptor. Throws ErrorKind::gone when the other side is.
void send_message(int socket, std::string_view text, int descriptor = -1);
// nullopt: the other side is gone. Blocks when nothing has come.
std::optional<CompanionMessage> receive_message(int socket);
bool is_readable(int fd, std::chrono::milliseconds patience = {});

// In the companion: stays in memory and ignores what ends a daemon.
void become_companion();

}  // namespace virga
