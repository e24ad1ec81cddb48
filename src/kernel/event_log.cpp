#include "kernel/event_log.h"

#include "base/log.h"
#include "model/clock.h"
#include "model/json.h"

namespace virga::kernel {

EventLog::EventLog(Inventory& inventory, std::shared_ptr<Database> database, std::size_t keep)
    : inventory_(inventory), database_(std::move(database)), keep_(keep) {
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
  events_.push_back(event);
  if (events_.size() > keep_) events_.pop_front();
  for (const auto& [number, listener] : std::map(listeners_)) listener(event);
  return event;
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
