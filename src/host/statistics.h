// Samples the host and its guests every 20 seconds: quickStats and the PerformanceManager's counters.
#pragma once

#include "host/host.h"
#include "hypervisor/host_probe.h"
#include "kernel/performance_manager.h"

namespace virga::host {

class VirtualMachine;

class Statistics {
 public:
  // Adds the PerformanceManager to the inventory.
  explicit Statistics(Host& host);

  // Samples for as long as the kernel executor runs.
  void start();

 private:
  // The counters of a guest a sample ago, to tell rates by.
  struct Before {
    hypervisor::Counters counters;
    std::chrono::steady_clock::time_point at;
  };

  Async<void> run();
  void sample_host();
  Async<void> sample_guest(std::shared_ptr<VirtualMachine> vm);
  std::int64_t mhz_of(std::chrono::nanoseconds cpu, std::chrono::nanoseconds elapsed) const;

  Host& host_;
  std::shared_ptr<kernel::PerformanceManager> manager_;
  hypervisor::HostSample last_host_;
  std::map<std::string, Before> last_;    // by moId
};

}  // namespace virga::host
