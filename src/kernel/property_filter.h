// PropertyFilter: what one client wants to hear of, and what it has not heard yet.
//
// At rest a filter knows its members and no more. A change leaves behind the snapshot that the
// client knows, once per object however often it changes; the difference is worked out when it is
// asked for.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kernel/retrieval.h"
#include "kernel/selection.h"
#include "vim/interfaces.h"

namespace virga::kernel {

// News of one object, with all that it takes to put them into words.
struct PendingUpdate {
  vim::ObjectUpdateKind kind;
  std::shared_ptr<Object> object;
  const TypeRequest* request = nullptr;  // not for leave
  DataPtr before;                        // what the client knows; modify only
  DataPtr now;                           // modify and enter
};

// Some of a filter's news.
struct UpdateBatch {
  MoRef filter;
  Reader reader;
  bool partial_updates;
  std::shared_ptr<const FilterPlan> plan;  // which the requests belong to
  std::vector<PendingUpdate> updates;
  std::vector<MoRef> missing;  // objects the spec names that were not there
};

// The batch in the API's words; empty when nothing the client asked for has changed. Any thread.
model::Ptr<vim::PropertyFilterUpdate> render(const Kernel& kernel, const UpdateBatch& batch);

// Kernel executor only.
class PropertyFilter final : public Implements<vim::PropertyFilter>,
                             private Watcher,
                             private Selection::Listener {
 public:
  // `wake` is called when there are news. Throws as FilterPlan does, and ManagedObjectNotFound for
  // a missing root unless the spec reports those in the results.
  PropertyFilter(Kernel& kernel, MoRef self, const Reader& reader,
                 model::Ptr<vim::PropertyFilterSpec> spec, bool partial_updates,
                 std::function<void()> wake);

  // Begins to watch; to be called once it is in the inventory. It ends with its removal.
  void open();

  // Whether take() may find something.
  bool has_news() const;
  // Takes the news of at most `limit` objects, oldest first.
  UpdateBatch take(std::size_t limit);
  // Forgets what the client knows: everything is news again.
  void restart();

  Async<void> DestroyPropertyFilter(model::Call& call,
                                    const vim::DestroyPropertyFilterRequestType& request) override;

 private:
  struct News {
    std::shared_ptr<Object> object;
    DataPtr known;  // as the client knows the object; empty when it has not been told of it
  };

  void object_removed(Object& self) override;

  bool wants(Object& object) override;
  void entered(Object& object) override;
  void left(Object& object) override;
  void changed(Object& object, const DataPtr& before) override;
  void outdated() override { wake_(); }

  void add_news(Object& object, DataPtr known);
  std::optional<PendingUpdate> take_oldest(const Reader& reader);

  const std::weak_ptr<const Session> session_;  // which owns the filter
  const model::Version version_;
  const std::shared_ptr<FilterPlan> plan_;
  const std::function<void()> wake_;
  Selection selection_;
  std::vector<MoRef> missing_;
  bool missing_told_ = false;
  std::list<News> news_;  // oldest first
  std::unordered_map<const Object*, std::list<News>::iterator> news_of_;
};

}  // namespace virga::kernel
