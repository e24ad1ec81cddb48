#include "datastore/lease_keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <thread>

#include "base/companion.h"
#include "base/error.h"
#include "base/log.h"
#include "datastore/vm_lock.h"

namespace virga::datastore {
namespace {

using Clock = std::chrono::steady_clock;

// How long a daemon is let wait for an answer, and how long the keeper waits for its first daemon.
constexpr auto patience = std::chrono::seconds(5);

// How often what has to happen in time is looked at.
std::chrono::milliseconds tick_of(const LeaseTiming& timing) {
  return std::min(timing.interval, timing.others_take - timing.owner_stops) / 6;
}

std::shared_ptr<const Datastore> open_leased(const std::string& folder) {
  auto datastore = std::make_shared<const Datastore>("lease", folder);
  if (!datastore->leases())
    throw error(ErrorKind::invalid_state, folder, "no leases are kept on {}", folder);
  return datastore;
}

// Writes heartbeats from a thread of its own: a datastore that hangs must not keep the others from
// what they have to do in time.
class Beater {
 public:
  struct Result {
    Clock::time_point begun, arrived;
    LeaseGuard::Guests lost;
  };

  Beater(std::shared_ptr<const Datastore> datastore, LockOwner owner)
      : datastore_(datastore),
        owner_(owner),
        file_(datastore, owner.host_uuid, owner.boot_id),
        arrived_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        thread_([this](std::stop_token stop) { run(stop); }) {}
  ~Beater() {
    thread_.request_stop();
    wake_.notify_all();
  }

  int fd() const { return arrived_.get(); }  // readable when there is a result
  void beat_now() {
    const std::lock_guard lock(mutex_);
    is_due_ = true;
    wake_.notify_all();
  }
  void set_guests(LeaseGuard::Guests guests) {
    const std::lock_guard lock(mutex_);
    guests_ = std::move(guests);
  }
  std::optional<Result> take_result() {
    eventfd_t count;
    (void)::eventfd_read(arrived_.get(), &count);
    const std::lock_guard lock(mutex_);
    return std::exchange(result_, std::nullopt);
  }
  // With the thread at rest.
  void remove_file() {
    thread_.request_stop();
    wake_.notify_all();
    thread_.join();
    file_.remove();
  }

 private:
  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      try {
        const auto begun = Clock::now();
        file_.beat();
        tell({begun, Clock::now(), find_lost()});
      } catch (const std::exception& failure) {
        logger("lease")->warn("{}", failure.what());
      }
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, datastore_->leases()->interval,
                     [&] { return is_due_ || stop.stop_requested(); });
      is_due_ = false;
    }
  }

  LeaseGuard::Guests find_lost() {
    std::unique_lock lock(mutex_);
    const LeaseGuard::Guests guests = guests_;
    lock.unlock();
    LeaseGuard::Guests lost;
    for (const std::string& guest : guests)
      if (!is_lock_of({datastore_, guest}, owner_)) lost.insert(guest);
    return lost;
  }

  void tell(Result result) {
    const std::lock_guard lock(mutex_);
    if (result_) result.lost.merge(result_->lost);
    result_ = std::move(result);
    (void)::eventfd_write(arrived_.get(), 1);
  }

  const std::shared_ptr<const Datastore> datastore_;
  const LockOwner owner_;
  HeartbeatFile file_;
  Fd arrived_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_due_ = false;
  LeaseGuard::Guests guests_;
  std::optional<Result> result_;
  std::jthread thread_;
};

class Keeper {
 public:
  explicit Keeper(const LeaseKeeperOptions& options)
      : listener_(options.listener),
        datastore_(open_leased(options.datastore)),
        tick_(tick_of(*datastore_->leases())),
        beater_(datastore_, LockOwner::self(options.host_uuid, "")),
        guard_(*datastore_->leases()) {}

  void run() {
    while (is_needed()) {
      wait();
      accept_clients();
      serve_clients();
      forget_ended_guests();
      if (const auto result = beater_.take_result()) heartbeat(*result);
      carry_out(guard_.time_passed(Clock::now()));
      refuse_the_impatient();
    }
    beater_.remove_file();
  }

 private:
  struct Client {
    Fd socket;
    std::optional<Clock::time_point> waits_since;  // for a heartbeat
  };

  bool is_needed() const {
    const bool is_awaited = !was_asked_ && Clock::now() - started_ < patience;
    return is_awaited || !clients_.empty() || guard_.guards_any();
  }

  void wait() {
    std::vector<pollfd> events = {{listener_.get(), POLLIN, 0}, {beater_.fd(), POLLIN, 0}};
    for (const Client& client : clients_) events.push_back({client.socket.get(), POLLIN, 0});
    for (const auto& [lock, guest] : guests_) events.push_back({guest.get(), POLLIN, 0});
    ::poll(events.data(), events.size(), static_cast<int>(tick_.count()));
  }

  void accept_clients() {
    while (is_readable(listener_.get())) {
      Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) return;
      clients_.push_back({std::move(socket), std::nullopt});
      was_asked_ = true;
    }
  }

  void serve_clients() {
    for (auto client = clients_.begin(); client != clients_.end();) {
      bool is_gone = false;
      while (!is_gone && is_readable(client->socket.get())) {
        auto message = receive_message(client->socket.get());
        is_gone = !message;
        if (message) serve(*client, std::move(*message));
      }
      client = is_gone ? clients_.erase(client) : std::next(client);
    }
  }

  void serve(Client& client, CompanionMessage message) {
    const std::string_view text = message.text;
    if (text == lease_protocol::renew) {
      client.waits_since = Clock::now();
      beater_.beat_now();
    } else if (text.starts_with(lease_protocol::guard) && message.descriptor) {
      const std::string lock(text.substr(std::strlen(lease_protocol::guard)));
      guests_[lock] = std::move(message.descriptor);
      guard_.add(lock);
      tell_beater();
      // The heartbeat after this one finds out whether the lock is still ours.
      client.waits_since = Clock::now();
      beater_.beat_now();
    }
  }

  void answer(Client& client, bool held) {
    client.waits_since.reset();
    const std::string_view text = held ? lease_protocol::held : lease_protocol::late;
    ::send(client.socket.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  void heartbeat(const Beater::Result& result) {
    carry_out(guard_.beat_arrived(result.begun, result.arrived, result.lost));
    for (Client& client : clients_)
      if (client.waits_since && result.begun >= *client.waits_since) answer(client, true);
  }

  void refuse_the_impatient() {
    for (Client& client : clients_)
      if (client.waits_since && Clock::now() - *client.waits_since > patience)
        answer(client, false);
  }

  void forget_ended_guests() {
    for (auto guest = guests_.begin(); guest != guests_.end();) {
      if (!is_readable(guest->second.get())) {
        ++guest;
        continue;
      }
      guard_.remove(guest->first);
      guest = guests_.erase(guest);
      tell_beater();
    }
  }

  void tell_beater() {
    LeaseGuard::Guests locks;
    for (const auto& [lock, guest] : guests_) locks.insert(lock);
    beater_.set_guests(std::move(locks));
  }

  void carry_out(const LeaseGuard::Orders& orders) {
    signal(orders.kill, SIGKILL, "its lock is somebody else's: ended");
    signal(orders.freeze, SIGSTOP, "the datastore does not answer: stopped");
    signal(orders.thaw, SIGCONT, "the datastore answers again: goes on");
  }

  void signal(const LeaseGuard::Guests& guests, int number, const char* what) {
    for (const std::string& lock : guests) {
      logger("lease")->warn("{}: {}", lock, what);
      const auto guest = guests_.find(lock);
      if (guest != guests_.end())
        ::syscall(SYS_pidfd_send_signal, guest->second.get(), number, nullptr, 0);
    }
  }

  const Clock::time_point started_ = Clock::now();
  bool was_asked_ = false;
  Fd listener_;
  std::shared_ptr<const Datastore> datastore_;
  const std::chrono::milliseconds tick_;
  Beater beater_;
  LeaseGuard guard_;
  std::list<Client> clients_;
  std::map<std::string, Fd> guests_;  // pidfds by lock
};

}  // namespace

void keep_lease(const LeaseKeeperOptions& options) {
  Keeper(options).run();
}

}  // namespace virga::datastore
