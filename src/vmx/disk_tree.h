// The disks a VM and its snapshots consist of, as a forest of deltas, and which of them have lost
// their reason to be. Pure; names are opaque.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace virga::vmx {

struct DiskTree {
  // Every disk, with the one it is a delta of; "" for a base.
  std::map<std::string, std::string> parents;
  // Those as snapshots have them, and those the VM itself runs on: their content must stay.
  std::set<std::string> needed;
  // Those that belong to others as well: neither written nor removed.
  std::set<std::string> shared;
};

// The content of all of `from`, each a delta of the one before, goes into `into`, of which the
// first is a delta. Whoever meant the last of them means `into` then, and the files of `from` go.
struct DiskMerge {
  std::string into;
  std::vector<std::string> from;

  bool operator==(const DiskMerge&) const = default;
};

struct Consolidation {
  std::vector<std::string> removals;  // deltas nobody needs, those above others first
  std::vector<DiskMerge> merges;      // independent of each other

  bool empty() const { return removals.empty() && merges.empty(); }
  bool operator==(const Consolidation&) const = default;
};

// What makes the forest as small as it can be: a disk that is not needed goes when nothing is a
// delta of it, and takes its delta in when only one is. One with several deltas stays. A base is
// never removed.
Consolidation plan_consolidation(DiskTree tree);

}  // namespace virga::vmx
