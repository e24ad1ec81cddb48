// PropertyCollector: reads properties of many objects at once and reports their changes.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kernel/session_references.h"
#include "kernel/update_feed.h"
#include "vim/interfaces.h"

namespace virga::kernel {

// What is left of answers given page by page, by token.
class RetrievalPages {
 public:
  // The first page; the rest waits under the result's token.
  model::Ptr<vim::RetrieveResult> begin(model::List<vim::ObjectContent> objects, std::size_t size);
  // The next one. Throws InvalidArgument for a token that is not, or no longer, valid.
  model::Ptr<vim::RetrieveResult> next(const std::string& token);
  void drop(const std::string& token);

 private:
  struct Rest {
    model::List<vim::ObjectContent> objects;
    std::size_t at;
    std::size_t size;
  };
  model::Ptr<vim::RetrieveResult> cut(Rest rest);
  Rest take(const std::string& token);

  std::map<std::uint64_t, Rest> rests_;  // oldest first
  std::uint64_t tokens_ = 0;
};

// The collector that every session finds in the ServiceContent, where each has its own filters; and
// those that sessions make for themselves.
class PropertyCollector final : public Implements<vim::PropertyCollector>, private Watcher {
 public:
  // The one for all.
  PropertyCollector(Kernel& kernel, MoRef self);
  // A session's own.
  PropertyCollector(Kernel& kernel, const Session& session);

  // To be called on a session's own once it is in the inventory.
  void open();

  // With the session's own filters.
  DataPtr snapshot_for(const Session* session) const override;

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
  // What a collector keeps for one session.
  struct State;

  State& state(model::Call& call);
  void object_removed(Object& self) override;
  Async<model::List<vim::ObjectContent>> read(Reader reader,
                                              model::List<vim::PropertyFilterSpec> specs);

  Kernel& kernel_;
  const std::shared_ptr<SessionReferences> filters_;
  std::shared_ptr<State> own_;  // of a session's own collector
};

}  // namespace virga::kernel
