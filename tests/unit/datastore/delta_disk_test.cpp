#include "datastore/delta_disk.h"

#include "base/process.h"
#include "datastore/qcow2.h"
#include "datastore/virtual_disk.h"
#include "fixture.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t capacity = 8 << 20;

struct DeltaDisk : DatastoreTest {
  // web/web.vmdk and this many deltas, each of the one before.
  Location make_chain(int deltas) {
    fs::create_directories(real("web"));
    Location disk = at("web/web.vmdk");
    create_disk(disk, {.capacity = capacity});
    for (int i = 0; i < deltas; ++i) {
      const Location delta = free_delta(read_chain(disk));
      create_delta(delta, disk);
      disk = delta;
    }
    return disk;
  }
  std::string image(const std::string& name) const { return real("web/" + name); }
};

TEST_F(DeltaDisk, IsAnImageThatQemuReadsThrough) {
  const Location disk = make_chain(2);
  EXPECT_EQ(disk.path, "web/web-000002.vmdk");
  const std::string first = image("web-000001-delta.vmdk"), second = image("web-000002-delta.vmdk");
  run_checked({"qemu-io", "-f", "raw", "-c", "write -P 65 0 1M", image("web-flat.vmdk")});
  run_checked({"qemu-io", "-f", "qcow2", "-c", "write -P 66 1M 1M", first});
  run_checked({"qemu-io", "-f", "qcow2", "-c", "write -P 67 2M 1M", second});
  EXPECT_NO_THROW(run_checked({"qemu-io", "-r", "-f", "qcow2", "-c", "read -P 65 0 1M", "-c",
                               "read -P 66 1M 1M", "-c", "read -P 67 2M 1M", second}));
  EXPECT_NO_THROW(run_checked({"qemu-img", "check", "-q", "-f", "qcow2", first}));
  EXPECT_NO_THROW(run_checked({"qemu-img", "check", "-q", "-f", "qcow2", second}));
}

// What a guest would read of the disk, in MiB: a letter each, '.' for zeros.
std::string letters_of(const fs::path& flat) {
  std::string letters;
  const std::string content = read_file(flat, 1 << 30);
  for (std::size_t at = 0; at < content.size(); at += 1 << 20) {
    const std::string_view part = std::string_view(content).substr(at, 1 << 20);
    EXPECT_EQ(part.find_first_not_of(part[0]), std::string::npos) << at;
    letters += part[0] == '\0' ? '.' : part[0];
  }
  return letters;
}

TEST_F(DeltaDisk, IsCopiedWithAllItIsADeltaOf) {
  const Location disk = make_chain(2);
  const std::string first = image("web-000001-delta.vmdk"), second = image("web-000002-delta.vmdk");
  run_checked({"qemu-io", "-f", "raw", "-c", "write -P 65 0 4M", image("web-flat.vmdk")});
  run_checked({"qemu-io", "-f", "qcow2", "-c", "write -P 66 1M 4M", first});
  run_checked({"qemu-io", "-f", "qcow2", "-c", "write -z 2M 1M", "-c", "write -P 67 4M 1M", second});
  copy_disk(at("web/web-000001.vmdk"), at("first.vmdk"));
  copy_disk(disk, at("second.vmdk"));
  copy_disk(disk, at("grains.vmdk"), {.layout = DiskLayout::monolithic_sparse});
  copy_disk(at("grains.vmdk"), at("again.vmdk"));
  EXPECT_EQ(letters_of(real("first-flat.vmdk")), "ABBBB...");
  EXPECT_EQ(letters_of(real("second-flat.vmdk")), "AB.BC...");
  EXPECT_EQ(letters_of(real("again-flat.vmdk")), "AB.BC...");
  EXPECT_LE(allocated(real("second-flat.vmdk")), 4u << 20);
  const vmx::VmdkDescriptor copy = read_descriptor(at("second.vmdk"));
  EXPECT_EQ(copy.create_type, "vmfs");
  EXPECT_EQ(copy.parent_cid, vmx::VmdkDescriptor::no_parent);
  EXPECT_TRUE(copy.parent_file.empty());
  EXPECT_NE(copy.uuid, read_descriptor(disk).uuid);
}

TEST_F(DeltaDisk, StandsOnADiskInAnotherFolder) {
  const Location parent = make_chain(1), child = at("copies/a/copy.vmdk");
  run_checked({"qemu-io", "-f", "raw", "-c", "write -P 65 0 4M", image("web-flat.vmdk")});
  run_checked({"qemu-io", "-f", "qcow2", "-c", "write -P 66 1M 1M", image("web-000001-delta.vmdk")});
  fs::create_directories(real("copies/a"));
  create_delta(child, parent);
  EXPECT_EQ(read_descriptor(child).parent_file,
            "/vmfs/volumes/" + datastore->uuid() + "/web/web-000001.vmdk");
  const Location above = free_delta(read_chain(child));
  EXPECT_EQ(above.path, "copies/a/copy-000001.vmdk");
  create_delta(above, child);
  EXPECT_EQ(read_descriptor(above).parent_file, "copy.vmdk");
  const std::string written = real("copies/a/copy-000001-delta.vmdk");
  run_checked({"qemu-io", "-f", "qcow2", "-c", "write -P 67 2M 1M", written});
  EXPECT_NO_THROW(run_checked({"qemu-io", "-r", "-f", "qcow2", "-c", "read -P 65 0 1M", "-c",
                               "read -P 66 1M 1M", "-c", "read -P 67 2M 1M", written}));
  EXPECT_EQ(read_chain(above).size(), 4u);
  copy_disk(above, at("whole.vmdk"));
  EXPECT_EQ(letters_of(real("whole-flat.vmdk")), "ABCA....");

  const TestFolder other("/dev/shm");
  const Location there{std::make_shared<Datastore>("other", other.path()), "copy.vmdk"};
  EXPECT_EQ(failure_of([&] { create_delta(there, parent); }).kind(), ErrorKind::unsupported);
  EXPECT_EQ(failure_of([&] { move_disk(child, there); }).kind(), ErrorKind::unsupported);
}

TEST_F(DeltaDisk, StandsOnDisksOfHostedProductsToo) {
  fs::create_directories(real("web"));
  for (const DiskLayout layout : {DiskLayout::monolithic_sparse, DiskLayout::split_flat}) {
    const Location disk = at("web/base.vmdk"), delta = at("web/base-000001.vmdk");
    create_disk(disk, {.capacity = capacity, .layout = layout});
    run_checked({"qemu-io", "-f", "vmdk", "-c", "write -P 65 0 1M", image("base.vmdk")});
    create_delta(delta, disk);
    EXPECT_NO_THROW(run_checked({"qemu-io", "-r", "-f", "qcow2", "-c", "read -P 65 0 1M",
                                 image("base-000001-delta.vmdk")}));
    delete_disk(delta);
    delete_disk(disk);
  }
}

TEST_F(DeltaDisk, KeepsItsParentAsItIs) {
  const Location delta = make_chain(1), base = at("web/web.vmdk");
  for (const auto& change : {+[](const Location& disk) { extend_disk(disk, 2 * capacity); },
                             +[](const Location& disk) { zero_fill_disk(disk); }}) {
    const Error refused = failure_of([&] { change(base); });
    EXPECT_EQ(refused.kind(), ErrorKind::invalid_state);
    EXPECT_NE(std::string(refused.what()).find("web-000001.vmdk"), std::string::npos);
  }
  EXPECT_EQ(read_chain(delta).size(), 2u);
  delete_disk(delta);
  EXPECT_NO_THROW(extend_disk(base, 2 * capacity));
}

TEST_F(DeltaDisk, IsAnImageAloneForChangesThatAreDiscarded) {
  const Location disk = make_chain(1), redo = at("web/web.vmdk.REDO_a1b2c0");
  run_checked({"qemu-io", "-f", "raw", "-c", "write -P 65 0 1M", image("web-flat.vmdk")});
  fs::create_directories(real("else"));
  for (const Location& where : {redo, redo, at("else/web.vmdk.REDO_a1b2c0")}) {
    create_redo(where, disk);
    EXPECT_NO_THROW(
        run_checked({"qemu-io", "-r", "-f", "qcow2", "-c", "read -P 65 0 1M", real(where.path)}));
  }
  EXPECT_EQ(read_chain(disk).size(), 2u);
}

TEST_F(DeltaDisk, IsSmallAndWholeForTheLargestDisk) {
  TestFolder largest_folder("/dev/shm");  // a file system that takes files of any size
  const auto store = std::make_shared<Datastore>("big", largest_folder.path());
  const Location disk{store, "big.vmdk"}, delta{store, "big-000001.vmdk"};
  create_disk(disk, {.capacity = max_disk_capacity / 8});
  create_delta(delta, disk);
  const fs::path file = largest_folder.path() / "big-000001-delta.vmdk";
  EXPECT_LT(allocated(file), 64u << 10);
  EXPECT_NO_THROW(run_checked({"qemu-img", "check", "-q", "-f", "qcow2", file}));
}

TEST_F(DeltaDisk, LooksLikeItsBaseToTheGuest) {
  const Location disk = make_chain(1);
  const DiskInfo base = query_disk(at("web/web.vmdk")), delta = query_disk(disk);
  EXPECT_EQ(delta.capacity, capacity);
  EXPECT_EQ(delta.uuid, base.uuid);
  EXPECT_EQ(delta.geometry, base.geometry);
  EXPECT_EQ(delta.adapter, base.adapter);
  EXPECT_EQ(delta.create_type, delta_create_type);
  EXPECT_EQ(delta.parent, "web.vmdk");
  EXPECT_EQ(delta.extents, std::vector<std::string>{"web/web-000001-delta.vmdk"});
}

TEST_F(DeltaDisk, KnowsWhatItDescendsFrom) {
  const std::vector<ChainLink> chain = read_chain(make_chain(2));
  ASSERT_EQ(chain.size(), 3u);
  EXPECT_EQ(chain[0].disk.path, "web/web.vmdk");
  EXPECT_EQ(chain[0].extent().path, "web/web-flat.vmdk");
  EXPECT_EQ(chain[1].disk.path, "web/web-000001.vmdk");
  EXPECT_EQ(chain[2].extent().path, "web/web-000002-delta.vmdk");
  EXPECT_FALSE(is_delta(chain[0].descriptor));
  EXPECT_TRUE(is_delta(chain[1].descriptor));
}

TEST_F(DeltaDisk, TakesTheFirstNameThatIsFree) {
  const auto chain = read_chain(make_chain(3));
  delete_disk(at("web/web-000003.vmdk"));
  put("web/web-000003-delta.vmdk", "somebody else's");
  EXPECT_EQ(free_delta(read_chain(at("web/web-000002.vmdk"))).path, "web/web-000004.vmdk");
  expect_error(ErrorKind::already_exists, "[ds] web/web-000002.vmdk",
               [&] { create_delta(at("web/web-000002.vmdk"), at("web/web-000001.vmdk")); });
}

TEST_F(DeltaDisk, LeavesNothingWhenThereIsNoSpace) {
  TestFolder small(folder.path().parent_path(), 64 << 10);
  const auto store = std::make_shared<Datastore>("small", small.path());
  create_disk({store, "a.vmdk"}, {.capacity = capacity});
  const auto before = content_of(small.path());
  // Full but for two pages: the descriptor has room, the image has not.
  const fs::path filler = small.path() / "filler";
  std::ofstream(filler) << std::string(64 << 10, 'x');
  fs::resize_file(filler, allocated(filler) - (8 << 10));
  EXPECT_ANY_THROW(create_delta({store, "a-000001.vmdk"}, {store, "a.vmdk"}));
  fs::remove(filler);
  EXPECT_EQ(content_of(small.path()), before);
}

TEST_F(DeltaDisk, RefusesAChainThatIsBroken) {
  const Location disk = make_chain(2);
  const std::string descriptor = text("web/web-000001.vmdk");
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string other = descriptor;
    other.replace(other.find(from), from.size(), to);
    put("web/web-000001.vmdk", other);
  };
  changed("web.vmdk", "gone.vmdk");
  expect_error(ErrorKind::not_found, "[ds] web/gone.vmdk", [&] { read_chain(disk); });
  changed("web.vmdk", "web-000002.vmdk");  // a loop
  EXPECT_THROW(read_chain(disk), Error);
  changed("RW 16384", "RW 16383");
  expect_error(ErrorKind::damaged, "[ds] web/web-000002.vmdk", [&] { read_chain(disk); });
  put("web/web-000001.vmdk", descriptor);
  EXPECT_EQ(read_chain(disk).size(), 3u);
  const std::string id = descriptor.substr(descriptor.find("parentCID="), 18);
  changed(id, "parentCID=00000001");  // the base has another
  expect_error(ErrorKind::damaged, "[ds] web/web-000001.vmdk", [&] { read_chain(disk); });
}

TEST_F(DeltaDisk, ChangesItsParent) {
  const Location disk = make_chain(2);
  set_parent(disk, at("web/web.vmdk"), true);
  const auto chain = read_chain(disk);
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_EQ(chain[0].disk.path, "web/web.vmdk");
  EXPECT_EQ(parse_qcow2(text("web/web-000002-delta.vmdk").substr(0, qcow2_header_size), "").backing,
            (Qcow2Backing{"web-flat.vmdk", "raw"}));
  EXPECT_NO_THROW(
      run_checked({"qemu-img", "check", "-q", "-f", "qcow2", image("web-000002-delta.vmdk")}));
  delete_disk(at("web/web-000001.vmdk"));
  EXPECT_EQ(read_chain(disk).size(), 2u);
}

TEST_F(DeltaDisk, GoesAsAnyDiskDoes) {
  const Location disk = make_chain(1);
  delete_disk(disk);
  EXPECT_FALSE(fs::exists(image("web-000001-delta.vmdk")));
  // One that a crash left without its extent, too.
  create_delta(disk, at("web/web.vmdk"));
  fs::remove(image("web-000001-delta.vmdk"));
  delete_disk(disk);
  EXPECT_FALSE(fs::exists(image("web-000001.vmdk")));
}

}  // namespace
}  // namespace virga::datastore
