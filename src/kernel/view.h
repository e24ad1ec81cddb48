// What the views have in common: a `view` property that follows a Selection.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernel/selection.h"

namespace virga::kernel {

// The members of a selection as the array a view shows, in the order they came.
//
// Changes are gathered and shown together, by a handler posted to the kernel executor: before any
// call that comes after the change, and outside the notification of the change, which may not
// publish anything.
class LiveMembers final : private Selection::Listener {
 public:
  using Wants = std::function<bool(Object&)>;
  using Show = std::function<void(model::Array<MoRef>)>;

  // `session`: whose own objects may be members. `wants`: which objects are.
  // `show` is called with the members, never from inside a notification.
  LiveMembers(Inventory& inventory, std::string session, Wants wants, Show show);
  ~LiveMembers() override;

  // Follows another plan and shows its members at once.
  void follow(SelectionPlan plan);
  // Ends the watching; show is not called any more.
  void close();

  const model::Array<MoRef>& members() const { return members_; }

 private:
  bool wants(Object& object) override { return wants_(object); }
  void entered(Object& object) override;
  void left(Object& object) override;
  void changed(Object&, const DataPtr&) override {}
  void outdated() override { show_later(); }

  void show_later();
  void show_now();

  Inventory& inventory_;
  Wants wants_;
  Show show_;
  model::Array<MoRef> members_;
  std::unordered_set<std::string> left_;  // moIds to be taken out of members_
  Selection selection_;
  // Posted handlers ask it whether there still is somebody to show to.
  std::shared_ptr<LiveMembers*> self_;
  bool posted_ = false;
};

}  // namespace virga::kernel
