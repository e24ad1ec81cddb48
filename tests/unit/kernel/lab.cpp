#include "lab.h"

namespace virga::kernel {
namespace {

constexpr model::Version kNewest{{7, 0, 3, 0}};

Role view_role() {
  Role role;
  role.id = kRoleView;
  role.name = "View";
  role.privileges = {"System.Anonymous", "System.View"};
  return role;
}

Role no_access_role() {
  Role role;
  role.id = kRoleNoAccess;
  role.name = "NoAccess";
  return role;
}

Role administrator_role() {
  Role role;
  role.id = kRoleAdministrator;
  role.name = "Admin";
  return role;
}

template <class Interface>
std::shared_ptr<Exhibit<Interface>> add(Kernel& kernel, const std::string& id,
                                        const std::string& name,
                                        const std::optional<MoRef>& parent) {
  typename Interface::Properties properties;
  properties.name = name;
  properties.parent = parent;
  return kernel.inventory.emplace<Exhibit<Interface>>(
      kernel.inventory, MoRef{std::string(Interface::static_info().name), id},
      std::move(properties));
}

}  // namespace

Lab::Lab() {
  root = add<vim::Folder>(kernel, "group-root", "Datacenters", {});
  kernel.root_folder = root->self();
  datacenter = add<vim::Datacenter>(kernel, "dc", "dc", root->self());
  vm_folder = add<vim::Folder>(kernel, "group-v", "vm", datacenter->self());
  host_folder = add<vim::Folder>(kernel, "group-h", "host", datacenter->self());
  const auto store_folder = add<vim::Folder>(kernel, "group-s", "datastore", datacenter->self());
  const auto network_folder = add<vim::Folder>(kernel, "group-n", "network", datacenter->self());
  compute = add<vim::ComputeResource>(kernel, "cr", "cr", host_folder->self());
  pool = add<vim::ResourcePool>(kernel, "pool", "Resources", compute->self());
  host = add<vim::HostSystem>(kernel, "host1", "host1", compute->self());
  store = add<vim::Datastore>(kernel, "store1", "store1", store_folder->self());

  root->update([&](auto& p) { p.childEntity = {datacenter->self()}; });
  datacenter->update([&](auto& p) {
    p.vmFolder = vm_folder->self();
    p.hostFolder = host_folder->self();
    p.datastoreFolder = store_folder->self();
    p.networkFolder = network_folder->self();
  });
  host_folder->update([&](auto& p) { p.childEntity = {compute->self()}; });
  store_folder->update([&](auto& p) { p.childEntity = {store->self()}; });
  compute->update([&](auto& p) {
    p.resourcePool = pool->self();
    p.host = {host->self()};
  });

  permit(root->self(), "root", kRoleAdministrator);
  permit(root->self(), "viewer", kRoleView);
  add_property_services(kernel, {"collector", "views", "search"});
  call.session = log_in("root");
  call.version = kNewest;
}

std::shared_ptr<MachineExhibit> Lab::add_machine(const std::string& id, const std::string& name) {
  auto machine = add<vim::VirtualMachine>(kernel, id, name, vm_folder->self());
  machine->update([&](auto& p) {
    p.resourcePool = pool->self();
    p.runtime.edit().powerState = vim::VirtualMachinePowerState::poweredOff;
  });
  vm_folder->update([&](auto& p) { p.childEntity.push_back(machine->self()); });
  pool->update([&](auto& p) { p.vm.push_back(machine->self()); });
  host->update([&](auto& p) { p.vm.push_back(machine->self()); });
  return machine;
}

std::shared_ptr<FolderExhibit> Lab::add_folder(const std::string& id, const std::string& name,
                                               const std::shared_ptr<FolderExhibit>& parent) {
  auto folder = add<vim::Folder>(kernel, id, name, parent->self());
  parent->update([&](auto& p) { p.childEntity.push_back(folder->self()); });
  return folder;
}

void Lab::remove_machine(const std::shared_ptr<MachineExhibit>& machine) {
  const MoRef ref = machine->self();
  vm_folder->update([&](auto& p) { std::erase(p.childEntity, ref); });
  pool->update([&](auto& p) { std::erase(p.vm, ref); });
  host->update([&](auto& p) { std::erase(p.vm, ref); });
  kernel.inventory.remove(ref);
}

SessionPtr Lab::log_in(const std::string& user) {
  return kernel.sessions.create(user, user, "127.0.0.1", "test");
}

void Lab::permit(const MoRef& entity, const std::string& user, std::int32_t role) {
  permissions_.push_back({entity, user, false, role, true});
  auto table = std::make_shared<AccessTable>(
      std::vector<Role>{administrator_role(), view_role(), no_access_role()}, permissions_);
  table->set_root(root->self());
  kernel.authorization.replace(std::move(table));
}

vim::PropertyFilterSpec spec_of(const std::vector<MoRef>& objects, const std::string& type,
                                const std::vector<std::string>& paths) {
  vim::PropertyFilterSpec spec;
  vim::PropertySpec& properties = spec.propSet.emplace_back();
  properties.type = type;
  properties.pathSet = paths;
  for (const MoRef& object : objects) spec.objectSet.emplace_back().obj = object;
  return spec;
}

vim::PropertyFilterSpec everything_of(const std::vector<MoRef>& objects, const std::string& type) {
  vim::PropertyFilterSpec spec;
  vim::PropertySpec& properties = spec.propSet.emplace_back();
  properties.type = type;
  properties.all = true;
  for (const MoRef& object : objects) spec.objectSet.emplace_back().obj = object;
  return spec;
}

model::Ptr<vim::SelectionSpec> traversal(const std::string& name, const std::string& type,
                                         const std::string& path,
                                         std::vector<model::Ptr<vim::SelectionSpec>> next) {
  vim::TraversalSpec spec;
  if (!name.empty()) spec.name = name;
  spec.type = type;
  spec.path = path;
  for (const auto& selector : next) spec.selectSet.push_back(selector);
  return model::share(std::move(spec));
}

model::Ptr<vim::SelectionSpec> named(const std::string& name) {
  vim::SelectionSpec spec;
  spec.name = name;
  return model::share(std::move(spec));
}

vim::PropertyFilterSpec walk_from(const MoRef& root,
                                  std::vector<model::Ptr<vim::SelectionSpec>> selectors,
                                  const std::string& type, const std::vector<std::string>& paths) {
  vim::PropertyFilterSpec spec = spec_of({}, type, paths);
  vim::ObjectSpec& object = spec.objectSet.emplace_back();
  object.obj = root;
  object.skip = true;
  for (const auto& selector : selectors) object.selectSet.push_back(selector);
  return spec;
}

}  // namespace virga::kernel
