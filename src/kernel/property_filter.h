// PropertyFilter: what one client wants to hear of, and what it has not heard yet.
//
// At rest a filter knows only its members. A change leaves behind the snapshot the client knows,
// once per object however often it changes; the difference is worked out when it is asked for.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "kernel/selection.h"
#include "vim/interfaces.h"

namespace virga::kernel {

// One object's news, taken from a filter. Holds all that render() needs, so that any thread can.
struct PendingUpdate {
  std::shared_ptr<Object> object;
  vim::ObjectUpdateKind kind;
  const TypeRequest* request;  // nullptr for leave
  DataPtr before;              // what the client knows; modify only
  DataPtr now;                 // modify and enter
};

// Some of a filter's news.
struct UpdateBatch {
  MoRef filter;
  Reader reader;
  bool partial;
  std::shared_ptr<FilterPlan> plan;  // keeps the requests alive
  std::vector<PendingUpdate> updates;
  std::vector<MoRef> missing;  // objects the spec names that were not there
};

// The batch in the API's words; nullopt when nothing the client asked for has changed. Any thread.
std::optional<vim::PropertyFilterUpdate> render(const Kernel& kernel, const UpdateBatch& batch);

class PropertyFilter final : public Implements<vim::PropertyFilter>,
                             private Watcher,
                             private Selection::Listener {
 public:
  // `wake` is called when a filter that had no news has some. Throws as FilterPlan does, and
  // ManagedObjectNotFound for a missing root unless the spec wants to go on without.
  PropertyFilter(Kernel& kernel, MoRef self, Reader reader, const vim::PropertyFilterSpec& spec,
                 bool partial_updates, std::function<void()> wake);

  // To be called once it is in the inventory: begins to watch. It ends with its removal.
  void open();

  // Forgets what the client knows: everything is news again.
  void restart();
  // Takes news of at most `limit` objects.
  UpdateBatch take(std::size_t limit);
  bool has_news() const;

  Async<void> DestroyPropertyFilter(model::Call&,
                                    const vim::DestroyPropertyFilterRequestType&) override;

 private:
  struct News {
    std::shared_ptr<Object> object;
    bool known;      // the client has been told of the object
    DataPtr before;  // as it was told; empty when not known
  };

  void object_removed(Object& self) override;

  bool wants(Object& object) override;
  void entered(Object& object) override;
  void left(Object& object) override;
  void changed(Object& object, const DataPtr& before) override;
  void outdated() override;

  void add_news(News news);
  void take_missing(UpdateBatch& batch);
  std::optional<PendingUpdate> take_one();

  Kernel& kernel_;
  const Reader reader_;
  const std::shared_ptr<FilterPlan> plan_;
  const std::function<void()> wake_;
  Selection selection_;
  std::vector<MoRef> missing_;
  bool missing_told_ = true;
  std::list<News> news_;  // oldest first
  std::unordered_map<const Object*, std::list<News>::iterator> news_of_;
};

}  // namespace virga::kernel
