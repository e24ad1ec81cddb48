#include "kernel/event_log.h"

#include "base/error.h"
#include "base/log.h"
#include "kernel/inventory.h"
#include "model/clock.h"
#include "model/json.h"

namespace virga::kernel {
namespace {

// Events come in bursts; a burst costs the disk one sync.
constexpr auto kFlushDelay = std::chrono::seconds(1);

}  // namespace

EventLog::EventLog(Inventory& inventory, std::shared_ptr<Database> database, std::size_t keep)
    : database_(std::move(database)), keep_(keep), flush_timer_(inventory.executor()) {
  for (const auto& record : database_->events(keep_)) {
    try {
      events_.push_back(model::Ptr<vim::Event>(model::json_binding::read_object(record.document)));
    } catch (const std::exception& failure) {
      logger("events")->warn("event {} cannot be read: {}", record.key, failure.what());
    }
    next_key_ = record.key + 1;
  }
  database_->trim_events(keep_);
}

model::Ptr<vim::Event> EventLog::post(model::Ptr<vim::Event> event, const std::string& message,
                                      const std::string& user) {
  vim::Event& e = event.edit();
  e.key = next_key_++;
  if (e.chainId == 0) e.chainId = e.key;
  e.createdTime = model::now();
  e.userName = user;
  e.fullFormattedMessage = message;
  logger("events")->info("{}: {}", event->type_info().name, message);
  database_->append_event({e.key, model::json_binding::write_object(e)});
  ++since_trim_;
  schedule_flush();
  events_.push_back(event);
  if (events_.size() > keep_) events_.pop_front();
  for (const auto& [number, listener] : std::map(listeners_)) listener(event);
  return event;
}

void EventLog::schedule_flush() {
  if (std::exchange(flush_scheduled_, true)) return;
  flush_timer_.expires_after(kFlushDelay);
  flush_timer_.async_wait([weak = weak_from_this()](boost::system::error_code stopped) {
    const auto self = weak.lock();
    if (self && !stopped) self->flush();
  });
}

void EventLog::flush() {
  flush_scheduled_ = false;
  try {
    database_->flush();
    if (since_trim_ > keep_ / 10) {
      database_->trim_events(keep_);
      since_trim_ = 0;
    }
  } catch (const Error& failure) {
    logger("events")->error("events wait: {}", failure.what());
    schedule_flush();
  }
}

model::Ptr<vim::Event> EventLog::latest() const {
  return events_.empty() ? model::Ptr<vim::Event>() : events_.back();
}

std::uint64_t EventLog::add_listener(
    std::function<void(const model::Ptr<vim::Event>&)> listener) {
  listeners_[++next_listener_] = std::move(listener);
  return next_listener_;
}

void EventLog::remove_listener(std::uint64_t number) { listeners_.erase(number); }

}  // namespace virga::kernel
