#include "kernel/container_view.h"

#include <algorithm>

#include "kernel/containment.h"

namespace virga::kernel {

namespace {

// Any session of the user will do: what is in a container is nobody's own.
std::shared_ptr<const Session> session_of(const std::string& user) {
  auto session = std::make_shared<Session>();
  session->user = user;
  return session;
}

}  // namespace

ContainerContents::ContainerContents(Kernel& kernel, Key key)
    : kernel_(kernel),
      key_(std::move(key)),
      anybody_(session_of(key_.user)),
      members_(
          kernel, "", [this](Object& object) { return wants(object); },
          [this](const model::Array<MoRef>& members) { show(members); }) {
  for (const std::string& name : key_.types) {
    const model::ManagedInfo* type = model::find_managed(name);
    if (!type) throw invalid_argument("type", "'" + name + "' is no type of managed object");
    types_.push_back(type);
  }
  members_.follow(containment({key_.container}, key_.recursive));
}

void ContainerContents::remove(ContainerView* view) {
  views_.erase(view);
  if (views_.empty()) members_.close();
}

bool ContainerContents::wants(Object& object) {
  const model::ManagedInfo& type = object.interface().info();
  const bool fits = types_.empty() || std::ranges::any_of(types_, [&](const auto* wanted) {
                      return type.is_a(*wanted);
                    });
  if (!fits) return false;
  const std::uint64_t now = kernel_.inventory.sequence();
  if (!access_ || std::exchange(access_as_of_, now) != now || !access_->is_current())
    access_.emplace(kernel_, Reader{anybody_, {}});
  return access_->allows(object, "System.View");
}

void ContainerContents::show(const model::Array<MoRef>& members) {
  vim::ContainerViewProperties properties;
  properties.container = key_.container;
  properties.type = key_.types;
  properties.recursive = key_.recursive;
  properties.view = members;
  properties_ = model::share(std::move(properties)).data();
  for (ContainerView* view : views_) view->show(properties_);
}

std::shared_ptr<ContainerContents> ContainerIndex::contents(ContainerContents::Key key) {
  std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<ContainerContents>& known = known_[key];
  auto contents = known.lock();
  if (!contents) known = contents = std::make_shared<ContainerContents>(kernel_, std::move(key));
  return contents;
}

ContainerView::ContainerView(Inventory& inventory, MoRef self,
                             std::shared_ptr<ContainerContents> contents)
    : Object(inventory, std::move(self), contents->properties()), contents_(std::move(contents)) {}

void ContainerView::open() {
  contents_->add(this);
  inventory().watch(self(), this);
}

void ContainerView::object_removed(Object&) {
  contents_->remove(this);
  contents_.reset();
}

Async<void> ContainerView::DestroyView(model::Call&, const vim::DestroyViewRequestType&) {
  inventory().remove(self());
  co_return;
}

}  // namespace virga::kernel
