// Events: what happened, to what, by whom; typed and with a sentence. The newest are kept in memory
// and in the database, which an event reaches within a second.
#pragma once

#include <deque>
#include <functional>
#include <string>

#include "kernel/database.h"
#include "kernel/object.h"
#include "vim/types.h"

namespace virga::kernel {

class EventLog : public std::enable_shared_from_this<EventLog> {
 public:
  // Loads what the database kept. `keep`: how many events are remembered; the database may hold a
  // tenth more.
  EventLog(Inventory& inventory, std::shared_ptr<Database> database, std::size_t keep = 10'000);

  // Adds the event: key, chain, time and message are filled in; `user` may be empty (the system).
  // Kernel executor. The posted event is returned.
  model::Ptr<vim::Event> post(model::Ptr<vim::Event> event, const std::string& message,
                              const std::string& user = {});
  template <class E>
  model::Ptr<vim::Event> post(E event, const std::string& message, const std::string& user = {}) {
    return post(model::Ptr<vim::Event>(model::share(std::move(event)).data()), message, user);
  }

  const std::deque<model::Ptr<vim::Event>>& all() const { return events_; }    // oldest first
  model::Ptr<vim::Event> latest() const;
  // Hears of each event after it was added. Returns a number for remove_listener().
  std::uint64_t add_listener(std::function<void(const model::Ptr<vim::Event>&)> listener);
  void remove_listener(std::uint64_t number);

 private:
  void schedule_flush();
  void flush();

  std::shared_ptr<Database> database_;
  const std::size_t keep_;
  std::int32_t next_key_ = 1;
  std::size_t since_trim_ = 0;
  asio::steady_timer flush_timer_;
  bool flush_scheduled_ = false;
  std::deque<model::Ptr<vim::Event>> events_;
  std::map<std::uint64_t, std::function<void(const model::Ptr<vim::Event>&)>> listeners_;
  std::uint64_t next_listener_ = 0;
};

}  // namespace virga::kernel
