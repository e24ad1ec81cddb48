// Sessions: who is logged in, and what belongs to each of them.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel/inventory.h"
#include "model/metadata.h"

namespace virga::kernel {

struct Session {
  std::string key;              // public: UserSession.key, moIds of what it owns
  std::string secret;           // the cookie's and header's value; never logged, never listed
  std::string user;
  std::string full_name;
  std::string locale = "en";
  std::string peer_address;
  std::string user_agent;
  model::Time login_time;
  model::Time last_active;
  std::int64_t call_count = 0;
  int calls_in_flight = 0;      // a session that waits for updates is not idle
  // State that other parts keep per session, by the part's name; it ends with the session.
  std::map<std::string, std::shared_ptr<void>> attachments;
};

using SessionPtr = std::shared_ptr<Session>;

// The sessions of a daemon. Kernel executor only, except find_by_secret (any thread).
class SessionTable {
 public:
  explicit SessionTable(Inventory& inventory);
  ~SessionTable();

  SessionPtr create(std::string user, std::string full_name, std::string peer,
                    std::string user_agent);
  // nullptr when there is none. Constant-time in the secret.
  SessionPtr find_by_secret(std::string_view secret) const;
  SessionPtr find(std::string_view key) const;
  std::vector<SessionPtr> all() const;
  // Ends the session and removes every object it owns.
  void end(const std::string& key);
  // Hears that a session has ended.
  void on_end(std::function<void()> hook);

  // One-time tickets for CloneSession: valid for 60 s.
  std::string issue_clone_ticket(const SessionPtr& session);
  // The session the ticket was made from; nullptr when it is unknown, used or too old.
  SessionPtr redeem_clone_ticket(const std::string& ticket);

  // Ends sessions idle longer than this; zero turns it off. Runs while the executor runs.
  void set_idle_timeout(std::chrono::seconds timeout);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace virga::kernel
