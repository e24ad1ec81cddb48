#include "host/resource_pool.h"

#include <algorithm>

#include "host/device_options.h"
#include "host/folder.h"
#include "host/names.h"
#include "host/new_machine.h"
#include "host/resource_pools.h"
#include "host/virtual_machine.h"
#include "host/virtual_machine_import.h"
#include "host/vm_config_planning.h"
#include "host/vm_config_words.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

// Shares of level normal: as many as a VM of four processors and 16 GB has (vSphere Resource
// Management, "Resource Allocation Shares").
constexpr std::int64_t kNormalCpuShares = 4000;
constexpr std::int64_t kNormalMemoryShares = 163'840;

vim::ResourceAllocationInfo whole(std::int64_t amount) {
  vim::ResourceAllocationInfo allocation;
  allocation.reservation = amount;
  allocation.expandableReservation = false;
  allocation.limit = amount;
  vim::SharesInfo shares;
  shares.level = vim::SharesLevel::custom;
  shares.shares = 1000;
  allocation.shares = model::share(std::move(shares));
  return allocation;
}

vim::ResourceAllocationInfo describe(const PoolAllocation& allocation, std::int64_t normal) {
  vim::ResourceAllocationInfo described;
  described.reservation = allocation.granted.reservation;
  described.expandableReservation = allocation.expandable;
  described.limit = allocation.granted.limit.value_or(-1);
  described.shares = model::share(shares_info(allocation.granted, normal));
  return described;
}

std::string change_version(const vim::ResourceAllocationInfo& cpu,
                           const vim::ResourceAllocationInfo& memory) {
  std::string words;
  for (const auto* it : {&cpu, &memory})
    words += fmt::format("{} {} {} {} {};", *it->reservation, *it->expandableReservation,
                         *it->limit, static_cast<int>(it->shares->level), it->shares->shares);
  return fmt::format("{:016x}", digest(words));
}

vim::ResourceConfigSpec describe(const ResourceTree& tree, const MoRef& self) {
  vim::ResourceConfigSpec config;
  config.entity = self;
  if (self.value == tree.root) {
    config.cpuAllocation = whole(tree.mhz);
    config.memoryAllocation = whole(tree.memory_mib);
  } else {
    const Pool& pool = tree.pools.at(self.value);
    config.cpuAllocation = describe(pool.cpu, kNormalCpuShares);
    config.memoryAllocation = describe(pool.memory, kNormalMemoryShares);
  }
  config.changeVersion = change_version(config.cpuAllocation, config.memoryAllocation);
  config.scaleDescendantsShares = "disabled";
  return config;
}

void apply(const vim::ResourceAllocationInfo& wanted, const std::string& field,
           PoolAllocation& allocation) {
  set_allocation(wanted, field, allocation.granted);
  if (wanted.expandableReservation) allocation.expandable = *wanted.expandableReservation;
}

void apply(const vim::ResourceConfigSpec& spec, Pool& pool) {
  if (spec.scaleDescendantsShares && *spec.scaleDescendantsShares != "disabled")
    throw kernel::not_supported("scaleDescendantsShares");
  apply(spec.cpuAllocation, "cpuAllocation", pool.cpu);
  apply(spec.memoryAllocation, "memoryAllocation", pool.memory);
}

// Of a pool that is to be made nothing may be left open.
void require_complete(const vim::ResourceAllocationInfo& allocation, const std::string& field) {
  const auto require = [&](bool given, const char* what) {
    if (!given) throw kernel::invalid_argument("spec." + field + "." + what, "it is not given");
  };
  require(allocation.reservation.has_value(), "reservation");
  require(allocation.expandableReservation.has_value(), "expandableReservation");
  require(allocation.limit.has_value(), "limit");
  require(bool(allocation.shares), "shares");
}

void check_name(const ResourceTree& tree, const std::string& id) {
  constexpr std::size_t longest = 80;  // bytes
  const Pool& pool = tree.pools.at(id);
  if (vmx::trim(pool.name).empty()) throw kernel::invalid_name(pool.name, "it is empty");
  if (pool.name.size() > longest)
    throw kernel::invalid_name(pool.name, fmt::format("it is longer than {} bytes", longest));
  for (const std::string& sibling : tree.children_of(pool.parent))
    if (sibling != id && tree.pools.at(sibling).name == pool.name)
      throw kernel::duplicate_name(pool.name, {"ResourcePool", sibling});
}

vim::ResourcePoolEventArgument argument(const ResourceTree& tree, const std::string& id) {
  vim::ResourcePoolEventArgument argument;
  argument.name = tree.name_of(id);
  argument.resourcePool = {"ResourcePool", id};
  return argument;
}

vim::SharesOption shares_option(std::int32_t normal) {
  vim::SharesOption option;
  option.sharesOption = int_option(0, 1'000'000, normal);
  option.defaultLevel = vim::SharesLevel::normal;
  return option;
}

}  // namespace

ResourcePool::ResourcePool(Host& host, MoRef self)
    : Entity(host, std::move(self), [] {
        auto properties = entity_properties<Properties>("", names::compute_resource);
        properties.owner = names::compute_resource;
        properties.runtime.edit().overallStatus = vim::ManagedEntityStatus::green;
        properties.runtime.edit().sharesScalable = "disabled";
        return properties;
      }()) {}

void ResourcePool::show(const ResourceTree& tree) {
  const auto config = model::share(describe(tree, self()));
  model::Array<MoRef> children;
  for (const std::string& child : tree.children_of(id()))
    children.push_back({"ResourcePool", child});
  update([&](Properties& p) {
    p.name = tree.name_of(id());
    p.parent = id() == tree.root ? names::compute_resource
                                 : MoRef{"ResourcePool", tree.pools.at(id()).parent};
    p.config = config;
    p.resourcePool = children;
    p.summary.edit().name = p.name;
    p.summary.edit().config = *config;
  });
}

void ResourcePool::show_usage(vim::ResourcePoolResourceUsage cpu,
                              vim::ResourcePoolResourceUsage memory) {
  vim::ResourcePoolQuickStats stats;
  stats.overallCpuUsage = stats.overallCpuDemand = cpu.overallUsage;
  stats.hostMemoryUsage = memory.overallUsage >> 20;
  update([&](Properties& p) {
    p.runtime.edit().cpu = cpu;
    p.runtime.edit().memory = memory;
    p.summary.edit().runtime = *p.runtime;
    p.summary.edit().quickStats = model::share(stats);
  });
}

void ResourcePool::require(model::Call& call, const kernel::Object& object,
                           const char* privilege) const {
  auto& kernel = host().kernel;
  kernel.authorization.check(kernel.inventory, kernel::context(call).user(), object, privilege);
}

void ResourcePool::refuse_root(const char* doing) const {
  if (self() == names::resource_pool)
    throw kernel::not_supported(
        fmt::format("{} the root resource pool, which has what the machine has,", doing));
}

template <class E>
void ResourcePool::post(E event, const std::string& message, const std::string& user) {
  event.resourcePool = argument(host().resource_pools->tree(), id());
  host().post(std::move(event), message, user);
}

// --- Configuration -----------------------------------------------------------------------------

void ResourcePool::reconfigure(model::Call& call, const std::optional<std::string>& name,
                               const model::Ptr<vim::ResourceConfigSpec>& config) {
  refuse_root("Changing");
  require(call, *this, name ? "Resource.RenamePool" : "Resource.EditPool");
  if (config) require(call, *this, "Resource.EditPool");
  if (config && config->changeVersion &&
      *config->changeVersion != properties().config->changeVersion)
    throw kernel::Fault(vim::ConcurrentAccess{},
                        fmt::format("The resource pool {} has changed.", properties().name));
  ResourceTree wanted = host().resource_pools->tree();
  Pool& pool = wanted.pools.at(id());
  if (name) pool.name = *name;
  if (config) apply(*config, pool);
  check_name(wanted, id());
  host().resource_pools->change(std::move(wanted));
  post(vim::ResourcePoolReconfiguredEvent{},
       fmt::format("Updated configuration for {} in compute resource {} in ha-datacenter",
                   properties().name, host().identity.name),
       kernel::context(call).user());
}

Async<void> ResourcePool::UpdateConfig(model::Call& call, const vim::UpdateConfigRequestType& r) {
  reconfigure(call, r.name, r.config);
  co_return;
}

Async<MoRef> ResourcePool::Rename_Task(model::Call& call, const vim::RenameRequestType& r) {
  kernel::TaskSpec task{"Rename_Task", "ResourcePool.rename", self(), properties().name};
  reconfigure(call, r.newName, {});
  const auto done = [](kernel::TaskHandle&) -> Async<Any> { co_return Any(); };
  co_return host().kernel.tasks.run(call, std::move(task), done);
}

Async<void> ResourcePool::UpdateChildResourceConfiguration(
    model::Call& call, const vim::UpdateChildResourceConfigurationRequestType& r) {
  ResourceTree wanted = host().resource_pools->tree();
  std::vector<std::pair<std::shared_ptr<VirtualMachine>, model::Ptr<vim::ResourceConfigSpec>>> vms;
  for (const auto& spec : r.spec) {
    if (!spec->entity) throw kernel::invalid_argument("spec.entity", "it is not given");
    const MoRef& child = *spec->entity;
    const auto object = host().kernel.inventory.get(child);
    const auto vm = host().virtual_machines.find(child.value);
    const auto pool = wanted.pools.find(child.value);
    if (pool != wanted.pools.end() && pool->second.parent == id()) {
      require(call, *object, "Resource.EditPool");
      apply(*spec, pool->second);
    } else if (vm != host().virtual_machines.end() && wanted.pool_of(child.value) == id()) {
      require(call, *object, "VirtualMachine.Config.Resource");
      vms.emplace_back(vm->second, spec);
    } else {
      throw kernel::invalid_argument("spec.entity", child.value + " is no child of this pool");
    }
  }
  host().resource_pools->change(std::move(wanted));
  for (const auto& [vm, spec] : vms) co_await vm->change_allocations(call, spec);
}

// --- Children ----------------------------------------------------------------------------------

Async<MoRef> ResourcePool::CreateResourcePool(model::Call& call,
                                              const vim::CreateResourcePoolRequestType& r) {
  require_complete(r.spec.cpuAllocation, "cpuAllocation");
  require_complete(r.spec.memoryAllocation, "memoryAllocation");
  ResourcePools& pools = *host().resource_pools;
  Pool made{.name = r.name, .parent = id()};
  apply(r.spec, made);
  const MoRef ref = pools.new_reference();
  ResourceTree wanted = pools.tree();
  wanted.pools[ref.value] = std::move(made);
  check_name(wanted, ref.value);
  pools.change(std::move(wanted));
  vim::ResourcePoolCreatedEvent event;
  event.parent = argument(pools.tree(), id());
  pools.pool(ref)->post(std::move(event),
                        fmt::format("Created resource pool {} in compute resource {} in "
                                    "ha-datacenter",
                                    r.name, host().identity.name),
                        kernel::context(call).user());
  co_return ref;
}

void ResourcePool::destroy(model::Call& call) {
  refuse_root("Destroying");
  require(call, *this, "Resource.DeletePool");
  ResourceTree wanted = host().resource_pools->tree();
  const std::vector<std::string> children = wanted.children_of(id());
  wanted.dissolve(id());
  for (const std::string& child : children) check_name(wanted, child);
  const auto me = shared_from_this();
  const vim::ResourcePoolEventArgument gone = argument(host().resource_pools->tree(), id());
  host().resource_pools->change(std::move(wanted));
  vim::ResourcePoolDestroyedEvent event;
  event.resourcePool = gone;
  host().post(std::move(event),
              fmt::format("Removed resource pool {} on {} in ha-datacenter", gone.name,
                          host().identity.name),
              kernel::context(call).user());
}

Async<MoRef> ResourcePool::Destroy_Task(model::Call& call, const vim::DestroyRequestType&) {
  kernel::TaskSpec task{"Destroy_Task", "ResourcePool.destroy", self(), properties().name};
  destroy(call);
  const auto done = [](kernel::TaskHandle&) -> Async<Any> { co_return Any(); };
  co_return host().kernel.tasks.run(call, std::move(task), done);
}

Async<void> ResourcePool::DestroyChildren(model::Call& call,
                                          const vim::DestroyChildrenRequestType&) {
  ResourceTree wanted = host().resource_pools->tree();
  std::vector<vim::ResourcePoolEventArgument> gone;
  for (const auto& [pool, config] : host().resource_pools->tree().pools) {
    if (pool == id() || !host().resource_pools->tree().is_within(pool, id())) continue;
    require(call, *host().resource_pools->pool(pool), "Resource.DeletePool");
    gone.push_back(argument(host().resource_pools->tree(), pool));
  }
  for (const auto& pool : gone) wanted.dissolve(pool.resourcePool.value);
  host().resource_pools->change(std::move(wanted));
  for (const auto& pool : gone) {
    vim::ResourcePoolDestroyedEvent event;
    event.resourcePool = pool;
    host().post(std::move(event),
                fmt::format("Removed resource pool {} on {} in ha-datacenter", pool.name,
                            host().identity.name),
                kernel::context(call).user());
  }
  co_return;
}

Async<void> ResourcePool::MoveIntoResourcePool(model::Call& call,
                                               const vim::MoveIntoResourcePoolRequestType& r) {
  ResourcePools& pools = *host().resource_pools;
  const ResourceTree before = pools.tree();
  ResourceTree wanted = before;
  for (const MoRef& moved : r.list) {
    const auto object = host().kernel.inventory.get(moved);
    const auto vm = host().virtual_machines.find(moved.value);
    if (vm != host().virtual_machines.end() && moved.type == "VirtualMachine") {
      require(call, *this, "Resource.AssignVMToPool");
      if (vm->second->is_template())
        throw kernel::invalid_argument("list", vm->second->properties().name + " is a template");
      wanted.pool.erase(moved.value);
      if (id() != wanted.root) wanted.pool[moved.value] = id();
    } else if (wanted.pools.contains(moved.value)) {
      require(call, *object, "Resource.MovePool");
      require(call, *this, "Resource.MovePool");
      if (wanted.is_within(id(), moved.value))
        throw kernel::invalid_argument(
            "list", wanted.name_of(moved.value) + " cannot be moved into itself");
      wanted.pools.at(moved.value).parent = id();
      check_name(wanted, moved.value);
    } else {
      throw kernel::invalid_argument("list", moved.value + " is neither a VM nor a resource pool");
    }
  }
  pools.change(wanted);
  for (const MoRef& moved : r.list) tell_moved(moved, before, kernel::context(call).user());
  co_return;
}

void ResourcePool::tell_moved(const MoRef& moved, const ResourceTree& before,
                              const std::string& user) {
  const ResourceTree& now = host().resource_pools->tree();
  const auto tell = [&](auto event, const std::string& from, const std::string& name) {
    event.oldParent = argument(before, from);
    event.newParent = argument(now, id());
    host().post(std::move(event),
                fmt::format("Moved {} from resource pool {} to {}", name, before.name_of(from),
                            now.name_of(id())),
                user);
  };
  if (now.pools.contains(moved.value)) {
    vim::ResourcePoolMovedEvent event;
    event.resourcePool = argument(now, moved.value);
    tell(std::move(event), before.pools.at(moved.value).parent, now.name_of(moved.value));
  } else {
    const std::string& name = host().virtual_machines.at(moved.value)->properties().name;
    vim::VmResourcePoolMovedEvent event;
    vim::VmEventArgument vm;
    vm.name = name;
    vm.vm = moved;
    event.vm = model::share(std::move(vm));
    tell(std::move(event), before.pool_of(moved.value), name);
  }
}

void ResourcePool::check_host(const std::optional<MoRef>& on_host) const {
  if (on_host && *on_host != names::host_system) throw kernel::managed_object_not_found(*on_host);
}

Async<MoRef> ResourcePool::CreateChildVM_Task(model::Call& call,
                                              const vim::CreateChildVMRequestType& r) {
  check_host(r.host);
  const std::string user = kernel::context(call).user();
  const auto spec = model::share(vim::VirtualMachineConfigSpec(r.config));
  kernel::TaskSpec task{"CreateChildVM_Task", "ResourcePool.createChildVm", self(),
                        properties().name};
  co_return host().kernel.tasks.run(
      call, std::move(task), [this, user, spec](kernel::TaskHandle& handle) -> Async<Any> {
        return create_virtual_machine(host(), handle, user, spec, self());
      });
}

Async<MoRef> ResourcePool::RegisterChildVM_Task(model::Call& call,
                                                const vim::RegisterChildVMRequestType& r) {
  check_host(r.host);
  const std::string user = kernel::context(call).user();
  const Registration wanted{r.path, r.name, false, self()};
  kernel::TaskSpec task{"RegisterChildVM_Task", "ResourcePool.registerChildVm", self(),
                        properties().name};
  co_return host().kernel.tasks.run(call, std::move(task),
                                    [this, user, wanted](kernel::TaskHandle& handle) -> Async<Any> {
                                      return register_virtual_machine(host(), handle, user, wanted);
                                    });
}

Async<MoRef> ResourcePool::ImportVApp(model::Call& call, const vim::ImportVAppRequestType& r) {
  const auto* spec = r.spec.as<vim::VirtualMachineImportSpec>();
  if (!spec)
    throw kernel::not_supported("Importing a vApp: a host has none, a management server does;");
  if (r.folder && *r.folder != names::vm_folder)
    throw kernel::invalid_argument("folder", r.folder->value + " takes no virtual machines");
  check_host(r.host);
  if (spec->resPoolEntity && *spec->resPoolEntity != self())
    throw kernel::managed_object_not_found(*spec->resPoolEntity);
  co_return import_virtual_machine(host(), call, spec->configSpec, self());
}

Async<model::Ptr<vim::ResourceConfigOption>> ResourcePool::QueryResourceConfigOption(
    model::Call&, const vim::QueryResourceConfigOptionRequestType&) {
  vim::ResourceConfigOption option;
  option.cpuAllocationOption.sharesOption = shares_option(kNormalCpuShares);
  option.memoryAllocationOption.sharesOption = shares_option(kNormalMemoryShares);
  co_return model::share(std::move(option));
}

Async<void> ResourcePool::RefreshRuntime(model::Call&, const vim::RefreshRuntimeRequestType&) {
  host().resource_pools->refresh();
  co_return;
}

}  // namespace virga::host
