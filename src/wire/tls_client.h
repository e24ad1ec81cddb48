// The client's half of TLS: a connection to a server that has proved who it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "wire/tls_stream.h"

namespace virga::wire {

struct TlsPeer {
  std::string host;  // name or address
  std::uint16_t port = 443;
  // The server's proof: its certificate has this thumbprint (SHA-1 or SHA-256, "AA:BB:..."); empty:
  // the context's authorities vouch for it, in the name of the host; `anybody`: none.
  std::string thumbprint = {};
  bool anybody = false;
  std::chrono::milliseconds timeout{10'000};  // of the connection, and of the handshake
};

// Throws Error: gone when the connection cannot be had, timed_out, access_denied when the server
// does not prove itself.
Async<std::unique_ptr<TlsStream>> connect_tls(TlsPeer peer, SslContext context);

}  // namespace virga::wire
