#include "host/resource_tree.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/json.h"

namespace virga::host {
namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

// One resource, summed up from the leaves.
class Ledger {
 public:
  Ledger(const ResourceTree& tree, const VmReservations& running, Resource resource)
      : tree_(tree), resource_(resource) {
    for (const auto& [vm, reservation] : running) {
      const std::int64_t amount =
          resource == Resource::cpu ? reservation.mhz : reservation.memory_mib;
      by_vms_[tree.pool_of(vm)] += amount;
    }
    children_[tree.root];
    for (const auto& [id, pool] : tree.pools) children_[pool.parent].push_back(id);
    sum(tree.root);
  }

  const std::map<std::string, Budget>& budgets() const { return budgets_; }

  // How much may be reserved within the pool at most.
  std::int64_t ceiling(const std::string& id) const {
    if (id == tree_.root) return total();
    const PoolAllocation& allocation = tree_.pools.at(id).of(resource_);
    return allocation.expandable ? allocation.granted.limit.value_or(unlimited)
                                 : allocation.granted.reservation;
  }

  void fill_in() { fill_in(tree_.root, std::nullopt, total()); }

 private:
  std::int64_t total() const { return resource_ == Resource::cpu ? tree_.mhz : tree_.memory_mib; }
  std::int64_t reservation(const std::string& id) const {
    return tree_.pools.at(id).of(resource_).granted.reservation;
  }

  void sum(const std::string& id) {
    Budget budget;
    budget.used = budget.used_by_vms = by_vms_[id];
    for (const std::string& child : children_[id]) {
      sum(child);
      budget.used += std::max(reservation(child), budgets_[child].used);
      budget.used_by_vms += budgets_[child].used_by_vms;
    }
    budgets_[id] = budget;
  }

  void fill_in(const std::string& id, std::optional<std::int64_t> of_parent, std::int64_t most) {
    Budget& budget = budgets_[id];
    const std::int64_t room = ceiling(id) - budget.used;
    if (of_parent) {
      const bool expandable = tree_.pools.at(id).of(resource_).expandable;
      const std::int64_t own = std::max<std::int64_t>(reservation(id) - budget.used, 0);
      budget.unreserved = std::min(room, own + (expandable ? *of_parent : 0));
      most = std::min(most, tree_.pools.at(id).of(resource_).granted.limit.value_or(unlimited));
    } else {
      budget.unreserved = room;
    }
    budget.unreserved = std::max<std::int64_t>(budget.unreserved, 0);
    budget.most = most;
    for (const std::string& child : children_[id]) fill_in(child, budget.unreserved, most);
  }

  const ResourceTree& tree_;
  const Resource resource_;
  std::map<std::string, std::int64_t> by_vms_;
  std::map<std::string, std::vector<std::string>> children_;
  std::map<std::string, Budget> budgets_;
};

constexpr const char* levels[] = {"low", "normal", "high", "custom"};

json::object encode(const PoolAllocation& allocation) {
  const vmx::Allocation& granted = allocation.granted;
  return {{"reservation", granted.reservation},
          {"limit", granted.limit ? json::value(*granted.limit) : json::value(nullptr)},
          {"level", levels[static_cast<int>(granted.level)]},
          {"shares", granted.custom_shares},
          {"expandable", allocation.expandable}};
}

PoolAllocation decode(const json::value& from) {
  PoolAllocation allocation;
  allocation.granted.reservation = from.at("reservation").to_number<std::int64_t>();
  if (!from.at("limit").is_null())
    allocation.granted.limit = from.at("limit").to_number<std::int64_t>();
  const auto level = std::ranges::find(levels, from.at("level").as_string());
  if (level == std::end(levels)) throw std::invalid_argument("unknown level of shares");
  allocation.granted.level = static_cast<vmx::SharesLevel>(level - std::begin(levels));
  allocation.granted.custom_shares = from.at("shares").to_number<std::int64_t>();
  allocation.expandable = from.at("expandable").as_bool();
  return allocation;
}

std::string text(const json::value& value) {
  return std::string(value.as_string());
}

}  // namespace

const std::string& ResourceTree::pool_of(const std::string& vm) const {
  const auto found = pool.find(vm);
  return found == pool.end() ? root : found->second;
}

std::string ResourceTree::name_of(const std::string& id) const {
  return id == root ? "Resources" : pools.at(id).name;
}

std::vector<std::string> ResourceTree::children_of(const std::string& id) const {
  std::vector<std::string> children;
  for (const auto& [child, pool] : pools)
    if (pool.parent == id) children.push_back(child);
  return children;
}

std::vector<std::string> ResourceTree::members_of(const std::string& id) const {
  std::vector<std::string> members;
  for (const auto& [vm, of] : pool)
    if (of == id) members.push_back(vm);
  return members;
}

bool ResourceTree::is_within(const std::string& id, const std::string& ancestor) const {
  for (const std::string* at = &id; *at != root; at = &pools.at(*at).parent)
    if (*at == ancestor) return true;
  return ancestor == root;
}

void ResourceTree::dissolve(const std::string& id) {
  const std::string parent = pools.at(id).parent;
  for (const std::string& vm : members_of(id)) {
    pool.erase(vm);
    if (parent != root) pool[vm] = parent;
  }
  for (const std::string& child : children_of(id)) pools.at(child).parent = parent;
  pools.erase(id);
}

std::map<std::string, Budget> budgets(const ResourceTree& tree, const VmReservations& running,
                                      Resource resource) {
  Ledger ledger(tree, running, resource);
  ledger.fill_in();
  return ledger.budgets();
}

std::optional<Shortage> shortage(const ResourceTree& before, const VmReservations& running_before,
                                 const ResourceTree& after, const VmReservations& running_after,
                                 Resource resource) {
  const Ledger was(before, running_before, resource), is(after, running_after, resource);
  for (const auto& [id, budget] : is.budgets()) {
    const std::int64_t excess = budget.used - is.ceiling(id);
    if (excess <= 0) continue;
    const auto former = was.budgets().find(id);
    if (former == was.budgets().end()) return Shortage{id, is.ceiling(id), budget.used};
    const std::int64_t room = was.ceiling(id) - former->second.used;
    if (excess <= -room) continue;
    const std::int64_t more = budget.used - former->second.used;
    // Where nothing more is used, it is the pool that shrinks.
    if (more <= 0) return Shortage{id, is.ceiling(id), budget.used};
    return Shortage{id, std::max<std::int64_t>(room, 0), more};
  }
  return std::nullopt;
}

std::string to_json(const ResourceTree& tree) {
  json::object pools, members;
  for (const auto& [id, pool] : tree.pools)
    pools[id] = json::object{{"name", pool.name},
                             {"parent", pool.parent},
                             {"cpu", encode(pool.cpu)},
                             {"memory", encode(pool.memory)}};
  for (const auto& [vm, pool] : tree.pool) members[vm] = pool;
  return json::serialize(json::object{{"pools", pools}, {"vms", members}});
}

void read_json(ResourceTree& tree, const std::string& document) {
  try {
    const json::value value = json::parse(document);
    for (const auto& [id, pool] : value.at("pools").as_object())
      tree.pools[id] = {text(pool.at("name")), text(pool.at("parent")), decode(pool.at("cpu")),
                        decode(pool.at("memory"))};
    for (const auto& [vm, pool] : value.at("vms").as_object()) tree.pool[vm] = text(pool);
  } catch (const std::exception& e) {
    throw error(ErrorKind::damaged, "resource pools", "the record of resource pools is damaged: {}",
                e.what());
  }
}

}  // namespace virga::host
