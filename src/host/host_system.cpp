#include "host/host_system.h"

#include <algorithm>

#include "host/config_target.h"
#include "host/names.h"
#include "host/service_instance.h"
#include "host/virtual_machine.h"
#include "model/clock.h"

namespace virga::host {
namespace {

constexpr const char* kTable = "host";
constexpr const char* kMaintenance = "maintenance";

// How often who waits for guests to end looks whether it is to stop.
constexpr std::chrono::seconds kStopInterval{1};

// QEMU's own memory beside the guest's, measured: 65 MB and 33 MB of translated code under TCG.
constexpr std::int64_t kOverheadBytes = 98LL << 20;

// 32 bits, the highest first, in fours: "0000:0000:0000:0000:0000:0110:1010:0101".
std::string bits(std::uint32_t value) {
  std::string text;
  for (int shift = 28; shift >= 0; shift -= 4)
    text += fmt::format("{}{:04b}", text.empty() ? "" : ":", value >> shift & 0xf);
  return text;
}

vim::HostCpuIdInfo describe(const hypervisor::CpuId& leaf) {
  vim::HostCpuIdInfo info;
  info.level = static_cast<std::int32_t>(leaf.level);
  info.eax = bits(leaf.eax);
  info.ebx = bits(leaf.ebx);
  info.ecx = bits(leaf.ecx);
  info.edx = bits(leaf.edx);
  return info;
}

vim::HostHardwareInfo hardware(const Host& host) {
  const auto& facts = host.facts;
  vim::HostHardwareInfo info;
  info.systemInfo.vendor = facts.system.vendor;
  info.systemInfo.model = facts.system.product;
  info.systemInfo.uuid = host.identity.uuid;
  if (!facts.system.serial.empty()) info.systemInfo.serialNumber = facts.system.serial;
  info.cpuInfo.numCpuPackages = static_cast<std::int16_t>(facts.cpu.packages.size());
  info.cpuInfo.numCpuCores = static_cast<std::int16_t>(facts.cpu.cores);
  info.cpuInfo.numCpuThreads = static_cast<std::int16_t>(facts.cpu.threads);
  info.cpuInfo.hz = static_cast<std::int64_t>(facts.cpu.mhz * 1e6);
  for (const auto& package : facts.cpu.packages) {
    auto& described = info.cpuPkg.emplace_back();
    described.index = static_cast<std::int16_t>(package.index);
    described.vendor = package.vendor == "GenuineIntel"   ? "intel"
                       : package.vendor == "AuthenticAMD" ? "amd" : package.vendor;
    described.hz = static_cast<std::int64_t>(package.mhz * 1e6);
    described.description = package.model;
    for (const int thread : package.threads)
      described.threadId.push_back(static_cast<std::int16_t>(thread));
  }
  for (const auto& leaf : facts.cpu.cpuid) info.cpuFeature.push_back(describe(leaf));
  info.memorySize = static_cast<std::int64_t>(facts.memory_bytes);
  for (const auto& device : facts.pci) info.pciDevice.push_back(describe_pci(device));
  if (!facts.system.bios_version.empty()) {
    vim::HostBIOSInfo bios;
    bios.biosVersion = facts.system.bios_version;
    bios.vendor = facts.system.bios_vendor;
    info.biosInfo = model::share(std::move(bios));
  }
  return info;
}

vim::HostHardwareSummary hardware_summary(const Host& host) {
  const auto& facts = host.facts;
  vim::HostHardwareSummary summary;
  summary.vendor = facts.system.vendor;
  summary.model = facts.system.product;
  summary.uuid = host.identity.uuid;
  summary.memorySize = static_cast<std::int64_t>(facts.memory_bytes);
  summary.cpuModel = facts.cpu.packages.empty() ? "" : facts.cpu.packages.front().model;
  summary.cpuMhz = static_cast<std::int32_t>(facts.cpu.mhz);
  summary.numCpuPkgs = static_cast<std::int16_t>(facts.cpu.packages.size());
  summary.numCpuCores = static_cast<std::int16_t>(facts.cpu.cores);
  summary.numCpuThreads = static_cast<std::int16_t>(facts.cpu.threads);
  summary.numNics = static_cast<std::int32_t>(facts.nics.size());
  summary.numHBAs = 0;
  return summary;
}

vim::HostCapability capability(const Host& host) {
  vim::HostCapability capability;
  capability.cpuMemoryResourceConfigurationSupported = true;
  capability.vlanTaggingSupported = true;
  capability.maintenanceModeSupported = true;
  capability.highGuestMemSupported = true;
  capability.screenshotSupported = true;
  capability.preAssignedPCIUnitNumbersSupported = true;
  capability.nfsSupported = true;
  capability.nfs41Supported = true;
  capability.nfs41Krb5iSupported = false;
  capability.nestedHVSupported = host.capabilities.accelerator == "kvm";
  capability.maxSupportedVcpus = host.capabilities.max_vcpus;
  return capability;
}

vim::HostConfigManager managers() {
  vim::HostConfigManager managers;
  managers.datastoreSystem = names::datastore_system;
  managers.networkSystem = names::network_system;
  managers.storageSystem = names::storage_system;
  managers.autoStartManager = names::auto_start_manager;
  managers.pciPassthruSystem = names::pci_passthru_system;
  managers.graphicsManager = names::graphics_manager;
  managers.advancedOption = names::settings;
  managers.accountManager = names::account_manager;
  return managers;
}

vim::HostConfigInfo config(const Host& host) {
  vim::HostConfigInfo config;
  config.host = names::host_system;
  config.product = about(host);
  return config;
}

}  // namespace

HostSystem::HostSystem(Host& host)
    : Entity(host, names::host_system, [&] {
        auto properties = entity_properties<Properties>(host.identity.name, names::compute_resource);
        properties.runtime.edit().connectionState = vim::HostSystemConnectionState::connected;
        properties.runtime.edit().powerState = vim::HostSystemPowerState::poweredOn;
        properties.runtime.edit().bootTime =
            std::chrono::time_point_cast<model::Time::duration>(host.facts.boot_time);
        properties.hardware = model::share(hardware(host));
        properties.capability = model::share(capability(host));
        properties.configManager = model::share(managers());
        properties.config = model::share(config(host));
        properties.datastoreBrowser = {"HostDatastoreBrowser", "ha-host-datastorebrowser"};
        properties.summary.edit().host = names::host_system;
        properties.summary.edit().hardware = model::share(hardware_summary(host));
        properties.summary.edit().config.name = host.identity.name;
        properties.summary.edit().config.product = model::share(about(host));
        properties.summary.edit().overallStatus = vim::ManagedEntityStatus::green;
        return properties;
      }()) {
  set_maintenance_mode(host.kernel.database->get(kTable, kMaintenance).has_value());
}

void HostSystem::set_maintenance_mode(bool on) {
  update([&](Properties& p) {
    p.runtime.edit().inMaintenanceMode = on;
    p.summary.edit().runtime = p.runtime;
  });
}

void HostSystem::set_network(const vim::HostNetworkInfo& network) {
  update([&](Properties& p) {
    p.config.edit().network = model::share(vim::HostNetworkInfo(network));
  });
}

void HostSystem::set_usage(std::int32_t cpu_mhz, std::int32_t memory_mib) {
  const auto up = std::chrono::system_clock::now() - host().facts.boot_time;
  update([&](Properties& p) {
    auto& stats = p.summary.edit().quickStats;
    stats.overallCpuUsage = cpu_mhz;
    stats.overallMemoryUsage = memory_mib;
    stats.uptime = static_cast<std::int32_t>(std::chrono::duration_cast<std::chrono::seconds>(up).count());
  });
}

Async<model::Ptr<vim::HostConnectInfo>> HostSystem::QueryHostConnectionInfo(
    model::Call&, const vim::QueryHostConnectionInfoRequestType&) {
  vim::HostConnectInfo info;
  info.host = *properties().summary;
  for (const auto& [ref, vm] : host().virtual_machines)
    info.vm.push_back(vm->properties().summary);
  co_return model::share(std::move(info));
}

// On one host there is nowhere to move guests to: the user ends them. A timeout of 0: for ever.
Async<void> HostSystem::wait_until_no_guest_runs(std::chrono::seconds timeout,
                                                 std::stop_token stop) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const auto& vms = host().virtual_machines;
    const auto running = std::find_if(vms.begin(), vms.end(), [](const auto& entry) {
      return entry.second->powered_on();
    });
    if (running == vms.end()) co_return;
    const std::shared_ptr<VirtualMachine> vm = running->second;
    const std::string& name = vm->properties().name;
    if (stop.stop_requested()) throw kernel::request_canceled(name + " runs still.");
    if (timeout.count() > 0 && std::chrono::steady_clock::now() >= deadline)
      throw kernel::Fault(vim::Timedout{}, name + " runs still.");
    co_await vm->wait_for_end(kStopInterval);
  }
}

Async<MoRef> HostSystem::EnterMaintenanceMode_Task(model::Call& call,
                                                   const vim::EnterMaintenanceModeRequestType& r) {
  const std::string user = kernel::context(call).user();
  const std::chrono::seconds timeout(std::max(0, r.timeout));
  co_return host().kernel.tasks.run(
      call,
      {"EnterMaintenanceMode_Task", "HostSystem.enterMaintenanceMode", self(), properties().name, true},
      [this, user, timeout](kernel::TaskHandle& task) -> Async<Any> {
        if (!starts_guests())
          throw kernel::invalid_state("The host is in maintenance mode already, or about to be.");
        entering_maintenance_ = true;
        std::exception_ptr failure;
        try {
          co_await wait_until_no_guest_runs(timeout, task.stop_token());
        } catch (...) {
          failure = std::current_exception();
        }
        entering_maintenance_ = false;
        if (failure) std::rethrow_exception(failure);
        host().kernel.database->put(kTable, kMaintenance, "on");
        set_maintenance_mode(true);
        host().post(vim::EnteredMaintenanceModeEvent{},
                    host().identity.name + " has entered maintenance mode", user);
        co_return Any();
      });
}

Async<MoRef> HostSystem::ExitMaintenanceMode_Task(model::Call& call,
                                                  const vim::ExitMaintenanceModeRequestType&) {
  const std::string user = kernel::context(call).user();
  co_return host().kernel.tasks.run(
      call, {"ExitMaintenanceMode_Task", "HostSystem.exitMaintenanceMode", self(), properties().name},
      [this, user](kernel::TaskHandle&) -> Async<Any> {
        if (!properties().runtime->inMaintenanceMode)
          throw kernel::invalid_state("The host is not in maintenance mode.");
        host().kernel.database->erase(kTable, kMaintenance);
        set_maintenance_mode(false);
        host().post(vim::ExitMaintenanceModeEvent{},
                    host().identity.name + " has exited maintenance mode", user);
        co_return Any();
      });
}

Async<std::int64_t> HostSystem::QueryMemoryOverhead(model::Call&,
                                                    const vim::QueryMemoryOverheadRequestType& r) {
  co_return kOverheadBytes + r.videoRamSize.value_or(0);
}

Async<std::int64_t> HostSystem::QueryMemoryOverheadEx(
    model::Call&, const vim::QueryMemoryOverheadExRequestType&) {
  co_return kOverheadBytes;
}

Async<std::int64_t> HostSystem::RetrieveHardwareUptime(
    model::Call&, const vim::RetrieveHardwareUptimeRequestType&) {
  const auto up = std::chrono::system_clock::now() - host().facts.boot_time;
  co_return std::chrono::duration_cast<std::chrono::seconds>(up).count();
}

}  // namespace virga::host
