#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <iostream>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/connection.h"

namespace virga::cli {
namespace {

constexpr char kEscape = 0x1d;  // Ctrl-]

// The terminal passes every key on until this ends.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

 private:
  termios before_{};
  bool changed_ = false;
};

// Asio reads without blocking, which a terminal would remember for all who have it open: it is
// opened once more.
Fd open_input() {
  const char* terminal = ::ttyname(STDIN_FILENO);
  return terminal ? open_file(terminal, O_RDONLY | O_NOCTTY) : Fd(::dup(STDIN_FILENO));
}

// Keys to the guest, until the escape key or the end of the input.
Async<void> send_keys(wire::WebSocket& socket) {
  asio::posix::stream_descriptor input(co_await asio::this_coro::executor, open_input().release());
  char buffer[4096];
  bool more = true;
  while (more) {
    boost::system::error_code failed;
    const std::size_t n = co_await input.async_read_some(
        asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, failed));
    const std::string_view typed(buffer, n);
    const std::string_view keys = typed.substr(0, typed.find(kEscape));
    if (!keys.empty()) co_await socket.write(keys);
    more = !failed && keys.size() == typed.size();
  }
  co_await socket.close();
}

Async<void> show_output(wire::WebSocket& socket) {
  for (;;) {
    const auto message = co_await socket.read();
    if (!message) break;
    write_all(STDOUT_FILENO, message->data, "standard output");
  }
}

}  // namespace

Async<int> console(Connection& connection, std::string name) {
  using namespace asio::experimental::awaitable_operators;
  const model::MoRef vm = co_await connection.find_vm(name);
  wire::WebSocketOptions options;
  options.subprotocols = {"binary"};
  const std::string target = "/console/" + vm.value + "/serial";
  const wire::Headers headers = connection.channel().headers();
  const auto socket = co_await connection.channel().http().open_websocket(target, headers, options);
  std::cerr << "console of " << name << "; Ctrl-] ends\r\n";
  const RawTerminal raw;
  co_await (show_output(*socket) || send_keys(*socket));
  std::cerr << "\r\n";
  co_return 0;
}

}  // namespace virga::cli
