// The host's resource pools together: their tree, which the database keeps as one document (so that
// a change of several is whole or never was), what is reserved in them, and their objects.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "host/host.h"
#include "host/resource_tree.h"

namespace virga::host {

class ResourcePool;

class ResourcePools {
 public:
  // Makes the objects of the root and of the pools the database knows.
  explicit ResourcePools(Host& host);

  const ResourceTree& tree() const { return tree_; }
  std::shared_ptr<ResourcePool> pool(const std::string& id) const { return pools_.at(id); }
  // Throws ManagedObjectNotFound.
  std::shared_ptr<ResourcePool> pool(const MoRef& ref) const;
  MoRef new_reference();

  // Throws InsufficientCpuResourcesFault or InsufficientMemoryResourcesFault, naming the pool, when
  // the change takes more than a pool has; else keeps and shows it.
  void change(ResourceTree wanted);

  // The same for a VM that is to run, or runs, with that reserved; it counts from then on.
  void admit(const VirtualMachine& vm, const vmx::MachineConfig& config);
  // Of one that runs already: what it has it has.
  void hold(const VirtualMachine& vm);
  void release(const MoRef& vm);

  // Keeps which pool a VM that is about to be added belongs to.
  void assign(const MoRef& vm, const MoRef& pool);
  void add(VirtualMachine& vm);
  // A VM that leaves the inventory, or becomes a template.
  void remove(const MoRef& vm);

  // What is used and reserved, in the pools' runtime.
  void refresh();

 private:
  void store();
  void require_enough(const ResourceTree& tree, const VmReservations& running) const;
  void move(const std::string& vm, const std::string& from, const std::string& to);

  Host& host_;
  ResourceTree tree_;
  VmReservations running_;
  std::map<std::string, std::shared_ptr<ResourcePool>> pools_;
};

}  // namespace virga::host
