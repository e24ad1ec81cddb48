#include <termios.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <iostream>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/connection.h"

namespace virga::cli {
namespace {

constexpr char kEscape = 0x1d;    // Ctrl-]

// The terminal passes every key on until this ends.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(0, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    changed_ = ::tcsetattr(0, TCSANOW, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (changed_) ::tcsetattr(0, TCSANOW, &before_);
  }

 private:
  termios before_{};
  bool changed_ = false;
};

// Keys to the guest, until the escape key or the end of the input.
Async<void> send_keys(wire::WebSocket& socket) {
  asio::posix::stream_descriptor input(co_await asio::this_coro::executor, ::dup(0));
  char buffer[4096];
  for (;;) {
    boost::system::error_code failed;
    const std::size_t n = co_await input.async_read_some(
        asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, failed));
    const std::string_view keys(buffer, n);
    const auto escape = keys.find(kEscape);
    if (failed || escape != std::string_view::npos) break;
    co_await socket.write(keys);
  }
  co_await socket.close();
}

}  // namespace

Async<int> console(fs::path state, std::string name) {
  const auto connection = co_await Connection::open(state);
  const model::MoRef vm = co_await connection->find_vm(name);
  wire::WebSocketOptions options;
  options.subprotocols = {"binary"};
  const auto socket = co_await connection->channel().http().open_websocket(
      "/console/" + vm.value + "/serial", connection->channel().headers(), options);
  std::cerr << "console of " << name << "; Ctrl-] ends\r\n";
  const RawTerminal raw;
  spawn(co_await asio::this_coro::executor, "keys", send_keys(*socket));
  for (;;) {
    const auto message = co_await socket->read();
    if (!message) break;
    write_all(1, message->data, "standard output");
  }
  std::cerr << "\r\n";
  co_return 0;
}

}  // namespace virga::cli
