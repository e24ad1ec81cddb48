// One client's connection to the server, from handshake to goodbye.
#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <memory>
#include <string>
#include <vector>

#include "wire/http_server.h"
#include "wire/message_reader.h"

namespace virga::wire {

struct Route {
  std::string prefix;
  std::vector<std::string> methods;
  Handler handler;
  RouteOptions options;
};

// What all connections of a server share; outlives them.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  virtual const ServerOptions& options() const = 0;
  // The route of `path`; null when there is none.
  virtual const Route* find_route(std::string_view path) const = 0;
  virtual void on_request() = 0;
  virtual void on_traffic(std::uint64_t received, std::uint64_t sent) = 0;
  virtual void on_end(class HttpConnection& connection) = 0;
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<ConnectionOwner> owner, tcp::socket socket, SslContext context);

  // Serves the client until either side has enough; on_end() follows.
  void start();
  // Answers nothing but 503.
  void start_refusing();
  // Ends when the request in hand is answered; at once when there is none. On the strand.
  void finish();
  // Ends now, cancelling the handler. On the strand.
  void cancel();
  asio::any_io_executor executor() { return stream_.get_executor(); }

 private:
  struct Exchange;

  void launch(Async<void> life);
  Async<void> serve();
  Async<void> refuse_all();
  Async<void> handshake();
  Async<bool> serve_one();

  Async<Request> read_request(Exchange& exchange);
  Async<Response> answer(Request& request);
  Async<Response> answer_with_body(const Route& route, Request& request, ByteSource& body);
  Async<Response> call(const Route& route, Request& request);
  Async<void> speak_websocket(const Request& request, Response response);

  Async<void> send(const Exchange& exchange, Response response);
  Async<void> send_text(std::string head, std::string_view body, Patience& patience);
  Async<void> send_stream(std::string head, Response& response, bool chunked, Patience& patience);
  Async<void> send_all(std::string_view data, Patience& patience);
  Async<void> take_leave();
  void compress(Response& response) const;

  void watch();
  void stop_watching();
  void look_for_disconnect();
  void count_traffic();

  std::shared_ptr<ConnectionOwner> owner_;
  const ServerOptions& options_;
  TlsStream stream_;
  MessageReader<true> reader_;
  Peer peer_;
  asio::cancellation_signal life_;   // of the coroutine that serves
  asio::cancellation_signal watch_;  // of the wait for the client's disconnection
  Alarm watch_alarm_;
  bool idle_ = true;
  bool finishing_ = false;
  bool cancelled_ = false;
  bool watching_ = false;
  std::uint64_t counted_read_ = 0;
  std::uint64_t counted_written_ = 0;
};

}  // namespace virga::wire
