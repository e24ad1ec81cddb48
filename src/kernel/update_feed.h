// The filters of one property collector in one session, and the calls that wait for their updates.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "kernel/property_filter.h"
#include "kernel/session_references.h"

namespace virga::kernel {

// Kernel executor only.
//
// Every answer has a version, and is kept until the client shows that it has it by asking for what
// came after it: an answer that was lost on its way is sent again. Several calls may wait at once;
// each gets every update, so that one whose client has gone away swallows none.
class UpdateFeed final : public std::enable_shared_from_this<UpdateFeed>, private Watcher {
 public:
  struct Limits {
    std::optional<std::chrono::seconds> wait;  // for something to tell; unset: for ever
    std::size_t objects = SIZE_MAX;            // updates in one answer
  };

  // `listed`: where its filters are listed for readers.
  UpdateFeed(Kernel& kernel, std::string session, std::shared_ptr<SessionReferences> listed);

  // A new filter, in the inventory. Throws as PropertyFilter does.
  MoRef add_filter(const Reader& reader, model::Ptr<vim::PropertyFilterSpec> spec,
                   bool partial_updates);

  // What has changed since `version`: "" (everything is new), the newest answer's, or the one
  // before that; InvalidCollectorVersion otherwise. Empty when the time has passed first. Throws
  // RequestCanceled after cancel() and close().
  Async<model::Ptr<vim::UpdateSet>> wait(std::string version, Limits limits);

  // Ends the waits that are under way.
  void cancel();
  // Ends every wait, now and later.
  void close();
  // Ends the filters.
  void destroy_filters();
  // Lets go of the filters, which stay in the inventory: somebody else ends them.
  void release_filters();

 private:
  class Waiting;
  class Collecting;

  void object_removed(Object& filter) override;
  void wake();
  bool has_news() const;
  std::uint64_t accept(const std::string& version);
  bool up_to_date(std::uint64_t known) const;
  Async<model::Ptr<vim::UpdateSet>> collect(std::size_t limit);

  Kernel& kernel_;
  const std::string session_;
  const std::shared_ptr<SessionReferences> listed_;
  std::vector<std::shared_ptr<PropertyFilter>> filters_;
  std::uint64_t version_ = 0;          // of the newest answer
  model::Ptr<vim::UpdateSet> newest_;  // that answer, until the client shows that it has it
  Signal changed_;
  int waiting_ = 0;
  bool woken_ = false;  // since somebody last looked for news
  bool collecting_ = false;
  std::uint64_t cancellations_ = 0;
  bool closed_ = false;
};

}  // namespace virga::kernel
