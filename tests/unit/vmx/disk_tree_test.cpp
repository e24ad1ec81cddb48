#include "vmx/disk_tree.h"

#include <gtest/gtest.h>

namespace virga::vmx {
namespace {

using Names = std::vector<std::string>;

// base ─ 1 ─ 2 ─ 3
const std::map<std::string, std::string> chain = {
    {"base", ""}, {"1", "base"}, {"2", "1"}, {"3", "2"}};

TEST(DiskTree, KeepsWhatSnapshotsNeed) {
  EXPECT_TRUE(plan_consolidation({chain, {"base", "1", "2", "3"}, {}}).empty());
  EXPECT_TRUE(plan_consolidation({{{"base", ""}}, {"base"}, {}}).empty());
}

TEST(DiskTree, MergesWhatOneDeltaDescendsFrom) {
  EXPECT_EQ(plan_consolidation({chain, {"base", "1", "3"}, {}}).merges,
            (std::vector<DiskMerge>{{"2", {"3"}}}));
  EXPECT_EQ(plan_consolidation({chain, {"1", "2", "3"}, {}}).merges,
            (std::vector<DiskMerge>{{"base", {"1"}}}));
}

TEST(DiskTree, MergesAWholeRunAtOnce) {
  EXPECT_EQ(plan_consolidation({chain, {"3"}, {}}),
            (Consolidation{{}, {{"base", {"1", "2", "3"}}}}));
  EXPECT_EQ(plan_consolidation({chain, {"base", "3"}, {}}).merges,
            (std::vector<DiskMerge>{{"1", {"2", "3"}}}));
}

TEST(DiskTree, RemovesWhatNothingDescendsFrom) {
  EXPECT_EQ(plan_consolidation({chain, {"base"}, {}}).removals, (Names{"3", "2", "1"}));
  EXPECT_EQ(plan_consolidation({chain, {"base", "1"}, {}}), (Consolidation{{"3", "2"}, {}}));
}

TEST(DiskTree, NeverRemovesABase) {
  EXPECT_TRUE(plan_consolidation({{{"base", ""}}, {}, {}}).empty());
}

//          ┌ left
// base ─ 1 ┤
//          └ right ─ 2
const std::map<std::string, std::string> fork = {
    {"base", ""}, {"1", "base"}, {"left", "1"}, {"right", "1"}, {"2", "right"}};

TEST(DiskTree, KeepsADiskThatSeveralDescendFrom) {
  EXPECT_TRUE(plan_consolidation({fork, {"base", "left", "right", "2"}, {}}).empty());
  // What lies below the fork can still take it in.
  EXPECT_EQ(plan_consolidation({fork, {"left", "right", "2"}, {}}).merges,
            (std::vector<DiskMerge>{{"base", {"1"}}}));
}

TEST(DiskTree, MergesAForkOnceABranchIsGone) {
  EXPECT_EQ(plan_consolidation({fork, {"base", "2"}, {}}),
            (Consolidation{{"left"}, {{"1", {"right", "2"}}}}));
}

TEST(DiskTree, MergesInSeveralPlaces) {
  EXPECT_EQ(plan_consolidation({fork, {"left", "2"}, {}}).merges,
            (std::vector<DiskMerge>{{"base", {"1"}}, {"right", {"2"}}}));
}

TEST(DiskTree, LeavesTheDisksOfOthersAlone) {
  EXPECT_TRUE(plan_consolidation({chain, {"2", "3"}, {"base", "1"}}).empty());
  EXPECT_EQ(plan_consolidation({chain, {"3"}, {"base"}}).merges,
            (std::vector<DiskMerge>{{"1", {"2", "3"}}}));
  EXPECT_TRUE(plan_consolidation({chain, {}, {"base", "1", "2", "3"}}).empty());
}

}  // namespace
}  // namespace virga::vmx
