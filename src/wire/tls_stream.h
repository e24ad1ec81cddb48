// TLS over a TCP socket, without a buffer of its own: OpenSSL reads and writes the non-blocking
// socket directly, and a stream that waits holds nothing but OpenSSL's state. (asio::ssl::stream
// keeps four buffers of 17 KiB for each connection, which a thousand waiting clients would pay
// for.)
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/async.h"
#include "wire/alarm.h"
#include "wire/openssl.h"

namespace virga::wire {

using tcp = asio::ip::tcp;

// What one attempt at an operation came to.
struct TlsStep {
  enum class State { done, wants_read, wants_write, closed, failed } state = State::done;
  std::size_t bytes = 0;
};

// Failures are Error(gone), and Error(timed_out) once the limit set by expire_after() has passed; a
// cancelled coroutine gets asio's operation_aborted. Used on the socket's executor, a strand.
class TlsStream {
 public:
  enum class Role { server, client };
  using executor_type = asio::any_io_executor;

  TlsStream(tcp::socket socket, SslContext context, Role role);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  executor_type get_executor() { return socket_.get_executor(); }
  tcp::socket& socket() { return socket_; }
  SSL* ssl() { return ssl_.get(); }

  // Until expire_never(), waiting ends with Error(timed_out) when `limit` passes from now.
  void expire_after(std::chrono::steady_clock::duration limit);
  void expire_never();

  Async<void> handshake();
  // At least one byte; 0 when the peer has closed.
  Async<std::size_t> read_some(std::span<char> buffer);
  Async<std::size_t> write_some(std::string_view data);
  // All of it, whatever the time limit.
  Async<void> write(std::string_view data);
  // Says goodbye, and takes leave without waiting for the answer.
  void close();

  // One attempt that never waits, and the waiting that belongs to it.
  TlsStep try_handshake();
  TlsStep try_read(std::span<char> buffer);
  TlsStep try_write(std::string_view data);
  Async<void> wait(TlsStep::State wanted);

  // Within TLS, since the start.
  std::uint64_t bytes_read() const { return bytes_read_; }
  std::uint64_t bytes_written() const { return bytes_written_; }

 private:
  TlsStep step(int result);

  tcp::socket socket_;
  SslContext context_;
  SslPtr ssl_;
  std::string failure_;  // why the last step failed
  std::uint64_t bytes_read_ = 0;
  std::uint64_t bytes_written_ = 0;
  bool expired_ = false;
  Alarm alarm_;
};

}  // namespace virga::wire
