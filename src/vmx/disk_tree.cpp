#include "vmx/disk_tree.h"

namespace virga::vmx {
namespace {

class Planner {
 public:
  explicit Planner(DiskTree tree) : tree_(std::move(tree)) {
    for (const auto& [disk, parent] : tree_.parents)
      if (!parent.empty()) children_[parent].insert(disk);
  }

  Consolidation plan() {
    for (const auto& [disk, parent] : std::map(tree_.parents)) remove_if_useless(disk);
    Consolidation plan{std::move(removals_), {}};
    for (const auto& [disk, parent] : tree_.parents) {
      const bool continues_another = !parent.empty() && takes_in(parent);
      if (takes_in(disk) && !continues_another) plan.merges.push_back(merge_into(disk));
    }
    return plan;
  }

 private:
  bool is_spare(const std::string& disk) const {
    return !tree_.needed.contains(disk) && !tree_.shared.contains(disk);
  }

  // Its parent may have been of use to nobody else.
  void remove_if_useless(const std::string& disk) {
    const auto found = tree_.parents.find(disk);
    if (found == tree_.parents.end() || found->second.empty()) return;
    if (!is_spare(disk) || !children_[disk].empty()) return;
    const std::string parent = found->second;
    tree_.parents.erase(found);
    children_[parent].erase(disk);
    removals_.push_back(disk);
    remove_if_useless(parent);
  }

  bool takes_in(const std::string& disk) const {
    const auto deltas = children_.find(disk);
    return is_spare(disk) && deltas != children_.end() && deltas->second.size() == 1 &&
           !tree_.shared.contains(*deltas->second.begin());
  }

  DiskMerge merge_into(const std::string& disk) const {
    DiskMerge merge{disk, {}};
    for (std::string last = disk; takes_in(last); last = merge.from.back())
      merge.from.push_back(*children_.at(last).begin());
    return merge;
  }

  DiskTree tree_;
  std::map<std::string, std::set<std::string>> children_;
  std::vector<std::string> removals_;
};

}  // namespace

Consolidation plan_consolidation(DiskTree tree) {
  return Planner(std::move(tree)).plan();
}

}  // namespace virga::vmx
