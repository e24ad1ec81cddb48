// Who may do how much on a datastore that does less than its disks ask for, by their shares: what
// vSphere calls Storage I/O Control. Pure.
//
// Contention is that two disks or more are at it and their requests take 30 ms or longer, vSphere's
// default. While it lasts, a level is sought: what a disk may do for each of its shares. What one
// does not use goes to the others. How much there is to give out is found by trying: a little more
// each time, until disks that could do more do not get it; then a little less than was done.
//
// What is done is counted as ESXi does (Disk.SchedCostUnit): a request of more than 32 KiB counts
// as several.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace virga::host {

constexpr std::chrono::milliseconds congestion_threshold{30};

// What a disk did in the last while.
struct DiskLoad {
  double requests = 0;  // reads and writes a second
  double cost = 1;      // of one on average; at least 1
  double latency = 0;   // seconds that one took on average, flushes among them
  double shares = 1000;
  double limit = 0;  // its own: cost a second; 0: none

  double used() const { return requests * cost; }
};

using DiskId = std::pair<std::string, int>;  // the VM's moId, the disk's key
using DiskLoads = std::map<DiskId, DiskLoad>;
using DiskBudgets = std::map<DiskId, double>;  // cost a second

// What disks want, each at most, and by what shares.
struct DiskClaim {
  double shares = 1;
  double wanted = 0;  // infinity: all there is
};
// How much each gets for a share where `capacity` is given out among all: none gets more than it
// wants, and what is left over by one is the others'. nullopt: all get what they want.
std::optional<double> fair_level(const std::map<DiskId, DiskClaim>& claims, double capacity);

// Of one datastore, told every few seconds what its disks did.
class IoShares {
 public:
  // The budgets that hold from now on; disks that are not among them do as their limits allow.
  const DiskBudgets& review(const DiskLoads& loads);
  const DiskBudgets& budgets() const { return budgets_; }
  bool contended() const { return capacity_ > 0; }

 private:
  bool is_held(const DiskId& id, const DiskLoad& load) const;
  bool is_slow(const DiskLoads& active, bool any_held) const;
  bool has_lasted(bool condition);
  void give_out(const DiskLoads& active);
  void end();

  double capacity_ = 0;  // cost a second; 0: no contention
  double step_ = 0;      // how much of it the next trial gives out in addition
  int doubts_ = 0;       // reviews in a row that speak for a change
  int age_ = 0;          // reviews since the budgets were last lifted for a look
  DiskBudgets budgets_;
  std::set<DiskId> unsatisfied_;  // those that wanted more than their budget
};

}  // namespace virga::host
