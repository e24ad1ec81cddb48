// The resource pools of a host with the VMs in them, and what is reserved where: vSphere's
// admission control (vSphere Resource Management, "Resource Pool Admission Control"). Pure.
//
// Pools and VMs go by the values of their references. What is reserved for a VM counts while it
// runs. A pool takes from its parent what is reserved for it, and one with an expandable
// reservation what its children need beyond that.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vmx/machine_config.h"

namespace virga::host {

enum class Resource { cpu, memory };  // MHz, MiB

struct PoolAllocation {
  vmx::Allocation granted;
  bool expandable = true;

  bool operator==(const PoolAllocation&) const = default;
};

struct Pool {
  std::string name;
  std::string parent;
  PoolAllocation cpu, memory;

  const PoolAllocation& of(Resource resource) const {
    return resource == Resource::cpu ? cpu : memory;
  }
  bool operator==(const Pool&) const = default;
};

struct ResourceTree {
  // What the root, which all others descend from, has: all of it is reserved for it.
  std::string root;
  std::int64_t mhz = 0, memory_mib = 0;
  std::map<std::string, Pool> pools;        // without the root
  std::map<std::string, std::string> pool;  // of a VM; left out: the root

  bool operator==(const ResourceTree&) const = default;

  bool has(const std::string& id) const { return id == root || pools.contains(id); }
  const std::string& pool_of(const std::string& vm) const;
  std::string name_of(const std::string& id) const;
  std::vector<std::string> children_of(const std::string& id) const;         // pools
  std::vector<std::string> members_of(const std::string& id) const;          // VMs; not of the root
  bool is_within(const std::string& id, const std::string& ancestor) const;  // or is the same
  // Its VMs and pools become its parent's.
  void dissolve(const std::string& id);
};

// What is reserved for the VMs that run, by VM.
struct VmReservation {
  std::int64_t mhz = 0, memory_mib = 0;
};
using VmReservations = std::map<std::string, VmReservation>;

// What one resource of a pool comes to.
struct Budget {
  std::int64_t used = 0;         // reserved by children: pools and VMs that run
  std::int64_t used_by_vms = 0;  // of these and all below
  std::int64_t unreserved = 0;   // that a child can have reserved yet
  std::int64_t most = 0;  // that all VMs in it together may use: by limits, its own and above
};
std::map<std::string, Budget> budgets(const ResourceTree& tree, const VmReservations& running,
                                      Resource resource);

struct Shortage {
  std::string pool;
  std::int64_t unreserved = 0;
  std::int64_t requested = 0;
};
// The pool that does not have what the change takes. What was too much before is no shortage, as
// long as it does not grow.
std::optional<Shortage> shortage(const ResourceTree& before, const VmReservations& running_before,
                                 const ResourceTree& after, const VmReservations& running_after,
                                 Resource resource);

// The pools and who is in them, without the root. ErrorKind::damaged.
std::string to_json(const ResourceTree& tree);
void read_json(ResourceTree& tree, const std::string& text);

}  // namespace virga::host
