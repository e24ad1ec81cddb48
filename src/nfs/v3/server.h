// Internal to the module: a server, spoken to by NFS 3 procedures without waiting for each answer.
//
// A connection that is lost is made anew for as long as it takes, and what was not answered is
// asked again, in order: to whom asks, a server that restarts is slow. Procedures the server
// carried out without getting its answer through are carried out twice where they can be (WRITE,
// SETATTR); for the others (CREATE, REMOVE, RENAME, LINK) it is the server that has to know a
// repeated request.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "nfs/v3/protocol.h"

namespace virga::nfs::v3 {

// Asks the server's MOUNT service for the export's root. Blocks. Throws not_found for no such
// export, access_denied, timed_out when the server does not answer, and io.
Handle mount_export(const std::string& host, const std::string& path);

// One thread: whoever owns it waits for fd() and timers, and calls service().
class Server {
 public:
  using Clock = std::chrono::steady_clock;
  // Issues the procedure with those three; may be called more than once.
  using Send = std::function<int(rpc_context*, rpc_cb, void*)>;
  // With the procedure's result, or nullptr when the server would not carry out the call itself.
  using Done = std::function<void(void* result)>;

  // `told` is called when the connection is there, with "", and with the reason when it is not.
  Server(std::string host, Told told);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void call(Send send, Done done);

  int fd() const;        // -1: nothing to wait for
  short events() const;  // as of poll(2)
  void service(int events);
  void time_passed();

 private:
  struct Call {
    Server* server;
    Send send;
    Done done;
  };
  using Calls = std::list<std::unique_ptr<Call>>;

  static void on_connected(rpc_context* rpc, int status, void* data, void* server);
  static void on_answer(rpc_context* rpc, int status, void* data, void* call);

  void connect();
  void disconnect(const std::string& reason);
  void issue(std::unique_ptr<Call> call);
  void settle_unanswered(bool lost);

  const std::string host_;
  const Told told_;
  rpc_context* rpc_ = nullptr;
  bool connected_ = false;
  Clock::time_point connect_at_{};  // the next attempt, or the one under way
  std::string failure_;             // of that attempt, to be seen where the library was called from
  Calls waiting_;                   // for a connection, or for a server that was busy
  Calls unanswered_;                // what the library gave up, until it is known why
};

}  // namespace virga::nfs::v3
