// PropertyCollector: reads properties of many objects at once and reports their changes.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/per_session.h"
#include "kernel/property_filter.h"
#include "vim/interfaces.h"

namespace virga::kernel {

// The filters of one collector in one session, and the calls that wait for their updates. Several
// calls may wait at once; each gets every update, so that one whose client is gone swallows none.
// Kernel executor only.
class UpdateFeed final : public std::enable_shared_from_this<UpdateFeed>, private Watcher {
 public:
  struct Limits {
    std::optional<std::chrono::seconds> wait;  // how long for the first update; unset: for ever
    std::size_t objects = SIZE_MAX;            // updates in one answer
  };

  UpdateFeed(Kernel& kernel, std::string session);

  MoRef add_filter(const Reader& reader, const vim::PropertyFilterSpec& spec, bool partial_updates);
  model::Array<MoRef> filters() const;

  // What has changed since `version`: "" (all), the newest version, or the one before as long as
  // the newest has not been acknowledged by asking with it; InvalidCollectorVersion otherwise.
  // Empty when the time passed first. Throws RequestCanceled after cancel() and close().
  Async<model::Ptr<vim::UpdateSet>> wait(std::string version, Limits limits);
  void cancel();
  // Ends the filters and every wait.
  void close();

 private:
  class Waiting;

  void object_removed(Object& filter) override;
  void wake();
  void accept(const std::string& version);
  std::vector<UpdateBatch> take(std::size_t limit);
  bool has_news() const;
  Async<model::Ptr<vim::UpdateSet>> collect(std::size_t limit);

  Kernel& kernel_;
  const std::string session_;
  std::vector<std::shared_ptr<PropertyFilter>> filters_;
  std::uint64_t version_ = 0;                  // of the newest answer
  model::Ptr<vim::UpdateSet> unacknowledged_;  // the newest answer until the client shows it has it
  Signal changed_;
  int waiting_ = 0;
  bool woken_ = false;
  bool collecting_ = false;
  std::uint64_t cancellations_ = 0;
  bool closed_ = false;
};

// What is left of a paged answer, by token. Kernel executor only.
class RetrievalPages {
 public:
  // Splits off the first page; the rest waits under the result's token.
  vim::RetrieveResult page(model::List<vim::ObjectContent> objects, std::size_t size);
  vim::RetrieveResult next(const std::string& token);
  void drop(const std::string& token);

 private:
  struct Rest {
    model::List<vim::ObjectContent> objects;
    std::size_t at;
    std::size_t size;
  };
  vim::RetrieveResult cut(Rest rest);

  std::map<std::uint64_t, Rest> rests_;  // oldest first
  std::uint64_t tokens_ = 0;
};

// The collector every session finds in the ServiceContent, whose filters are each session's own,
// and those that sessions make for themselves.
class PropertyCollector final : public Implements<vim::PropertyCollector>,
                                public PerSession,
                                private Watcher {
 public:
  // The collector of all.
  PropertyCollector(Kernel& kernel, MoRef self);
  // A session's own.
  PropertyCollector(Kernel& kernel, const SessionPtr& session);

  // To be called on a session's own once it is in the inventory.
  void open();

  DataPtr snapshot_for(const std::string& session) const override;

  Async<MoRef> CreateFilter(model::Call& call, const vim::CreateFilterRequestType& r) override;
  Async<model::List<vim::ObjectContent>> RetrieveProperties(
      model::Call& call, const vim::RetrievePropertiesRequestType& r) override;
  Async<model::Ptr<vim::UpdateSet>> CheckForUpdates(
      model::Call& call, const vim::CheckForUpdatesRequestType& r) override;
  Async<model::Ptr<vim::UpdateSet>> WaitForUpdates(
      model::Call& call, const vim::WaitForUpdatesRequestType& r) override;
  Async<void> CancelWaitForUpdates(model::Call& call,
                                   const vim::CancelWaitForUpdatesRequestType& r) override;
  Async<model::Ptr<vim::UpdateSet>> WaitForUpdatesEx(
      model::Call& call, const vim::WaitForUpdatesExRequestType& r) override;
  Async<model::Ptr<vim::RetrieveResult>> RetrievePropertiesEx(
      model::Call& call, const vim::RetrievePropertiesExRequestType& r) override;
  Async<model::Ptr<vim::RetrieveResult>> ContinueRetrievePropertiesEx(
      model::Call& call, const vim::ContinueRetrievePropertiesExRequestType& r) override;
  Async<void> CancelRetrievePropertiesEx(
      model::Call& call, const vim::CancelRetrievePropertiesExRequestType& r) override;
  Async<MoRef> CreatePropertyCollector(model::Call& call,
                                       const vim::CreatePropertyCollectorRequestType& r) override;
  Async<void> DestroyPropertyCollector(model::Call& call,
                                       const vim::DestroyPropertyCollectorRequestType& r) override;

 private:
  // What the collector keeps for one session.
  struct State;
  State& state(model::Call& call);

  void object_removed(Object& self) override;
  Async<model::List<vim::ObjectContent>> read(model::Call& call,
                                              model::List<vim::PropertyFilterSpec> specs);

  Kernel& kernel_;
  std::shared_ptr<State> own_;  // of a session's own collector
};

}  // namespace virga::kernel
