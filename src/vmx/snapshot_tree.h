// What can be asked of a VM's snapshots, and done to them. Pure; the tree itself and its file:
// vmsd_file.h.
#pragma once

#include <vector>

#include "vmx/vmsd_file.h"

namespace virga::vmx {

// vSphere 7's maximum of snapshots above each other (Configuration Maximums).
constexpr int max_snapshot_levels = 32;

// nullptr when there is none; so it is for uid 0.
const Snapshot* find_snapshot(const SnapshotTree& tree, int uid);
Snapshot* find_snapshot(SnapshotTree& tree, int uid);

// Those that descend from it directly, in the file's order; of 0: the roots.
std::vector<int> children_of(const SnapshotTree& tree, int uid);
// It and all that descend from it, parents first.
std::vector<int> subtree_of(const SnapshotTree& tree, int uid);
// How many snapshots stand above each other up to this one: 1 for a root, 0 for uid 0.
int level_of(const SnapshotTree& tree, int uid);

// A new snapshot below the current one, which it becomes itself; returns its uid. `snapshot` says
// all the rest of it.
int add_snapshot(SnapshotTree& tree, Snapshot snapshot);
// What descends from it, be it snapshots or the running disks, descends from its parent then.
void remove_snapshot(SnapshotTree& tree, int uid);
// With all that descend from it.
void remove_subtree(SnapshotTree& tree, int uid);

}  // namespace virga::vmx
