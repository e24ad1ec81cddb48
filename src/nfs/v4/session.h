// Internal to the module: a session with a server of NFS 4.1 (RFC 8881, 2.10), for compounds of
// many at a time.
//
// A connection that is lost is made anew for as long as it takes, to each address of the server in
// turn, and what was not answered is asked again in its slot: a server that still has the session
// carries out nothing twice. One that has restarted gets a new session and is asked in it. Nothing
// of the client's state is to be reclaimed then: no file is held open (see export.h).
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "nfs/export.h"
#include "nfs/v4/protocol.h"
#include "nfs/v4/rpc.h"

namespace virga::nfs::v4 {

class Session {
 public:
  using Clock = std::chrono::steady_clock;
  // With the results after the SEQUENCE, or nullptr when the server would not carry out the call.
  using Done = std::function<void(Results* results)>;

  // Connects from within time_passed() and service(). Until there has been a session these throw,
  // unsupported where NFS 4.1 is not spoken, and timed_out when no address answered.
  Session(std::vector<std::string> hosts, Told told);

  void call(Compound compound, Done done);
  // Ends the session at the server, if there is one. Waits for it, not for long.
  void close();

  // Bytes of data in a message, as the server has told.
  std::size_t max_data() const;

  int fd() const { return socket_.get(); }
  short events() const;  // as of poll(2)
  void service(int events);
  void time_passed();

 private:
  struct Call {
    Compound compound;
    Done done;
  };
  using Calls = std::list<Call>;
  struct SlotState {
    std::uint32_t sequence = 1;  // of the call under way, or of the next
    Calls call;                  // one, or none
  };

  const std::string& host() const { return hosts_[turn_ % hosts_.size()]; }

  void connect();
  void connected();
  void disconnect(const std::string& reason);

  void receive();
  void take(const std::string& record);
  void flush();
  // Outside of the session, or `sequence` within it.
  void send(const Compound& compound, std::string_view sequence, Done done);

  void begin();
  void create_session(const Results::Client& client);
  void start_using();
  void renew();
  void refuse(ErrorKind kind, const std::string& why);

  void issue();
  void send_in(std::uint32_t slot);
  void answered(std::uint32_t slot, Results* results);

  const std::vector<std::string> hosts_;
  const Told told_;
  const std::string machine_, owner_;

  std::size_t turn_ = 0;  // whose turn it is among the hosts
  Fd socket_;
  bool is_connected_ = false;
  Clock::time_point connect_at_{};  // the next attempt, or the one under way
  RecordReader records_;
  std::deque<std::string> out_;
  std::size_t sent_ = 0;  // of the first
  std::uint32_t next_xid_ = 1;
  std::unordered_map<std::uint32_t, Done> expected_;  // by xid, on this connection

  bool is_in_use_ = false;   // calls may be sent in slots
  bool was_in_use_ = false;  // once
  bool is_told_up_ = false;
  std::uint64_t client_ = 0;
  Results::Session session_;  // its id is empty when there is none
  std::chrono::milliseconds lease_{};
  Clock::time_point renew_at_{};
  std::vector<SlotState> slots_;
  Calls waiting_;  // for a slot
  Calls delayed_;  // since the server was busy
  Clock::time_point retry_at_{};
};

}  // namespace virga::nfs::v4
