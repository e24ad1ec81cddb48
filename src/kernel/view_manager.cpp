#include "kernel/view_manager.h"

#include "kernel/inventory_view.h"
#include "kernel/list_view.h"

namespace virga::kernel {
namespace {

Reader reader_of(model::Call& call, const MoRef& manager) {
  if (!context(call).session) throw not_authenticated(manager, "System.View");
  return Reader::of(context(call));
}

}  // namespace

ViewManager::ViewManager(Kernel& kernel, MoRef self)
    : Implements(kernel.inventory, std::move(self)), kernel_(kernel), containers_(kernel) {}

DataPtr ViewManager::snapshot_for(const Session* session) const {
  if (!session) return snapshot();
  Properties own;
  own.viewList = views_.of(session->key);
  return model::share(std::move(own)).data();
}

void ViewManager::object_removed(Object& view) {
  views_.remove(view.owner(), view.self());
}

void ViewManager::adopt(const std::shared_ptr<Object>& view, const Reader& reader) {
  view->set_owner(reader.session->key);
  inventory().add(view);
  inventory().watch(view->self(), this);
  views_.add(reader.session->key, view->self());
}

Async<MoRef> ViewManager::CreateContainerView(model::Call& call,
                                              const vim::CreateContainerViewRequestType& r) {
  const Reader reader = reader_of(call, self());
  const auto container = Access(kernel_, reader).find(r.container);
  if (!container) throw managed_object_not_found(r.container);
  if (!container->interface().info().is_a(vim::ManagedEntity::static_info()))
    throw invalid_argument("container", r.container.value + " contains nothing");
  const auto view = std::make_shared<ContainerView>(
      inventory(), session_reference("ContainerView", reader.session->key),
      containers_.contents({reader.session->user, container->self(), r.type, r.recursive}));
  adopt(view, reader);
  view->open();
  co_return view->self();
}

Async<MoRef> ViewManager::CreateInventoryView(model::Call& call,
                                              const vim::CreateInventoryViewRequestType&) {
  const Reader reader = reader_of(call, self());
  const auto view = std::make_shared<InventoryView>(
      kernel_, session_reference("InventoryView", reader.session->key), reader);
  adopt(view, reader);
  view->open();
  co_return view->self();
}

MoRef ViewManager::make_list(const Reader& reader, const model::Array<MoRef>& objects) {
  const auto view = std::make_shared<ListView>(
      kernel_, session_reference("ListView", reader.session->key), reader);
  adopt(view, reader);
  view->open(objects);
  return view->self();
}

Async<MoRef> ViewManager::CreateListView(model::Call& call,
                                         const vim::CreateListViewRequestType& r) {
  co_return make_list(reader_of(call, self()), r.obj);
}

Async<MoRef> ViewManager::CreateListViewFromView(model::Call& call,
                                                 const vim::CreateListViewFromViewRequestType& r) {
  const Reader reader = reader_of(call, self());
  co_return make_list(reader, members_of_view(kernel_, reader, r.view));
}

}  // namespace virga::kernel
