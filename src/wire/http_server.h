// An HTTPS/1.1 server. Each connection is a coroutine on a strand of its own, so handlers of
// different connections run in parallel on the threads of the given executor; a handler that needs
// the kernel's objects goes to the kernel executor itself.
//
//   HttpServer server(io.get_executor(), {.certificate = certificate, .key = key});
//   server.route("/sdk", {"POST"}, handler, {.max_body = 16 << 20});
//   server.listen("127.0.0.1", 8444);
//
// When a client goes away while its request is being answered, the handler's coroutine is cancelled
// (asio cancellation, terminal): its pending operation ends with operation_aborted, and so does the
// next co_await. A handler needs to do nothing for that but let the exception pass. One that works
// on another executor goes there by run_on() (base/async.h), which carries the cancellation along.
//
// A handler that throws HttpError or Error is answered with that status, or with status_of() its
// kind, and the message as text.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/file.h"
#include "wire/http_message.h"
#include "wire/websocket.h"

namespace virga::wire {

struct Peer {
  std::string address;  // numeric
  std::uint16_t port = 0;
  std::string tls_version;  // "TLSv1.3"
  std::string tls_cipher;
};

struct Request {
  std::string method;  // as sent: "GET"
  std::string target;  // as sent, for logs
  std::string path;    // decoded; see Target
  Query query;
  Headers headers;
  std::string body;              // whole and decompressed; empty on a streaming route
  ByteSource* stream = nullptr;  // the body of a streaming route; valid while the handler runs
  std::optional<std::uint64_t> content_length;  // absent: chunked, or no body
  std::string route;                            // the prefix that chose the handler
  Peer peer;
};

// Speaks on an upgraded connection; the connection closes when it returns.
using WebSocketSession = std::function<Async<void>(WebSocket&)>;

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  // Instead of `body`: bytes that are sent as they come. `stream_length` is their exact number;
  // without it the response is chunked.
  std::shared_ptr<ByteSource> stream;
  std::optional<std::uint64_t> stream_length;
  // Set by accept_websocket().
  WebSocketSession websocket;
  WebSocketOptions websocket_options;
};

// A response with a body of one type.
Response respond(int status, std::string content_type, std::string body);
// text/plain, for errors of HTTP itself.
Response respond_error(int status, const std::string& message);

// Answers GET and HEAD of an open file: the whole, or the part that Range and If-Range ask for
// (206, 416), with Last-Modified and ETag from the file. Memory is constant; the reads run on
// `pool`.
Response respond_file(const Request& request, std::shared_ptr<Fd> file, std::string content_type,
                      asio::thread_pool& pool);

// Turns the request into a WebSocket that `session` speaks on, or into 400/426 when the client did
// not ask for one. The first of `options.subprotocols` that the client offers is chosen.
Response accept_websocket(const Request& request, WebSocketOptions options,
                          WebSocketSession session);

// Kept by the server as long as it lives, so a lambda that is a coroutine may capture.
using Handler = std::function<Async<Response>(Request&)>;

struct RouteOptions {
  // Larger bodies are refused with 413, after decompression too. Streaming routes have no limit
  // unless one is set.
  std::optional<std::uint64_t> max_body;
  // The handler reads the body itself, from Request::stream, as it arrives.
  bool stream_body = false;
};

struct ServerOptions {
  std::string certificate;  // PEM: the server's, then its issuers'
  std::string key;          // PEM

  std::size_t max_header_bytes = 32 << 10;  // 431
  std::size_t max_header_fields = 100;      // 431
  std::size_t max_target_bytes = 8 << 10;   // 414
  std::uint64_t max_body = 16 << 20;        // 413; a route's own limit goes before it
  std::size_t max_connections = 10'000;     // 503

  std::chrono::milliseconds handshake_timeout{10'000};
  std::chrono::milliseconds idle_timeout{300'000};   // between requests
  std::chrono::milliseconds header_timeout{20'000};  // first byte of a request to its last header
  // How long the peer may keep us waiting for body bytes, or for room to send, without any
  // progress. A peer that makes progress must also reach min_bytes_per_second over the whole body.
  std::chrono::milliseconds transfer_timeout{60'000};
  std::uint64_t min_bytes_per_second = 1024;

  // A handler that takes longer has its client watched, and is cancelled when the client goes. Most
  // handlers answer at once, and are spared the system calls.
  std::chrono::milliseconds watch_after{100};

  // zlib's level for bodies over 1 KiB of compressible types, where the client accepts gzip; 0:
  // off.
  int compression_level = 1;
};

// What the server did since its start.
struct ServerStatistics {
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_refused = 0;  // over max_connections
  std::uint64_t connections_open = 0;
  std::uint64_t requests = 0;
  std::uint64_t bytes_received = 0;  // within TLS
  std::uint64_t bytes_sent = 0;
};

class HttpServer {
 public:
  HttpServer(asio::any_io_executor executor, ServerOptions options);
  // Everything it started must have ended: stop() was awaited, or its executor runs no more.
  ~HttpServer();

  // Requests whose path is `prefix` or lies below it go to `handler`; the longest prefix wins. A
  // route for GET also takes HEAD (the handler's body is then left out). Other methods get 405.
  // Routes are made before listen().
  void route(std::string prefix, std::vector<std::string> methods, Handler handler,
             RouteOptions options = {});

  // Binds and accepts; port 0 takes a free one, which is returned. May be called for more
  // addresses.
  std::uint16_t listen(const std::string& address, std::uint16_t port);

  // Connections accepted from now on use this certificate. Thread-safe.
  void use_certificate(const std::string& certificate, const std::string& key);

  // Accepts no more, closes idle connections, lets requests finish for `grace`, then cancels them.
  // Returns when no connection is left.
  Async<void> stop(std::chrono::milliseconds grace);

  ServerStatistics statistics() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace virga::wire
