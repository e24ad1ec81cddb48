#include "kernel/view.h"

#include <boost/asio/post.hpp>

namespace virga::kernel {

LiveMembers::LiveMembers(Kernel& kernel, std::string session, Wants wants, Show show)
    : kernel_(kernel),
      wants_(std::move(wants)),
      show_(std::move(show)),
      self_(std::make_shared<LiveMembers*>(this)),
      selection_(kernel.inventory, std::move(session), *this),
      permissions_watch_(kernel.authorization.on_change([this] { select_again(); })) {}

LiveMembers::~LiveMembers() = default;

void LiveMembers::follow(SelectionPlan plan) {
  plan_ = std::make_shared<const SelectionPlan>(std::move(plan));
  selection_.follow(plan_);
  changed_ = true;
  refresh();
}

void LiveMembers::select_again() {
  if (!plan_) return;
  selection_.follow(plan_);
  refresh_later();
}

void LiveMembers::close() {
  permissions_watch_.reset();
  self_.reset();
  selection_.clear();
  members_.clear();
  left_.clear();
  changed_ = false;
}

void LiveMembers::entered(Object& object) {
  changed_ = true;
  if (left_.erase(object.self().value) == 0) members_.push_back(object.self());
}

void LiveMembers::left(Object& object) {
  changed_ = true;
  left_.insert(object.self().value);
  refresh_later();
}

void LiveMembers::refresh_later() {
  if (!self_ || std::exchange(posted_, true)) return;
  asio::post(kernel_.executor, [weak = std::weak_ptr(self_)] {
    const auto self = weak.lock();
    if (!self) return;
    (*self)->posted_ = false;
    (*self)->refresh();
  });
}

void LiveMembers::refresh() {
  if (selection_.is_outdated()) selection_.refresh();
  if (!std::exchange(changed_, false)) return;
  if (!left_.empty())
    std::erase_if(members_, [this](const MoRef& ref) { return left_.contains(ref.value); });
  left_.clear();
  show_(members_);
}

}  // namespace virga::kernel
