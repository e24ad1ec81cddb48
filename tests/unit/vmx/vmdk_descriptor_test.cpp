#include "vmx/vmdk_descriptor.h"

#include <gtest/gtest.h>

#include "../expect_error.h"
#include "sample.h"

namespace virga::vmx {
namespace {

constexpr std::uint64_t gib = (1ULL << 30) / sector_size;

TEST(VmdkDescriptor, ReadsWhatEsxiWrites) {
  const auto disk = VmdkDescriptor::parse(sample("vmfs-thin.vmdk"), "db02.vmdk");
  EXPECT_EQ(disk.version, 1);
  EXPECT_EQ(disk.cid, 0x8d2f01acu);
  EXPECT_EQ(disk.parent_cid, VmdkDescriptor::no_parent);
  EXPECT_EQ(disk.create_type, "vmfs");
  ASSERT_EQ(disk.extents.size(), 1u);
  EXPECT_EQ(disk.extents[0].file, "db02-flat.vmdk");
  EXPECT_TRUE(disk.extents[0].is_flat());
  EXPECT_EQ(disk.extents[0].offset, std::nullopt);
  EXPECT_EQ(disk.capacity_sectors(), 20 * gib);
  EXPECT_EQ(disk.adapter, AdapterType::lsi_logic);
  EXPECT_EQ(disk.geometry, (Geometry{2610, 255, 63}));
  EXPECT_EQ(disk.geometry, geometry_for(20 * gib, AdapterType::lsi_logic));
  EXPECT_TRUE(disk.thin);
  EXPECT_EQ(disk.hardware_version, 14);
  EXPECT_EQ(disk.long_content_id, "1e77c5a9b0d24e6f8a31d0968d2f01ac");
  EXPECT_EQ(disk.other_header, (std::vector<VmdkDescriptor::Entry>{{"isNativeSnapshot", "no"}}));
  EXPECT_EQ(disk.other_ddb.size(), 2u);
}

TEST(VmdkDescriptor, ReadsWhatWorkstationWrites) {
  const auto disk = VmdkDescriptor::parse(sample("split-sparse.vmdk"), "x");
  EXPECT_EQ(disk.parent_cid, 0x3b677c54u);
  EXPECT_EQ(disk.parent_file, "base disk.vmdk");
  ASSERT_EQ(disk.extents.size(), 4u);
  EXPECT_FALSE(disk.extents[0].is_flat());
  EXPECT_EQ(disk.extents[2].access, Extent::Access::read_only);
  EXPECT_EQ(disk.extents[2].offset, 128u);
  EXPECT_EQ(disk.extents[3].type, "ZERO");
  EXPECT_EQ(disk.extents[3].file, "");
  EXPECT_EQ(disk.capacity_sectors(), 8 * gib / 2 + 163);
  EXPECT_EQ(disk.adapter, AdapterType::ide);
}

TEST(VmdkDescriptor, SurvivesARoundTrip) {
  for (const char* name : {"vmfs-thin.vmdk", "split-sparse.vmdk"}) {
    const auto disk = VmdkDescriptor::parse(sample(name), name);
    EXPECT_EQ(VmdkDescriptor::parse(disk.serialise(), name), disk) << disk.serialise();
  }
}

TEST(VmdkDescriptor, NamesItsChangeTrack) {
  auto disk = VmdkDescriptor::parse(sample("vmfs-thin.vmdk"), "x");
  disk.change_track_file = "db02-ctk.vmdk";
  const std::string text = disk.serialise();
  EXPECT_NE(text.find("# Change Tracking File\nchangeTrackPath=\"db02-ctk.vmdk\"\n"),
            std::string::npos);
  EXPECT_EQ(VmdkDescriptor::parse(text, "x"), disk);
}

TEST(VmdkDescriptor, KeepsAnAdapterItDoesNotKnow) {
  std::string text = sample("vmfs-thin.vmdk");
  text.replace(text.find("lsilogic"), 8, "legacyESX");
  const auto disk = VmdkDescriptor::parse(text, "x");
  EXPECT_EQ(disk.adapter, std::nullopt);
  EXPECT_NE(disk.serialise().find("ddb.adapterType = \"legacyESX\"\n"), std::string::npos);
}

TEST(VmdkDescriptor, TakesThePaddingOfAnEmbeddedOne) {
  EXPECT_EQ(VmdkDescriptor::parse(sample("vmfs-thin.vmdk") + std::string(4096, '\0'), "x"),
            VmdkDescriptor::parse(sample("vmfs-thin.vmdk"), "x"));
}

TEST(VmdkDescriptor, NamesWhatIsDamaged) {
  const std::string head = "# Disk DescriptorFile\nversion=1\ncreateType=\"vmfs\"\n";
  const auto damaged = [&](const std::string& text, const std::string& why) {
    expect_error(ErrorKind::damaged, why, [&] { VmdkDescriptor::parse(text, "a.vmdk"); });
  };
  damaged(head, "a.vmdk names no extent");
  damaged("createType=\"vmfs\"\nRW 1 VMFS \"a\"", "a.vmdk has no version");
  damaged("version=1\nRW 1 VMFS \"a\"", "has no createType");
  damaged(head + "RW 1 VMFS \"a", "line 4: the extent");
  damaged(head + "RW 99999999999999999999 VMFS \"a\"", "line 4: the extent");
  damaged(head + "RW 1 VMFS", "line 4: the extent");
  damaged(head + "RW 1 FLAT \"a\" x", "line 4: the extent");
  damaged(head + "CID=xyz", "line 4: the value is no number");
  damaged(head + "junk", "line 4: neither");
  damaged(head + "a=\"b", "line 4: the quotes");
  damaged("\xff", "is not text");
  damaged(std::string(VmdkDescriptor::max_size + 1, ' '), "larger");
}

TEST(VmdkDescriptor, IsToldFromAnExtent) {
  EXPECT_TRUE(looks_like_descriptor(sample("vmfs-thin.vmdk")));
  EXPECT_FALSE(looks_like_descriptor("KDMV"));
  EXPECT_FALSE(looks_like_descriptor(""));
}

TEST(Geometry, FollowsTheAdapter) {
  EXPECT_EQ(geometry_for(gib / 2, AdapterType::lsi_logic), (Geometry{512, 64, 32}));
  EXPECT_EQ(geometry_for(gib, AdapterType::lsi_logic), (Geometry{512, 128, 32}));
  EXPECT_EQ(geometry_for(2 * gib, AdapterType::bus_logic), (Geometry{261, 255, 63}));
  EXPECT_EQ(geometry_for(gib, AdapterType::ide), (Geometry{2080, 16, 63}));
  EXPECT_EQ(geometry_for(100 * gib, AdapterType::ide), (Geometry{16383, 16, 63}));
  EXPECT_EQ(geometry_for(2048 * gib, AdapterType::pvscsi), (Geometry{267349, 255, 63}));
}

TEST(DiskUuid, HasTwoForms) {
  const std::string made = make_disk_uuid();
  EXPECT_TRUE(made.starts_with("60 00 C2 9")) << made;
  EXPECT_EQ(made.size(), 47u);
  EXPECT_NE(made, make_disk_uuid());
  EXPECT_EQ(api_disk_uuid("60 00 C2 9a 6b 1c 22 d1-0f 3e 55 a0 91 8c 4d 70"),
            "6000C29a-6b1c-22d1-0f3e-55a0918c4d70");
  EXPECT_EQ(vmdk_disk_uuid("6000c29A-6B1C-22d1-0f3e-55a0918c4d70"),
            "60 00 C2 9a 6b 1c 22 d1-0f 3e 55 a0 91 8c 4d 70");
  expect_error(ErrorKind::invalid_argument, "no UUID", [] { vmdk_disk_uuid("60 00"); });
}

}  // namespace
}  // namespace virga::vmx
