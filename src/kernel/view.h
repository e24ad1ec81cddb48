// What the views have in common: a list of objects that keeps itself up to date.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_set>

#include "kernel/kernel.h"
#include "kernel/selection.h"

namespace virga::kernel {

// The members of a selection as an array, in the order they came. Kernel executor only.
//
// Changes are gathered and told together by a handler posted to the kernel executor: that is
// outside the notification of a change, which may not change anything itself, and before any call
// that arrives after it.
class LiveMembers final : private Selection::Listener {
 public:
  using Wants = std::function<bool(Object&)>;
  using Show = std::function<void(const model::Array<MoRef>&)>;

  // `session`: whose own objects may be members. `wants`: which objects may. `show` is called with
  // the members after they have changed. Both are asked again when permissions change.
  LiveMembers(Kernel& kernel, std::string session, Wants wants, Show show);
  ~LiveMembers() override;

  // Selects by this plan and shows the members.
  void follow(SelectionPlan plan);
  // Ends the watching for good. To be called before it ends, unless the inventory has ended.
  void close();

  const model::Array<MoRef>& members() const { return members_; }

 private:
  bool wants(Object& object) override { return wants_(object); }
  void entered(Object& object) override;
  void left(Object& object) override;
  void changed(Object&, const DataPtr&) override {}
  void outdated() override { refresh_later(); }

  void refresh_later();
  void refresh();
  void select_again();

  Kernel& kernel_;
  const Wants wants_;
  const Show show_;
  model::Array<MoRef> members_;
  std::unordered_set<std::string> left_;  // moIds that are still in members_
  bool changed_ = false;
  bool posted_ = false;
  std::shared_ptr<LiveMembers*> self_;  // by which a posted handler finds it until it is closed
  std::shared_ptr<const SelectionPlan> plan_;
  Selection selection_;
  std::shared_ptr<const void> permissions_watch_;
};

}  // namespace virga::kernel
