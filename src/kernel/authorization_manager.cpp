#include "kernel/authorization_manager.h"

#include <algorithm>

#include "base/json.h"
#include "kernel/accounts.h"
#include "kernel/event_log.h"
#include "kernel/faults.h"
#include "kernel/privileges.h"

namespace virga::kernel {
namespace {

constexpr const char* kRoles = "role";
constexpr const char* kPermissions = "permission";

// Every privilege there is, in alphabetical order.
const std::set<std::string>& all_privileges() {
  static const std::set<std::string> privileges = [] {
    std::set<std::string> found = {"System.Anonymous", "System.View", "System.Read"};
    for (const std::string_view privilege : privileges_by_content()) found.emplace(privilege);
    for (const model::ManagedInfo* managed : model::all_managed()) {
      for (const auto& method : managed->own_methods)
        if (!method.privilege.empty()) found.emplace(method.privilege);
      for (const auto& property : managed->properties->own_fields)
        if (!property.privilege.empty()) found.emplace(property.privilege);
    }
    return found;
  }();
  return privileges;
}

// "VirtualMachine.Interact.PowerOn" is PowerOn of VirtualMachine.Interact.
std::pair<std::string, std::string> split_privilege(const std::string& privilege) {
  const auto dot = privilege.rfind('.');
  return {privilege.substr(0, dot), privilege.substr(dot + 1)};
}

std::vector<Role> system_roles() {
  const std::set<std::string> view = {"System.Anonymous", "System.View"};
  const std::set<std::string> read = {"System.Anonymous", "System.View", "System.Read"};
  return {{kRoleNoAccess, "NoAccess", "No access", "Used for restricting granted access", true, {}},
          {kRoleAnonymous, "Anonymous", "Anonymous", "Not logged in (cannot be granted)", true,
           {"System.Anonymous"}},
          {kRoleView, "View", "View", "Visibility access (cannot be granted)", true, view},
          {kRoleReadOnly, "ReadOnly", "Read-only", "See details of objects, but not make changes",
           true, read},
          {kRoleAdministrator, "Admin", "Administrator", "Full access rights", true,
           all_privileges()}};
}

std::string to_text(const Role& role) {
  json::array privileges;
  for (const auto& privilege : role.privileges) privileges.emplace_back(privilege);
  return json::serialize(json::object{{"name", role.name}, {"privileges", privileges}});
}

Role role_from_text(const std::string& id, const std::string& text) {
  const json::value value = json::parse(text);
  Role role;
  role.id = std::stoi(id);
  role.name = role.label = json::value_to<std::string>(value.at("name"));
  for (const auto& privilege : value.at("privileges").as_array())
    role.privileges.insert(json::value_to<std::string>(privilege));
  return role;
}

std::string key_of(const PermissionEntry& entry) {
  return fmt::format("{} {} {}", entry.entity.value, entry.group ? "group" : "user",
                     entry.principal);
}

std::string to_text(const PermissionEntry& entry) {
  return json::serialize(json::object{{"type", entry.entity.type},
                                      {"entity", entry.entity.value},
                                      {"principal", entry.principal},
                                      {"group", entry.group},
                                      {"role", entry.role},
                                      {"propagate", entry.propagate}});
}

PermissionEntry permission_from_text(const std::string& text) {
  const json::value value = json::parse(text);
  return {{json::value_to<std::string>(value.at("type")),
           json::value_to<std::string>(value.at("entity"))},
          json::value_to<std::string>(value.at("principal")),
          value.at("group").as_bool(),
          json::value_to<std::int32_t>(value.at("role")),
          value.at("propagate").as_bool()};
}

vim::AuthorizationRole describe(const Role& role) {
  vim::AuthorizationRole described;
  described.roleId = role.id;
  described.system = role.system;
  described.name = role.name;
  vim::Description info;
  info.label = role.label;
  info.summary = role.summary.empty() ? role.label : role.summary;
  described.info = model::share(std::move(info));
  described.privilege.assign(role.privileges.begin(), role.privileges.end());
  return described;
}

vim::Permission describe(const PermissionEntry& entry) {
  vim::Permission described;
  described.entity = entry.entity;
  described.principal = entry.principal;
  described.group = entry.group;
  described.roleId = entry.role;
  described.propagate = entry.propagate;
  return described;
}

vim::AuthorizationDescription describe_privileges() {
  vim::AuthorizationDescription description;
  std::set<std::string> groups;
  for (const std::string& privilege : all_privileges()) {
    const auto [group, name] = split_privilege(privilege);
    auto& element = description.privilege.emplace_back();
    element.key = privilege;
    element.label = element.summary = name;
    if (!groups.insert(group).second) continue;
    auto& group_element = description.privilegeGroup.emplace_back();
    group_element.key = group_element.label = group_element.summary = group;
  }
  return description;
}

bool same_holder(const PermissionEntry& a, const PermissionEntry& b) {
  return a.entity.value == b.entity.value && a.principal == b.principal && a.group == b.group;
}

}  // namespace

AuthorizationManager::AuthorizationManager(Kernel& kernel, MoRef self, std::string administrator)
    : Implements(kernel.inventory, std::move(self), [] {
        Properties properties;
        for (const std::string& privilege : all_privileges()) {
          const auto [group, name] = split_privilege(privilege);
          auto& described = properties.privilegeList.emplace_back();
          described.privId = privilege;
          described.name = name;
          described.privGroupName = group;
        }
        properties.description = model::share(describe_privileges());
        return properties;
      }()), kernel_(kernel), administrator_(std::move(administrator)) {
  std::vector<Role> roles = system_roles();
  for (const auto& [id, text] : kernel_.database->all(kRoles))
    roles.push_back(role_from_text(id, text));
  std::vector<PermissionEntry> permissions;
  for (const auto& [key, text] : kernel_.database->all(kPermissions))
    permissions.push_back(permission_from_text(text));
  const PermissionEntry first{kernel_.root_folder, administrator_, false, kRoleAdministrator, true};
  if (std::none_of(permissions.begin(), permissions.end(),
                   [&](const auto& entry) { return same_holder(entry, first); }))
    permissions.push_back(first);
  apply(std::move(roles), std::move(permissions));
}

void AuthorizationManager::apply(std::vector<Role> roles,
                                 std::vector<PermissionEntry> permissions) {
  auto next = std::make_shared<AccessTable>(std::move(roles), std::move(permissions));
  next->set_root(kernel_.root_folder);
  table_ = next;
  kernel_.authorization.replace(table_);
  update([&](Properties& p) {
    p.roleList.clear();
    for (const Role& role : table_->roles()) p.roleList.push_back(describe(role));
  });
}

void AuthorizationManager::check_privileges(const std::vector<std::string>& privileges) const {
  for (const std::string& privilege : privileges) {
    if (!all_privileges().contains(privilege))
      throw invalid_argument("privIds", fmt::format("there is no privilege '{}'", privilege));
  }
}

Async<std::int32_t> AuthorizationManager::AddAuthorizationRole(
    model::Call& c, const vim::AddAuthorizationRoleRequestType& r) {
  if (r.name.empty()) throw invalid_name(r.name, "a role needs a name");
  check_privileges(r.privIds);
  Role role;
  role.id = 10;    // below it are the numbers vSphere keeps for itself
  for (const Role& existing : table().roles()) {
    if (existing.name == r.name) throw already_exists(r.name);
    role.id = std::max(role.id, existing.id + 1);
  }
  role.name = role.label = r.name;
  role.privileges.insert(r.privIds.begin(), r.privIds.end());
  role.privileges.insert({"System.Anonymous", "System.View", "System.Read"});
  kernel_.database->put(kRoles, std::to_string(role.id), to_text(role));
  auto roles = table().roles();
  roles.push_back(role);
  apply(std::move(roles), table().permissions());
  vim::RoleAddedEvent event;
  event.role.roleId = role.id;
  event.role.name = role.name;
  event.privilegeList.assign(role.privileges.begin(), role.privileges.end());
  kernel_.events->post(std::move(event), fmt::format("New role {} created", role.name),
                       context(c).user());
  co_return role.id;
}

Async<void> AuthorizationManager::RemoveAuthorizationRole(
    model::Call& c, const vim::RemoveAuthorizationRoleRequestType& r) {
  const Role* role = table().role(r.roleId);
  if (!role) throw not_found(fmt::format("Role {}", r.roleId));
  if (role->system) throw invalid_argument("roleId", role->name + " is a system role");
  const std::string name = role->name;
  auto permissions = table().permissions();
  const auto uses = [&](const PermissionEntry& entry) { return entry.role == r.roleId; };
  if (r.failIfUsed && std::any_of(permissions.begin(), permissions.end(), uses))
    throw Fault(vim::RemoveFailed{}, fmt::format("Role {} is in use.", name));
  check_administrator_remains([&] {
    auto rest = permissions;
    std::erase_if(rest, uses);
    return rest;
  }());
  for (const PermissionEntry& entry : permissions)
    if (uses(entry)) kernel_.database->erase(kPermissions, key_of(entry));
  std::erase_if(permissions, uses);
  kernel_.database->erase(kRoles, std::to_string(r.roleId));
  auto roles = table().roles();
  std::erase_if(roles, [&](const Role& existing) { return existing.id == r.roleId; });
  apply(std::move(roles), std::move(permissions));
  vim::RoleRemovedEvent event;
  event.role.roleId = r.roleId;
  event.role.name = name;
  kernel_.events->post(std::move(event), fmt::format("Role {} removed", name), context(c).user());
  co_return;
}

Async<void> AuthorizationManager::UpdateAuthorizationRole(
    model::Call& c, const vim::UpdateAuthorizationRoleRequestType& r) {
  auto roles = table().roles();
  const auto role = std::find_if(roles.begin(), roles.end(),
                                 [&](const Role& existing) { return existing.id == r.roleId; });
  if (role == roles.end()) throw not_found(fmt::format("Role {}", r.roleId));
  if (role->system) throw invalid_argument("roleId", role->name + " is a system role");
  if (r.newName.empty()) throw invalid_name(r.newName, "a role needs a name");
  check_privileges(r.privIds);
  for (const Role& existing : roles)
    if (existing.name == r.newName && existing.id != r.roleId) throw already_exists(r.newName);
  role->name = role->label = r.newName;
  role->privileges = {r.privIds.begin(), r.privIds.end()};
  role->privileges.insert({"System.Anonymous", "System.View", "System.Read"});
  kernel_.database->put(kRoles, std::to_string(role->id), to_text(*role));
  vim::RoleUpdatedEvent event;
  event.role.roleId = role->id;
  event.role.name = role->name;
  event.privilegeList.assign(role->privileges.begin(), role->privileges.end());
  apply(std::move(roles), table().permissions());
  kernel_.events->post(std::move(event), fmt::format("Role {} modified", r.newName),
                       context(c).user());
  co_return;
}

Async<void> AuthorizationManager::MergePermissions(model::Call&,
                                                   const vim::MergePermissionsRequestType& r) {
  if (!table().role(r.srcRoleId)) throw not_found(fmt::format("Role {}", r.srcRoleId));
  if (!table().role(r.dstRoleId)) throw not_found(fmt::format("Role {}", r.dstRoleId));
  auto permissions = table().permissions();
  for (PermissionEntry& entry : permissions)
    if (entry.role == r.srcRoleId) entry.role = r.dstRoleId;
  check_administrator_remains(permissions);
  for (const PermissionEntry& entry : permissions)
    kernel_.database->put(kPermissions, key_of(entry), to_text(entry));
  apply(table().roles(), std::move(permissions));
  co_return;
}

Async<model::List<vim::Permission>> AuthorizationManager::RetrieveRolePermissions(
    model::Call&, const vim::RetrieveRolePermissionsRequestType& r) {
  if (!table().role(r.roleId)) throw not_found(fmt::format("Role {}", r.roleId));
  model::List<vim::Permission> found;
  for (const PermissionEntry& entry : table().permissions())
    if (entry.role == r.roleId) found.push_back(describe(entry));
  co_return found;
}

Async<model::List<vim::Permission>> AuthorizationManager::RetrieveEntityPermissions(
    model::Call& c, const vim::RetrieveEntityPermissionsRequestType& r) {
  auto object = kernel_.inventory.get(r.entity);
  kernel_.authorization.check(kernel_.inventory, context(c).user(), *object, "System.Read");
  model::List<vim::Permission> found;
  for (bool inherited = false; object; inherited = true) {
    for (const PermissionEntry& entry : table().permissions()) {
      if (entry.entity.value == object->self().value && (!inherited || entry.propagate))
        found.push_back(describe(entry));
    }
    if (!r.inherited) break;
    const DataPtr snapshot = object->snapshot();
    const auto parent = static_cast<const vim::ManagedEntityProperties&>(*snapshot).parent;
    object = parent ? kernel_.inventory.find(*parent) : nullptr;
  }
  co_return found;
}

Async<model::List<vim::Permission>> AuthorizationManager::RetrieveAllPermissions(
    model::Call&, const vim::RetrieveAllPermissionsRequestType&) {
  model::List<vim::Permission> found;
  for (const PermissionEntry& entry : table().permissions()) found.push_back(describe(entry));
  co_return found;
}

void AuthorizationManager::check_permission(const vim::Permission& permission) const {
  if (!table().role(permission.roleId))
    throw not_found(fmt::format("Role {}", permission.roleId));
  if (permission.roleId == kRoleView || permission.roleId == kRoleAnonymous)
    throw invalid_argument("permission.roleId", "this role cannot be granted");
  if (!permission.group && !kernel_.accounts->find(permission.principal)) {
    vim::UserNotFound detail;
    detail.principal = permission.principal;
    throw Fault(std::move(detail), fmt::format("There is no user '{}'.", permission.principal));
  }
}

void AuthorizationManager::check_administrator_remains(
    const std::vector<PermissionEntry>& permissions) const {
  const bool remains = std::any_of(permissions.begin(), permissions.end(), [&](const auto& entry) {
    return entry.entity.value == kernel_.root_folder.value && entry.propagate && !entry.group &&
           entry.role == kRoleAdministrator;
  });
  if (!remains)
    throw Fault(vim::AuthMinimumAdminPermission{},
                "Somebody must remain who is administrator at the root.");
}

void AuthorizationManager::check_may_change(const Call& call, const MoRef& entity) const {
  const auto object = kernel_.inventory.get(entity);
  kernel_.authorization.check(kernel_.inventory, call.user(), *object,
                              "Authorization.ModifyPermissions");
}

void AuthorizationManager::set(const Call& call, const MoRef& entity,
                               const model::List<vim::Permission>& wanted, bool replace_all) {
  check_may_change(call, entity);
  auto permissions = table().permissions();
  std::vector<PermissionEntry> dropped;
  if (replace_all) {
    for (const PermissionEntry& entry : permissions)
      if (entry.entity.value == entity.value) dropped.push_back(entry);
    std::erase_if(permissions,
                  [&](const auto& entry) { return entry.entity.value == entity.value; });
  }
  std::vector<PermissionEntry> added;
  for (const auto& permission : wanted) {
    check_permission(*permission);
    const PermissionEntry entry{entity, permission->principal, permission->group,
                                permission->roleId, permission->propagate};
    std::erase_if(permissions, [&](const auto& other) { return same_holder(other, entry); });
    permissions.push_back(entry);
    added.push_back(entry);
  }
  check_administrator_remains(permissions);
  for (const PermissionEntry& entry : dropped) kernel_.database->erase(kPermissions, key_of(entry));
  for (const PermissionEntry& entry : added)
    kernel_.database->put(kPermissions, key_of(entry), to_text(entry));
  apply(table().roles(), std::move(permissions));
}

Async<void> AuthorizationManager::SetEntityPermissions(
    model::Call& c, const vim::SetEntityPermissionsRequestType& r) {
  set(context(c), r.entity, r.permission, false);
  co_return;
}

Async<void> AuthorizationManager::ResetEntityPermissions(
    model::Call& c, const vim::ResetEntityPermissionsRequestType& r) {
  set(context(c), r.entity, r.permission, true);
  co_return;
}

Async<void> AuthorizationManager::RemoveEntityPermission(
    model::Call& c, const vim::RemoveEntityPermissionRequestType& r) {
  check_may_change(context(c), r.entity);
  const PermissionEntry removed{r.entity, r.user, r.isGroup, 0, false};
  auto permissions = table().permissions();
  const auto count = std::erase_if(
      permissions, [&](const auto& entry) { return same_holder(entry, removed); });
  if (count == 0)
    throw not_found(fmt::format("A permission of '{}' on {}", r.user, r.entity.value));
  check_administrator_remains(permissions);
  kernel_.database->erase(kPermissions, key_of(removed));
  apply(table().roles(), std::move(permissions));
  co_return;
}

void AuthorizationManager::forget_user(const std::string& user) {
  auto permissions = table().permissions();
  std::erase_if(permissions, [&](const PermissionEntry& entry) {
    const bool theirs = !entry.group && entry.principal == user;
    if (theirs) kernel_.database->erase(kPermissions, key_of(entry));
    return theirs;
  });
  apply(table().roles(), std::move(permissions));
}

model::List<vim::EntityPrivilege> AuthorizationManager::privileges_of(
    const std::string& user, const std::vector<MoRef>& entities,
    const std::vector<std::string>& wanted) const {
  model::List<vim::EntityPrivilege> answer;
  for (const MoRef& entity : entities) {
    const auto object = kernel_.inventory.get(entity);
    auto& entry = answer.emplace_back();
    entry.entity = entity;
    for (const std::string& privilege : wanted) {
      auto& availability = entry.privAvailability.emplace_back();
      availability.privId = privilege;
      availability.isGranted =
          kernel_.authorization.allows(kernel_.inventory, user, *object, privilege);
    }
  }
  return answer;
}

Async<model::Array<bool>> AuthorizationManager::HasPrivilegeOnEntity(
    model::Call&, const vim::HasPrivilegeOnEntityRequestType& r) {
  const SessionPtr session = kernel_.sessions.find(r.sessionId);
  if (!session) throw invalid_argument("sessionId", "there is no session " + r.sessionId);
  model::Array<bool> answer;
  for (const auto& entry : privileges_of(session->user, {r.entity}, r.privId))
    for (const auto& availability : entry->privAvailability)
      answer.push_back(availability->isGranted);
  co_return answer;
}

Async<model::List<vim::EntityPrivilege>> AuthorizationManager::HasPrivilegeOnEntities(
    model::Call&, const vim::HasPrivilegeOnEntitiesRequestType& r) {
  const SessionPtr session = kernel_.sessions.find(r.sessionId);
  if (!session) throw invalid_argument("sessionId", "there is no session " + r.sessionId);
  co_return privileges_of(session->user, r.entity, r.privId);
}

Async<model::List<vim::EntityPrivilege>> AuthorizationManager::HasUserPrivilegeOnEntities(
    model::Call&, const vim::HasUserPrivilegeOnEntitiesRequestType& r) {
  co_return privileges_of(r.userName, r.entities, r.privId);
}

Async<model::List<vim::UserPrivilegeResult>> AuthorizationManager::FetchUserPrivilegeOnEntities(
    model::Call&, const vim::FetchUserPrivilegeOnEntitiesRequestType& r) {
  const std::vector<std::string> every(all_privileges().begin(), all_privileges().end());
  model::List<vim::UserPrivilegeResult> answer;
  for (const auto& entity : privileges_of(r.userName, r.entities, every)) {
    auto& result = answer.emplace_back();
    result.entity = entity->entity;
    for (const auto& availability : entity->privAvailability)
      if (availability->isGranted) result.privileges.push_back(availability->privId);
  }
  co_return answer;
}

}  // namespace virga::kernel
