#include "vmx/snapshot_tree.h"

#include <gtest/gtest.h>

namespace virga::vmx {
namespace {

Snapshot named(const std::string& name) {
  Snapshot snapshot;
  snapshot.name = name;
  return snapshot;
}

// 1 ─ 2 ─ 3
//   └ 4 ─ 5, the current one
SnapshotTree forked() {
  SnapshotTree tree;
  for (const char* name : {"one", "two", "three"}) add_snapshot(tree, named(name));
  tree.current = 1;
  for (const char* name : {"four", "five"}) add_snapshot(tree, named(name));
  return tree;
}

TEST(SnapshotTree, GrowsBelowTheCurrentSnapshot) {
  const SnapshotTree tree = forked();
  EXPECT_EQ(tree.current, 5);
  EXPECT_EQ(children_of(tree, 0), std::vector{1});
  EXPECT_EQ(children_of(tree, 1), (std::vector{2, 4}));
  EXPECT_EQ(children_of(tree, 5), std::vector<int>{});
  EXPECT_EQ(find_snapshot(tree, 4)->name, "four");
  EXPECT_EQ(find_snapshot(tree, 0), nullptr);
  EXPECT_EQ(find_snapshot(tree, 6), nullptr);
}

TEST(SnapshotTree, CountsLevels) {
  const SnapshotTree tree = forked();
  EXPECT_EQ(level_of(tree, 0), 0);
  EXPECT_EQ(level_of(tree, 1), 1);
  EXPECT_EQ(level_of(tree, 3), 3);
}

TEST(SnapshotTree, ListsParentsBeforeWhatDescendsFromThem) {
  EXPECT_EQ(subtree_of(forked(), 1), (std::vector{1, 2, 4, 3, 5}));
  EXPECT_EQ(subtree_of(forked(), 2), (std::vector{2, 3}));
}

TEST(SnapshotTree, LeavesItsChildrenToTheParent) {
  SnapshotTree tree = forked();
  remove_snapshot(tree, 4);
  EXPECT_EQ(find_snapshot(tree, 5)->parent, 1);
  EXPECT_EQ(tree.current, 5);
  remove_snapshot(tree, 5);
  EXPECT_EQ(tree.current, 1);
  remove_snapshot(tree, 1);
  EXPECT_EQ(tree.current, 0);
  EXPECT_EQ(children_of(tree, 0), std::vector{2});
  remove_snapshot(tree, 1);  // it is gone: nothing happens
  EXPECT_EQ(tree.snapshots.size(), 2u);
}

TEST(SnapshotTree, RemovesASubtree) {
  SnapshotTree tree = forked();
  remove_subtree(tree, 4);
  EXPECT_EQ(tree.current, 1);
  EXPECT_EQ(subtree_of(tree, 1), (std::vector{1, 2, 3}));
  remove_subtree(tree, 1);
  EXPECT_TRUE(tree.snapshots.empty());
  EXPECT_EQ(tree.current, 0);
}

TEST(SnapshotTree, NeverGivesAUidTwice) {
  SnapshotTree tree = forked();
  remove_subtree(tree, 1);
  EXPECT_EQ(add_snapshot(tree, named("six")), 6);
  EXPECT_EQ(find_snapshot(tree, 6)->parent, 0);
}

}  // namespace
}  // namespace virga::vmx
