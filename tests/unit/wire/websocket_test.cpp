#include "wire/websocket.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <future>

#include "server_fixture.h"
#include "temporary_folder.h"

namespace virga::wire {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using UnixStream = asio::local::stream_protocol;

Async<void> echo(WebSocket& websocket) {
  while (const auto message = co_await websocket.read())
    co_await websocket.write(message->data, message->binary);
}

class WebSocketTest : public ServerTest {
 protected:
  void serve_websocket(WebSocketOptions options, WebSocketSession session) {
    serve("/ws", [options, session](Request& request) -> Async<Response> {
      co_return accept_websocket(request, options, session);
    });
  }

  // Runs `talk` on a WebSocket to the server.
  template <class T>
  T with_websocket(WebSocketOptions options, std::function<Async<T>(WebSocket&)> talk) {
    const auto open = [](ClientOptions to, WebSocketOptions with,
                         std::function<Async<T>(WebSocket&)> then) -> Async<T> {
      HttpClient client(co_await asio::this_coro::executor, std::move(to));
      const auto websocket = co_await client.open_websocket("/ws", {}, std::move(with));
      co_return co_await then(*websocket);
    };
    return run(open(client_options(), std::move(options), std::move(talk)));
  }
};

TEST_F(WebSocketTest, EchoesMessagesOfEverySize) {
  serve_websocket({.max_message = 2 << 20}, echo);
  const auto talk = [](WebSocket& websocket) -> Async<bool> {
    bool same = true;
    for (const std::size_t size : {0, 1, 125, 126, 65535, 65536, 1 << 20}) {
      const std::string sent = pattern(size);
      co_await websocket.write(sent);
      const auto got = co_await websocket.read();
      same &= got && got->data == sent && got->binary;
    }
    co_await websocket.write("text", false);
    const auto text = co_await websocket.read();
    same &= text && text->data == "text" && !text->binary;
    co_await websocket.close();
    co_return same;
  };
  EXPECT_TRUE(with_websocket<bool>({.max_message = 2 << 20}, talk));
}

TEST_F(WebSocketTest, AgreesOnASubprotocol) {
  serve_websocket({.subprotocols = {"binary", "base64"}}, echo);
  const std::function<Async<std::string>(WebSocket&)> name =
      [](WebSocket& websocket) -> Async<std::string> { co_return websocket.subprotocol(); };
  EXPECT_EQ(with_websocket<std::string>({.subprotocols = {"base64", "binary"}}, name), "binary");
  EXPECT_EQ(with_websocket<std::string>({.subprotocols = {"chat", "base64"}}, name), "base64");
  EXPECT_EQ(with_websocket<std::string>({}, name), "");
}

TEST_F(WebSocketTest, TheServerMayCloseWithAReason) {
  serve_websocket({}, [](WebSocket& websocket) -> Async<void> {
    co_await websocket.write("bye");
    co_await websocket.close(1001, "leaving");
  });
  const auto talk = [](WebSocket& websocket) -> Async<std::string> {
    std::string all;
    while (const auto message = co_await websocket.read()) all += message->data;
    co_return all + ".";
  };
  EXPECT_EQ(with_websocket<std::string>({}, talk), "bye.");
}

TEST_F(WebSocketTest, WritersTakeTurns) {
  serve_websocket({}, [](WebSocket& websocket) -> Async<void> {
    using namespace asio::experimental::awaitable_operators;
    const auto write = [](WebSocket& to, char name) -> Async<void> {
      for (int i = 0; i < 100; ++i) {
        const std::string message(20'000, name);
        co_await to.write(message);
      }
    };
    co_await (write(websocket, 'a') && write(websocket, 'b'));
  });
  const auto talk = [](WebSocket& websocket) -> Async<int> {
    int whole = 0;
    while (const auto message = co_await websocket.read())
      whole += message->data == std::string(20'000, message->data.front());
    co_return whole;
  };
  EXPECT_EQ(with_websocket<int>({}, talk), 200);
}

TEST_F(WebSocketTest, AMessageOverTheLimitEndsTheConnection) {
  std::promise<std::string> ended;
  serve_websocket({.max_message = 1000}, [&](WebSocket& websocket) -> Async<void> {
    std::string failure = "none";
    try {
      co_await websocket.read();
    } catch (const Error& e) {
      failure = e.what();
    }
    ended.set_value(failure);
  });
  const auto talk = [](WebSocket& websocket) -> Async<bool> {
    const std::string large(1001, 'x');
    co_await websocket.write(large);
    co_return !(co_await websocket.read()).has_value();
  };
  EXPECT_TRUE(with_websocket<bool>({}, talk));
  EXPECT_THAT(ended.get_future().get(), HasSubstr("broke"));
}

TEST_F(WebSocketTest, ASilentPeerIsDropped) {
  std::promise<void> ended;
  serve_websocket({.keepalive = 20ms}, [&](WebSocket& websocket) -> Async<void> {
    try {
      co_await websocket.read();
    } catch (const Error&) {
      ended.set_value();
    }
  });
  RawClient client(port());  // speaks the handshake, then answers no ping
  client.send(
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_THAT(client.receive_until("\r\n\r\n"),
              HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
  ended.get_future().get();
}

TEST_F(WebSocketTest, RequestsThatAreNoUpgradeHearSo) {
  serve_websocket({}, echo);
  RawClient client(port());
  client.send("GET /ws HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.receive_response(), StartsWith("HTTP/1.1 426"));
  client.send(
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_THAT(client.receive_response(), HasSubstr("Sec-WebSocket-Version: 13"));
  client.send(
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\n\r\n");
  EXPECT_THAT(client.receive_response(), StartsWith("HTTP/1.1 400"));
}

TEST_F(WebSocketTest, ARefusalHasItsKind) {
  serve("/ws", [](Request&) -> Async<Response> { co_return respond_error(403, "no ticket"); });
  const std::function<Async<int>(WebSocket&)> never = [](WebSocket&) -> Async<int> { co_return 0; };
  try {
    with_websocket<int>({}, never);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::access_denied);
  }
}

TEST_F(WebSocketTest, StopEndsSessions) {
  std::promise<void> entered;
  serve_websocket({}, [&](WebSocket& websocket) -> Async<void> {
    entered.set_value();
    co_await websocket.read();
  });
  RawClient client(port());
  client.send(
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  entered.get_future().get();
  stop(1ms);
}

// A Unix socket with somebody behind it, as QEMU's console is.
class Console {
 public:
  explicit Console(asio::io_context& io, const fs::path& path)
      : acceptor_(io, UnixStream::endpoint(path.string())) {}

  UnixStream::acceptor& acceptor() { return acceptor_; }

 private:
  UnixStream::acceptor acceptor_;
};

TEST_F(WebSocketTest, BridgesToAUnixSocketBothWays) {
  const TemporaryFolder folder;
  Console console(io(), folder / "vnc");
  std::promise<void> ended;
  serve_websocket({.subprotocols = {"binary"}}, [&](WebSocket& websocket) -> Async<void> {
    co_await bridge(websocket, folder / "vnc");
    ended.set_value();
  });
  const auto guest = [](UnixStream::acceptor& acceptor) -> Async<std::string> {
    auto socket = co_await acceptor.async_accept(asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer("RFB 003.008\n", 12), asio::use_awaitable);
    char reply[12];
    const std::size_t got =
        co_await asio::async_read(socket, asio::buffer(reply), asio::use_awaitable);
    const std::string large = pattern(1 << 20);
    co_await asio::async_write(socket, asio::buffer(large), asio::use_awaitable);
    co_return std::string(reply, got);
  };
  auto heard = asio::co_spawn(io(), guest(console.acceptor()), asio::use_future);
  const auto talk = [](WebSocket& websocket) -> Async<std::string> {
    std::string all;
    while (const auto message = co_await websocket.read()) {
      if (all.empty()) co_await websocket.write("RFB 003.008!");
      all += message->data;
    }
    co_return all;
  };
  EXPECT_TRUE(with_websocket<std::string>({}, talk) == "RFB 003.008\n" + pattern(1 << 20));
  EXPECT_EQ(heard.get(), "RFB 003.008!");
  ended.get_future().get();
}

TEST_F(WebSocketTest, ABridgeEndsWithItsClient) {
  const TemporaryFolder folder;
  Console console(io(), folder / "serial");
  serve_websocket({}, [&](WebSocket& websocket) -> Async<void> {
    co_await bridge(websocket, folder / "serial");
  });
  const auto guest = [](UnixStream::acceptor& acceptor) -> Async<std::string> {
    auto socket = co_await acceptor.async_accept(asio::use_awaitable);
    std::string heard;
    char buffer[100];
    try {
      for (;;) {
        const std::size_t got =
            co_await socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
        heard.append(buffer, got);
      }
    } catch (const boost::system::system_error&) {
    }
    co_return heard;
  };
  auto heard = asio::co_spawn(io(), guest(console.acceptor()), asio::use_future);
  const auto talk = [](WebSocket& websocket) -> Async<int> {
    co_await websocket.write("ls\n");
    co_await websocket.close();
    co_return 0;
  };
  with_websocket<int>({}, talk);
  EXPECT_EQ(heard.get(), "ls\n");
}

TEST_F(WebSocketTest, ABridgeToNothingNamesIt) {
  const TemporaryFolder folder;
  std::promise<std::string> failure;
  serve_websocket({}, [&](WebSocket& websocket) -> Async<void> {
    try {
      co_await bridge(websocket, folder / "absent");
    } catch (const Error& e) {
      failure.set_value(e.kind() == ErrorKind::not_found ? e.subject() : "another kind");
    }
  });
  const std::function<Async<int>(WebSocket&)> leave = [](WebSocket& websocket) -> Async<int> {
    co_await websocket.close();
    co_return 0;
  };
  with_websocket<int>({}, leave);
  EXPECT_EQ(failure.get_future().get(), (folder / "absent").string());
}

}  // namespace
}  // namespace virga::wire
