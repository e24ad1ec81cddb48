#include "datastore/raw_mapping.h"

#include "base/file.h"
#include "datastore/delta_disk.h"
#include "datastore/virtual_disk.h"
#include "fixture.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t capacity = 8 << 20;

struct RawDisk : DatastoreTest {
  Location make(bool passthrough) {
    const Location disk = at("raw.vmdk");
    create_disk(disk, {.capacity = capacity,
                       .mapping = RawMapping{passthrough, "naa.600508b1001c", "0200000000600508"}});
    return disk;
  }
};

TEST_F(RawDisk, NamesItsUnitAndTakesNoSpaceOfIt) {
  for (const bool passthrough : {false, true}) {
    const Location disk = make(passthrough);
    const std::string mapping = passthrough ? "raw-rdmp.vmdk" : "raw-rdm.vmdk";
    const DiskInfo info = query_disk(disk);
    EXPECT_EQ(info.capacity, capacity);
    EXPECT_LT(info.allocated, capacity);
    EXPECT_EQ(info.layout, std::nullopt);
    EXPECT_THAT(info.extents, testing::ElementsAre(mapping));
    EXPECT_EQ(info.mapping, (RawMapping{passthrough, "naa.600508b1001c", "0200000000600508"}));
    const std::string text = read_file(real("raw.vmdk"));
    EXPECT_THAT(text, testing::HasSubstr(fmt::format("RW 16384 VMFSRDM \"{}\"", mapping)));
    EXPECT_THAT(text, testing::HasSubstr(passthrough ? "\"vmfsPassthroughRawDeviceMap\""
                                                     : "\"vmfsRawDeviceMap\""));
    delete_disk(disk);
    EXPECT_FALSE(fs::exists(real(mapping)));
  }
}

TEST_F(RawDisk, IsTheBaseOfDeltas) {
  const Location disk = make(false), delta = free_delta(read_chain(disk));
  create_delta(delta, disk);
  const DiskInfo info = query_disk(delta);
  EXPECT_EQ(info.parent, "raw.vmdk");
  EXPECT_EQ(info.capacity, capacity);
  EXPECT_EQ(info.mapping, std::nullopt);
}

TEST_F(RawDisk, HasNoSectorsToCopyOrGrow) {
  const Location disk = make(false);
  EXPECT_EQ(failure_of([&] { copy_disk(disk, at("copy.vmdk")); }).kind(), ErrorKind::unsupported);
  EXPECT_EQ(failure_of([&] { extend_disk(disk, 2 * capacity); }).kind(), ErrorKind::unsupported);
  EXPECT_EQ(failure_of([&] { zero_fill_disk(disk); }).kind(), ErrorKind::unsupported);
  EXPECT_FALSE(fs::exists(real("copy.vmdk")));
}

TEST_F(RawDisk, TakesNobodysPlace) {
  write_file_atomically(real("raw-rdm.vmdk"), "something else");
  EXPECT_EQ(failure_of([&] { make(false); }).kind(), ErrorKind::already_exists);
  EXPECT_FALSE(fs::exists(real("raw.vmdk")));
  EXPECT_EQ(read_file(real("raw-rdm.vmdk")), "something else");
}

TEST_F(RawDisk, IsDamagedWithoutAMappingOfOurs) {
  const Location disk = make(false);
  for (const std::string& text : {std::string(), std::string("{}"), std::string(5000, ' ')}) {
    write_file_atomically(real("raw-rdm.vmdk"), text);
    const Error failure = failure_of([&] { query_disk(disk); });
    EXPECT_EQ(failure.kind(), ErrorKind::damaged);
    EXPECT_THAT(failure.what(), testing::HasSubstr("raw-rdm.vmdk"));
  }
}

}  // namespace
}  // namespace virga::datastore
