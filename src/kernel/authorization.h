// Roles, permissions and the question every call asks: may this user do that to this object?
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
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

  // Whether `user` (with `groups`) has `privilege` on the object. The nearest entity with a
  // permission for the user decides; a user's own permission outweighs its groups', whose privileges
  // add up. System.Anonymous is everybody's; System.View and System.Read every permission's but
  // NoAccess.
  bool allows(const Inventory& inventory, const std::string& user,
              const std::vector<std::string>& groups, const Object& object,
              std::string_view privilege) const;

  const std::vector<Role>& roles() const { return roles_; }
  const std::vector<PermissionEntry>& permissions() const { return permissions_; }

 private:
  std::vector<Role> roles_;
  std::vector<PermissionEntry> permissions_;
};

// The present table. Any thread may read it; the AuthorizationManager replaces it.
class Authorization {
 public:
  std::shared_ptr<const AccessTable> table() const;
  void replace(std::shared_ptr<const AccessTable> table);
  // Throws NoPermission naming the object and the privilege.
  void check(const Inventory& inventory, const std::string& user, const Object& object,
             std::string_view privilege) const;
  bool allows(const Inventory& inventory, const std::string& user, const Object& object,
              std::string_view privilege) const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const AccessTable> table_;
};

}  // namespace virga::kernel
