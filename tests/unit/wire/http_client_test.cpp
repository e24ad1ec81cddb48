#include "wire/http_client.h"

#include <set>

#include "server_fixture.h"
#include "wire/compression.h"

namespace virga::wire {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class HttpClientTest : public ServerTest {
 protected:
  HttpClientTest() {
    serve("/port", [](Request& request) -> Async<Response> {
      co_return respond(200, "text/plain", std::to_string(request.peer.port));
    });
  }

  // The kind of the failure to ask the server with these options.
  ErrorKind failure_with(ClientOptions options) {
    const auto ask = [](ClientOptions with) -> Async<void> {
      HttpClient client(co_await asio::this_coro::executor, std::move(with));
      ClientRequest request;
      request.target = "/port";
      co_await client.send(request);
    };
    try {
      run(ask(std::move(options)));
    } catch (const Error& e) {
      last_failure_ = e.what();
      return e.kind();
    }
    ADD_FAILURE() << "no failure";
    return ErrorKind::io;
  }

  std::string last_failure_;
};

TEST_F(HttpClientTest, KeepsItsConnection) {
  const auto ask = [](ClientOptions options) -> Async<std::size_t> {
    HttpClient client(co_await asio::this_coro::executor, std::move(options));
    std::set<std::string> ports;
    for (int i = 0; i < 5; ++i) {
      ClientRequest request;
      request.target = "/port";
      const ClientResponse response = co_await client.send(request);
      ports.insert(response.body);
    }
    co_return ports.size();
  };
  EXPECT_EQ(run(ask(client_options())), 1u);
}

TEST_F(HttpClientTest, ReplacesAConnectionTheServerClosed) {
  serve("/last", [](Request&) -> Async<Response> {
    Response response = respond(200, "text/plain", "last");
    response.headers.add("Connection", "close");
    co_return response;
  });
  const auto ask = [](ClientOptions options) -> Async<std::string> {
    HttpClient client(co_await asio::this_coro::executor, std::move(options));
    std::string all;
    for (const char* target : {"/last", "/last", "/port"}) {
      ClientRequest request;
      request.target = target;
      const ClientResponse response = co_await client.send(request);
      all += response.body.substr(0, 4) == "last" ? "last " : "port";
    }
    co_return all;
  };
  EXPECT_EQ(run(ask(client_options())), "last last port");
}

TEST_F(HttpClientTest, ReadsAnAnswerAsItComes) {
  static constexpr std::uint64_t kSize = 32 << 20;
  serve("/large", [](Request&) -> Async<Response> {
    Response response;
    response.stream = std::make_shared<PatternSource>(kSize);
    response.stream_length = kSize;
    co_return response;
  });
  const auto ask = [](ClientOptions options) -> Async<std::uint64_t> {
    HttpClient client(co_await asio::this_coro::executor, std::move(options));
    ClientRequest request;
    request.target = "/large";
    const ClientResponse response = co_await client.open(request);
    std::vector<char> buffer(10'000);
    std::uint64_t size = 0;
    while (const std::size_t got = co_await response.stream->read(buffer)) {
      for (std::size_t i = 0; i < got; ++i)
        if (buffer[i] != pattern_at(size + i)) co_return 0;
      size += got;
    }
    co_return size;
  };
  EXPECT_EQ(run(ask(client_options())), kSize);
}

TEST_F(HttpClientTest, LeavesAnAnswerItDoesNotWant) {
  serve("/large", [](Request&) -> Async<Response> {
    Response response;
    response.stream = std::make_shared<PatternSource>(64 << 20);
    co_return response;
  });
  const auto ask = [](ClientOptions options) -> Async<std::string> {
    HttpClient client(co_await asio::this_coro::executor, std::move(options));
    ClientRequest large;
    large.target = "/large";
    ClientResponse unread = co_await client.open(large);
    ClientRequest request;
    request.target = "/port";
    const ClientResponse response = co_await client.send(request);
    co_return response.body;
  };
  EXPECT_NE(run(ask(client_options())), "");
}

TEST_F(HttpClientTest, AnswersOverTheLimitAreRefused) {
  serve("/large", [](Request&) -> Async<Response> {
    co_return respond(200, "text/plain", std::string(1001, 'x'));
  });
  ClientOptions options = client_options();
  options.max_body = 1000;
  const auto ask = [](ClientOptions with) -> Async<void> {
    HttpClient client(co_await asio::this_coro::executor, std::move(with));
    ClientRequest request;
    request.target = "/large";
    co_await client.send(request);
  };
  EXPECT_THROW(run(ask(options)), HttpError);
}

TEST_F(HttpClientTest, TrustsByAuthority) {
  ClientOptions options = client_options();
  options.host = "localhost";
  const auto ask = [](ClientOptions with) -> Async<std::string> {
    HttpClient client(co_await asio::this_coro::executor, std::move(with));
    ClientRequest request;
    request.target = "/port";
    const ClientResponse response = co_await client.send(request);
    co_return client.server_thumbprint();
  };
  EXPECT_EQ(run(ask(options)),
            inspect_certificate(test_certificate().certificate).sha256_thumbprint);

  options.authorities = make_authority("Other", std::chrono::days(9)).certificate;
  EXPECT_EQ(failure_with(options), ErrorKind::access_denied);
  options.authorities.clear();  // the system's do not know ours
  EXPECT_EQ(failure_with(options), ErrorKind::access_denied);
  EXPECT_THAT(last_failure_, HasSubstr("localhost is not trusted"));
}

TEST_F(HttpClientTest, RefusesACertificateForAnotherName) {
  const Certificate other =
      issue_certificate(test_authority(), {"other.example"}, std::chrono::days(5));
  const ClientOptions options = client_options();
  server().use_certificate(other.certificate, other.key);
  EXPECT_EQ(failure_with(options), ErrorKind::access_denied);
}

TEST_F(HttpClientTest, TrustsByThumbprint) {
  const CertificateInfo info = inspect_certificate(test_certificate().certificate);
  for (const std::string& thumbprint : {info.sha1_thumbprint, info.sha256_thumbprint}) {
    ClientOptions options = client_options();
    options.authorities.clear();
    options.thumbprint = thumbprint;
    const auto ask = [](ClientOptions with) -> Async<int> {
      HttpClient client(co_await asio::this_coro::executor, std::move(with));
      ClientRequest request;
      request.target = "/port";
      const ClientResponse response = co_await client.send(request);
      co_return response.status;
    };
    EXPECT_EQ(run(ask(options)), 200);
    options.thumbprint.back() = options.thumbprint.back() == '0' ? '1' : '0';
    EXPECT_EQ(failure_with(options), ErrorKind::access_denied);
    EXPECT_THAT(last_failure_, HasSubstr(info.sha256_thumbprint));
  }
}

TEST_F(HttpClientTest, NamesAServerThatIsNotThere) {
  ClientOptions options = client_options();
  stop();
  EXPECT_EQ(failure_with(options), ErrorKind::gone);
  EXPECT_THAT(last_failure_, HasSubstr(fmt::format("127.0.0.1:{}", options.port)));
}

TEST_F(HttpClientTest, DoesNotWaitForeverForAnAnswer) {
  serve("/never", [](Request&) -> Async<Response> {
    co_await sleep_for(1h);
    co_return Response();
  });
  ClientOptions options = client_options();
  options.response_timeout = 20ms;
  const auto ask = [](ClientOptions with) -> Async<void> {
    HttpClient client(co_await asio::this_coro::executor, std::move(with));
    ClientRequest request;
    request.target = "/never";
    co_await client.send(request);
  };
  try {
    run(ask(options));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::timed_out);
  }
}

TEST_F(HttpClientTest, HeadersCannotEndTheirLine) {
  ClientRequest request;
  request.target = "/port";
  request.headers.add("X", "a\r\nY: b");
  EXPECT_THROW(fetch(request), Error);
}

}  // namespace
}  // namespace virga::wire
