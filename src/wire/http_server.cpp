#include "wire/http_server.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/strand.hpp>
#include <mutex>
#include <unordered_map>

#include "base/log.h"
#include "wire/http_connection.h"

namespace virga::wire {
namespace {

using namespace std::chrono_literals;

constexpr int kBacklog = 4096;
// How many clients over the limit are told so; more are dropped without a word.
constexpr std::uint64_t kRefusedAtOnce = 64;
// How long to wait when the system has no more descriptors.
constexpr auto kAcceptPause = 100ms;

// Whether `path` is `prefix` or lies below it.
bool covers(std::string_view prefix, std::string_view path) {
  if (!path.starts_with(prefix)) return false;
  return prefix.ends_with('/') || path.size() == prefix.size() || path[prefix.size()] == '/';
}

}  // namespace

class HttpServer::Impl : public ConnectionOwner, public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::any_io_executor executor, ServerOptions options)
      : executor_(std::move(executor)), options_(std::move(options)) {
    use_certificate(options_.certificate, options_.key);
  }

  void add_route(Route route) { routes_.push_back(std::move(route)); }
  void use_certificate(const std::string& certificate, const std::string& key);
  std::uint16_t listen(const std::string& address, std::uint16_t port);
  Async<void> stop(std::chrono::milliseconds grace);
  ServerStatistics statistics() const;
  const asio::any_io_executor& executor() const { return executor_; }

  const ServerOptions& options() const override { return options_; }
  const Route* find_route(std::string_view path) const override;
  void on_request() override { ++requests_; }
  void on_traffic(std::uint64_t received, std::uint64_t sent) override {
    bytes_received_ += received;
    bytes_sent_ += sent;
  }
  void on_end(HttpConnection& connection) override;

 private:
  using Connections = std::vector<std::shared_ptr<HttpConnection>>;

  Async<void> accept_all(std::shared_ptr<tcp::acceptor> acceptor);
  void admit(tcp::socket socket);
  void close_acceptors();
  Connections connections() const;
  Async<bool> wait_until_empty(std::chrono::milliseconds limit);

  asio::any_io_executor executor_;
  ServerOptions options_;
  std::vector<Route> routes_;

  mutable std::mutex mutex_;  // guards what follows, up to the counters
  SslContext context_;
  bool stopping_ = false;
  std::vector<std::shared_ptr<tcp::acceptor>> acceptors_;
  std::unordered_map<HttpConnection*, std::weak_ptr<HttpConnection>> open_;
  std::shared_ptr<asio::steady_timer> emptied_;  // of stop(): cancelled when open_ becomes empty

  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> requests_{0};
  std::atomic<std::uint64_t> bytes_received_{0};
  std::atomic<std::uint64_t> bytes_sent_{0};
};

void HttpServer::Impl::use_certificate(const std::string& certificate, const std::string& key) {
  SslContext context = make_server_context(certificate, key);
  const std::lock_guard lock(mutex_);
  context_ = std::move(context);
}

const Route* HttpServer::Impl::find_route(std::string_view path) const {
  const Route* best = nullptr;
  for (const Route& route : routes_)
    if (covers(route.prefix, path) && (!best || route.prefix.size() > best->prefix.size()))
      best = &route;
  return best;
}

std::uint16_t HttpServer::Impl::listen(const std::string& address, std::uint16_t port) {
  const std::string subject = fmt::format("{}:{}", address, port);
  try {
    const tcp::endpoint endpoint(asio::ip::make_address(address), port);
    // A strand of its own: stop() closes the acceptor from another thread.
    auto acceptor = std::make_shared<tcp::acceptor>(asio::make_strand(executor_));
    acceptor->open(endpoint.protocol());
    acceptor->set_option(tcp::acceptor::reuse_address(true));
    acceptor->bind(endpoint);
    acceptor->listen(kBacklog);
    {
      const std::lock_guard lock(mutex_);
      acceptors_.push_back(acceptor);
    }
    spawn(acceptor->get_executor(), "accepting connections",
          [](std::shared_ptr<Impl> self, std::shared_ptr<tcp::acceptor> on) -> Async<void> {
            co_await self->accept_all(std::move(on));
          }(shared_from_this(), acceptor));
    return acceptor->local_endpoint().port();
  } catch (const boost::system::system_error& e) {
    throw system_error(subject, "cannot listen", e.code().value());
  }
}

Async<void> HttpServer::Impl::accept_all(std::shared_ptr<tcp::acceptor> acceptor) {
  while (acceptor->is_open()) {
    tcp::socket socket(asio::any_io_executor(asio::make_strand(executor_)));
    boost::system::error_code failure;
    co_await acceptor->async_accept(socket, asio::redirect_error(asio::use_awaitable, failure));
    if (!failure) {
      admit(std::move(socket));
    } else if (acceptor->is_open()) {
      logger("wire")->warn("cannot accept a connection: {}", failure.message());
      co_await sleep_for(kAcceptPause);
    }
  }
}

void HttpServer::Impl::admit(tcp::socket socket) try {
  SslContext context;
  std::uint64_t open;
  {
    const std::lock_guard lock(mutex_);
    context = context_;
    open = open_.size();
  }
  ++accepted_;
  const bool refuse = open >= options_.max_connections;
  if (refuse) ++refused_;
  if (open >= options_.max_connections + kRefusedAtOnce) return;

  auto connection =
      std::make_shared<HttpConnection>(shared_from_this(), std::move(socket), context);
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    open_.emplace(connection.get(), connection);
  }
  asio::post(connection->executor(), [connection, refuse] {
    if (refuse)
      connection->start_refusing();
    else
      connection->start();
  });
} catch (const std::exception& e) {  // the client may be gone before its socket is prepared
  logger("wire")->debug("a connection ended before it began: {}", e.what());
}

void HttpServer::Impl::on_end(HttpConnection& connection) {
  const std::lock_guard lock(mutex_);
  open_.erase(&connection);
  if (open_.empty() && emptied_)
    asio::post(emptied_->get_executor(), [timer = emptied_] { timer->cancel(); });
}

HttpServer::Impl::Connections HttpServer::Impl::connections() const {
  const std::lock_guard lock(mutex_);
  Connections connections;
  for (const auto& [address, weak] : open_)
    if (auto connection = weak.lock()) connections.push_back(std::move(connection));
  return connections;
}

void HttpServer::Impl::close_acceptors() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  for (const auto& acceptor : acceptors_)
    asio::post(acceptor->get_executor(), [acceptor] { acceptor->close(); });
  acceptors_.clear();
}

// Whether the last connection ended within `limit`. On a strand.
Async<bool> HttpServer::Impl::wait_until_empty(std::chrono::milliseconds limit) {
  std::shared_ptr<asio::steady_timer> timer =
      std::make_shared<asio::steady_timer>(co_await asio::this_coro::executor, limit);
  {
    const std::lock_guard lock(mutex_);
    if (open_.empty()) co_return true;
    emptied_ = timer;
  }
  boost::system::error_code ended;
  co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ended));
  const std::lock_guard lock(mutex_);
  emptied_.reset();
  co_return open_.empty();
}

Async<void> HttpServer::Impl::stop(std::chrono::milliseconds grace) {
  close_acceptors();
  for (const auto& connection : connections())
    asio::post(connection->executor(), [connection] { connection->finish(); });
  bool empty = co_await wait_until_empty(grace);
  // A connection that was just being accepted may miss a call, so they are called until all is
  // quiet.
  while (!empty) {
    for (const auto& connection : connections())
      asio::post(connection->executor(), [connection] { connection->cancel(); });
    empty = co_await wait_until_empty(1s);
  }
}

ServerStatistics HttpServer::Impl::statistics() const {
  ServerStatistics statistics;
  statistics.connections_accepted = accepted_;
  statistics.connections_refused = refused_;
  statistics.requests = requests_;
  statistics.bytes_received = bytes_received_;
  statistics.bytes_sent = bytes_sent_;
  const std::lock_guard lock(mutex_);
  statistics.connections_open = open_.size();
  return statistics;
}

HttpServer::HttpServer(asio::any_io_executor executor, ServerOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options))) {}

HttpServer::~HttpServer() = default;

void HttpServer::route(std::string prefix, std::vector<std::string> methods, Handler handler,
                       RouteOptions options) {
  impl_->add_route({std::move(prefix), std::move(methods), std::move(handler), options});
}

std::uint16_t HttpServer::listen(const std::string& address, std::uint16_t port) {
  return impl_->listen(address, port);
}

void HttpServer::use_certificate(const std::string& certificate, const std::string& key) {
  impl_->use_certificate(certificate, key);
}

Async<void> HttpServer::stop(std::chrono::milliseconds grace) {
  co_await run_on(asio::make_strand(impl_->executor()), impl_->stop(grace));
}

ServerStatistics HttpServer::statistics() const {
  return impl_->statistics();
}

}  // namespace virga::wire
