#include "kernel/list_view.h"

#include <algorithm>

namespace virga::kernel {

ListView::ListView(Kernel& kernel, MoRef self, const Reader& reader)
    : Implements(kernel.inventory, std::move(self)),
      kernel_(kernel),
      session_(reader.session),
      members_(
          kernel, reader.session->key, [](Object&) { return true; },
          [this](const model::Array<MoRef>& members) {
            update([&](Properties& p) { p.view = members; });
          }) {}

void ListView::open(const model::Array<MoRef>& objects) {
  inventory().watch(self(), this);
  list(objects);
}

void ListView::object_removed(Object&) {
  members_.close();
}

// Makes these the list; answers those that do not exist.
model::Array<MoRef> ListView::list(const model::Array<MoRef>& objects) {
  const Access access(kernel_, reader());
  model::Array<MoRef> unresolved;
  SelectionPlan plan;
  for (const MoRef& ref : objects) {
    if (const auto object = access.find(ref)) {
      plan.roots.push_back({object->self(), false, {}});
    } else {
      unresolved.push_back(ref);
    }
  }
  members_.follow(std::move(plan));
  return unresolved;
}

Async<model::Array<MoRef>> ListView::ModifyListView(model::Call&,
                                                    const vim::ModifyListViewRequestType& r) {
  model::Array<MoRef> objects = properties().view;
  std::erase_if(objects, [&](const MoRef& ref) {
    return std::ranges::find(r.remove, ref) != r.remove.end();
  });
  objects.insert(objects.end(), r.add.begin(), r.add.end());
  co_return list(objects);
}

Async<model::Array<MoRef>> ListView::ResetListView(model::Call&,
                                                   const vim::ResetListViewRequestType& r) {
  co_return list(r.obj);
}

Async<void> ListView::ResetListViewFromView(model::Call&,
                                            const vim::ResetListViewFromViewRequestType& r) {
  list(members_of_view(kernel_, reader(), r.view));
  co_return;
}

Async<void> ListView::DestroyView(model::Call&, const vim::DestroyViewRequestType&) {
  inventory().remove(self());
  co_return;
}

model::Array<MoRef> members_of_view(const Kernel& kernel, const Reader& reader, const MoRef& view) {
  const auto object = Access(kernel, reader).find(view);
  if (!object) throw managed_object_not_found(view);
  const DataPtr snapshot = object->snapshot();
  if (!model::is_a(snapshot->type_info(), vim::ManagedObjectViewProperties::static_type()))
    throw invalid_argument("view", view.value + " is no view");
  return static_cast<const vim::ManagedObjectViewProperties&>(*snapshot).view;
}

}  // namespace virga::kernel
