#include "switching/ovs/ovsdb_client.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <map>

#include "base/error.h"
#include "base/log.h"
#include "switching/ovs/json_stream.h"

namespace virga::switching::ovs {
namespace {

using namespace std::chrono_literals;
using Socket = asio::local::stream_protocol::socket;

constexpr auto reply_timeout = 10s;
constexpr auto reconnect_delay = 100ms;
constexpr std::int64_t monitor_id = 0;  // of the request that opens every connection

Error lost() {
  return error(ErrorKind::gone, "OVSDB", "the connection to OVSDB broke");
}

// The results of a transaction; an operation that failed has an "error" (RFC 7047, 4.1.3).
json::array checked_results(const json::value& result) {
  const auto* results = result.if_array();
  if (!results) throw error(ErrorKind::damaged, "OVSDB", "OVSDB answered a transaction with none");
  for (const auto& one : *results) {
    const auto* object = one.if_object();
    if (!object || !object->contains("error")) continue;
    const std::string what = text(*object, "error");
    throw error(ErrorKind::io, "OVSDB", "OVSDB refused: {} ({})", what, text(*object, "details"));
  }
  return *results;
}

}  // namespace

// Lives until its coroutine has seen close().
class OvsdbClient::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::any_io_executor executor, fs::path path, std::string database,
             json::object monitored)
      : executor_(std::move(executor)),
        path_(std::move(path)),
        database_(std::move(database)),
        monitored_(std::move(monitored)),
        socket_(executor_),
        retry_(executor_),
        changed_(executor_) {}

  void open() { spawn(executor_, "the connection to OVSDB", run(shared_from_this())); }

  void close() {
    closed_ = true;
    retry_.cancel();
    disconnect();
  }

  const Replica& replica() const { return replica_; }

  Async<json::value> call(std::string method, json::value params) {
    auto self = shared_from_this();
    if (!monitoring_) throw lost();
    const std::int64_t id = ++last_id_;
    auto pending = std::make_shared<Pending>(executor_);
    pending_[id] = pending;
    send({{"method", method}, {"params", std::move(params)}, {"id", id}});
    const bool answered = co_await pending->done.wait(reply_timeout);
    pending_.erase(id);
    if (pending->lost) throw lost();
    if (!answered) {
      throw error(ErrorKind::timed_out, "OVSDB", "OVSDB did not answer {} within {} s", method,
                  reply_timeout.count());
    }
    const auto* refusal = pending->reply.if_contains("error");
    if (refusal && !refusal->is_null()) {
      throw error(ErrorKind::io, "OVSDB", "OVSDB refused {}: {}", method,
                  json::serialize(*refusal));
    }
    const auto* result = pending->reply.if_contains("result");
    co_return result ? *result : json::value();
  }

  Async<bool> wait_until(std::function<bool(const Replica&)> holds,
                         std::chrono::steady_clock::duration timeout) {
    auto self = shared_from_this();
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (!monitoring_ || !holds(replica_)) {
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= 0s || closed_) co_return false;
      co_await changed_.wait(left);
    }
    co_return true;
  }

  Async<json::array> transact(json::array operations) {
    json::array params{database_};
    for (auto& operation : operations) params.push_back(std::move(operation));
    const json::value result = co_await call("transact", std::move(params));
    co_return checked_results(result);
  }

 private:
  struct Pending {
    explicit Pending(asio::any_io_executor executor) : done(std::move(executor)) {}
    Signal done;
    json::object reply;
    bool lost = false;
  };

  static Async<void> run(std::shared_ptr<Connection> self) {
    while (!self->closed_) {
      try {
        co_await self->connect();
        self->monitor();
        co_await self->read();
      } catch (const std::exception& e) {
        if (!self->closed_) logger("switching")->debug("no connection to OVSDB: {}", e.what());
      }
      self->disconnect();
      if (self->closed_) break;
      boost::system::error_code ignored;
      self->retry_.expires_after(reconnect_delay);
      co_await self->retry_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
  }

  // By way of the directory's descriptor: a unix socket's address holds 107 bytes only, less than
  // many a state folder's path.
  Async<void> connect() {
    const Fd directory = open_file(path_.parent_path(), O_PATH | O_DIRECTORY);
    const auto address =
        fmt::format("/proc/self/fd/{}/{}", directory.get(), path_.filename().string());
    // Asio's own sockets are inherited by every program we start.
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) throw system_error("socket", "cannot open");
    socket_.assign(asio::local::stream_protocol(), fd.release());
    co_await socket_.async_connect(asio::local::stream_protocol::endpoint(address),
                                   asio::use_awaitable);
  }

  void monitor() {
    send({{"method", "monitor"},
          {"params", json::array{database_, nullptr, monitored_}},
          {"id", monitor_id}});
  }

  Async<void> read() {
    JsonStream stream;
    std::array<char, 16384> buffer;
    for (;;) {
      const std::size_t n =
          co_await socket_.async_read_some(asio::buffer(buffer), asio::use_awaitable);
      for (auto& message : stream.feed({buffer.data(), n})) receive(message.as_object());
    }
  }

  void receive(json::object& message) {
    const auto* method = message.if_contains("method");
    if (!method || method->is_null()) {
      receive_reply(message);
    } else if (*method == "echo") {
      send({{"result", message["params"]}, {"error", nullptr}, {"id", message["id"]}});
    } else if (*method == "update") {
      replica_.apply(message["params"].as_array().at(1));
      changed_.notify();
    }
  }

  void receive_reply(json::object& message) {
    const auto* id = message["id"].if_int64();
    if (id && *id == monitor_id) return receive_rows(message);
    const auto found = id ? pending_.find(*id) : pending_.end();
    if (found == pending_.end()) return;  // its caller waits no longer
    found->second->reply = std::move(message);
    found->second->done.notify();
  }

  // The monitored rows as they are now. Taken in here, in the order of the stream: a report of a
  // change may stand right behind.
  void receive_rows(const json::object& message) {
    const auto* refusal = message.if_contains("error");
    if (refusal && !refusal->is_null()) {
      throw error(ErrorKind::io, "OVSDB", "OVSDB refused to be monitored: {}",
                  json::serialize(*refusal));
    }
    replica_.apply(message.at("result"));
    monitoring_ = true;
    changed_.notify();
  }

  void send(const json::object& message) {
    outbox_ += json::serialize(message);
    if (writing_.empty()) write();
  }

  void write() {
    writing_.swap(outbox_);
    asio::async_write(socket_, asio::buffer(writing_),
                      [self = shared_from_this()](boost::system::error_code code, std::size_t) {
                        self->writing_.clear();
                        if (!code && !self->outbox_.empty()) self->write();
                      });
  }

  void disconnect() {
    boost::system::error_code ignored;
    socket_.close(ignored);
    outbox_.clear();
    replica_.clear();
    monitoring_ = false;
    for (auto& [id, pending] : pending_) {
      pending->lost = true;
      pending->done.notify();
    }
    pending_.clear();
    changed_.notify();
  }

  asio::any_io_executor executor_;
  fs::path path_;
  std::string database_;
  json::object monitored_;
  Socket socket_;
  asio::steady_timer retry_;
  bool closed_ = false;

  std::string outbox_;   // to be written next
  std::string writing_;  // being written
  std::int64_t last_id_ = monitor_id;
  std::map<std::int64_t, std::shared_ptr<Pending>> pending_;

  Replica replica_;
  bool monitoring_ = false;
  Signal changed_;
};

OvsdbClient::OvsdbClient(asio::any_io_executor executor, fs::path socket, std::string database,
                         json::object monitored)
    : connection_(std::make_shared<Connection>(std::move(executor), std::move(socket),
                                               std::move(database), std::move(monitored))) {
  connection_->open();
}

OvsdbClient::~OvsdbClient() {
  connection_->close();
}

Async<json::array> OvsdbClient::transact(json::array operations) {
  return connection_->transact(std::move(operations));
}

const Replica& OvsdbClient::replica() const {
  return connection_->replica();
}

Async<bool> OvsdbClient::wait_until(std::function<bool(const Replica&)> holds,
                                    std::chrono::steady_clock::duration timeout) {
  return connection_->wait_until(std::move(holds), timeout);
}

}  // namespace virga::switching::ovs
