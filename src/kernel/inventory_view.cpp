#include "kernel/inventory_view.h"

#include <algorithm>

#include "kernel/containment.h"

namespace virga::kernel {

InventoryView::InventoryView(Kernel& kernel, MoRef self, const Reader& reader)
    : Implements(kernel.inventory, std::move(self)),
      kernel_(kernel),
      session_(reader.session),
      members_(
          kernel, reader.session->key,
          [this](Object& object) { return access().allows(object, "System.View"); },
          [this](const model::Array<MoRef>& members) {
            update([&](Properties& p) { p.view = members; });
          }) {}

void InventoryView::open() {
  inventory().watch(self(), this);
  show_open();
}

void InventoryView::object_removed(Object&) {
  members_.close();
}

void InventoryView::show_open() {
  SelectionPlan plan = containment(open_, false);
  plan.roots.insert(plan.roots.begin(), {kernel_.root_folder, false, {}});
  members_.follow(std::move(plan));
}

// Whether the way up from the entity, itself included, leads through the other one.
bool InventoryView::is_below(MoRef entity, const MoRef& ancestor) const {
  while (entity.value != ancestor.value) {
    const auto object = inventory().find(entity);
    if (!object) return false;
    const DataPtr snapshot = object->snapshot();
    if (!model::is_a(snapshot->type_info(), vim::ManagedEntityProperties::static_type()))
      return false;
    const auto& parent = static_cast<const vim::ManagedEntityProperties&>(*snapshot).parent;
    if (!parent) return false;
    entity = *parent;
  }
  return true;
}

Async<model::Array<MoRef>> InventoryView::OpenInventoryViewFolder(
    model::Call&, const vim::OpenInventoryViewFolderRequestType& r) {
  const Access reader = access();
  model::Array<MoRef> unresolved;
  for (const MoRef& entity : r.entity) {
    if (!reader.find(entity)) {
      unresolved.push_back(entity);
    } else if (std::ranges::find(open_, entity) == open_.end()) {
      open_.push_back(entity);
    }
  }
  show_open();
  co_return unresolved;
}

Async<model::Array<MoRef>> InventoryView::CloseInventoryViewFolder(
    model::Call&, const vim::CloseInventoryViewFolderRequestType& r) {
  const Access reader = access();
  model::Array<MoRef> unresolved;
  for (const MoRef& entity : r.entity) {
    if (!reader.find(entity)) unresolved.push_back(entity);
    std::erase_if(open_, [&](const MoRef& opened) { return is_below(opened, entity); });
  }
  show_open();
  co_return unresolved;
}

Async<void> InventoryView::DestroyView(model::Call&, const vim::DestroyViewRequestType&) {
  inventory().remove(self());
  co_return;
}

}  // namespace virga::kernel
