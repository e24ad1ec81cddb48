// EventManager and its collectors.
#pragma once

#include "kernel/event_log.h"
#include "kernel/history_collector.h"

namespace virga::kernel {

class EventManager final : public Implements<vim::EventManager> {
 public:
  EventManager(Kernel& kernel, MoRef self);
  ~EventManager() override;

  Async<model::List<vim::EventArgDesc>> RetrieveArgumentDescription(
      model::Call&, const vim::RetrieveArgumentDescriptionRequestType&) override;
  Async<MoRef> CreateCollectorForEvents(model::Call&,
                                        const vim::CreateCollectorForEventsRequestType&) override;
  Async<void> LogUserEvent(model::Call&, const vim::LogUserEventRequestType&) override;
  Async<model::List<vim::Event>> QueryEvents(model::Call&,
                                             const vim::QueryEventsRequestType&) override;
  Async<void> PostEvent(model::Call&, const vim::PostEventRequestType&) override;

 private:
  Kernel& kernel_;
  std::uint64_t listener_;
};

class EventHistoryCollector final : public HistoryCollector<vim::EventHistoryCollector> {
 public:
  EventHistoryCollector(Kernel& kernel, MoRef self, vim::EventFilterSpec filter);
  ~EventHistoryCollector() override;

  Async<model::List<vim::Event>> ReadNextEvents(model::Call&,
                                                const vim::ReadNextEventsRequestType&) override;
  Async<model::List<vim::Event>> ReadPreviousEvents(
      model::Call&, const vim::ReadPreviousEventsRequestType&) override;

 protected:
  std::vector<std::int64_t> keys() const override;
  void refresh_page() override;

 private:
  std::vector<model::Ptr<vim::Event>> selected() const;
  model::List<vim::Event> pick(const std::vector<std::size_t>& indexes) const;

  Kernel& kernel_;
  const vim::EventFilterSpec filter_;
  std::uint64_t listener_;
};

// Whether the filter selects the event.
bool selects(const Inventory& inventory, const vim::EventFilterSpec& filter,
             const model::Ptr<vim::Event>& event);

}  // namespace virga::kernel
