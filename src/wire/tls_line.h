// The far end, with TLS, of a line whose near end is at hand: a machine's serial port.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/file.h"
#include "wire/certificate.h"
#include "wire/tls_stream.h"

namespace virga::wire {

struct TlsLineOptions {
  std::string host;  // a server's may be empty: any address of this machine
  std::uint16_t port = 0;
  bool server = true;  // else it calls, again and again until it is answered
  Certificate identity;
  // The peer has to have a certificate of `authorities` (PEM) or of those the system knows; one
  // that is called, in the name of `host`. False: anybody will do.
  bool verify_peer = false;
  std::string authorities;
  std::string thumbprint;  // one that is called has the certificate with this one instead
};

// One peer at a time; the next waits. Used on its executor.
class TlsLine {
 public:
  using Opening = std::function<Async<Fd>()>;

  // A server's takes its port. Throws Error naming it when somebody else has it.
  TlsLine(asio::any_io_executor executor, TlsLineOptions options);

  // Connects each peer to a near end of its own, which `open` makes, until stop().
  static Async<void> run(std::shared_ptr<TlsLine> self, Opening open);
  // Hangs up. What `open` has to do with is not used any more once this returns.
  void stop();

 private:
  Async<std::unique_ptr<TlsStream>> meet();
  Async<std::unique_ptr<TlsStream>> accept();
  Async<void> serve_one(Opening open);

  const asio::any_io_executor executor_;
  const TlsLineOptions options_;
  SslContext context_;
  tcp::acceptor acceptor_;
  TlsStream* peer_ = nullptr;  // while there is one
  bool stopped_ = false;
};

}  // namespace virga::wire
