// Makes the shares that disks have of their datastores hold while these are contended
// (io_shares.h): looks every two seconds at what the disks of running VMs do, and gives those of a
// contended datastore budgets. Raw devices lie in no datastore and have none. A datastore of
// several hosts is shared out among the VMs of this one.
//
// Budgets end with the daemon: release() takes them back, and after a kill the next daemon does
// when it adopts the guests.
#pragma once

#include <chrono>
#include <set>

#include "host/host.h"
#include "host/io_shares.h"

namespace virga::host {

class StorageIoArbiter {
 public:
  explicit StorageIoArbiter(Host& host) : host_(host) {}

  // Watches for as long as the kernel executor runs.
  void start();
  // Watches no more; all disks do as their limits allow.
  Async<void> release();

 private:
  // The counters of a disk a review ago, to tell rates by.
  struct Before {
    hypervisor::DiskCounters counters;
    std::chrono::steady_clock::time_point at;
  };
  // A disk of a VM that runs.
  struct Place {
    DiskId id;
    double shares = 0, limit = 0;
  };
  using Places = std::map<std::string, std::vector<Place>>;  // by the datastore's moId

  Async<void> run();
  Async<void> review();
  Places find_places() const;
  Async<DiskLoads> measure(std::vector<Place> places);
  Async<void> apply(DiskBudgets budgets, DiskLoads loads);
  Async<void> set_budget(DiskId disk, std::uint64_t iops);

  Host& host_;
  bool released_ = false;
  std::map<DiskId, Before> last_;
  std::map<std::string, IoShares> datastores_;  // by moId
  std::set<DiskId> budgeted_;
};

}  // namespace virga::host
