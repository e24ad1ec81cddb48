// A client of one OVSDB server (RFC 7047) over its unix socket: one connection, made again whenever
// it breaks, transactions, and a replica of what it monitors. Use on one strand.
#pragma once

#include <functional>
#include <memory>

#include "base/async.h"
#include "base/file.h"
#include "base/json.h"
#include "switching/ovs/replica.h"

namespace virga::switching::ovs {

class OvsdbClient {
 public:
  // Connects to `socket` from now on, until the client is destroyed, and monitors the columns of
  // `database` that `monitored` (a <monitor-requests>) names.
  OvsdbClient(asio::any_io_executor executor, fs::path socket, std::string database,
              json::object monitored);
  ~OvsdbClient();
  OvsdbClient(const OvsdbClient&) = delete;
  OvsdbClient& operator=(const OvsdbClient&) = delete;

  // Runs the operations as one transaction and returns their results, one each. Throws io with the
  // server's words when it refuses, gone when the connection broke (whether the transaction was
  // done is unknown then), timed_out after 10 s.
  Async<json::array> transact(json::array operations);

  // What the database holds, as of the last report. Empty while not connected.
  const Replica& replica() const;

  // Returns when `holds(replica)` does; false when `timeout` passes first. Never holds while not
  // connected.
  Async<bool> wait_until(std::function<bool(const Replica&)> holds,
                         std::chrono::steady_clock::duration timeout);

 private:
  class Connection;
  std::shared_ptr<Connection> connection_;
};

}  // namespace virga::switching::ovs
