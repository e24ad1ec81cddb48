#include "vmx/vmsd_file.h"

#include <gtest/gtest.h>

#include "../expect_error.h"
#include "sample.h"

namespace virga::vmx {
namespace {

TEST(Vmsd, ReadsATreeOfSnapshots) {
  const SnapshotTree tree = parse_vmsd(sample("snapshots.vmsd"), "db02.vmsd");
  EXPECT_EQ(tree.last_uid, 5);
  EXPECT_EQ(tree.current, 5);
  ASSERT_EQ(tree.snapshots.size(), 2u);
  const Snapshot& first = tree.snapshots[0];
  EXPECT_EQ(first.description, "taken by \"ops\"");
  EXPECT_EQ(first.created, (388745LL << 32) + 1991180826);
  EXPECT_EQ(first.disks,
            (std::vector<SnapshotDisk>{{"db02.vmdk", "scsi0:0"}, {"db02_1.vmdk", "scsi0:20"}}));
  const Snapshot& second = tree.snapshots[1];
  EXPECT_EQ(second.parent, 2);
  EXPECT_EQ(second.created, (388801LL << 32) + (4294967296 - 814770620));
  EXPECT_EQ(second.other, (std::vector<VmxFile::Entry>{{"type", "1"}}));
  EXPECT_EQ(tree.other, (std::vector<VmxFile::Entry>{{"snapshot.mru0.uid", "5"}}));
}

TEST(Vmsd, SurvivesARoundTrip) {
  const SnapshotTree tree = parse_vmsd(sample("snapshots.vmsd"), "a");
  EXPECT_EQ(parse_vmsd(serialise_vmsd(tree), "b"), tree);
}

TEST(Vmsd, IsEmptyWithoutSnapshots) {
  EXPECT_EQ(serialise_vmsd({}), "");
  EXPECT_EQ(parse_vmsd("", "a"), SnapshotTree{});
  EXPECT_EQ(parse_vmsd(".encoding = \"UTF-8\"\nsnapshot.numSnapshots = \"0\"\n", "a"),
            SnapshotTree{});
}

TEST(Vmsd, RefusesWhatIsNoTree) {
  const auto refuse = [](const std::string& text, const std::string& why) {
    expect_error(ErrorKind::damaged, why, [&] { parse_vmsd(text, "a.vmsd"); });
  };
  refuse("snapshot.numSnapshots = \"1\"", "a.vmsd: a snapshot has no uid");
  refuse("snapshot.numSnapshots = \"-1\"", "out of range");
  refuse("snapshot.current = \"3\"", "the current one, is missing");
  const std::string two = "snapshot.numSnapshots = \"2\"\nsnapshot0.uid = \"1\"\n";
  refuse(two + "snapshot1.uid = \"1\"\n", "snapshot 1 stands twice");
  refuse(two + "snapshot1.uid = \"2\"\nsnapshot1.parent = \"9\"\n", "snapshot 9 is missing");
  refuse(two + "snapshot1.uid = \"2\"\nsnapshot1.parent = \"2\"\n",
         "snapshot 2 descends from itself");
}

}  // namespace
}  // namespace virga::vmx
