#include "kernel/view.h"

#include <boost/asio/post.hpp>

namespace virga::kernel {

LiveMembers::LiveMembers(Inventory& inventory, std::string session, Wants wants, Show show)
    : inventory_(inventory),
      wants_(std::move(wants)),
      show_(std::move(show)),
      self_(std::make_shared<LiveMembers*>(this)),
      selection_(inventory, std::move(session), *this) {}

LiveMembers::~LiveMembers() = default;

void LiveMembers::follow(SelectionPlan plan) {
  selection_.follow(std::make_shared<const SelectionPlan>(std::move(plan)));
  changed_ = true;
  refresh();
}

void LiveMembers::close() {
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
  asio::post(inventory_.executor(), [weak = std::weak_ptr(self_)] {
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
