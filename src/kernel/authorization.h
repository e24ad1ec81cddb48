// Roles, permissions and the question every call asks: may this user do that to this object?
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "kernel/inventory.h"

namespace virga::kernel {

struct Role {
  std::int32_t id = 0;
  std::string name;
  std::string label;
  std::string summary;
  bool system = false;                   // cannot be changed or removed
  std::set<std::string> privileges;
};

struct PermissionEntry {
  MoRef entity;
  std::string principal;
  bool group = false;
  std::int32_t role = 0;
  bool propagate = true;
};

// The roles every vSphere server has, with their numbers.
constexpr std::int32_t kRoleAdministrator = -1;
constexpr std::int32_t kRoleReadOnly = -2;
constexpr std::int32_t kRoleView = -3;
constexpr std::int32_t kRoleAnonymous = -4;
constexpr std::int32_t kRoleNoAccess = -5;

// An immutable table of who may do what; a change makes a new one. Any thread.
class AccessTable {
 public:
  AccessTable(std::vector<Role> roles, std::vector<PermissionEntry> permissions);

  // The entity that guards what names no guard of its own.
  void set_root(MoRef root) { root_ = std::move(root); }
  // The groups a user is a member of.
  void set_groups(std::map<std::string, std::vector<std::string>> groups_by_user) {
    groups_by_user_ = std::move(groups_by_user);
  }

  // Whether `user` (with `groups`) has `privilege` on the object. The nearest entity with a
  // permission for the user decides; a user's own permission outweighs its groups', whose
  // privileges add up. System.Anonymous is everybody's, and System.View holds on_the_way() too: who
  // may see one machine finds it from the top.
  bool allows(const Inventory& inventory, const std::string& user,
              const std::vector<std::string>& groups, const Object& object,
              std::string_view privilege) const;

  // The moIds of the entities above those at which a permission gives the user System.View.
  std::unordered_set<std::string> on_the_way(const Inventory& inventory, const std::string& user,
                                             const std::vector<std::string>& groups) const;

  const std::vector<Role>& roles() const { return roles_; }
  const Role* role(std::int32_t id) const;
  const std::vector<PermissionEntry>& permissions() const { return permissions_; }
  const MoRef& root() const { return root_; }
  std::vector<std::string> groups_of(const std::string& user) const {
    const auto found = groups_by_user_.find(user);
    return found == groups_by_user_.end() ? std::vector<std::string>{} : found->second;
  }

 private:
  // What the permissions on this entity say; nullopt when none concerns the user.
  std::optional<bool> decide(const MoRef& entity, bool inherited, const std::string& user,
                             const std::vector<std::string>& groups,
                             const std::string& privilege) const;
  // What the nearest of these permissions says, from the entity up.
  bool holds(const Inventory& inventory, const std::string& user,
             const std::vector<std::string>& groups, const MoRef& entity,
             const std::string& privilege) const;

  std::vector<Role> roles_;
  std::vector<PermissionEntry> permissions_;
  MoRef root_;
  std::map<std::string, std::vector<std::string>> groups_by_user_;
};

// The present table. Any thread may read it; the AuthorizationManager replaces it, on the kernel
// executor.
class Authorization {
 public:
  std::shared_ptr<const AccessTable> table() const;
  void replace(std::shared_ptr<const AccessTable> table);
  // Calls `hook` after each replace(), for as long as the answer lives. Kernel executor.
  [[nodiscard]] std::shared_ptr<const void> on_change(std::function<void()> hook);
  // Throws NoPermission naming the object and the privilege.
  void check(const Inventory& inventory, const std::string& user, const Object& object,
             std::string_view privilege) const;
  bool allows(const Inventory& inventory, const std::string& user, const Object& object,
              std::string_view privilege) const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const AccessTable> table_;
  std::vector<std::weak_ptr<const std::function<void()>>> hooks_;
};

}  // namespace virga::kernel
