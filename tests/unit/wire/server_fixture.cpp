#include "server_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/openssl.h"

namespace virga::wire {

using namespace std::chrono_literals;

const Certificate& test_authority() {
  static const Certificate authority = make_authority("Test Authority", std::chrono::days(10));
  return authority;
}

const Certificate& test_certificate() {
  static const Certificate certificate =
      issue_certificate(test_authority(), {"localhost", "127.0.0.1"}, std::chrono::days(5));
  return certificate;
}

struct RawClient::Tls {
  std::uint16_t port;
  Fd fd;
  SslContext context;
  SslPtr ssl;
};

RawClient::RawClient(std::uint16_t port, int max_version) : RawClient(port, max_version, nullptr) {}

RawClient::RawClient(std::uint16_t port, int max_version, const Tls* from)
    : tls_(std::make_unique<Tls>()) {
  tls_->port = port;
  tls_->fd = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // A test that waits for what never comes fails, instead of hanging.
  const timeval limit{20, 0};
  ::setsockopt(tls_->fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(tls_->fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  tls_->context = from ? from->context : SslContext(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  SSL_CTX_set_options(tls_->context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_security_level(tls_->context.get(), 0);  // so that old versions are offered at all
  tls_->ssl.reset(SSL_new(tls_->context.get()));
  if (max_version) SSL_set_max_proto_version(tls_->ssl.get(), max_version);
  if (from) SSL_set_session(tls_->ssl.get(), SSL_get0_session(from->ssl.get()));
  SSL_set_fd(tls_->ssl.get(), tls_->fd.get());
  connected_ = SSL_connect(tls_->ssl.get()) == 1;
  tls_version_ = SSL_get_version(tls_->ssl.get());
}

RawClient::RawClient(RawClient&&) noexcept = default;
RawClient::~RawClient() = default;

bool RawClient::resumed() const {
  return SSL_session_reused(tls_->ssl.get()) == 1;
}

RawClient RawClient::resume() const {
  return RawClient(tls_->port, 0, tls_.get());
}

void RawClient::send(std::string_view text) {
  if (text.empty()) return;
  EXPECT_GT(SSL_write(tls_->ssl.get(), text.data(), static_cast<int>(text.size())), 0);
}

std::string RawClient::receive_until(std::string_view end) {
  char buffer[16384];
  for (;;) {
    const std::size_t at = end.empty() ? std::string::npos : received_.find(end);
    if (at != std::string::npos) {
      const std::string text = received_.substr(0, at + end.size());
      received_.erase(0, text.size());
      return text;
    }
    const int got = SSL_read(tls_->ssl.get(), buffer, sizeof buffer);
    if (got <= 0) {
      EXPECT_NE(errno, EAGAIN) << "nothing came for a long time after: " << received_;
      return std::exchange(received_, {});
    }
    received_.append(buffer, static_cast<std::size_t>(got));
  }
}

std::string RawClient::receive_response() {
  const std::string head = receive_until("\r\n\r\n");
  const std::size_t field = head.find("Content-Length: ");
  if (field == std::string::npos) return head;
  const std::size_t length = std::stoul(head.substr(field + 16));
  char buffer[16384];
  while (received_.size() < length) {
    const int got = SSL_read(tls_->ssl.get(), buffer, sizeof buffer);
    if (got <= 0) break;
    received_.append(buffer, static_cast<std::size_t>(got));
  }
  const std::string body = received_.substr(0, length);
  received_.erase(0, body.size());
  return head + body;
}

void RawClient::vanish() {
  tls_->fd.reset();
}

ServerTest::ServerTest() {
  options_.certificate = test_certificate().certificate;
  options_.key = test_certificate().key;
  for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
}

ServerTest::~ServerTest() {
  stop();
  work_.reset();
  for (std::thread& thread : threads_) thread.join();
}

HttpServer& ServerTest::server() {
  if (!server_) server_.emplace(io_.get_executor(), options_);
  return *server_;
}

std::uint16_t ServerTest::port() {
  if (port_ == 0) port_ = server().listen("127.0.0.1", 0);
  return port_;
}

ClientOptions ServerTest::client_options() {
  ClientOptions options;
  options.host = "127.0.0.1";
  options.port = port();
  options.authorities = test_authority().certificate;
  return options;
}

void ServerTest::serve(const std::string& prefix, Handler handler, RouteOptions route) {
  server().route(prefix, {"GET", "POST", "PUT"}, std::move(handler), route);
}

ClientResponse ServerTest::fetch(ClientRequest request) {
  const auto exchange = [](ClientOptions options, ClientRequest what) -> Async<ClientResponse> {
    HttpClient client(co_await asio::this_coro::executor, std::move(options));
    co_return co_await client.send(std::move(what));
  };
  return run(exchange(client_options(), std::move(request)));
}

std::string ServerTest::get(const std::string& target) {
  ClientRequest request;
  request.target = target;
  return fetch(std::move(request)).body;
}

void ServerTest::stop(std::chrono::milliseconds grace) {
  if (!server_ || std::exchange(stopped_, true)) return;
  run(server_->stop(grace));
  EXPECT_EQ(server_->statistics().connections_open, 0u);
}

char pattern_at(std::uint64_t offset) {
  return static_cast<char>((offset * 2654435761u >> 13 ^ offset) & 0xFF);
}

std::string pattern(std::size_t count) {
  std::string text(count, '\0');
  for (std::size_t i = 0; i < count; ++i) text[i] = pattern_at(i);
  return text;
}

Async<std::size_t> PatternSource::read(std::span<char> buffer) {
  const auto size = std::min<std::uint64_t>({buffer.size(), piece_, count_ - at_});
  for (std::size_t i = 0; i < size; ++i) buffer[i] = pattern_at(at_ + i);
  at_ += size;
  co_return size;
}

}  // namespace virga::wire
