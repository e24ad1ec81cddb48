#include "kernel/inventory.h"

#include <algorithm>

#include "kernel/faults.h"

namespace virga::kernel {

Object::Object(Inventory& inventory, MoRef self, DataPtr properties)
    : inventory_(inventory), self_(std::move(self)), properties_(std::move(properties)) {}

DataPtr Object::snapshot() const {
  std::lock_guard lock(mutex_);
  return properties_;
}

void Object::publish(DataPtr next) {
  DataPtr before;
  {
    std::lock_guard lock(mutex_);
    if (properties_.get() == next.get()) return;
    before = std::exchange(properties_, std::move(next));
  }
  inventory_.changed(*this, before);
}

std::shared_ptr<Object> Inventory::find(const MoRef& ref) const {
  std::shared_lock lock(mutex_);
  const auto entry = entries_.find(ref.value);
  if (entry == entries_.end()) return nullptr;
  const auto& object = entry->second.object;
  if (ref.type.empty() || ref.type == object->self().type) return object;
  const auto* asked = model::find_managed(ref.type);
  return asked && object->interface().info().is_a(*asked) ? object : nullptr;
}

std::shared_ptr<Object> Inventory::get(const MoRef& ref) const {
  auto object = find(ref);
  if (!object) throw managed_object_not_found(ref);
  return object;
}

void Inventory::add(std::shared_ptr<Object> object) {
  {
    std::unique_lock lock(mutex_);
    const auto [entry, fresh] = entries_.try_emplace(object->self().value);
    if (!fresh && entry->second.object)
      throw error(ErrorKind::already_exists, object->self().value, "{} is in the inventory already",
                  object->self().value);
    entry->second.object = object;
  }
  sequence_.fetch_add(1, std::memory_order_acq_rel);
  // Copied: a watcher may leave while it is told.
  for (Watcher* watcher : std::vector(membership_watchers_)) watcher->object_added(*object);
}

void Inventory::remove(const MoRef& ref) {
  const auto found = entries_.find(ref.value);
  if (found == entries_.end()) return;
  const auto object = found->second.object;
  for (Watcher* watcher : std::vector(found->second.watchers)) watcher->object_removed(*object);
  for (Watcher* watcher : std::vector(membership_watchers_)) watcher->object_removed(*object);
  {
    std::unique_lock lock(mutex_);
    entries_.erase(ref.value);
  }
  sequence_.fetch_add(1, std::memory_order_acq_rel);
}

std::vector<std::shared_ptr<Object>> Inventory::all() const {
  std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<Object>> objects;
  objects.reserve(entries_.size());
  for (const auto& [value, entry] : entries_) objects.push_back(entry.object);
  return objects;
}

void Inventory::watch(const MoRef& ref, Watcher* watcher) {
  const auto entry = entries_.find(ref.value);
  if (entry != entries_.end()) entry->second.watchers.push_back(watcher);
}

void Inventory::unwatch(const MoRef& ref, Watcher* watcher) {
  const auto entry = entries_.find(ref.value);
  if (entry != entries_.end()) std::erase(entry->second.watchers, watcher);
}

void Inventory::watch_membership(Watcher* watcher) { membership_watchers_.push_back(watcher); }

void Inventory::unwatch_membership(Watcher* watcher) {
  std::erase(membership_watchers_, watcher);
}

void Inventory::changed(Object& object, const DataPtr& before) {
  sequence_.fetch_add(1, std::memory_order_acq_rel);
  const auto entry = entries_.find(object.self().value);
  if (entry == entries_.end() || entry->second.object.get() != &object) return;
  for (Watcher* watcher : std::vector(entry->second.watchers))
    watcher->object_changed(object, before);
}

}  // namespace virga::kernel
