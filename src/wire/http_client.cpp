#include "wire/http_client.h"

#include "wire/compression.h"
#include "wire/message_reader.h"
#include "wire/tls_client.h"
#include "wire/websocket_stream.h"

namespace virga::wire {
namespace {

constexpr std::size_t kPiece = 64 << 10;

std::string head_of(const ClientRequest& request, const ClientOptions& options) {
  std::string head = fmt::format("{} {} HTTP/1.1\r\n", request.method, request.target);
  const bool bracket = options.host.find(':') != std::string::npos;  // an IPv6 address
  head += fmt::format("Host: {}{}{}:{}\r\n", bracket ? "[" : "", options.host, bracket ? "]" : "",
                      options.port);
  head += fmt::format("User-Agent: {}\r\n", options.user_agent);
  for (const auto& [name, value] : request.headers) {
    if (value.find_first_of("\r\n") != value.npos)
      throw error(ErrorKind::invalid_argument, name, "the header {} holds a line break", name);
    head += fmt::format("{}: {}\r\n", name, value);
  }
  if (request.stream && !request.stream_length)
    head += "Transfer-Encoding: chunked\r\n";
  else if (request.stream || !request.body.empty() || request.method != "GET")
    head +=
        fmt::format("Content-Length: {}\r\n", request.stream_length.value_or(request.body.size()));
  return head + "\r\n";
}

// A connection and what has been read from it.
struct Session {
  Session(std::unique_ptr<TlsStream> connected, const ClientOptions& options)
      : stream(std::move(connected)), reader(*stream, HeadLimits{}, options.transfer_timeout, 0) {}

  std::unique_ptr<TlsStream> stream;
  MessageReader<false> reader;
  bool answered = true;  // no answer is awaited
};

// Another request can follow on the session: its last answer was read, and the server still
// listens.
bool is_usable(Session& session) {
  return session.answered && session.reader.buffered() == 0 &&
         session.reader.read_ahead().state == TlsStep::State::wants_read;
}

class ResponseBody : public ByteSource {
 public:
  ResponseBody(std::shared_ptr<Session> session, bool compressed) : session_(std::move(session)) {
    if (compressed) inflated_.emplace(session_->reader);
  }

  Async<std::size_t> read(std::span<char> buffer) override {
    ByteSource& source = inflated_ ? static_cast<ByteSource&>(*inflated_) : session_->reader;
    const std::size_t got = co_await source.read(buffer);
    if (session_->reader.body_done()) session_->answered = session_->reader.keep_alive();
    co_return got;
  }

 private:
  std::shared_ptr<Session> session_;
  std::optional<InflatingSource> inflated_;
};

}  // namespace

class HttpClient::Impl {
 public:
  Impl(asio::any_io_executor executor, ClientOptions options)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        context_(make_client_context(options_.authorities)) {}

  Async<ClientResponse> send(ClientRequest request);
  Async<ClientResponse> open(ClientRequest request);
  Async<std::unique_ptr<WebSocket>> open_websocket(std::string target, Headers headers,
                                                   WebSocketOptions options);
  void close() { session_.reset(); }
  const std::string& thumbprint() const { return thumbprint_; }
  const asio::any_io_executor& executor() const { return executor_; }

 private:
  Async<std::shared_ptr<Session>> connect();
  Async<void> send_request(TlsStream& stream, ClientRequest& request);
  Async<void> send_stream(TlsStream& stream, ClientRequest& request);
  Async<MessageHead> read_answer(Session& session, bool body_follows);

  asio::any_io_executor executor_;
  ClientOptions options_;
  SslContext context_;
  std::shared_ptr<Session> session_;
  std::string thumbprint_;
};

Async<std::shared_ptr<Session>> HttpClient::Impl::connect() {
  const TlsPeer server{.host = options_.host,
                       .port = options_.port,
                       .thumbprint = options_.thumbprint,
                       .timeout = options_.connect_timeout};
  std::unique_ptr<TlsStream> stream = co_await connect_tls(server, context_);
  auto session = std::make_shared<Session>(std::move(stream), options_);
  SSL* const ssl = session->stream->ssl();
  thumbprint_ = wire::thumbprint(SSL_get0_peer_certificate(ssl), EVP_sha256());
  co_return session;
}

Async<void> HttpClient::Impl::send_stream(TlsStream& stream, ClientRequest& request) {
  std::vector<char> buffer(kPiece);
  std::uint64_t left = request.stream_length.value_or(std::numeric_limits<std::uint64_t>::max());
  const bool chunked = !request.stream_length;
  while (left > 0) {
    const std::span<char> room(buffer.data(), std::min<std::uint64_t>(buffer.size(), left));
    const std::size_t got = co_await request.stream->read(room);
    if (got == 0) break;
    const std::string chunk_size = fmt::format("{:x}\r\n", got);
    const std::string_view piece(buffer.data(), got);
    stream.expire_after(options_.transfer_timeout);
    if (chunked) co_await stream.write(chunk_size);
    co_await stream.write(piece);
    if (chunked) co_await stream.write("\r\n");
    left -= got;
  }
  if (chunked) co_await stream.write("0\r\n\r\n");
  if (!chunked && left > 0)
    throw error(ErrorKind::io, request.target, "the upload ended {} bytes early", left);
}

Async<void> HttpClient::Impl::send_request(TlsStream& stream, ClientRequest& request) {
  std::string head = head_of(request, options_);
  stream.expire_after(options_.transfer_timeout);
  if (request.stream) {
    co_await stream.write(head);
    co_await send_stream(stream, request);
  } else {
    head += request.body;
    co_await stream.write(head);
  }
}

Async<MessageHead> HttpClient::Impl::read_answer(Session& session, bool body_follows) {
  MessageHead head;
  do {  // what is provisional (1xx) says nothing yet
    session.stream->expire_after(options_.response_timeout);
    const bool arrived = co_await session.reader.wait_for_message();
    if (!arrived)
      throw error(ErrorKind::gone, options_.host, "{} closed without an answer", options_.host);
    session.stream->expire_after(options_.transfer_timeout);
    head = co_await session.reader.read_head(body_follows);
  } while (head.status < 200);
  session.stream->expire_never();
  co_return head;
}

Async<ClientResponse> HttpClient::Impl::open(ClientRequest request) {
  if (session_ && !is_usable(*session_)) session_.reset();
  if (!session_) session_ = co_await connect();
  const std::shared_ptr<Session> session = session_;
  session->answered = false;

  // A server that refuses an upload may answer and close before all of it is sent: its words are
  // worth more than the failure to send.
  std::exception_ptr unsent;
  try {
    co_await send_request(*session->stream, request);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::gone) throw;
    unsent = std::current_exception();
  }
  MessageHead head;
  try {
    head = co_await read_answer(*session, request.method != "HEAD");
  } catch (const Error&) {
    if (unsent) std::rethrow_exception(unsent);
    throw;
  }

  const bool compressed = is_gzip(head.headers.get("Content-Encoding"));
  ClientResponse response;
  response.status = head.status;
  response.headers = std::move(head.headers);
  if (session->reader.body_done()) session->answered = !unsent && session->reader.keep_alive();
  response.stream =
      std::make_shared<ResponseBody>(session, compressed && !session->reader.body_done());
  co_return response;
}

Async<ClientResponse> HttpClient::Impl::send(ClientRequest request) {
  ClientResponse response = co_await open(std::move(request));
  response.body = co_await read_all(*response.stream, options_.max_body, 0);
  response.stream.reset();
  co_return response;
}

Async<std::unique_ptr<WebSocket>> HttpClient::Impl::open_websocket(std::string target,
                                                                   Headers headers,
                                                                   WebSocketOptions options) {
  std::shared_ptr<Session> session = co_await connect();
  co_return co_await request_upgrade(std::move(session->stream), options_.host, target, headers,
                                     std::move(options));
}

HttpClient::HttpClient(asio::any_io_executor executor, ClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(executor), std::move(options))) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

Async<ClientResponse> HttpClient::send(ClientRequest request) {
  return impl_->send(std::move(request));
}
Async<ClientResponse> HttpClient::open(ClientRequest request) {
  return impl_->open(std::move(request));
}
Async<std::unique_ptr<WebSocket>> HttpClient::open_websocket(const std::string& target,
                                                             Headers headers,
                                                             WebSocketOptions options) {
  return impl_->open_websocket(target, std::move(headers), std::move(options));
}
void HttpClient::close() {
  impl_->close();
}
const std::string& HttpClient::server_thumbprint() const {
  return impl_->thumbprint();
}

}  // namespace virga::wire
