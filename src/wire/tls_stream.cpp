#include "wire/tls_stream.h"

#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/error.h"

namespace virga::wire {
namespace {

// OpenSSL's own socket BIO calls write(), which raises SIGPIPE when the peer is gone.

int socket_of(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

int bio_write(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::send(socket_of(bio), data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

int bio_read(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::recv(socket_of(bio), data, static_cast<std::size_t>(size), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(n);
}

long bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
  return 0;
}

const BIO_METHOD* socket_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* const made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without signals");
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

BIO* make_socket_bio(int fd) {
  BIO* const bio = BIO_new(socket_method());
  openssl_require(bio != nullptr, "making a BIO");
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  return bio;
}

SSL* make_ssl(SSL_CTX* context, int fd, TlsStream::Role role) {
  SSL* const ssl = SSL_new(context);
  openssl_require(ssl != nullptr, "making a TLS connection");
  BIO* const bio = make_socket_bio(fd);
  SSL_set_bio(ssl, bio, bio);
  if (role == TlsStream::Role::server)
    SSL_set_accept_state(ssl);
  else
    SSL_set_connect_state(ssl);
  return ssl;
}

int clamp(std::size_t size) {
  return static_cast<int>(std::min<std::size_t>(size, INT_MAX));
}

}  // namespace

TlsStream::TlsStream(tcp::socket socket, SslContext context, Role role)
    : socket_(std::move(socket)),
      context_(std::move(context)),
      alarm_(socket_.get_executor(), [this] {
        expired_ = true;
        socket_.cancel();
      }) {
  socket_.non_blocking(true);
  socket_.set_option(tcp::no_delay(true));
  ssl_.reset(make_ssl(context_.get(), socket_.native_handle(), role));
}

void TlsStream::expire_after(std::chrono::steady_clock::duration limit) {
  expired_ = false;
  alarm_.set(limit);
}

void TlsStream::expire_never() {
  expired_ = false;
  alarm_.clear();
}

TlsStep TlsStream::step(int result) {
  using State = TlsStep::State;
  if (result > 0) return {State::done, static_cast<std::size_t>(result)};
  const int system_code = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {State::wants_read};
    case SSL_ERROR_WANT_WRITE:
      return {State::wants_write};
    case SSL_ERROR_ZERO_RETURN:
      return {State::closed};
    case SSL_ERROR_SYSCALL:
      failure_ = system_code ? std::strerror(system_code) : "the connection ended";
      break;
    default:
      failure_ = openssl_words();
  }
  return {State::failed};
}

TlsStep TlsStream::try_handshake() {
  ERR_clear_error();
  return step(SSL_do_handshake(ssl_.get()));
}

TlsStep TlsStream::try_read(std::span<char> buffer) {
  ERR_clear_error();
  const TlsStep result = step(SSL_read(ssl_.get(), buffer.data(), clamp(buffer.size())));
  bytes_read_ += result.bytes;
  return result;
}

TlsStep TlsStream::try_write(std::string_view data) {
  ERR_clear_error();
  const TlsStep result = step(SSL_write(ssl_.get(), data.data(), clamp(data.size())));
  bytes_written_ += result.bytes;
  return result;
}

Async<void> TlsStream::wait(TlsStep::State wanted) {
  if (wanted == TlsStep::State::closed)
    throw error(ErrorKind::gone, {}, "the peer closed the connection");
  if (wanted == TlsStep::State::failed)
    throw error(ErrorKind::gone, {}, "the connection broke: {}", failure_);
  const auto readiness =
      wanted == TlsStep::State::wants_read ? tcp::socket::wait_read : tcp::socket::wait_write;
  boost::system::error_code failure;
  co_await socket_.async_wait(readiness, asio::redirect_error(asio::use_awaitable, failure));
  if (expired_) throw error(ErrorKind::timed_out, {}, "the peer took too long");
  if (failure) throw boost::system::system_error(failure);
}

Async<void> TlsStream::handshake() {
  for (;;) {
    const TlsStep step = try_handshake();
    if (step.state == TlsStep::State::done) co_return;
    co_await wait(step.state);
  }
}

Async<std::size_t> TlsStream::read_some(std::span<char> buffer) {
  for (;;) {
    const TlsStep step = try_read(buffer);
    if (step.state == TlsStep::State::done) co_return step.bytes;
    if (step.state == TlsStep::State::closed) co_return 0;
    co_await wait(step.state);
  }
}

Async<std::size_t> TlsStream::write_some(std::string_view data) {
  for (;;) {
    const TlsStep step = try_write(data);
    if (step.state == TlsStep::State::done) co_return step.bytes;
    co_await wait(step.state);
  }
}

Async<void> TlsStream::write(std::string_view data) {
  while (!data.empty()) data.remove_prefix(co_await write_some(data));
}

void TlsStream::close() {
  if (SSL_is_init_finished(ssl_.get())) SSL_shutdown(ssl_.get());
  boost::system::error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

}  // namespace virga::wire
