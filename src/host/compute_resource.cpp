#include "host/compute_resource.h"

#include "host/names.h"

namespace virga::host {
namespace {

vim::ComputeResourceSummary summary_of(const hypervisor::HostFacts& facts) {
  vim::ComputeResourceSummary summary;
  summary.numCpuCores = static_cast<std::int16_t>(facts.cpu.cores);
  summary.numCpuThreads = static_cast<std::int16_t>(facts.cpu.threads);
  summary.totalCpu = static_cast<std::int32_t>(facts.cpu.cores * facts.cpu.mhz);
  summary.totalMemory = static_cast<std::int64_t>(facts.memory_bytes);
  summary.effectiveCpu = summary.totalCpu;
  summary.effectiveMemory = static_cast<std::int64_t>(facts.memory_bytes >> 20);
  summary.numHosts = 1;
  summary.numEffectiveHosts = 1;
  summary.overallStatus = vim::ManagedEntityStatus::green;
  return summary;
}

}  // namespace

ComputeResource::ComputeResource(Host& host)
    : Entity(host, names::compute_resource, [&] {
        auto properties = entity_properties<Properties>(host.identity.name, names::host_folder);
        properties.resourcePool = names::resource_pool;
        properties.host = {names::host_system};
        properties.environmentBrowser = names::environment_browser;
        properties.summary = model::share(summary_of(host.facts));
        vim::ComputeResourceConfigInfo config;
        config.vmSwapPlacement = "vmDirectory";
        properties.configurationEx = model::share(std::move(config));
        return properties;
      }()) {}

}  // namespace virga::host
