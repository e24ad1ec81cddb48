#include "host/resource_pools.h"

#include "host/names.h"
#include "host/resource_pool.h"
#include "host/virtual_machine.h"
#include "kernel/database.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr const char* kTable = "resource_pool";
constexpr const char* kTree = "tree";
constexpr const char* kCounters = "counter";

VmReservation reservation_of(const vmx::MachineConfig& config) {
  return {.mhz = config.cpu.reservation, .memory_mib = config.memory.reservation};
}

// The API counts MHz and bytes.
template <class Detail>
void refuse(const ResourceTree& tree, const Shortage& shortage, const char* what, const char* unit,
            int scale) {
  Detail detail;
  detail.unreserved = shortage.unreserved * scale;
  detail.requested = shortage.requested * scale;
  throw kernel::Fault(std::move(detail),
                      fmt::format("The resource pool {} has {} {} of {} unreserved, and {} {} are "
                                  "requested.",
                                  tree.name_of(shortage.pool), shortage.unreserved, unit, what,
                                  shortage.requested, unit));
}

struct Usage {
  std::int64_t mhz = 0, bytes = 0;
};

// Of the VMs in each pool and below it.
std::map<std::string, Usage> usage_of(const Host& host, const ResourceTree& tree) {
  std::map<std::string, Usage> usage;
  for (const auto& [ref, vm] : host.virtual_machines) {
    if (!vm->machine()) continue;
    const vim::VirtualMachineQuickStats& stats = vm->properties().summary->quickStats;
    for (std::string id = tree.pool_of(ref);; id = tree.pools.at(id).parent) {
      usage[id].mhz += stats.overallCpuUsage.value_or(0);
      usage[id].bytes += std::int64_t(stats.hostMemoryUsage.value_or(0)) << 20;
      if (id == tree.root) break;
    }
  }
  return usage;
}

vim::ResourcePoolResourceUsage describe(const Budget& budget, std::int64_t usage, int scale) {
  vim::ResourcePoolResourceUsage described;
  described.reservationUsed = budget.used * scale;
  described.reservationUsedForVm = budget.used_by_vms * scale;
  described.unreservedForPool = described.unreservedForVm = budget.unreserved * scale;
  described.overallUsage = usage;
  described.maxUsage = budget.most * scale;
  return described;
}

}  // namespace

ResourcePools::ResourcePools(Host& host) : host_(host) {
  tree_.root = names::resource_pool.value;
  tree_.mhz = static_cast<std::int64_t>(host.facts.cpu.cores * host.facts.cpu.mhz);
  tree_.memory_mib = static_cast<std::int64_t>(host.facts.memory_bytes >> 20);
  if (const auto document = host.kernel.database->get(kTable, kTree)) read_json(tree_, *document);
  auto& inventory = host.kernel.inventory;
  pools_[tree_.root] = inventory.emplace<ResourcePool>(host, names::resource_pool);
  for (const auto& [id, pool] : tree_.pools)
    pools_[id] = inventory.emplace<ResourcePool>(host, MoRef{"ResourcePool", id});
  for (const auto& [id, pool] : pools_) pool->show(tree_);
  refresh();
}

std::shared_ptr<ResourcePool> ResourcePools::pool(const MoRef& ref) const {
  const auto found = pools_.find(ref.value);
  if (ref.type != "ResourcePool" || found == pools_.end())
    throw kernel::managed_object_not_found(ref);
  return found->second;
}

MoRef ResourcePools::new_reference() {
  auto& database = *host_.kernel.database;
  const int last = std::atoi(database.get(kCounters, "pool").value_or("0").c_str());
  database.put(kCounters, "pool", std::to_string(last + 1));
  return {"ResourcePool", fmt::format("pool{}", last + 1)};
}

void ResourcePools::store() {
  host_.kernel.database->put(kTable, kTree, to_json(tree_));
}

void ResourcePools::require_enough(const ResourceTree& tree, const VmReservations& running) const {
  if (const auto found = shortage(tree_, running_, tree, running, Resource::cpu))
    refuse<vim::InsufficientCpuResourcesFault>(tree, *found, "CPU", "MHz", 1);
  if (const auto found = shortage(tree_, running_, tree, running, Resource::memory))
    refuse<vim::InsufficientMemoryResourcesFault>(tree, *found, "memory", "MB", 1 << 20);
}

void ResourcePools::change(ResourceTree wanted) {
  require_enough(wanted, running_);
  std::swap(tree_, wanted);
  const ResourceTree& before = wanted;
  store();
  for (const auto& [id, pool] : tree_.pools)
    if (!pools_.contains(id))
      pools_[id] = host_.kernel.inventory.emplace<ResourcePool>(host_, MoRef{"ResourcePool", id});
  for (const auto& [ref, vm] : host_.virtual_machines)
    if (!vm->is_template()) move(ref, before.pool_of(ref), tree_.pool_of(ref));
  for (auto at = pools_.begin(); at != pools_.end();) {
    const auto [id, pool] = *at;
    if (tree_.has(id)) {
      pool->show(tree_);
      ++at;
    } else {
      host_.kernel.inventory.remove(pool->self());
      at = pools_.erase(at);
    }
  }
  refresh();
}

void ResourcePools::move(const std::string& vm, const std::string& from, const std::string& to) {
  if (from == to) return;
  const auto& moved = host_.virtual_machines.at(vm);
  const MoRef& ref = moved->self();
  pool(from)->update([&](auto& p) { remove_reference(p.vm, ref); });
  pool(to)->update([&](auto& p) { add_reference(p.vm, ref); });
  moved->update([&](auto& p) { p.resourcePool = pool(to)->self(); });
}

void ResourcePools::admit(const VirtualMachine& vm, const vmx::MachineConfig& config) {
  VmReservations running = running_;
  running[vm.self().value] = reservation_of(config);
  require_enough(tree_, running);
  running_ = std::move(running);
  refresh();
}

void ResourcePools::hold(const VirtualMachine& vm) {
  running_[vm.self().value] = reservation_of(vm.config());
  refresh();
}

void ResourcePools::release(const MoRef& vm) {
  if (running_.erase(vm.value) > 0) refresh();
}

void ResourcePools::assign(const MoRef& vm, const MoRef& ref) {
  const std::string id = pool(ref)->self().value;
  if (id == tree_.pool_of(vm.value)) return;
  tree_.pool.erase(vm.value);
  if (id != tree_.root) tree_.pool[vm.value] = id;
  store();
}

void ResourcePools::add(VirtualMachine& vm) {
  const auto owner = pool(tree_.pool_of(vm.self().value));
  owner->update([&](auto& p) { add_reference(p.vm, vm.self()); });
  vm.update([&](auto& p) { p.resourcePool = owner->self(); });
}

void ResourcePools::remove(const MoRef& vm) {
  pool(tree_.pool_of(vm.value))->update([&](auto& p) { remove_reference(p.vm, vm); });
  release(vm);
  if (tree_.pool.erase(vm.value) > 0) store();
}

void ResourcePools::refresh() {
  const auto cpu = budgets(tree_, running_, Resource::cpu);
  const auto memory = budgets(tree_, running_, Resource::memory);
  const auto usage = usage_of(host_, tree_);
  for (const auto& [id, pool] : pools_) {
    const auto found = usage.find(id);
    const Usage used = found == usage.end() ? Usage{} : found->second;
    pool->show_usage(describe(cpu.at(id), used.mhz, 1),
                     describe(memory.at(id), used.bytes, 1 << 20));
  }
}

}  // namespace virga::host
