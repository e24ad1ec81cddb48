// AuthorizationManager: roles and permissions, kept in the database.
#pragma once

#include "kernel/kernel.h"
#include "vim/interfaces.h"

namespace virga::kernel {

class AuthorizationManager final : public Implements<vim::AuthorizationManager> {
 public:
  // Loads roles and permissions; `administrator` always is one at the root.
  AuthorizationManager(Kernel& kernel, MoRef self, std::string administrator);

  Async<std::int32_t> AddAuthorizationRole(model::Call&,
                                           const vim::AddAuthorizationRoleRequestType&) override;
  Async<void> RemoveAuthorizationRole(model::Call&,
                                      const vim::RemoveAuthorizationRoleRequestType&) override;
  Async<void> UpdateAuthorizationRole(model::Call&,
                                      const vim::UpdateAuthorizationRoleRequestType&) override;
  Async<void> MergePermissions(model::Call&, const vim::MergePermissionsRequestType&) override;
  Async<model::List<vim::Permission>> RetrieveRolePermissions(
      model::Call&, const vim::RetrieveRolePermissionsRequestType&) override;
  Async<model::List<vim::Permission>> RetrieveEntityPermissions(
      model::Call&, const vim::RetrieveEntityPermissionsRequestType&) override;
  Async<model::List<vim::Permission>> RetrieveAllPermissions(
      model::Call&, const vim::RetrieveAllPermissionsRequestType&) override;
  Async<void> SetEntityPermissions(model::Call&,
                                   const vim::SetEntityPermissionsRequestType&) override;
  Async<void> ResetEntityPermissions(model::Call&,
                                     const vim::ResetEntityPermissionsRequestType&) override;
  Async<void> RemoveEntityPermission(model::Call&,
                                     const vim::RemoveEntityPermissionRequestType&) override;
  Async<model::Array<bool>> HasPrivilegeOnEntity(
      model::Call&, const vim::HasPrivilegeOnEntityRequestType&) override;
  Async<model::List<vim::EntityPrivilege>> HasPrivilegeOnEntities(
      model::Call&, const vim::HasPrivilegeOnEntitiesRequestType&) override;
  Async<model::List<vim::EntityPrivilege>> HasUserPrivilegeOnEntities(
      model::Call&, const vim::HasUserPrivilegeOnEntitiesRequestType&) override;
  Async<model::List<vim::UserPrivilegeResult>> FetchUserPrivilegeOnEntities(
      model::Call&, const vim::FetchUserPrivilegeOnEntitiesRequestType&) override;

  // Drops what a user who is no more was permitted.
  void forget_user(const std::string& user);

 private:
  // Makes the lists the rule in force, and what the database and the properties tell.
  void apply(std::vector<Role> roles, std::vector<PermissionEntry> permissions);
  const AccessTable& table() const { return *table_; }
  void check_privileges(const std::vector<std::string>& privileges) const;
  void check_permission(const vim::Permission& permission) const;
  // Throws AuthMinimumAdminPermission unless somebody may still change permissions at the root.
  void check_administrator_remains(const std::vector<PermissionEntry>& permissions) const;
  void check_may_change(const Call& call, const MoRef& entity) const;
  model::List<vim::EntityPrivilege> privileges_of(const std::string& user,
                                                  const std::vector<MoRef>& entities,
                                                  const std::vector<std::string>& wanted) const;
  void set(const Call& call, const MoRef& entity, const model::List<vim::Permission>& wanted,
           bool replace_all);

  Kernel& kernel_;
  const std::string administrator_;
  std::shared_ptr<const AccessTable> table_;
};

}  // namespace virga::kernel
