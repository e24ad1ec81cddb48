#include "kernel/authorization.h"

#include <algorithm>
#include <mutex>
#include <optional>

#include "kernel/faults.h"
#include "vim/types.h"

namespace virga::kernel {
namespace {

constexpr const char* kView = "System.View";

// An entity's parent, from its snapshot; nullopt at the top.
std::optional<MoRef> parent_of(const Object& object) {
  const DataPtr snapshot = object.snapshot();
  const auto* entity = model::is_a(snapshot->type_info(), vim::ManagedEntityProperties::static_type())
                           ? static_cast<const vim::ManagedEntityProperties*>(snapshot.get())
                           : nullptr;
  return entity ? entity->parent : std::nullopt;
}

bool is_entity(const Object& object) {
  return model::is_a(object.snapshot()->type_info(),
                     vim::ManagedEntityProperties::static_type());
}

}  // namespace

AccessTable::AccessTable(std::vector<Role> roles, std::vector<PermissionEntry> permissions)
    : roles_(std::move(roles)), permissions_(std::move(permissions)) {}

const Role* AccessTable::role(std::int32_t id) const {
  const auto found = std::find_if(roles_.begin(), roles_.end(),
                                  [&](const Role& role) { return role.id == id; });
  return found == roles_.end() ? nullptr : &*found;
}

std::optional<bool> AccessTable::decide(const MoRef& entity, bool inherited,
                                        const std::string& user,
                                        const std::vector<std::string>& groups,
                                        const std::string& privilege) const {
  bool by_group = false, group_allows = false;
  for (const PermissionEntry& entry : permissions_) {
    if (entry.entity.value != entity.value || (inherited && !entry.propagate)) continue;
    const Role* held = role(entry.role);
    const bool allows = held && (held->id == kRoleAdministrator || held->privileges.contains(privilege));
    if (!entry.group && entry.principal == user) return allows;
    if (entry.group && std::find(groups.begin(), groups.end(), entry.principal) != groups.end()) {
      by_group = true;
      group_allows = group_allows || allows;
    }
  }
  return by_group ? std::optional(group_allows) : std::nullopt;
}

bool AccessTable::allows(const Inventory& inventory, const std::string& user,
                         const std::vector<std::string>& groups, const Object& object,
                         std::string_view privilege) const {
  if (privilege.empty() || privilege == "System.Anonymous") return true;
  const std::string wanted(privilege);
  std::optional<MoRef> at;
  if (is_entity(object)) {
    at = object.self();
  } else {
    at = object.guard();
    // What guarded it may be gone: the task that destroyed a VM is still to be read.
    if (at->value.empty() || !inventory.find(*at)) at = root_;
  }
  if (holds(inventory, user, groups, *at, wanted)) return true;
  return privilege == kView && on_the_way(inventory, user, groups).contains(at->value);
}

bool AccessTable::holds(const Inventory& inventory, const std::string& user,
                        const std::vector<std::string>& groups, const MoRef& entity,
                        const std::string& privilege) const {
  bool inherited = false;
  for (std::optional<MoRef> at = entity; at; inherited = true) {
    if (const auto decided = decide(*at, inherited, user, groups, privilege)) return *decided;
    const auto object = inventory.find(*at);
    if (!object) return false;
    at = parent_of(*object);
  }
  return false;
}

std::unordered_set<std::string> AccessTable::on_the_way(
    const Inventory& inventory, const std::string& user,
    const std::vector<std::string>& groups) const {
  std::unordered_set<std::string> passed;
  for (const PermissionEntry& entry : permissions_) {
    if (!decide(entry.entity, false, user, groups, kView).value_or(false)) continue;
    auto object = inventory.find(entry.entity);
    while (object) {
      const auto parent = parent_of(*object);
      if (!parent || !passed.insert(parent->value).second) break;
      object = inventory.find(*parent);
    }
  }
  return passed;
}

std::shared_ptr<const AccessTable> Authorization::table() const {
  std::lock_guard lock(mutex_);
  return table_;
}

void Authorization::replace(std::shared_ptr<const AccessTable> table) {
  {
    std::lock_guard lock(mutex_);
    table_ = std::move(table);
  }
  std::erase_if(hooks_, [](const auto& hook) { return hook.expired(); });
  for (const auto& weak : hooks_) {
    if (const auto hook = weak.lock()) (*hook)();
  }
}

std::shared_ptr<const void> Authorization::on_change(std::function<void()> hook) {
  auto kept = std::make_shared<const std::function<void()>>(std::move(hook));
  hooks_.push_back(kept);
  return kept;
}

bool Authorization::allows(const Inventory& inventory, const std::string& user,
                           const Object& object, std::string_view privilege) const {
  const auto present = table();
  return present && present->allows(inventory, user, present->groups_of(user), object, privilege);
}

void Authorization::check(const Inventory& inventory, const std::string& user,
                          const Object& object, std::string_view privilege) const {
  if (!allows(inventory, user, object, privilege))
    throw no_permission(object.self(), std::string(privilege));
}

}  // namespace virga::kernel
