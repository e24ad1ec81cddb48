#include "host/resource_pool.h"

#include "host/names.h"
#include "host/virtual_machine_import.h"

namespace virga::host {
namespace {

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

vim::ResourcePoolResourceUsage unused(std::int64_t amount) {
  vim::ResourcePoolResourceUsage usage;
  usage.unreservedForPool = amount;
  usage.unreservedForVm = amount;
  usage.maxUsage = amount;
  return usage;
}

}  // namespace

ResourcePool::ResourcePool(Host& host)
    : Entity(host, names::resource_pool, [&] {
        auto properties = entity_properties<Properties>("Resources", names::compute_resource);
        properties.owner = names::compute_resource;
        const auto mhz = static_cast<std::int64_t>(host.facts.cpu.cores * host.facts.cpu.mhz);
        const auto bytes = static_cast<std::int64_t>(host.facts.memory_bytes);
        auto& config = properties.config.edit();
        config.entity = names::resource_pool;
        config.cpuAllocation = whole(mhz);
        config.memoryAllocation = whole(bytes >> 20);
        auto& runtime = properties.runtime.edit();
        runtime.cpu = unused(mhz);
        runtime.memory = unused(bytes);
        runtime.overallStatus = vim::ManagedEntityStatus::green;
        vim::ResourcePoolSummary summary;
        summary.name = properties.name;
        summary.config = config;
        summary.runtime = runtime;
        properties.summary = model::share(std::move(summary));
        return properties;
      }()) {}

Async<void> ResourcePool::UpdateConfig(model::Call&, const vim::UpdateConfigRequestType&) {
  throw kernel::not_supported("Changing the root resource pool, which has what the machine has,");
  co_return;
}

Async<MoRef> ResourcePool::CreateResourcePool(model::Call&,
                                              const vim::CreateResourcePoolRequestType&) {
  throw kernel::not_supported("Making resource pools on a host");
  co_return MoRef{};
}

Async<MoRef> ResourcePool::ImportVApp(model::Call& call, const vim::ImportVAppRequestType& r) {
  const auto* spec = r.spec.as<vim::VirtualMachineImportSpec>();
  if (!spec)
    throw kernel::not_supported("Importing a vApp: a host has none, a management server does;");
  if (r.folder && *r.folder != names::vm_folder)
    throw kernel::invalid_argument("folder", r.folder->value + " takes no virtual machines");
  if (r.host && *r.host != names::host_system) throw kernel::managed_object_not_found(*r.host);
  if (spec->resPoolEntity && *spec->resPoolEntity != self())
    throw kernel::managed_object_not_found(*spec->resPoolEntity);
  co_return import_virtual_machine(host(), call, spec->configSpec, self());
}

Async<void> ResourcePool::RefreshRuntime(model::Call&, const vim::RefreshRuntimeRequestType&) {
  co_return;    // runtime is kept current by the host's statistics
}

}  // namespace virga::host
