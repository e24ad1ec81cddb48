#include "kernel/access.h"

#include <algorithm>

#include "vim/types.h"

namespace virga::kernel {

Access::Access(const Kernel& kernel, Reader reader)
    : kernel_(kernel), reader_(std::move(reader)), table_(kernel.authorization.table()) {
  if (!table_ || !reader_.session) return;
  groups_ = table_->groups_of(reader_.session->user);
  for (const PermissionEntry& entry : table_->permissions()) guarded_.insert(entry.entity.value);
  on_the_way_ = table_->on_the_way(kernel_.inventory, reader_.session->user, groups_);
}

bool Access::sees(const Object& object) const {
  return object.owner().empty() || (reader_.session && object.owner() == reader_.session->key);
}

std::shared_ptr<Object> Access::find(const MoRef& ref) const {
  auto object = kernel_.inventory.find(ref);
  return object && sees(*object) ? object : nullptr;
}

bool Access::allows(const Object& object, std::string_view privilege) {
  if (privilege == "System.Anonymous") return true;
  if (!reader_.session || !table_) return false;
  if (!object.owner().empty()) return sees(object);
  if (privilege == "System.View" && on_the_way_.contains(object.self().value)) return true;

  // Entities without permissions of their own get the answer of their siblings: that of the parent
  // as far as it is passed on. This is what makes reading ten thousand machines cheap.
  const DataPtr snapshot = object.snapshot();
  if (!model::is_a(snapshot->type_info(), vim::ManagedEntityProperties::static_type()))
    return decide(object, privilege);
  const auto& entity = static_cast<const vim::ManagedEntityProperties&>(*snapshot);
  if (!entity.parent || guarded_.contains(object.self().value)) return decide(object, privilege);
  Answers& known = answers_[entity.parent->value];
  const auto found = std::ranges::find(known, privilege, &Answers::value_type::first);
  if (found != known.end()) return found->second;
  return known.emplace_back(privilege, decide(object, privilege)).second;
}

bool Access::decide(const Object& object, std::string_view privilege) const {
  return table_->allows(kernel_.inventory, reader_.session->user, groups_, object, privilege);
}

Fault Access::refusal(const Object& object, std::string_view privilege) const {
  return reader_.session ? no_permission(object.self(), std::string(privilege))
                         : not_authenticated(object.self(), std::string(privilege));
}

}  // namespace virga::kernel
