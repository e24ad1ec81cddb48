#include "host/statistics.h"

#include "base/log.h"
#include "host/host_system.h"
#include "host/names.h"
#include "host/resource_pools.h"
#include "host/virtual_machine.h"
#include "model/clock.h"

namespace virga::host {
namespace {

using Sample = kernel::PerformanceManager::Sample;

// The counters, numbered as ESXi 7 numbers them.
enum Counter {
  kCpuUsage = 2,
  kCpuUsageMhz = 6,
  kMemoryUsage = 24,
  kMemoryActive = 33,
  kMemoryConsumed = 98,
  kDiskUsage = 125,
  kDiskRead = 130,
  kDiskWrite = 131,
  kNetUsage = 143,
  kNetReceived = 148,
  kNetTransmitted = 149,
  kUptime = 155,
};

std::vector<kernel::CounterDefinition> definitions() {
  using Rollup = vim::PerfSummaryType;
  using Stats = vim::PerfStatsType;
  return {
      {kCpuUsage, "cpu", "usage", "Usage", "percent", "%", Rollup::average, Stats::rate},
      {kCpuUsageMhz, "cpu", "usagemhz", "Usage in MHz", "megaHertz", "MHz", Rollup::average, Stats::rate},
      {kMemoryUsage, "mem", "usage", "Host consumed %", "percent", "%", Rollup::average, Stats::absolute},
      {kMemoryActive, "mem", "active", "Active", "kiloBytes", "KB", Rollup::average, Stats::absolute},
      {kMemoryConsumed, "mem", "consumed", "Consumed", "kiloBytes", "KB", Rollup::average, Stats::absolute},
      {kDiskUsage, "disk", "usage", "Usage", "kiloBytesPerSecond", "KBps", Rollup::average, Stats::rate},
      {kDiskRead, "disk", "read", "Read rate", "kiloBytesPerSecond", "KBps", Rollup::average, Stats::rate},
      {kDiskWrite, "disk", "write", "Write rate", "kiloBytesPerSecond", "KBps", Rollup::average, Stats::rate},
      {kNetUsage, "net", "usage", "Usage", "kiloBytesPerSecond", "KBps", Rollup::average, Stats::rate},
      {kNetReceived, "net", "received", "Data receive rate", "kiloBytesPerSecond", "KBps", Rollup::average, Stats::rate},
      {kNetTransmitted, "net", "transmitted", "Data transmit rate", "kiloBytesPerSecond", "KBps", Rollup::average, Stats::rate},
      {kUptime, "sys", "uptime", "Uptime", "second", "s", Rollup::latest, Stats::absolute},
  };
}

std::int64_t kib_per_second(std::uint64_t before, std::uint64_t after, double seconds) {
  return after <= before ? 0 : static_cast<std::int64_t>((after - before) / 1024.0 / seconds);
}

}  // namespace

Statistics::Statistics(Host& host)
    : host_(host),
      manager_(host.kernel.inventory.emplace<kernel::PerformanceManager>(
          host.kernel, names::performance_manager, definitions())) {}

void Statistics::start() { spawn(host_.kernel.executor, "statistics", run()); }

Async<void> Statistics::run() {
  last_host_ = hypervisor::sample_host();
  // The first sample comes soon: until then nothing can be told.
  auto interval = std::chrono::seconds(1);
  for (;;) {
    co_await sleep_for(interval);
    interval = std::chrono::seconds(kernel::kSampleSeconds);
    sample_host();
    for (const auto& [ref, vm] : std::map(host_.virtual_machines)) {
      if (!vm->machine()) {
        last_.erase(ref);
        continue;
      }
      try {
        co_await sample_guest(vm);
      } catch (const Error& failure) {
        // The guest ended while it was asked; its end is told elsewhere.
        logger("statistics")->debug("{}: {}", vm->properties().name, failure.what());
      }
    }
    host_.resource_pools->refresh();
    std::erase_if(last_, [&](const auto& entry) { return !host_.virtual_machines.contains(entry.first); });
  }
}

void Statistics::sample_host() {
  const auto sample = hypervisor::sample_host();
  const double usage = hypervisor::cpu_usage(last_host_, sample);
  last_host_ = sample;
  const auto& facts = host_.facts;
  const auto mhz = static_cast<std::int64_t>(usage * facts.cpu.threads * facts.cpu.mhz);
  const auto used = static_cast<std::int64_t>(sample.memory_used_bytes);
  host_.host_system->set_usage(static_cast<std::int32_t>(mhz), static_cast<std::int32_t>(used >> 20));
  Sample values;
  values[{kCpuUsage, ""}] = static_cast<std::int64_t>(usage * 10'000);
  values[{kCpuUsageMhz, ""}] = mhz;
  values[{kMemoryUsage, ""}] = used * 10'000 / std::max<std::int64_t>(1, static_cast<std::int64_t>(facts.memory_bytes));
  values[{kMemoryConsumed, ""}] = used >> 10;
  const auto up = std::chrono::system_clock::now() - facts.boot_time;
  values[{kUptime, ""}] = std::chrono::duration_cast<std::chrono::seconds>(up).count();
  manager_->record(names::host_system, model::now(), std::move(values));
}

std::int64_t Statistics::mhz_of(std::chrono::nanoseconds cpu, std::chrono::nanoseconds elapsed) const {
  return elapsed.count() <= 0 ? 0
         : static_cast<std::int64_t>(host_.facts.cpu.mhz * static_cast<double>(cpu.count()) /
                                     static_cast<double>(elapsed.count()));
}

Async<void> Statistics::sample_guest(std::shared_ptr<VirtualMachine> vm) {
  const hypervisor::Counters now = co_await vm->machine()->counters();
  const auto at = std::chrono::steady_clock::now();
  const auto& ref = vm->self();
  const auto found = last_.find(ref.value);
  const Before before = found == last_.end() ? Before{now, at} : found->second;
  last_[ref.value] = {now, at};
  const auto elapsed = at - before.at;
  const double seconds = std::max(0.001, std::chrono::duration<double>(elapsed).count());
  const auto mhz = mhz_of(now.cpu_time - before.counters.cpu_time, elapsed);
  const auto resident = static_cast<std::int64_t>(now.resident_bytes);
  const auto& config = vm->config();

  vim::VirtualMachineQuickStats stats = vm->properties().summary->quickStats;
  stats.overallCpuUsage = stats.overallCpuDemand = static_cast<std::int32_t>(mhz);
  stats.hostMemoryUsage = static_cast<std::int32_t>(resident >> 20);
  stats.guestMemoryUsage = std::min<std::int32_t>(static_cast<std::int32_t>(resident >> 20),
                                                  static_cast<std::int32_t>(config.memory_mib));
  const auto boot = vm->properties().runtime->bootTime;
  if (boot)
    stats.uptimeSeconds = static_cast<std::int32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(model::now() - *boot).count());
  vm->set_quick_stats(stats);

  Sample values;
  const double capacity = std::max(1.0, config.cpus * host_.facts.cpu.mhz);
  values[{kCpuUsage, ""}] = static_cast<std::int64_t>(static_cast<double>(mhz) * 10'000 / capacity);
  values[{kCpuUsageMhz, ""}] = mhz;
  values[{kMemoryUsage, ""}] = (resident >> 20) * 10'000 / std::max<std::int64_t>(1, config.memory_mib);
  values[{kMemoryActive, ""}] = values[{kMemoryConsumed, ""}] = resident >> 10;
  values[{kUptime, ""}] = stats.uptimeSeconds.value_or(0);
  std::int64_t read = 0, written = 0, received = 0, sent = 0;
  for (const auto& [key, disk] : now.disks) {
    const auto& past = before.counters.disks.contains(key) ? before.counters.disks.at(key) : disk;
    read += kib_per_second(past.read_bytes, disk.read_bytes, seconds);
    written += kib_per_second(past.written_bytes, disk.written_bytes, seconds);
  }
  for (const auto& [key, nic] : now.nics) {
    const auto& past = before.counters.nics.contains(key) ? before.counters.nics.at(key) : nic;
    const auto in = kib_per_second(past.received_bytes, nic.received_bytes, seconds);
    const auto out = kib_per_second(past.sent_bytes, nic.sent_bytes, seconds);
    values[{kNetReceived, std::to_string(key)}] = in;
    values[{kNetTransmitted, std::to_string(key)}] = out;
    received += in;
    sent += out;
  }
  values[{kDiskRead, ""}] = read;
  values[{kDiskWrite, ""}] = written;
  values[{kDiskUsage, ""}] = read + written;
  values[{kNetReceived, ""}] = received;
  values[{kNetTransmitted, ""}] = sent;
  values[{kNetUsage, ""}] = received + sent;
  manager_->record(ref, model::now(), std::move(values));
}

}  // namespace virga::host
