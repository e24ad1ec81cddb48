// The objects a SelectionPlan leads to, kept up to date: what filters and views stand on.
//
// An object is selected as long as a root or a traversal leads to it; the selection counts these
// reasons. When references appear it follows just those. When they disappear the objects they led
// to lose a reason; only where an object itself leads further is the whole selection worked out
// anew, because counting cannot see through a circle.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel/retrieval.h"

namespace virga::kernel {

// Kernel executor only.
class Selection final : private Watcher {
 public:
  // Hears of the members. Calls come from refresh(), except left() for a removed object and
  // changed() and outdated(), which come with the change itself.
  class Listener {
   public:
    virtual ~Listener() = default;
    // Whether an object that the plan leads to is to be a member.
    virtual bool wants(Object& object) = 0;
    virtual void entered(Object& object) = 0;
    virtual void left(Object& object) = 0;
    virtual void changed(Object& object, const DataPtr& before) = 0;
    // References that the plan follows have changed: refresh() has work to do.
    virtual void outdated() = 0;
  };

  // Selects nothing before the first refresh(). `session` is the one whose own objects it may see.
  Selection(Inventory& inventory, std::string session, Listener& listener);
  Selection(const Selection&) = delete;

  // Selects by another plan from the next refresh() on.
  void follow(std::shared_ptr<const SelectionPlan> plan);
  // Brings the members up to date.
  void refresh();
  // Forgets the members without a word. The owner must call it before it ends, unless the inventory
  // has ended.
  void clear();

  bool contains(const Object& object) const;
  bool is_outdated() const { return rebuild_ || !stale_.empty(); }

 private:
  struct Source {
    const Traversal* traversal;
    std::uint32_t uses;
    DataPtr seen;                   // the snapshot whose references were followed
    std::vector<MoRef> unresolved;  // those of them that led nowhere
  };
  struct Node {
    std::uint32_t reasons = 0;
    bool was_member = false;
    std::unique_ptr<std::vector<Source>> sources;
  };
  struct Step {
    const Traversal* traversal;
    Object* from;
  };

  void object_changed(Object& object, const DataPtr& before) override;
  void object_removed(Object& object) override;

  void rebuild();
  void update_source(Object& object, Source& source, std::vector<Step>& work);
  void run(std::vector<Step> work);
  bool apply(const Traversal& traversal, Object& object, std::vector<Step>& work);
  void reach(const Traversal& traversal, Source& source, const MoRef& target,
             std::vector<Step>& work);
  void drop(const Traversal& traversal, Source& source, const MoRef& target);
  void add_reason(Object& object);
  void lose_reason(Object& object);
  void forget_if_unused(Object& object);
  std::shared_ptr<Object> find(const MoRef& ref) const;
  Node& node(Object& object);

  Inventory& inventory_;
  const std::string session_;
  Listener& listener_;
  std::shared_ptr<const SelectionPlan> plan_;
  std::unordered_map<Object*, Node> nodes_;  // all watched
  std::vector<Object*> stale_;               // sources whose references have changed
  std::vector<MoRef> gone_;                  // removed since the last refresh
  bool rebuild_ = false;
};

}  // namespace virga::kernel
