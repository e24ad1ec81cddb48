// WebSocket (RFC 6455), either end: consoles of virtual machines, binary or text.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.h"
#include "base/file.h"

namespace virga::wire {

struct WebSocketOptions {
  // Spoken by this end, best first; a VNC console speaks "binary". Empty: none is negotiated.
  std::vector<std::string> subprotocols;
  // A larger message ends the connection with close code 1009.
  std::size_t max_message = 1 << 20;
  // A peer that is silent for this long is pinged, and dropped when silent for as long again.
  std::chrono::milliseconds keepalive{30'000};
};

struct WebSocketMessage {
  std::string data;
  bool binary = true;
};

// An open connection. One coroutine may read while another writes; both on the connection's strand.
class WebSocket {
 public:
  virtual ~WebSocket() = default;

  // The next message; nullopt: either end closed. Throws ErrorKind::gone when the connection broke.
  virtual Async<std::optional<WebSocketMessage>> read() = 0;
  // Sends one message; messages of concurrent writers are sent whole, one after another.
  virtual Async<void> write(std::string_view data, bool binary = true) = 0;
  // The closing handshake, with a reason of at most 123 bytes. Does not throw.
  virtual Async<void> close(std::uint16_t code = 1000, std::string_view reason = "") = 0;

  virtual const std::string& subprotocol() const = 0;
};

// Copies both ways between the WebSocket and a Unix stream socket (a VNC server, a serial port)
// until either side ends, then closes the other. Throws ErrorKind::not_found or io when the socket
// cannot be connected.
Async<void> bridge(WebSocket& websocket, const fs::path& unix_socket);
// The same with a connected stream socket.
Async<void> bridge(WebSocket& websocket, Fd stream);

}  // namespace virga::wire
