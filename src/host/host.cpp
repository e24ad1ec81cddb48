#include "host/host.h"

#include <algorithm>

#include "host/compute_resource.h"
#include "host/datacenter.h"
#include "host/datastore.h"
#include "host/folder.h"
#include "host/host_datastore_system.h"
#include "host/host_storage_system.h"
#include "host/host_system.h"
#include "host/names.h"
#include "host/network.h"
#include "host/resource_pools.h"
#include "host/virtual_machine.h"
#include "host/vm_config.h"
#include "kernel/faults.h"
#include "vmx/datastore_path.h"

namespace virga::host {

void add_reference(model::Array<MoRef>& list, const MoRef& ref) {
  if (std::find(list.begin(), list.end(), ref) == list.end()) list.push_back(ref);
}

void remove_reference(model::Array<MoRef>& list, const MoRef& ref) { std::erase(list, ref); }

std::shared_ptr<Datastore> Host::datastore(const std::string& name) const {
  const auto found = datastores.find(name);
  if (found != datastores.end()) return found->second;
  for (const auto& [other, datastore] : datastores)
    if (datastore->files()->uuid() == name) return datastore;
  vim::InvalidDatastore detail;
  detail.name = name;
  throw kernel::Fault(std::move(detail), fmt::format("There is no datastore '{}'.", name));
}

std::shared_ptr<Datastore> Host::datastore(const MoRef& ref) const {
  for (const auto& [name, datastore] : datastores) {
    if (datastore->self().value == ref.value) return datastore;
  }
  throw kernel::managed_object_not_found(ref);
}

datastore::Location Host::locate(const std::string& datastore_path) const {
  try {
    const auto path = vmx::DatastorePath::parse(datastore_path);
    return {datastore(path.datastore())->files(), path.path()};
  } catch (const Error& failure) {
    vim::InvalidDatastorePath detail;
    detail.datastorePath = datastore_path;
    throw kernel::Fault(std::move(detail), failure.what());
  }
}

Volumes Host::volumes() const {
  Volumes volumes;
  for (const auto& [name, datastore] : datastores)
    volumes.names_by_id[datastore->files()->uuid()] = name;
  return volumes;
}

std::shared_ptr<Network> Host::network(const std::string& port_group) const {
  const auto found = networks.find(port_group);
  return found == networks.end() ? nullptr : found->second;
}

vim::DatacenterEventArgument Host::datacenter_argument() const {
  vim::DatacenterEventArgument argument;
  argument.name = "ha-datacenter";
  argument.datacenter = names::datacenter;
  return argument;
}

vim::ComputeResourceEventArgument Host::compute_resource_argument() const {
  vim::ComputeResourceEventArgument argument;
  argument.name = identity.name;
  argument.computeResource = names::compute_resource;
  return argument;
}

vim::HostEventArgument Host::host_argument() const {
  vim::HostEventArgument argument;
  argument.name = identity.name;
  argument.host = names::host_system;
  return argument;
}

void Host::add_virtual_machine(const std::shared_ptr<VirtualMachine>& vm) {
  const MoRef& ref = vm->self();
  virtual_machines[ref.value] = vm;
  kernel.inventory.add(vm);
  vm_folder->update([&](auto& p) { add_reference(p.childEntity, ref); });
  if (!vm->is_template()) resource_pools->add(*vm);
  host_system->update([&](auto& p) { add_reference(p.vm, ref); });
}

void Host::remove_virtual_machine(const MoRef& ref) {
  vm_folder->update([&](auto& p) { remove_reference(p.childEntity, ref); });
  resource_pools->remove(ref);
  host_system->update([&](auto& p) { remove_reference(p.vm, ref); });
  for (const auto& [name, datastore] : datastores)
    datastore->update([&](auto& p) { remove_reference(p.vm, ref); });
  for (const auto& [name, network] : networks)
    network->update([&](auto& p) { remove_reference(p.vm, ref); });
  kernel.inventory.remove(ref);
  virtual_machines.erase(ref.value);
}

void Host::add_datastore(const std::shared_ptr<Datastore>& added) {
  const MoRef& ref = added->self();
  datastores[added->properties().name] = added;
  kernel.inventory.add(added);
  datastore_folder->update([&](auto& p) { add_reference(p.childEntity, ref); });
  datacenter->update([&](auto& p) { add_reference(p.datastore, ref); });
  compute_resource->update([&](auto& p) { add_reference(p.datastore, ref); });
  host_system->update([&](auto& p) { add_reference(p.datastore, ref); });
  datastores_changed();
}

void Host::remove_datastore(const MoRef& ref) {
  datastore_folder->update([&](auto& p) { remove_reference(p.childEntity, ref); });
  datacenter->update([&](auto& p) { remove_reference(p.datastore, ref); });
  compute_resource->update([&](auto& p) { remove_reference(p.datastore, ref); });
  host_system->update([&](auto& p) { remove_reference(p.datastore, ref); });
  kernel.inventory.remove(ref);
  std::erase_if(datastores, [&](const auto& entry) { return entry.second->self() == ref; });
  datastores_changed();
}

void Host::datastores_changed() {
  datastore_system->refresh();
  storage_system->refresh_volumes();
}

void Host::add_network(const std::shared_ptr<Network>& added) {
  const MoRef& ref = added->self();
  networks[added->properties().name] = added;
  kernel.inventory.add(added);
  network_folder->update([&](auto& p) { add_reference(p.childEntity, ref); });
  datacenter->update([&](auto& p) { add_reference(p.network, ref); });
  compute_resource->update([&](auto& p) { add_reference(p.network, ref); });
  host_system->update([&](auto& p) { add_reference(p.network, ref); });
}

void Host::remove_network(const MoRef& ref) {
  network_folder->update([&](auto& p) { remove_reference(p.childEntity, ref); });
  datacenter->update([&](auto& p) { remove_reference(p.network, ref); });
  compute_resource->update([&](auto& p) { remove_reference(p.network, ref); });
  host_system->update([&](auto& p) { remove_reference(p.network, ref); });
  kernel.inventory.remove(ref);
  std::erase_if(networks, [&](const auto& entry) { return entry.second->self() == ref; });
}

void build_inventory(Host& host) {
  auto& inventory = host.kernel.inventory;
  const auto folder = [&](const MoRef& ref, std::string name, std::optional<MoRef> parent,
                          std::vector<std::string> types) {
    return inventory.emplace<Folder>(host, ref, std::move(name), std::move(parent),
                                     std::move(types));
  };
  host.root_folder = folder(names::root_folder, "ha-folder-root", std::nullopt, {"Datacenter"});
  host.kernel.root_folder = names::root_folder;
  host.datacenter = inventory.emplace<Datacenter>(host);
  host.vm_folder = folder(names::vm_folder, "vm", names::datacenter, {"VirtualMachine"});
  host.host_folder = folder(names::host_folder, "host", names::datacenter, {"ComputeResource"});
  host.datastore_folder = folder(names::datastore_folder, "datastore", names::datacenter, {"Datastore"});
  host.network_folder = folder(names::network_folder, "network", names::datacenter, {"Network"});
  host.compute_resource = inventory.emplace<ComputeResource>(host);
  host.resource_pools = std::make_shared<ResourcePools>(host);
  host.host_system = inventory.emplace<HostSystem>(host);
  host.root_folder->update([](auto& p) { p.childEntity = {names::datacenter}; });
  host.host_folder->update([](auto& p) { p.childEntity = {names::compute_resource}; });
}

}  // namespace virga::host
