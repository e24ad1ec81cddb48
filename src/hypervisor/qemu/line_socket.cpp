#include "hypervisor/qemu/line_socket.h"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cerrno>

#include "base/error.h"
#include "base/unix_socket.h"

namespace virga::hypervisor {
LineSocket::LineSocket(asio::any_io_executor executor, std::string peer, std::size_t limit)
    : socket_(std::move(executor)), peer_(std::move(peer)), limit_(limit) {}

void LineSocket::connect(const std::string& path) {
  close();
  buffer_.clear();
  boost::system::error_code code;
  socket_.connect(asio::local::stream_protocol::endpoint(path), code);
  if (code) fail("cannot be reached", code);
}

void LineSocket::take(Fd connection) {
  close();
  buffer_.clear();
  socket_.assign(asio::local::stream_protocol(), connection.release());
}

void LineSocket::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void LineSocket::fail(const std::string& doing, const boost::system::error_code& code) {
  close();
  throw error(ErrorKind::gone, peer_, "{} {}: {}", peer_, doing, code.message());
}

Async<void> LineSocket::send(std::string_view text, int fd) {
  while (!text.empty()) {
    const ssize_t n = send_with_descriptor(socket_.native_handle(), text, fd, MSG_DONTWAIT);
    if (n >= 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
      fd = -1;
      continue;
    }
    boost::system::error_code code(errno, boost::system::system_category());
    if (code == boost::system::errc::interrupted) continue;
    if (code != boost::system::errc::resource_unavailable_try_again) fail("is gone", code);
    co_await socket_.async_wait(asio::socket_base::wait_write,
                                asio::redirect_error(asio::use_awaitable, code));
    if (code) fail("is gone", code);
  }
}

Async<std::string> LineSocket::receive(std::chrono::steady_clock::duration timeout) {
  struct Deadline {
    explicit Deadline(asio::any_io_executor executor) : timer(std::move(executor)) {}
    asio::steady_timer timer;
    bool waiting = true;
    bool expired = false;
  };
  auto deadline = std::make_shared<Deadline>(socket_.get_executor());
  if (timeout != std::chrono::steady_clock::duration::max()) {
    deadline->timer.expires_after(timeout);
    deadline->timer.async_wait([this, deadline](boost::system::error_code) {
      if (!deadline->waiting) return;  // `this` may be gone
      deadline->expired = true;
      close();
    });
  }
  boost::system::error_code code;
  const std::size_t size =
      co_await asio::async_read_until(socket_, asio::dynamic_buffer(buffer_, limit_), '\n',
                                      asio::redirect_error(asio::use_awaitable, code));
  deadline->waiting = false;
  deadline->timer.cancel();
  if (deadline->expired)
    throw error(ErrorKind::timed_out, peer_, "{} did not answer in time", peer_);
  if (code == asio::error::not_found) {
    close();
    throw error(ErrorKind::damaged, peer_, "{} sent a line longer than {} bytes", peer_, limit_);
  }
  if (code) fail("is gone", code);
  std::string line = buffer_.substr(0, size - 1);
  buffer_.erase(0, size);
  co_return line;
}

}  // namespace virga::hypervisor
