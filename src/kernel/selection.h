// The objects a SelectionPlan leads to, kept up to date: what filters and views stand on.
//
// An object is selected as long as a root or a traversal leads to it; the selection counts these
// reasons. When references appear it follows just those. When they disappear, the objects they led
// to lose a reason; only where such an object leads further itself is the whole selection worked
// out anew, because counting cannot see through a circle.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel/filter_plan.h"
#include "kernel/inventory.h"

namespace virga::kernel {

// Kernel executor only.
class Selection final : private Watcher {
 public:
  // Hears of the members. entered() and left() come from refresh(); left() also with the removal of
  // an object; changed() and outdated() with the change itself.
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

  // Selects nothing before the first refresh(). `session`: whose own objects it may see.
  Selection(Inventory& inventory, std::string session, Listener& listener);
  Selection(const Selection&) = delete;
  Selection& operator=(const Selection&) = delete;

  // Selects by this plan from the next refresh() on.
  void follow(std::shared_ptr<const SelectionPlan> plan);
  // Brings the members up to date.
  void refresh();
  // Forgets plan and members without a word. To be called before it ends, unless the inventory has
  // ended.
  void clear();

  bool contains(Object& object) const;
  bool is_outdated() const { return rebuild_ || !stale_.empty(); }

 private:
  // A traversal that is taken from an object.
  struct Source {
    const Traversal* traversal;
    DataPtr seen;                   // the snapshot whose references have been followed
    std::vector<MoRef> unresolved;  // those of them that led nowhere
  };
  struct Node {
    std::uint32_t reasons = 0;  // to be selected
    bool was_member = false;    // while the selection is worked out anew: before it
    std::unique_ptr<std::list<Source>> sources;
  };
  using Sources = std::vector<std::pair<Object*, Source*>>;

  void object_changed(Object& object, const DataPtr& before) override;
  void object_removed(Object& object) override;

  void rebuild();
  void update(Object& object);
  void follow_all(Sources fresh);
  void reach(Source& source, const MoRef& target, Sources& fresh);
  void lose(Source& source, const MoRef& target);
  void take(const Traversal& traversal, Object& object, Sources& fresh);
  void add_reason(Object& object);
  void lose_reason(Object& object);
  Node& node(Object& object);
  std::shared_ptr<Object> find(const MoRef& ref) const;

  Inventory& inventory_;
  const std::string session_;
  Listener& listener_;
  std::shared_ptr<const SelectionPlan> plan_;
  std::shared_ptr<const SelectionPlan> next_plan_;
  std::unordered_map<Object*, Node> nodes_;  // the members and the sources, all watched
  std::vector<Object*> stale_;               // sources whose references have changed
  std::vector<MoRef> removed_;               // since the last refresh
  bool rebuild_ = false;
};

}  // namespace virga::kernel
