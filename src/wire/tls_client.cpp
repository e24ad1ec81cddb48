#include "wire/tls_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/redirect_error.hpp>

#include "base/error.h"
#include "wire/http_message.h"

namespace virga::wire {
namespace {

using boost::system::error_code;

bool is_address(const std::string& host) {
  error_code failure;
  asio::ip::make_address(host, failure);
  return !failure;
}

void check_thumbprint(SSL* ssl, const TlsPeer& peer) {
  const X509* const certificate = SSL_get0_peer_certificate(ssl);
  if (!certificate)
    throw error(ErrorKind::access_denied, peer.host, "{} shows no certificate", peer.host);
  const std::string found[] = {thumbprint(certificate, EVP_sha1()),
                               thumbprint(certificate, EVP_sha256())};
  for (const std::string& each : found)
    if (equal_without_case(each, peer.thumbprint)) return;
  throw error(ErrorKind::access_denied, peer.host,
              "the certificate of {} has the thumbprint {}, not {}", peer.host, found[1],
              peer.thumbprint);
}

// What the server has to prove in the handshake.
void expect_proof(SSL* ssl, const TlsPeer& peer) {
  const bool numeric = is_address(peer.host);
  if (!numeric) SSL_set_tlsext_host_name(ssl, peer.host.c_str());
  if (peer.anybody || !peer.thumbprint.empty())
    return SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
  SSL_set_verify(ssl, SSL_VERIFY_PEER, nullptr);
  const int known = numeric ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), peer.host.c_str())
                            : SSL_set1_host(ssl, peer.host.c_str());
  openssl_require(known == 1, "naming the expected server");
}

Async<tcp::socket> connect_socket(const TlsPeer& peer) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  tcp::resolver resolver(executor);
  tcp::socket socket(executor);
  bool expired = false;
  Alarm alarm(executor, [&] {
    expired = true;
    resolver.cancel();
    socket.cancel();
  });
  alarm.set(peer.timeout);
  const std::string port = std::to_string(peer.port);
  error_code failure;
  const tcp::resolver::results_type endpoints = co_await resolver.async_resolve(
      peer.host, port, asio::redirect_error(asio::use_awaitable, failure));
  if (!failure)
    co_await asio::async_connect(socket, endpoints,
                                 asio::redirect_error(asio::use_awaitable, failure));
  if (expired)
    throw error(ErrorKind::timed_out, peer.host, "{}:{} does not answer", peer.host, port);
  if (failure == asio::error::operation_aborted) throw boost::system::system_error(failure);
  if (failure)
    throw error(ErrorKind::gone, peer.host, "cannot connect to {}:{}: {}", peer.host, port,
                failure.message());
  co_return socket;
}

}  // namespace

Async<std::unique_ptr<TlsStream>> connect_tls(TlsPeer peer, SslContext context) {
  tcp::socket socket = co_await connect_socket(peer);
  auto stream =
      std::make_unique<TlsStream>(std::move(socket), std::move(context), TlsStream::Role::client);
  SSL* const ssl = stream->ssl();
  expect_proof(ssl, peer);
  stream->expire_after(peer.timeout);
  try {
    co_await stream->handshake();
  } catch (const Error&) {
    const long verdict = SSL_get_verify_result(ssl);
    if (peer.anybody || verdict == X509_V_OK) throw;
    throw error(ErrorKind::access_denied, peer.host, "the certificate of {} is not trusted: {}",
                peer.host, X509_verify_cert_error_string(verdict));
  }
  stream->expire_never();
  if (!peer.thumbprint.empty()) check_thumbprint(ssl, peer);
  co_return stream;
}

}  // namespace virga::wire
