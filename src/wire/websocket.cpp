#include "wire/websocket.h"

#include <sys/un.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "base/error.h"
#include "wire/websocket_stream.h"

namespace virga::wire {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using boost::system::error_code;

constexpr std::size_t kGather = 16 << 10;  // a frame's header and payload leave in one TLS record
constexpr std::chrono::seconds kHandshakeLimit{10};

// A TlsStream as Beast wants its streams: reads and writes as composed operations.
class TlsLayer {
 public:
  using executor_type = TlsStream::executor_type;

  explicit TlsLayer(TlsStream& stream) : stream_(&stream) {}
  executor_type get_executor() { return stream_->get_executor(); }
  TlsStream& stream() { return *stream_; }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return start(
        [buffers](TlsStream& stream) {
          const asio::mutable_buffer buffer = first(buffers);
          return stream.try_read({static_cast<char*>(buffer.data()), buffer.size()});
        },
        std::forward<Token>(token));
  }

  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return start(
        [buffers](TlsStream& stream) {
          static thread_local std::array<char, kGather> gathered;
          const std::size_t size = asio::buffer_copy(asio::buffer(gathered), buffers);
          return stream.try_write({gathered.data(), size});
        },
        std::forward<Token>(token));
  }

 private:
  template <class Buffers>
  static asio::mutable_buffer first(const Buffers& buffers) {
    for (auto each = asio::buffer_sequence_begin(buffers);
         each != asio::buffer_sequence_end(buffers); ++each)
      if (asio::mutable_buffer(*each).size() > 0) return *each;
    return {};
  }

  // Attempts, and waits for the socket in between. The result is never delivered from within the
  // call that started the operation, as Asio demands.
  template <class Attempt>
  struct Operation {
    TlsStream& stream;
    Attempt attempt;
    enum { starting, waiting, posted } phase = starting;
    TlsStep step;

    template <class Self>
    void operator()(Self& self, error_code failure = {}) {
      if (failure) return self.complete(failure, 0);
      if (phase == posted) return finish(self);
      step = attempt(stream);
      const auto wants = step.state;
      if (wants == TlsStep::State::wants_read || wants == TlsStep::State::wants_write) {
        phase = waiting;
        const auto readiness =
            wants == TlsStep::State::wants_read ? tcp::socket::wait_read : tcp::socket::wait_write;
        return stream.socket().async_wait(readiness, std::move(self));
      }
      if (phase == waiting) return finish(self);
      phase = posted;
      asio::post(stream.get_executor(), std::move(self));
    }

    template <class Self>
    void finish(Self& self) {
      if (step.state == TlsStep::State::closed) return self.complete(asio::error::eof, 0);
      if (step.state == TlsStep::State::failed)
        return self.complete(asio::error::connection_reset, 0);
      self.complete({}, step.bytes);
    }
  };

  template <class Attempt, class Token>
  auto start(Attempt attempt, Token&& token) {
    return asio::async_compose<Token, void(error_code, std::size_t)>(
        Operation<Attempt>{*stream_, std::move(attempt)}, token, stream_->socket());
  }

  TlsStream* stream_;
};

// Beast finds these two by their argument.

// Shut down, not closed: the TLS stream knows its socket by number, which must not be given away.
void beast_close_socket(TlsLayer& layer) {
  error_code ignored;
  layer.stream().socket().shutdown(tcp::socket::shutdown_both, ignored);
}

template <class Handler>
void async_teardown(beast::role_type, TlsLayer& layer, Handler&& handler) {
  layer.stream().close();
  asio::post(layer.get_executor(),
             [handler = std::forward<Handler>(handler)]() mutable { handler(error_code()); });
}

class WebSocketStream : public WebSocket {
 public:
  WebSocketStream(TlsStream& stream, const WebSocketOptions& options)
      : stream_(TlsLayer(stream)), written_(stream.get_executor()) {
    websocket::stream_base::timeout timeout;
    timeout.handshake_timeout = kHandshakeLimit;
    // Beast pings when half of the idle time has passed in silence.
    timeout.idle_timeout = 2 * options.keepalive;
    timeout.keep_alive_pings = true;
    stream_.set_option(timeout);
    stream_.read_message_max(options.max_message);
    stream_.auto_fragment(false);
  }
  WebSocketStream(std::unique_ptr<TlsStream> stream, const WebSocketOptions& options)
      : WebSocketStream(*stream, options) {
    owned_ = std::move(stream);
  }

  Async<void> accept(const std::string& target, const Headers& headers,
                     const WebSocketOptions& options);
  Async<void> request(const std::string& host, const std::string& target, const Headers& headers,
                      const WebSocketOptions& options);

  Async<std::optional<WebSocketMessage>> read() override;
  Async<void> write(std::string_view data, bool binary) override;
  Async<void> close(std::uint16_t code, std::string_view reason) override;
  const std::string& subprotocol() const override { return subprotocol_; }

 private:
  std::unique_ptr<TlsStream> owned_;
  websocket::stream<TlsLayer, false> stream_;
  std::string subprotocol_;
  bool writing_ = false;
  Signal written_;
};

Error broken(const error_code& failure) {
  return error(ErrorKind::gone, {}, "the WebSocket broke: {}", failure.message());
}

// A cancelled coroutine gets the system's error, like from every other operation.
void require(const error_code& failure) {
  if (failure == asio::error::operation_aborted) throw boost::system::system_error(failure);
  if (failure) throw broken(failure);
}

std::string choose_subprotocol(const Headers& offered, const std::vector<std::string>& spoken) {
  for (const std::string& each : spoken)
    if (offered.lists("Sec-WebSocket-Protocol", each)) return each;
  return {};
}

Async<void> WebSocketStream::accept(const std::string& target, const Headers& headers,
                                    const WebSocketOptions& options) {
  http::request<http::empty_body> upgrade(http::verb::get, target, 11);
  for (const auto& [name, value] : headers) upgrade.insert(name, value);
  subprotocol_ = choose_subprotocol(headers, options.subprotocols);
  stream_.set_option(websocket::stream_base::decorator(
      [subprotocol = subprotocol_](websocket::response_type& response) {
        if (!subprotocol.empty()) response.set(http::field::sec_websocket_protocol, subprotocol);
      }));
  error_code failure;
  co_await stream_.async_accept(upgrade, asio::redirect_error(asio::use_awaitable, failure));
  require(failure);
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

ErrorKind kind_of_status(unsigned status) {
  if (status == 401 || status == 403) return ErrorKind::access_denied;
  if (status == 404) return ErrorKind::not_found;
  return ErrorKind::gone;
}

Async<void> WebSocketStream::request(const std::string& host, const std::string& target,
                                     const Headers& headers, const WebSocketOptions& options) {
  std::string offered;
  for (const std::string& each : options.subprotocols)
    offered += (offered.empty() ? "" : ", ") + each;
  stream_.set_option(
      websocket::stream_base::decorator([headers, offered](websocket::request_type& upgrade) {
        for (const auto& [name, value] : headers) upgrade.set(name, value);
        if (!offered.empty()) upgrade.set(http::field::sec_websocket_protocol, offered);
      }));
  websocket::response_type response;
  error_code failure;
  co_await stream_.async_handshake(response, host, target,
                                   asio::redirect_error(asio::use_awaitable, failure));
  if (failure == websocket::error::upgrade_declined)
    throw error(kind_of_status(response.result_int()), target,
                "the server refuses a WebSocket at {}: status {} {}", target, response.result_int(),
                first_line(response.body()));
  require(failure);
  subprotocol_ = std::string(response[http::field::sec_websocket_protocol]);
}

Async<std::optional<WebSocketMessage>> WebSocketStream::read() {
  beast::flat_buffer buffer;
  error_code failure;
  co_await stream_.async_read(buffer, asio::redirect_error(asio::use_awaitable, failure));
  if (failure == websocket::error::closed) co_return std::nullopt;
  // Closed by this end, while the read was waiting.
  if (failure == asio::error::operation_aborted && !stream_.is_open()) co_return std::nullopt;
  require(failure);
  WebSocketMessage message{beast::buffers_to_string(buffer.data()), stream_.got_binary()};
  co_return message;
}

Async<void> WebSocketStream::write(std::string_view data, bool binary) {
  while (writing_) co_await written_.wait();
  writing_ = true;
  stream_.binary(binary);
  error_code failure;
  co_await stream_.async_write(asio::buffer(data),
                               asio::redirect_error(asio::use_awaitable, failure));
  writing_ = false;
  written_.notify();
  require(failure);
}

Async<void> WebSocketStream::close(std::uint16_t code, std::string_view reason) {
  if (!stream_.is_open()) co_return;
  const websocket::close_reason why(static_cast<websocket::close_code>(code),
                                    {reason.data(), reason.size()});
  error_code ignored;
  co_await stream_.async_close(why, asio::redirect_error(asio::use_awaitable, ignored));
}

using UnixSocket = asio::local::stream_protocol::socket;

// Until the client closes, or either end breaks. Then the other direction ends too.
Async<void> copy_in(WebSocket& websocket, UnixSocket& socket) {
  error_code failure;
  try {
    while (!failure) {
      const std::optional<WebSocketMessage> message = co_await websocket.read();
      if (!message) break;
      co_await asio::async_write(socket, asio::buffer(message->data),
                                 asio::redirect_error(asio::use_awaitable, failure));
    }
  } catch (const Error&) {
  }
  socket.close(failure);
}

Async<void> copy_out(UnixSocket& socket, WebSocket& websocket) {
  std::vector<char> buffer(16 << 10);
  error_code failure;
  try {
    for (;;) {
      const std::size_t got = co_await socket.async_read_some(
          asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, failure));
      if (failure) break;
      const std::string_view piece(buffer.data(), got);
      co_await websocket.write(piece);
    }
  } catch (const Error&) {
  }
  co_await websocket.close();
}

}  // namespace

Async<std::unique_ptr<WebSocket>> accept_upgrade(TlsStream& stream, const std::string& target,
                                                 const Headers& headers, WebSocketOptions options) {
  auto websocket = std::make_unique<WebSocketStream>(stream, options);
  co_await websocket->accept(target, headers, options);
  co_return websocket;
}

Async<std::unique_ptr<WebSocket>> request_upgrade(std::unique_ptr<TlsStream> stream,
                                                  const std::string& host,
                                                  const std::string& target, const Headers& headers,
                                                  WebSocketOptions options) {
  auto websocket = std::make_unique<WebSocketStream>(std::move(stream), options);
  co_await websocket->request(host, target, headers, options);
  co_return websocket;
}

Async<void> bridge(WebSocket& websocket, const fs::path& unix_socket) {
  using namespace asio::experimental::awaitable_operators;
  const std::string path = unix_socket.string();
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    throw system_error(path, "cannot connect to", ENAMETOOLONG);
  UnixSocket socket(co_await asio::this_coro::executor);
  error_code failure;
  co_await socket.async_connect(path, asio::redirect_error(asio::use_awaitable, failure));
  if (failure) throw system_error(path, "cannot connect to", failure.value());
  co_await (copy_in(websocket, socket) && copy_out(socket, websocket));
}

Async<void> bridge(WebSocket& websocket, Fd stream) {
  using namespace asio::experimental::awaitable_operators;
  UnixSocket socket(co_await asio::this_coro::executor);
  socket.assign(asio::local::stream_protocol(), stream.release());
  co_await (copy_in(websocket, socket) && copy_out(socket, websocket));
}

}  // namespace virga::wire
