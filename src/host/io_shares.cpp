#include "host/io_shares.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace virga::host {
namespace {

constexpr double kAll = std::numeric_limits<double>::infinity();
// Of what was done under contention: a little less keeps the queues short.
constexpr double kBackOff = 0.9;
// A trial that meets no resistance makes the next one bolder.
constexpr double kFirstStep = 0.1, kLastStep = 1;
constexpr int kReviewsToBelieve = 2;
// As often the budgets are lifted for one review: how slow requests are that a budget holds back
// tells nothing of the datastore.
constexpr int kReviewsToLook = 15;
constexpr double kLeastBudget = 1;
// What a disk that waits for the datastore may want of what it gets: the next review knows better.
constexpr double kWaitersHope = 2;
// Who does as much of what it may is held back by that. What requests of many sizes cost is known
// only to a half where each is counted by its size.
constexpr double kHeldFrom = 0.95, kHeldFromBySize = 0.5;

bool reaches(const DiskLoad& load, double allowed) {
  return load.used() >= allowed * (load.limit > 0 ? kHeldFromBySize : kHeldFrom);
}

bool is_slow_at(double latency) {
  return latency >= std::chrono::duration<double>(congestion_threshold).count();
}

double total(const DiskLoads& loads) {
  double sum = 0;
  for (const auto& [id, load] : loads) sum += load.used();
  return sum;
}

}  // namespace

std::optional<double> fair_level(const std::map<DiskId, DiskClaim>& claims, double capacity) {
  std::vector<DiskClaim> modest_first;
  double shares = 0;
  for (const auto& [id, claim] : claims) {
    modest_first.push_back(claim);
    shares += claim.shares;
  }
  std::ranges::sort(modest_first, {}, [](const DiskClaim& c) { return c.wanted / c.shares; });
  for (const DiskClaim& claim : modest_first) {
    const double level = capacity / shares;
    if (claim.wanted > level * claim.shares) return level;
    capacity -= claim.wanted;
    shares -= claim.shares;
  }
  return std::nullopt;
}

const DiskBudgets& IoShares::review(const DiskLoads& loads) {
  DiskLoads active;
  for (const auto& [id, load] : loads)
    if (load.requests >= 1) active.emplace(id, load);
  const bool any_held = std::ranges::any_of(
      active, [&](const auto& entry) { return is_held(entry.first, entry.second); });
  const bool slow = is_slow(active, any_held);
  if (!contended()) {
    if (!has_lasted(active.size() >= 2 && slow)) return budgets_;
  } else if (active.size() < 2 || (!any_held && !slow)) {
    if (has_lasted(true)) end();
    return budgets_;
  }
  doubts_ = 0;
  if (slow) {
    capacity_ = kBackOff * total(active);
    step_ = kFirstStep;
  } else {
    capacity_ *= 1 + step_;
    step_ = std::min(kLastStep, 2 * step_);
  }
  give_out(active);
  return budgets_;
}

bool IoShares::is_held(const DiskId& id, const DiskLoad& load) const {
  const auto budget = budgets_.find(id);
  return budget != budgets_.end() && reaches(load, budget->second);
}

// By the requests that nothing of ours holds back. While budgets hold some disks, only those count
// that were to use all they got and did not: others may be slow of themselves.
bool IoShares::is_slow(const DiskLoads& active, bool any_held) const {
  double requests = 0, waited = 0;
  for (const auto& [id, load] : active) {
    const bool limited = load.limit > 0 && reaches(load, load.limit);
    if (limited || is_held(id, load) || (any_held && !unsatisfied_.contains(id))) continue;
    requests += load.requests;
    waited += load.requests * load.latency;
  }
  return requests > 0 && is_slow_at(waited / requests);
}

bool IoShares::has_lasted(bool condition) {
  doubts_ = condition ? doubts_ + 1 : 0;
  return doubts_ >= kReviewsToBelieve;
}

void IoShares::give_out(const DiskLoads& active) {
  std::map<DiskId, DiskClaim> claims;
  for (const auto& [id, load] : active) {
    const double hope = is_held(id, load) ? kAll : is_slow_at(load.latency) ? kWaitersHope : 1;
    const double wanted = hope * load.used();
    claims[id] = {std::max(1.0, load.shares),
                  load.limit > 0 ? std::min(wanted, load.limit) : wanted};
  }
  budgets_.clear();
  unsatisfied_.clear();
  if (++age_ > kReviewsToLook) age_ = 0;
  const auto level = fair_level(claims, capacity_);
  if (!level || age_ == kReviewsToLook) return;
  for (const auto& [id, load] : active) {
    const double budget = std::max(kLeastBudget, claims[id].shares * *level);
    if (load.limit > 0 && budget >= load.limit) continue;
    budgets_[id] = budget;
    if (claims[id].wanted > budget) unsatisfied_.insert(id);
  }
}

void IoShares::end() {
  *this = IoShares();
}

}  // namespace virga::host
