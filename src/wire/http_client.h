// A small HTTPS/1.1 client: one server, one connection kept alive, requests one after another.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/async.h"
#include "wire/http_message.h"
#include "wire/websocket.h"

namespace virga::wire {

struct ClientOptions {
  std::string host;  // name or address
  std::uint16_t port = 443;

  // How the server proves itself: by a chain to one of these authorities (PEM text) and its name in
  // the certificate, or by the SHA-1 or SHA-256 thumbprint ("AA:BB:...") of its own certificate.
  // With neither, the system's authorities are asked.
  std::string authorities;
  std::string thumbprint;

  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds transfer_timeout{60'000};  // without any progress
  // For the first byte of an answer; a call that waits for updates asks for more.
  std::chrono::milliseconds response_timeout{600'000};
  std::uint64_t max_body = 1 << 30;  // of answers read into memory
  std::string user_agent = "virga";
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  // encoded
  Headers headers;
  std::string body;
  // Instead of `body`: sent as it comes, chunked unless the length is known.
  std::shared_ptr<ByteSource> stream;
  std::optional<std::uint64_t> stream_length;
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;  // decompressed; empty from open()
  // From open(): the body as it arrives. Must be read to its end before the next request, else the
  // connection is closed and the next request opens another.
  std::shared_ptr<ByteSource> stream;
};

// Not thread-safe: used on one strand. Failures are Error: ErrorKind::gone when the connection
// cannot be had or breaks, timed_out, access_denied when the server does not prove itself.
class HttpClient {
 public:
  HttpClient(asio::any_io_executor executor, ClientOptions options);
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;

  // Sends and reads the whole answer. A kept connection that the server has closed meanwhile is
  // replaced; a request is never sent twice.
  Async<ClientResponse> send(ClientRequest request);
  // As send(), but returns after the headers; the body comes from ClientResponse::stream.
  Async<ClientResponse> open(ClientRequest request);
  // A new connection upgraded to WebSocket. Throws ErrorKind::access_denied, not_found or gone by
  // the status with which the server refuses.
  Async<std::unique_ptr<WebSocket>> open_websocket(const std::string& target, Headers headers,
                                                   WebSocketOptions options);
  void close();

  // SHA-256 thumbprint of the server's certificate, once connected.
  const std::string& server_thumbprint() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace virga::wire
