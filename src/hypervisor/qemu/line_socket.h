// A unix stream socket that carries text lines, and descriptors beside them: what QMP and the guest
// agent speak.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <string>
#include <string_view>

#include "base/async.h"
#include "base/file.h"

namespace virga::hypervisor {

class LineSocket {
 public:
  // `peer`: how errors call the other end. A line longer than `limit` bytes is an error.
  LineSocket(asio::any_io_executor executor, std::string peer, std::size_t limit);
  ~LineSocket() { close(); }
  LineSocket(const LineSocket&) = delete;
  LineSocket& operator=(const LineSocket&) = delete;

  // Unix sockets connect at once or not at all. ErrorKind::gone when nobody listens.
  void connect(const std::string& path);
  // Goes on with a connection that exists.
  void take(Fd connection);
  bool is_open() const { return socket_.is_open(); }
  // Whoever waits in here gets ErrorKind::gone.
  void close();

  // Writes all of `text`; `fd`, if not -1, travels with its first byte. One caller at a time.
  Async<void> send(std::string_view text, int fd = -1);
  // The next line without its end. ErrorKind::gone at the end of the stream, timed_out after
  // `timeout`; after either the socket is closed. One caller at a time.
  Async<std::string> receive(std::chrono::steady_clock::duration timeout);

 private:
  [[noreturn]] void fail(const std::string& doing, const boost::system::error_code& code);

  asio::local::stream_protocol::socket socket_;
  std::string peer_;
  std::size_t limit_;
  std::string buffer_;
};

}  // namespace virga::hypervisor
