#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "wire/certificate.h"
#include "wire/http_client.h"
#include "wire/http_server.h"

namespace virga::wire {

// The certificates of all tests of this program.
const Certificate& test_authority();
const Certificate& test_certificate();

// A blocking TLS client that says exactly what it is told to.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int max_version = 0);
  RawClient(RawClient&&) noexcept;
  ~RawClient();

  bool connected() const { return connected_; }
  const std::string& tls_version() const { return tls_version_; }
  bool resumed() const;

  void send(std::string_view text);
  // Up to and with `end`; what comes before the connection closes when it does not come.
  std::string receive_until(std::string_view end);
  std::string receive_all() { return receive_until({}); }
  // A head and the body its Content-Length announces.
  std::string receive_response();
  // Closes the socket as a client that dies does.
  void vanish();
  // A client that resumes this one's session.
  RawClient resume() const;

 private:
  struct Tls;
  RawClient(std::uint16_t port, int max_version, const Tls* from);

  std::unique_ptr<Tls> tls_;
  bool connected_ = false;
  std::string tls_version_;
  std::string received_;
};

// A server on a port of its own, served by two threads.
class ServerTest : public ::testing::Test {
 protected:
  ServerTest();
  ~ServerTest() override;

  // Made at first use, with options() as they are then.
  HttpServer& server();
  ServerOptions& options() { return options_; }
  std::uint16_t port();
  ClientOptions client_options();

  // Serves `handler` at `prefix` for GET, POST and PUT.
  void serve(const std::string& prefix, Handler handler, RouteOptions route = {});

  // Runs a coroutine on a strand to its end, and returns or throws what it does.
  template <class T>
  T run(Async<T> coroutine) {
    return asio::co_spawn(asio::make_strand(io_), std::move(coroutine), asio::use_future).get();
  }
  ClientResponse fetch(ClientRequest request);
  std::string get(const std::string& target);
  void stop(std::chrono::milliseconds grace = std::chrono::milliseconds(0));

  asio::io_context& io() { return io_; }
  asio::thread_pool& pool() { return pool_; }

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  asio::thread_pool pool_{1};
  std::vector<std::thread> threads_;
  ServerOptions options_;
  std::optional<HttpServer> server_;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
};

// `count` bytes whose place can be told from their values.
std::string pattern(std::size_t count);
char pattern_at(std::uint64_t offset);

// Yields `count` bytes of the pattern, in pieces.
class PatternSource : public ByteSource {
 public:
  explicit PatternSource(std::uint64_t count, std::size_t piece = 1 << 20)
      : count_(count), piece_(piece) {}
  Async<std::size_t> read(std::span<char> buffer) override;

 private:
  std::uint64_t count_;
  std::size_t piece_;
  std::uint64_t at_ = 0;
};

}  // namespace virga::wire
