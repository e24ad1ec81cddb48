#include "wire/http_connection.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/redirect_error.hpp>
#include <ctime>

#include "base/log.h"
#include "wire/compression.h"
#include "wire/websocket_stream.h"

namespace virga::wire {
namespace {

using namespace std::chrono_literals;

// How much of the next request is taken in while the client waits for an answer.
constexpr std::size_t kReadAhead = 16 << 10;
// How long a client that is being refused may go on sending before it sees the connection close.
constexpr auto kFarewell = 2s;

constexpr std::size_t kCompressFrom = 1024;
constexpr std::size_t kCompressUpTo = 1 << 30;
constexpr std::size_t kRecord = 16 << 10;  // the payload of one TLS record
constexpr std::size_t kStreamPiece = 256 << 10;

// A source that yields no more than `limit` bytes, or throws HttpError(413).
class BoundedSource : public ByteSource {
 public:
  BoundedSource(ByteSource& source, std::uint64_t limit) : source_(source), left_(limit) {}

  Async<std::size_t> read(std::span<char> buffer) override {
    const std::size_t got = co_await source_.read(buffer);
    if (got > left_) throw HttpError(413, "the body is too large");
    left_ -= got;
    co_return got;
  }

 private:
  ByteSource& source_;
  std::uint64_t left_;
};

// RFC 9112, section 3.2, and what would let two servers disagree on where a message ends.
void require_sound(const MessageHead& head) {
  int hosts = 0;
  for (const auto& [name, value] : head.headers)
    if (equal_without_case(name, "Host")) ++hosts;
  if (hosts > 1 || (hosts == 0 && head.version == 11))
    throw HttpError(400, "a request has one Host field");
  const std::string* coding = head.headers.find("Transfer-Encoding");
  if (coding && !equal_without_case(*coding, "chunked"))
    throw HttpError(501, "of the transfer codings only chunked is understood");
}

bool allows(const Route& route, std::string_view method) {
  for (const std::string& allowed : route.methods)
    if (allowed == method || (allowed == "GET" && method == "HEAD")) return true;
  return false;
}

Response refuse_method(const Route& route, const std::string& method) {
  std::string allowed;
  for (const std::string& each : route.methods) {
    allowed += (allowed.empty() ? "" : ", ") + each;
    if (each == "GET") allowed += ", HEAD";
  }
  Response response = respond_error(405, method + " is not allowed here");
  response.headers.add("Allow", allowed);
  return response;
}

// The answer to what left a handler as an exception.
Response explain(std::exception_ptr failure, const Request& request) {
  try {
    std::rethrow_exception(failure);
  } catch (const HttpError& e) {
    return respond_error(e.status(), e.what());
  } catch (const Error& e) {
    return respond_error(status_of(e.kind()), e.what());
  } catch (const std::exception& e) {
    logger("wire")->error("the handler of {} {} failed: {}", request.method, request.path,
                          e.what());
    return respond_error(500, "the server failed to answer");
  }
}

std::string_view current_date() {
  static thread_local std::time_t second = 0;
  static thread_local std::string date;
  const std::time_t now = std::time(nullptr);
  if (now != second) {
    second = now;
    date = http_date(now);
  }
  return date;
}

// A value cannot end its header line, whatever it was made from.
void append_field(std::string& head, std::string_view name, std::string_view value) {
  head += name;
  head += ": ";
  for (const char c : value) head += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
  head += "\r\n";
}

bool has_no_body(int status) {
  return status < 200 || status == 204 || status == 304;
}

bool is_framing(std::string_view name) {
  for (const std::string_view ours : {"Content-Length", "Transfer-Encoding", "Connection", "Date"})
    if (equal_without_case(name, ours)) return true;
  return false;
}

}  // namespace

// What the answer needs to know of its request.
struct HttpConnection::Exchange {
  bool head_only = false;  // HEAD
  bool keep_alive = false;
  bool http_1_0 = false;
  bool takes_gzip = false;
};

HttpConnection::HttpConnection(std::shared_ptr<ConnectionOwner> owner, tcp::socket socket,
                               SslContext context)
    : owner_(std::move(owner)),
      options_(owner_->options()),
      stream_(std::move(socket), std::move(context), TlsStream::Role::server),
      reader_(stream_,
              {options_.max_header_bytes, options_.max_header_fields, options_.max_target_bytes},
              options_.transfer_timeout, options_.min_bytes_per_second),
      watch_alarm_(stream_.get_executor(), [this] { watch(); }) {}

void HttpConnection::start() {
  launch(serve());
}
void HttpConnection::start_refusing() {
  launch(refuse_all());
}

void HttpConnection::launch(Async<void> life) {
  asio::co_spawn(stream_.get_executor(), std::move(life),
                 asio::bind_cancellation_slot(
                     life_.slot(), [self = shared_from_this()](std::exception_ptr failure) {
                       try {
                         if (failure) std::rethrow_exception(failure);
                       } catch (const std::exception& e) {
                         logger("wire")->debug("{} left: {}", self->peer_.address, e.what());
                       }
                       self->stream_.close();
                       self->count_traffic();
                       self->owner_->on_end(*self);
                     }));
}

void HttpConnection::finish() {
  finishing_ = true;
  if (idle_) cancel();
}

void HttpConnection::cancel() {
  cancelled_ = true;
  life_.emit(asio::cancellation_type::terminal);
}

void HttpConnection::count_traffic() {
  owner_->on_traffic(stream_.bytes_read() - counted_read_,
                     stream_.bytes_written() - counted_written_);
  counted_read_ = stream_.bytes_read();
  counted_written_ = stream_.bytes_written();
}

Async<void> HttpConnection::handshake() {
  stream_.expire_after(options_.handshake_timeout);
  boost::system::error_code ignored;
  const tcp::endpoint remote = stream_.socket().remote_endpoint(ignored);
  peer_.address = remote.address().to_string();
  peer_.port = remote.port();
  co_await stream_.handshake();
  peer_.tls_version = SSL_get_version(stream_.ssl());
  peer_.tls_cipher = SSL_get_cipher_name(stream_.ssl());
}

Async<void> HttpConnection::serve() {
  co_await handshake();
  bool more = true;
  while (more) more = co_await serve_one();
}

Async<void> HttpConnection::refuse_all() {
  co_await handshake();
  Response response = respond_error(503, "the server has as many connections as it may");
  response.headers.add("Retry-After", "5");
  const Exchange exchange;
  co_await send(exchange, std::move(response));
  co_await take_leave();
}

// One request and its answer; false when the connection is to end.
Async<bool> HttpConnection::serve_one() {
  idle_ = true;
  if (finishing_) co_return false;
  stream_.expire_after(options_.idle_timeout);
  const bool arrived = co_await reader_.wait_for_message();
  if (!arrived) co_return false;
  idle_ = false;
  owner_->on_request();

  Exchange exchange;
  Request request;
  Response response;
  std::optional<HttpError> refusal;
  try {
    request = co_await read_request(exchange);
    response = co_await answer(request);
  } catch (const HttpError& e) {
    refusal = e;
  }
  if (refusal) {
    exchange.keep_alive = false;
    response = respond_error(refusal->status(), refusal->what());
  }
  if (response.websocket) {
    co_await speak_websocket(request, std::move(response));
    co_return false;
  }
  const bool complete = !refusal && reader_.body_done();
  exchange.keep_alive &= complete && !finishing_ && !response.headers.lists("Connection", "close");
  logger("wire")->debug("{} {} {} {}", peer_.address, request.method, request.target,
                        response.status);
  const bool keep_alive = exchange.keep_alive;
  co_await send(exchange, std::move(response));
  if (!complete) co_await take_leave();
  co_return keep_alive;
}

Async<Request> HttpConnection::read_request(Exchange& exchange) {
  stream_.expire_after(options_.header_timeout);
  MessageHead head;
  try {
    head = co_await reader_.read_head();
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::timed_out) throw HttpError(408, "the header came too slowly");
    throw;
  }
  stream_.expire_never();
  require_sound(head);
  exchange.keep_alive = reader_.keep_alive();
  exchange.http_1_0 = head.version == 10;
  exchange.head_only = head.method == "HEAD";
  exchange.takes_gzip = accepts_gzip(head.headers.get("Accept-Encoding"));

  auto target = parse_target(head.target);
  if (!target) throw HttpError(400, "the request target is malformed");
  Request request;
  request.method = std::move(head.method);
  request.target = std::move(head.target);
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  request.headers = std::move(head.headers);
  request.content_length = reader_.content_length();
  request.peer = peer_;
  co_return request;
}

Async<Response> HttpConnection::answer(Request& request) {
  const Route* const route = owner_->find_route(request.path);
  if (!route) co_return respond_error(404, "nothing is served at " + request.path);
  if (!allows(*route, request.method)) co_return refuse_method(*route, request.method);
  request.route = route->prefix;

  if (const std::string* expected = request.headers.find("Expect")) {
    if (!equal_without_case(*expected, "100-continue"))
      throw HttpError(417, "of the expectations only 100-continue is understood");
    reader_.before_body("HTTP/1.1 100 Continue\r\n\r\n");
  }

  ByteSource* body = &reader_;
  std::optional<InflatingSource> inflated;
  if (const std::string* coding = request.headers.find("Content-Encoding")) {
    if (is_gzip(*coding) || equal_without_case(*coding, "deflate"))
      body = &inflated.emplace(reader_);
    else if (!equal_without_case(*coding, "identity"))
      throw HttpError(415, "of the content codings only gzip and deflate are understood");
  }
  co_return co_await answer_with_body(*route, request, *body);
}

Async<Response> HttpConnection::answer_with_body(const Route& route, Request& request,
                                                 ByteSource& body) {
  constexpr auto kUnlimited = std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t usual = route.options.stream_body ? kUnlimited : options_.max_body;
  const std::uint64_t limit = route.options.max_body.value_or(usual);
  const std::uint64_t announced = request.content_length.value_or(0);
  if (announced > limit)
    throw HttpError(413, fmt::format("the body is larger than {} bytes", limit));

  BoundedSource bounded(body, limit);
  if (route.options.stream_body)
    request.stream = &bounded;
  else if (!reader_.body_done())
    request.body = co_await read_all(body, limit, announced);
  co_return co_await call(route, request);
}

Async<Response> HttpConnection::call(const Route& route, Request& request) {
  Response response;
  std::exception_ptr failure;
  watch_alarm_.set(options_.watch_after);
  try {
    response = co_await route.handler(request);
  } catch (...) {
    failure = std::current_exception();
  }
  stop_watching();
  if (failure && cancelled_) std::rethrow_exception(failure);
  if (failure) response = explain(failure, request);
  co_return response;
}

// Waits for the client to say something, or to go, while the handler works.
void HttpConnection::watch() {
  // While the body is under way the handler sees for itself that the client has gone.
  if (!reader_.body_done() || reader_.buffered() >= kReadAhead) return;
  watching_ = true;
  stream_.socket().async_wait(
      tcp::socket::wait_read,
      asio::bind_cancellation_slot(
          watch_.slot(), [self = shared_from_this()](const boost::system::error_code& failure) {
            if (!failure && self->watching_) self->look_for_disconnect();
          }));
}

void HttpConnection::stop_watching() {
  watch_alarm_.clear();
  if (!std::exchange(watching_, false)) return;
  watch_.emit(asio::cancellation_type::terminal);
}

void HttpConnection::look_for_disconnect() {
  watching_ = false;
  const TlsStep step = reader_.read_ahead();
  count_traffic();
  if (step.state == TlsStep::State::closed || step.state == TlsStep::State::failed) return cancel();
  watch();
}

Async<void> HttpConnection::speak_websocket(const Request& request, Response response) {
  if (reader_.buffered() > 0) throw error(ErrorKind::gone, {}, "frames before the upgrade");
  stream_.expire_never();
  const std::unique_ptr<WebSocket> websocket = co_await accept_upgrade(
      stream_, request.target, request.headers, std::move(response.websocket_options));
  co_await response.websocket(*websocket);
  co_await websocket->close();
}

Async<void> HttpConnection::send(const Exchange& exchange, Response response) {
  const bool chunked = response.stream && !response.stream_length && !exchange.http_1_0;
  const bool until_close = response.stream && !response.stream_length && exchange.http_1_0;
  const bool keep_alive = exchange.keep_alive && !until_close;
  if (exchange.takes_gzip && !exchange.head_only) compress(response);

  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, status_text(response.status));
  for (const auto& [name, value] : response.headers)
    if (!is_framing(name)) append_field(head, name, value);
  append_field(head, "Date", current_date());
  if (chunked)
    append_field(head, "Transfer-Encoding", "chunked");
  else if (!until_close && !has_no_body(response.status))
    append_field(head, "Content-Length",
                 std::to_string(response.stream_length.value_or(response.body.size())));
  if (!keep_alive)
    append_field(head, "Connection", "close");
  else if (exchange.http_1_0)
    append_field(head, "Connection", "keep-alive");
  head += "\r\n";

  Patience patience(options_.transfer_timeout, options_.min_bytes_per_second);
  const bool with_body = !exchange.head_only && !has_no_body(response.status);
  if (with_body && response.stream) {
    co_await send_stream(std::move(head), response, chunked, patience);
  } else {
    const std::string_view body = with_body ? std::string_view(response.body) : "";
    co_await send_text(std::move(head), body, patience);
  }
  count_traffic();
}

void HttpConnection::compress(Response& response) const {
  const std::size_t size = response.body.size();
  if (options_.compression_level == 0 || size < kCompressFrom || size > kCompressUpTo) return;
  if (response.headers.contains("Content-Encoding")) return;
  if (!is_compressible(response.headers.get("Content-Type"))) return;
  response.body = gzip(response.body, options_.compression_level);
  response.headers.add("Content-Encoding", "gzip");
  response.headers.add("Vary", "Accept-Encoding");
}

Async<void> HttpConnection::send_text(std::string head, std::string_view body, Patience& patience) {
  // The first record carries as much of the body as fits beside the head.
  const std::size_t beside = std::min(body.size(), kRecord - std::min(head.size(), kRecord));
  head += body.substr(0, beside);
  const std::string_view rest = body.substr(beside);
  co_await send_all(head, patience);
  co_await send_all(rest, patience);
}

Async<void> HttpConnection::send_stream(std::string head, Response& response, bool chunked,
                                        Patience& patience) {
  co_await send_all(head, patience);
  std::uint64_t left = response.stream_length.value_or(std::numeric_limits<std::uint64_t>::max());
  std::vector<char> buffer(std::min<std::uint64_t>(left, kStreamPiece));
  while (left > 0) {
    const std::span<char> room(buffer.data(), std::min<std::uint64_t>(left, buffer.size()));
    const std::size_t got = co_await response.stream->read(room);
    if (got == 0) break;
    const std::string chunk_size = fmt::format("{:x}\r\n", got);
    const std::string_view piece(buffer.data(), got);
    if (chunked) co_await send_all(chunk_size, patience);
    co_await send_all(piece, patience);
    if (chunked) co_await send_all("\r\n", patience);
    left -= got;
  }
  if (chunked) co_await send_all("0\r\n\r\n", patience);
  if (response.stream_length && left > 0)
    throw error(ErrorKind::io, {}, "a response ended {} bytes early", left);
}

Async<void> HttpConnection::send_all(std::string_view data, Patience& patience) {
  while (!data.empty()) {
    stream_.expire_after(patience.begin());
    const std::size_t sent = co_await stream_.write_some(data);
    patience.end(sent);
    data.remove_prefix(sent);
  }
  stream_.expire_never();
}

// Ends a connection whose client may still be sending: closing at once would reset it, and the
// client might never see our last words.
Async<void> HttpConnection::take_leave() {
  stream_.close();
  stream_.expire_after(kFarewell);
  std::vector<char> scratch(4096);
  boost::system::error_code ended;
  while (!ended)
    co_await stream_.socket().async_read_some(asio::buffer(scratch),
                                              asio::redirect_error(asio::use_awaitable, ended));
}

}  // namespace virga::wire
