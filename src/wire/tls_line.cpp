#include "wire/tls_line.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>

#include "base/error.h"
#include "base/log.h"
#include "wire/tls_client.h"

namespace virga::wire {
namespace {

using boost::system::error_code;
using UnixSocket = asio::local::stream_protocol::socket;

constexpr std::chrono::seconds kHandshakeTimeout{10};
constexpr std::chrono::seconds kBetweenAttempts{1};
constexpr std::size_t kPiece = 16 << 10;

SslContext make_context(const TlsLineOptions& options) {
  SslContext context = options.server
                           ? make_server_context(options.identity.certificate, options.identity.key)
                           : make_client_context(options.authorities);
  if (!options.verify_peer) return context;
  if (options.server) {
    add_authorities(context.get(), options.authorities);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  openssl_require(SSL_CTX_set_default_verify_paths(context.get()) == 1,
                  "loading the system's authorities");
  return context;
}

tcp::endpoint endpoint_of(const TlsLineOptions& options) {
  if (options.host.empty()) return {tcp::v4(), options.port};
  error_code failure;
  const auto address = asio::ip::make_address(options.host, failure);
  if (failure)
    throw error(ErrorKind::invalid_argument, options.host, "cannot listen on {}: it is no address",
                options.host);
  return {address, options.port};
}

void listen(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  const std::string name = fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
  try {
    acceptor.open(endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen(1);
  } catch (const boost::system::system_error& failure) {
    throw system_error(name, "cannot listen on", failure.code().value());
  }
}

// What waits for the peer is woken. The socket stays open as long as the stream: OpenSSL knows it
// by its number.
void hang_up(TlsStream& peer) {
  peer.close();
  error_code ignored;
  peer.socket().shutdown(tcp::socket::shutdown_both, ignored);
}

// Each until one end is closed, which then closes the other.
Async<void> copy_in(TlsStream& peer, UnixSocket& near) {
  std::vector<char> buffer(kPiece);
  error_code failure;
  try {
    while (!failure) {
      const std::size_t got = co_await peer.read_some(buffer);
      if (got == 0) break;
      const auto piece = asio::buffer(buffer.data(), got);
      co_await asio::async_write(near, piece, asio::redirect_error(asio::use_awaitable, failure));
    }
  } catch (const Error&) {
  }
  near.close(failure);
}

Async<void> copy_out(UnixSocket& near, TlsStream& peer) {
  std::vector<char> buffer(kPiece);
  error_code failure;
  try {
    for (;;) {
      const std::size_t got = co_await near.async_read_some(
          asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, failure));
      if (failure) break;
      const std::string_view piece(buffer.data(), got);
      co_await peer.write(piece);
    }
  } catch (const Error&) {
  }
  hang_up(peer);
}

}  // namespace

TlsLine::TlsLine(asio::any_io_executor executor, TlsLineOptions options)
    : executor_(std::move(executor)),
      options_(std::move(options)),
      context_(make_context(options_)),
      acceptor_(executor_) {
  if (options_.server) listen(acceptor_, endpoint_of(options_));
}

Async<void> TlsLine::run(std::shared_ptr<TlsLine> self, Opening open) {
  std::string told;
  while (!self->stopped_) {
    std::string failure;
    try {
      co_await self->serve_one(open);
    } catch (const Error& thrown) {
      failure = thrown.what();
    }
    if (self->stopped_) break;
    if (!failure.empty() && failure != told)
      logger("wire")->warn("line on port {}: {}", self->options_.port, failure);
    told = failure;
    if (!self->options_.server || !failure.empty()) co_await sleep_for(kBetweenAttempts);
  }
}

Async<void> TlsLine::serve_one(Opening open) {
  using namespace asio::experimental::awaitable_operators;
  const std::unique_ptr<TlsStream> peer = co_await meet();
  if (stopped_) co_return;
  peer_ = peer.get();
  std::exception_ptr failure;
  try {
    Fd fd = co_await open();
    UnixSocket near(executor_);
    near.assign(asio::local::stream_protocol(), fd.release());
    co_await (copy_in(*peer, near) && copy_out(near, *peer));
  } catch (...) {
    failure = std::current_exception();
  }
  peer_ = nullptr;
  if (failure) std::rethrow_exception(failure);
}

Async<std::unique_ptr<TlsStream>> TlsLine::meet() {
  if (options_.server) co_return co_await accept();
  const TlsPeer called{.host = options_.host,
                       .port = options_.port,
                       .thumbprint = options_.thumbprint,
                       .anybody = !options_.verify_peer};
  co_return co_await connect_tls(called, context_);
}

Async<std::unique_ptr<TlsStream>> TlsLine::accept() {
  tcp::socket socket(executor_);
  error_code failure;
  co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, failure));
  if (failure)
    throw error(ErrorKind::gone, options_.host, "nobody can call any more: {}", failure.message());
  auto stream = std::make_unique<TlsStream>(std::move(socket), context_, TlsStream::Role::server);
  stream->expire_after(kHandshakeTimeout);
  co_await stream->handshake();
  stream->expire_never();
  co_return stream;
}

void TlsLine::stop() {
  stopped_ = true;
  error_code ignored;
  acceptor_.close(ignored);
  if (peer_) hang_up(*peer_);
}

}  // namespace virga::wire
