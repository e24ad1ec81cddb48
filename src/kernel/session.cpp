#include "kernel/session.h"

#include <openssl/crypto.h>

#include <mutex>

#include "base/uuid.h"
#include "model/clock.h"

namespace virga::kernel {
namespace {

constexpr auto kTicketLife = std::chrono::seconds(60);

}  // namespace

struct SessionTable::State : std::enable_shared_from_this<State> {
  explicit State(Inventory& inventory) : inventory(inventory), timer(inventory.executor()) {}

  struct Ticket {
    std::weak_ptr<Session> session;
    std::chrono::steady_clock::time_point expiry;
  };

  void schedule_sweep();
  void sweep();

  Inventory& inventory;
  mutable std::mutex mutex;    // guards by_secret, which connections read
  std::unordered_map<std::string, SessionPtr> by_secret;
  std::map<std::string, SessionPtr> by_key;
  std::map<std::string, Ticket> tickets;
  std::vector<std::function<void()>> on_end;
  std::chrono::seconds idle_timeout{0};
  asio::steady_timer timer;
  SessionTable* table = nullptr;
};

SessionTable::SessionTable(Inventory& inventory) : state_(std::make_shared<State>(inventory)) {
  state_->table = this;
}

SessionTable::~SessionTable() {
  state_->table = nullptr;
  state_->timer.cancel();
}

SessionPtr SessionTable::create(std::string user, std::string full_name, std::string peer,
                                std::string user_agent) {
  auto session = std::make_shared<Session>();
  session->key = "52" + make_uuid().substr(2);
  session->secret = random_hex(20);
  session->user = std::move(user);
  session->full_name = std::move(full_name);
  session->peer_address = std::move(peer);
  session->user_agent = std::move(user_agent);
  session->login_time = session->last_active = model::now();
  state_->by_key[session->key] = session;
  std::lock_guard lock(state_->mutex);
  state_->by_secret[session->secret] = session;
  return session;
}

SessionPtr SessionTable::find_by_secret(std::string_view secret) const {
  // The secret is 160 random bits and is looked up by hash: what an attacker can time is the hash
  // of a guess, not how much of it was right.
  std::lock_guard lock(state_->mutex);
  const auto found = state_->by_secret.find(std::string(secret));
  return found == state_->by_secret.end() ? nullptr : found->second;
}

SessionPtr SessionTable::find(std::string_view key) const {
  const auto found = state_->by_key.find(std::string(key));
  return found == state_->by_key.end() ? nullptr : found->second;
}

std::vector<SessionPtr> SessionTable::all() const {
  std::vector<SessionPtr> sessions;
  for (const auto& [key, session] : state_->by_key) sessions.push_back(session);
  return sessions;
}

void SessionTable::end(const std::string& key) {
  const auto found = state_->by_key.find(key);
  if (found == state_->by_key.end()) return;
  const SessionPtr session = found->second;
  state_->by_key.erase(found);
  {
    std::lock_guard lock(state_->mutex);
    state_->by_secret.erase(session->secret);
  }
  for (const auto& object : state_->inventory.all()) {
    if (object->owner() == key) state_->inventory.remove(object->self());
  }
  session->attachments.clear();
  for (const auto& hook : state_->on_end) hook();
}

void SessionTable::on_end(std::function<void()> hook) {
  state_->on_end.push_back(std::move(hook));
}

std::string SessionTable::issue_clone_ticket(const SessionPtr& session) {
  std::erase_if(state_->tickets, [](const auto& entry) {
    return entry.second.expiry < std::chrono::steady_clock::now();
  });
  std::string ticket = "cst-VC-" + random_hex(20);
  state_->tickets[ticket] = {session, std::chrono::steady_clock::now() + kTicketLife};
  return ticket;
}

SessionPtr SessionTable::redeem_clone_ticket(const std::string& ticket) {
  const auto found = state_->tickets.find(ticket);
  if (found == state_->tickets.end()) return nullptr;
  const State::Ticket taken = found->second;
  state_->tickets.erase(found);
  if (taken.expiry < std::chrono::steady_clock::now()) return nullptr;
  const SessionPtr session = taken.session.lock();
  return session && find(session->key) ? session : nullptr;
}

void SessionTable::set_idle_timeout(std::chrono::seconds timeout) {
  state_->idle_timeout = timeout;
  state_->schedule_sweep();
}

void SessionTable::State::schedule_sweep() {
  timer.cancel();
  if (idle_timeout.count() == 0) return;
  // Expiry is told in whole minutes by every client; a tenth of the timeout is exact enough.
  timer.expires_after(std::max<std::chrono::steady_clock::duration>(
      std::chrono::milliseconds(100), std::chrono::steady_clock::duration(idle_timeout) / 10));
  timer.async_wait([weak = weak_from_this()](boost::system::error_code failed) {
    const auto self = weak.lock();
    if (failed || !self || !self->table) return;
    self->sweep();
    self->schedule_sweep();
  });
}

void SessionTable::State::sweep() {
  for (const SessionPtr& session : table->all()) {
    if (session->calls_in_flight == 0 && model::now() - session->last_active > idle_timeout)
      table->end(session->key);
  }
}

}  // namespace virga::kernel
