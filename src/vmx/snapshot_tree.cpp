#include "vmx/snapshot_tree.h"

#include <algorithm>

namespace virga::vmx {

const Snapshot* find_snapshot(const SnapshotTree& tree, int uid) {
  const auto found = std::ranges::find(tree.snapshots, uid, &Snapshot::uid);
  return found == tree.snapshots.end() ? nullptr : &*found;
}

Snapshot* find_snapshot(SnapshotTree& tree, int uid) {
  return const_cast<Snapshot*>(find_snapshot(std::as_const(tree), uid));
}

std::vector<int> children_of(const SnapshotTree& tree, int uid) {
  std::vector<int> children;
  for (const Snapshot& snapshot : tree.snapshots)
    if (snapshot.parent == uid) children.push_back(snapshot.uid);
  return children;
}

std::vector<int> subtree_of(const SnapshotTree& tree, int uid) {
  std::vector<int> members = {uid};
  for (std::size_t i = 0; i < members.size(); ++i)
    for (const int child : children_of(tree, members[i])) members.push_back(child);
  return members;
}

int level_of(const SnapshotTree& tree, int uid) {
  int level = 0;
  for (const Snapshot* at = find_snapshot(tree, uid); at; at = find_snapshot(tree, at->parent))
    ++level;
  return level;
}

int add_snapshot(SnapshotTree& tree, Snapshot snapshot) {
  snapshot.uid = ++tree.last_uid;
  snapshot.parent = tree.current;
  tree.current = snapshot.uid;
  tree.snapshots.push_back(std::move(snapshot));
  return tree.current;
}

void remove_snapshot(SnapshotTree& tree, int uid) {
  const Snapshot* removed = find_snapshot(tree, uid);
  if (!removed) return;
  const int parent = removed->parent;
  std::erase_if(tree.snapshots, [uid](const Snapshot& it) { return it.uid == uid; });
  for (Snapshot& snapshot : tree.snapshots)
    if (snapshot.parent == uid) snapshot.parent = parent;
  if (tree.current == uid) tree.current = parent;
}

void remove_subtree(SnapshotTree& tree, int uid) {
  const std::vector<int> members = subtree_of(tree, uid);
  for (auto member = members.rbegin(); member != members.rend(); ++member)
    remove_snapshot(tree, *member);
}

}  // namespace virga::vmx
