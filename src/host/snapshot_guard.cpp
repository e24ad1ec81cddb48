#include "host/snapshot_guard.h"

#include <algorithm>

#include "vmx/snapshot_tree.h"

namespace virga::host {
namespace {

// More than the tables of a delta take that holds nothing yet.
constexpr std::uint64_t delta_overhead = 1 << 20;

// What the files of a disk occupy: its descriptor and its extents.
std::uint64_t used_by(const FileSurvey& survey, const std::vector<int>& files) {
  std::uint64_t used = 0;
  for (const int file : files)
    if (const auto& occupancy = survey.files[static_cast<std::size_t>(file)].occupancy)
      used += occupancy->used;
  return used;
}

int longest_chain(const vmx::SnapshotTree& tree) {
  int longest = 0;
  for (const vmx::Snapshot& snapshot : tree.snapshots)
    longest = std::max(longest, vmx::level_of(tree, snapshot.uid));
  return longest;
}

const vmx::Snapshot* oldest(const vmx::SnapshotTree& tree) {
  const auto found = std::ranges::min_element(tree.snapshots, {}, &vmx::Snapshot::created);
  return found == tree.snapshots.end() ? nullptr : &*found;
}

// The delta that has most outgrown its base; empty when none has.
std::string outgrown_delta(const FileSurvey& survey) {
  std::string worst;
  std::uint64_t excess = 0;
  const auto look_at = [&](const FileSurvey::Disk& disk) {
    if (disk.chain.empty()) return;
    const std::uint64_t base = used_by(survey, disk.chain.front()) + delta_overhead;
    for (const std::vector<int>& delta : disk.chain) {
      const std::uint64_t used = used_by(survey, delta);
      if (used <= base || used - base <= excess) continue;
      excess = used - base;
      worst = survey.files[static_cast<std::size_t>(delta.front())].path.format();
    }
  };
  for (const FileSurvey::Disk& disk : survey.disks) look_at(disk);
  for (const FileSurvey::Snapshot& snapshot : survey.snapshots)
    for (const FileSurvey::Disk& disk : snapshot.disks) look_at(disk);
  return worst;
}

}  // namespace

std::vector<SnapshotIssue> snapshot_issues(const std::string& vm, const vmx::SnapshotTree& tree,
                                           const FileSurvey& files, model::Time now) {
  std::vector<SnapshotIssue> issues;
  const int chain = longest_chain(tree);
  if (chain > most_snapshots_in_chain)
    issues.push_back(
        {"virga.vm.snapshot.LongChain",
         fmt::format("{} has {} snapshots above each other; more than {} slow it down.", vm, chain,
                     most_snapshots_in_chain)});
  const vmx::Snapshot* first = oldest(tree);
  const auto age = first ? now - model::Time(std::chrono::microseconds(first->created))
                         : model::Time::duration::zero();
  if (age > oldest_snapshot)
    issues.push_back(
        {"virga.vm.snapshot.Old",
         fmt::format("The snapshot \"{}\" of {} is {} hours old; it should go after {}.",
                     first->name, vm, std::chrono::duration_cast<std::chrono::hours>(age).count(),
                     oldest_snapshot.count())});
  const std::string delta = outgrown_delta(files);
  if (!delta.empty())
    issues.push_back(
        {"virga.vm.snapshot.LargeDelta",
         fmt::format("{} of {} has grown larger than the disk it is a delta of.", delta, vm)});
  return issues;
}

}  // namespace virga::host
