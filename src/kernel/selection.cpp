#include "kernel/selection.h"

#include <algorithm>

namespace virga::kernel {
namespace {

struct ReferenceChanges {
  std::vector<MoRef> added, removed;
};

// The references that one of two arrays has more often than the other, whatever their order.
ReferenceChanges compare(std::span<const MoRef> before, std::span<const MoRef> after) {
  // Most changes touch one place of a long array.
  while (!before.empty() && !after.empty() && before.front() == after.front()) {
    before = before.subspan(1);
    after = after.subspan(1);
  }
  while (!before.empty() && !after.empty() && before.back() == after.back()) {
    before = before.first(before.size() - 1);
    after = after.first(after.size() - 1);
  }
  std::vector<MoRef> was(before.begin(), before.end()), is(after.begin(), after.end());
  std::ranges::sort(was);
  std::ranges::sort(is);
  ReferenceChanges changes;
  std::ranges::set_difference(is, was, std::back_inserter(changes.added));
  std::ranges::set_difference(was, is, std::back_inserter(changes.removed));
  return changes;
}

const ReferenceChanges& changed_references(const RequestedProperty& path, const DataPtr& before,
                                           const DataPtr& after) {
  // As with changed_properties(): all who follow the path ask it of the same change.
  thread_local struct {
    DataPtr before, after;
    std::string path;
    ReferenceChanges changes;
  } last;
  if (last.before.get() != before.get() || last.after.get() != after.get() ||
      last.path != path.path())
    last = {before, after, path.path(), compare(path.references(before), path.references(after))};
  return last.changes;
}

}  // namespace

Selection::Selection(Inventory& inventory, std::string session, Listener& listener)
    : inventory_(inventory), session_(std::move(session)), listener_(listener) {}

void Selection::follow(std::shared_ptr<const SelectionPlan> plan) {
  next_plan_ = std::move(plan);
  rebuild_ = true;
}

void Selection::refresh() {
  // An object that has gone and come again under its old name is another one, though the references
  // look the same.
  for (const MoRef& ref : removed_) rebuild_ = rebuild_ || inventory_.find(ref);
  removed_.clear();
  if (!rebuild_) {
    for (Object* object : std::exchange(stale_, {})) update(*object);
  }
  if (rebuild_) rebuild();
}

void Selection::clear() {
  for (const auto& [object, node] : nodes_) inventory_.unwatch(object->self(), this);
  nodes_.clear();
  stale_.clear();
  removed_.clear();
  plan_.reset();
  next_plan_.reset();
  rebuild_ = false;
}

bool Selection::contains(Object& object) const {
  const auto found = nodes_.find(&object);
  return found != nodes_.end() && found->second.reasons > 0;
}

void Selection::object_changed(Object& object, const DataPtr& before) {
  const auto found = nodes_.find(&object);
  if (found == nodes_.end()) return;
  const Node& node = found->second;
  if (node.sources) {
    const PropertySet changed = changed_properties(before, object.snapshot());
    const bool led_elsewhere = std::ranges::any_of(*node.sources, [&](const Source& source) {
      return changed.test(source.traversal->path.bit());
    });
    if (led_elsewhere) {
      if (std::ranges::find(stale_, &object) == stale_.end()) stale_.push_back(&object);
      listener_.outdated();
    }
  }
  if (node.reasons > 0) listener_.changed(object, before);
}

void Selection::object_removed(Object& object) {
  const auto found = nodes_.find(&object);
  if (found == nodes_.end()) return;
  const Node node = std::move(found->second);
  nodes_.erase(found);
  std::erase(stale_, &object);
  removed_.push_back(object.self());
  if (node.reasons > 0) listener_.left(object);
  if (node.sources) {
    rebuild_ = true;
    listener_.outdated();
  }
}

void Selection::rebuild() {
  if (next_plan_) plan_ = std::move(next_plan_);
  rebuild_ = false;
  stale_.clear();
  for (auto& [object, node] : nodes_) {
    node.was_member = node.reasons > 0;
    node.reasons = 0;
    node.sources.reset();
  }
  Sources fresh;
  for (const SelectionPlan::Root& root : plan_->roots) {
    const auto object = find(root.object);
    if (!object) continue;
    if (!root.skip) add_reason(*object);
    for (const Traversal* traversal : root.next) take(*traversal, *object, fresh);
  }
  follow_all(std::move(fresh));
  for (auto at = nodes_.begin(); at != nodes_.end();) {
    auto& [object, node] = *at;
    if (std::exchange(node.was_member, false) && node.reasons == 0) listener_.left(*object);
    const bool used = node.reasons > 0 || node.sources;
    if (!used) inventory_.unwatch(object->self(), this);
    at = used ? std::next(at) : nodes_.erase(at);
  }
}

// Follows the references of the fresh sources, and of those that they lead to.
void Selection::follow_all(Sources fresh) {
  while (!fresh.empty()) {
    Sources further;
    for (const auto& [object, source] : fresh) {
      source->seen = object->snapshot();
      for (const MoRef& target : source->traversal->path.references(source->seen))
        reach(*source, target, further);
    }
    fresh = std::move(further);
  }
}

// Follows what has changed in the references of a source.
void Selection::update(Object& object) {
  const auto found = nodes_.find(&object);
  if (found == nodes_.end() || !found->second.sources) return;
  Sources fresh;
  for (Source& source : *found->second.sources) {
    if (!source.seen) continue;  // taken in this very update
    const DataPtr now = object.snapshot();
    const ReferenceChanges changes = changed_references(source.traversal->path, source.seen, now);
    source.seen = now;
    for (const MoRef& target : changes.removed) lose(source, target);
    if (rebuild_) return;
    for (const MoRef& target : changes.added) reach(source, target, fresh);
  }
  follow_all(std::move(fresh));
}

void Selection::reach(Source& source, const MoRef& target, Sources& fresh) {
  const auto object = find(target);
  if (!object) {
    source.unresolved.push_back(target);
    return;
  }
  if (!source.traversal->skip) add_reason(*object);
  for (const Traversal* traversal : source.traversal->next) take(*traversal, *object, fresh);
}

void Selection::lose(Source& source, const MoRef& target) {
  const auto unresolved = std::ranges::find(source.unresolved, target);
  if (unresolved != source.unresolved.end()) {
    source.unresolved.erase(unresolved);
    return;
  }
  const auto object = find(target);
  const auto found = object ? nodes_.find(object.get()) : nodes_.end();
  if (found == nodes_.end()) return;  // removed, or not wanted
  if (found->second.sources) {
    rebuild_ = true;
  } else if (!source.traversal->skip) {
    lose_reason(*object);
  }
}

void Selection::take(const Traversal& traversal, Object& object, Sources& fresh) {
  if (!object.interface().info().is_a(*traversal.type)) return;
  auto& sources = node(object).sources;
  if (!sources) sources = std::make_unique<std::list<Source>>();
  for (Source& source : *sources) {
    if (source.traversal == &traversal) return;
  }
  sources->push_back({&traversal, {}, {}});
  fresh.emplace_back(&object, &sources->back());
}

void Selection::add_reason(Object& object) {
  if (!listener_.wants(object)) return;
  Node& selected = node(object);
  if (selected.reasons++ == 0 && !selected.was_member) listener_.entered(object);
}

void Selection::lose_reason(Object& object) {
  const auto found = nodes_.find(&object);
  if (found == nodes_.end() || found->second.reasons == 0 || --found->second.reasons > 0) return;
  inventory_.unwatch(object.self(), this);
  nodes_.erase(found);
  listener_.left(object);
}

Selection::Node& Selection::node(Object& object) {
  const auto [entry, fresh] = nodes_.try_emplace(&object);
  if (fresh) inventory_.watch(object.self(), this);
  return entry->second;
}

std::shared_ptr<Object> Selection::find(const MoRef& ref) const {
  auto object = inventory_.find(ref);
  return object && (object->owner().empty() || object->owner() == session_) ? object : nullptr;
}

}  // namespace virga::kernel
