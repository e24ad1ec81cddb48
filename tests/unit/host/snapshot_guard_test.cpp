#include "host/snapshot_guard.h"

#include <gtest/gtest.h>

namespace virga::host {
namespace {

using std::chrono::hours;

const model::Time noon{hours(500'000)};

vmx::Snapshot taken(int uid, int parent, model::Time when) {
  vmx::Snapshot snapshot{.uid = uid, .parent = parent, .name = "s" + std::to_string(uid)};
  snapshot.created = when.time_since_epoch().count();
  return snapshot;
}

// A disk "web.vmdk" and deltas of it, each of one file.
FileSurvey files_using(const std::vector<std::uint64_t>& used) {
  FileSurvey survey;
  FileSurvey::Disk disk{.key = 2000};
  for (std::size_t i = 0; i < used.size(); ++i) {
    const std::string name = i == 0 ? "web.vmdk" : fmt::format("web-00000{}.vmdk", i);
    disk.chain.push_back({static_cast<int>(i)});
    survey.files.push_back({.type = "diskExtent",
                            .path = vmx::DatastorePath("ds", "web/" + name),
                            .occupancy = datastore::Occupancy{.length = 1 << 20, .used = used[i]}});
  }
  survey.disks.push_back(disk);
  return survey;
}

std::vector<std::string> kinds(const std::vector<SnapshotIssue>& issues) {
  std::vector<std::string> kinds;
  for (const SnapshotIssue& issue : issues) kinds.emplace_back(issue.event_type);
  return kinds;
}

TEST(SnapshotGuard, HasNothingToSayOfAVmWithoutSnapshots) {
  EXPECT_TRUE(snapshot_issues("web", {}, files_using({4096}), noon).empty());
}

TEST(SnapshotGuard, CountsThoseAboveEachOther) {
  vmx::SnapshotTree tree;
  for (int uid = 1; uid <= 3; ++uid) tree.snapshots.push_back(taken(uid, uid - 1, noon));
  tree.snapshots.push_back(taken(4, 2, noon));  // beside the third
  EXPECT_TRUE(snapshot_issues("web", tree, {}, noon).empty());
  tree.snapshots.push_back(taken(5, 4, noon));
  const auto issues = snapshot_issues("web", tree, {}, noon);
  EXPECT_EQ(kinds(issues), std::vector<std::string>{"virga.vm.snapshot.LongChain"});
  EXPECT_NE(issues[0].message.find("web has 4 snapshots"), std::string::npos);
}

TEST(SnapshotGuard, NamesTheOldestPastThreeDays) {
  vmx::SnapshotTree tree;
  tree.snapshots = {taken(1, 0, noon - hours(10)), taken(2, 1, noon - hours(72))};
  EXPECT_TRUE(snapshot_issues("web", tree, {}, noon).empty());
  const auto issues = snapshot_issues("web", tree, {}, noon + hours(1));
  EXPECT_EQ(kinds(issues), std::vector<std::string>{"virga.vm.snapshot.Old"});
  EXPECT_NE(issues[0].message.find("\"s2\" of web is 73 hours old"), std::string::npos);
}

TEST(SnapshotGuard, NamesTheDeltaThatOutgrewItsBaseMost) {
  constexpr std::uint64_t mib = 1 << 20;
  // A delta without content has tables, too.
  EXPECT_TRUE(snapshot_issues("web", {}, files_using({mib, 2 * mib}), noon).empty());
  const auto issues = snapshot_issues("web", {}, files_using({mib, 3 * mib, 4 * mib, mib}), noon);
  EXPECT_EQ(kinds(issues), std::vector<std::string>{"virga.vm.snapshot.LargeDelta"});
  EXPECT_NE(issues[0].message.find("[ds] web/web-000002.vmdk"), std::string::npos);
}

}  // namespace
}  // namespace virga::host
