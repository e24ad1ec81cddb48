#include "datastore/virtual_disk.h"

#include <fcntl.h>
#include <unistd.h>

#include "datastore/browse.h"
#include "fixture.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t mib = 1 << 20;

struct DiskTest : DatastoreTest {
  void TearDown() override { EXPECT_EQ(drafts_in(folder.path()), 0u); }

  void create(const std::string& path, Provisioning provisioning,
              std::uint64_t capacity = 8 * mib) {
    fs::create_directories(real(path).parent_path());
    create_disk(at(path), {.capacity = capacity, .provisioning = provisioning});
  }

  // What a guest would write.
  void write(const std::string& flat, std::uint64_t offset, const std::string& data) {
    const Fd fd = open_file(real(flat), O_WRONLY);
    ASSERT_EQ(::pwrite(fd.get(), data.data(), data.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(data.size()));
  }

  // The locks QEMU holds on an image it has open: for writing, or as the base of another.
  Fd open_as_qemu_does(const std::string& flat, bool for_writing = true) {
    Fd fd = open_file(real(flat), O_RDWR);
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 100;
    lock.l_len = for_writing ? 4 : 1;
    EXPECT_EQ(::fcntl(fd.get(), F_OFD_SETLK, &lock), 0);
    return fd;
  }

  std::vector<std::string> names(const std::string& path) const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(real(path)))
      found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }
};

TEST_F(DiskTest, IsADescriptorAndAFlatExtent) {
  create("vm/web.vmdk", Provisioning::thin, 40ULL << 30);
  EXPECT_EQ(names("vm"), (std::vector<std::string>{"web-flat.vmdk", "web.vmdk"}));
  EXPECT_EQ(fs::file_size(real("vm/web-flat.vmdk")), 40ULL << 30);
  const auto descriptor = read_descriptor(at("vm/web.vmdk"));
  EXPECT_EQ(descriptor.create_type, "vmfs");
  EXPECT_TRUE(descriptor.thin);
  EXPECT_EQ(descriptor.extents[0].file, "web-flat.vmdk");
  EXPECT_EQ(descriptor.extents[0].sectors, (40ULL << 30) / 512);
  EXPECT_EQ(fmt::format("{:08x}", descriptor.cid), descriptor.long_content_id.substr(24));
  const DiskInfo info = query_disk(at("vm/web.vmdk"));
  EXPECT_EQ(info.capacity, 40ULL << 30);
  EXPECT_EQ(info.geometry, (vmx::Geometry{5221, 255, 63}));
  EXPECT_EQ(info.hardware_version, 19);
  EXPECT_TRUE(info.uuid.starts_with("60 00 C2 9"));
  EXPECT_EQ(info.extents, std::vector<std::string>{"vm/web-flat.vmdk"});
}

TEST_F(DiskTest, TakesBlocksAsItsProvisioningSays) {
  create("thin.vmdk", Provisioning::thin);
  create("lazy.vmdk", Provisioning::lazy_zeroed);
  create("eager.vmdk", Provisioning::eager_zeroed);
  EXPECT_LE(allocated(real("thin-flat.vmdk")), 64u << 10);
  EXPECT_GE(allocated(real("lazy-flat.vmdk")), 8 * mib);
  EXPECT_GE(allocated(real("eager-flat.vmdk")), 8 * mib);
  EXPECT_EQ(query_disk(at("thin.vmdk")).provisioning, Provisioning::thin);
  EXPECT_EQ(query_disk(at("lazy.vmdk")).provisioning, Provisioning::lazy_zeroed);
  EXPECT_EQ(query_disk(at("eager.vmdk")).provisioning, Provisioning::eager_zeroed);
  EXPECT_EQ(query_disk(at("eager.vmdk")).allocated, allocated(real("eager-flat.vmdk")));
  const std::string zeros(8 * mib, '\0');
  for (const char* name : {"thin-flat.vmdk", "lazy-flat.vmdk", "eager-flat.vmdk"})
    EXPECT_TRUE(text(name) == zeros) << name;
}

TEST_F(DiskTest, ReportsEagerZeroingAsItGoes) {
  std::vector<std::uint64_t> reported;
  create_disk(at("a.vmdk"), {.capacity = 8 * mib, .provisioning = Provisioning::eager_zeroed},
              [&](std::uint64_t done, std::uint64_t total) {
                EXPECT_EQ(total, 8 * mib);
                reported.push_back(done);
              });
  EXPECT_GE(reported.size(), 8u);
  EXPECT_EQ(reported.back(), 8 * mib);
}

TEST_F(DiskTest, RefusesWhatCannotBe) {
  const auto refuse = [&](const std::string& path, std::uint64_t capacity, ErrorKind kind) {
    expect_error(kind, "", [&] { create_disk(at(path), {.capacity = capacity}); });
  };
  refuse("a.vmdk", 0, ErrorKind::invalid_argument);
  refuse("a.vmdk", 1000, ErrorKind::invalid_argument);
  refuse("a.vmdk", max_disk_capacity + 512, ErrorKind::invalid_argument);
  refuse("a.img", mib, ErrorKind::invalid_argument);
  refuse("none/a.vmdk", mib, ErrorKind::not_found);
  put("b-flat.vmdk", "somebody's");
  refuse("b.vmdk", mib, ErrorKind::already_exists);
  create("c.vmdk", Provisioning::thin);
  refuse("c.vmdk", mib, ErrorKind::already_exists);
  EXPECT_EQ(text("b-flat.vmdk"), "somebody's");
  EXPECT_EQ(content_of(folder.path()).size(), 3u);
}

TEST_F(DiskTest, LeavesNothingWhenCancelled) {
  std::stop_source stop;
  expect_error(ErrorKind::cancelled, "[ds] a.vmdk", [&] {
    create_disk(
        at("a.vmdk"), {.capacity = 8 * mib, .provisioning = Provisioning::eager_zeroed},
        [&](std::uint64_t done, std::uint64_t) {
          if (done >= 2 * mib) stop.request_stop();
        },
        stop.get_token());
  });
  EXPECT_TRUE(content_of(folder.path()).empty());
}

TEST_F(DiskTest, IsDeletedWithItsExtents) {
  create("vm/a.vmdk", Provisioning::thin);
  put("vm/a.vmx", "x");
  delete_disk(at("vm/a.vmdk"));
  EXPECT_EQ(names("vm"), std::vector<std::string>{"a.vmx"});
  expect_error(ErrorKind::not_found, "[ds] vm/a.vmdk", [&] { delete_disk(at("vm/a.vmdk")); });
}

TEST_F(DiskTest, IsDeletedThoughItsExtentIsGone) {
  create("a.vmdk", Provisioning::thin);
  fs::remove(real("a-flat.vmdk"));
  expect_error(ErrorKind::not_found, "a-flat.vmdk", [&] { query_disk(at("a.vmdk")); });
  delete_disk(at("a.vmdk"));
  EXPECT_TRUE(content_of(folder.path()).empty());
}

TEST_F(DiskTest, TouchesNoFileOutsideItsFolder) {
  put("victim", "x");
  put("vm/a.vmdk",
      "# Disk DescriptorFile\nversion=1\ncreateType=\"vmfs\"\nRW 1 VMFS \"../victim\"\n");
  expect_error(ErrorKind::access_denied, "../victim", [&] { delete_disk(at("vm/a.vmdk")); });
  expect_error(ErrorKind::access_denied, "../victim", [&] { query_disk(at("vm/a.vmdk")); });
  EXPECT_EQ(text("victim"), "x");
}

TEST_F(DiskTest, SaysWhatIsDamaged) {
  create("a.vmdk", Provisioning::thin);
  fs::resize_file(real("a-flat.vmdk"), mib);
  expect_error(ErrorKind::damaged, "[ds] a-flat.vmdk is shorter",
               [&] { query_disk(at("a.vmdk")); });
  expect_error(ErrorKind::damaged, "is an extent", [&] {
    fs::resize_file(real("a-flat.vmdk"), 8 * mib);
    query_disk(at("a-flat.vmdk"));
  });
  put("torn.vmdk", "# Disk DescriptorFile\nversion=1\nCI");
  expect_error(ErrorKind::damaged, "[ds] torn.vmdk, line 3", [&] { query_disk(at("torn.vmdk")); });
}

TEST_F(DiskTest, IsCopiedToAnyProvisioning) {
  create("a.vmdk", Provisioning::eager_zeroed);
  write("a-flat.vmdk", 3 * mib, std::string(100'000, 'x'));
  for (const auto& [name, provisioning] : {std::pair("thin.vmdk", Provisioning::thin),
                                           std::pair("lazy.vmdk", Provisioning::lazy_zeroed),
                                           std::pair("eager.vmdk", Provisioning::eager_zeroed)}) {
    copy_disk(at("a.vmdk"), at(name), {.provisioning = provisioning});
    const std::string flat = fs::path(name).stem().string() + "-flat.vmdk";
    EXPECT_TRUE(text(flat) == text("a-flat.vmdk")) << name;
    if (provisioning == Provisioning::thin) {
      EXPECT_LE(allocated(real(flat)), 256u << 10);
    } else {
      EXPECT_GE(allocated(real(flat)), 8 * mib);
    }
  }
  EXPECT_EQ(query_disk(at("thin.vmdk")).provisioning, Provisioning::thin);
  EXPECT_EQ(query_disk(at("eager.vmdk")).provisioning, Provisioning::eager_zeroed);

  create("empty.vmdk", Provisioning::thin);
  copy_disk(at("empty.vmdk"), at("filled.vmdk"), {.provisioning = Provisioning::eager_zeroed});
  EXPECT_EQ(query_disk(at("filled.vmdk")).provisioning, Provisioning::eager_zeroed);
  copy_disk(at("empty.vmdk"), at("lazy2.vmdk"), {.provisioning = Provisioning::lazy_zeroed});
  EXPECT_EQ(query_disk(at("lazy2.vmdk")).provisioning, Provisioning::lazy_zeroed);
}

TEST_F(DiskTest, CopyIsADiskOfItsOwn) {
  create("a.vmdk", Provisioning::thin, 1ULL << 30);
  copy_disk(at("a.vmdk"), at("b.vmdk"), {.adapter = vmx::AdapterType::ide});
  const DiskInfo from = query_disk(at("a.vmdk")), to = query_disk(at("b.vmdk"));
  EXPECT_NE(to.uuid, from.uuid);
  EXPECT_EQ(to.adapter, vmx::AdapterType::ide);
  EXPECT_EQ(to.geometry, (vmx::Geometry{2080, 16, 63}));
  expect_error(ErrorKind::already_exists, "[ds] b.vmdk",
               [&] { copy_disk(at("a.vmdk"), at("b.vmdk")); });
}

TEST_F(DiskTest, CopyReplacesADiskWhenTold) {
  create("a.vmdk", Provisioning::thin);
  write("a-flat.vmdk", 0, "new");
  create("b.vmdk", Provisioning::lazy_zeroed, 2 * mib);
  copy_disk(at("a.vmdk"), at("b.vmdk"), {.if_exists = IfExists::replace});
  EXPECT_EQ(query_disk(at("b.vmdk")).capacity, 8 * mib);
  EXPECT_TRUE(text("b-flat.vmdk").starts_with("new"));
  EXPECT_EQ(content_of(folder.path()).size(), 4u);
}

TEST_F(DiskTest, CopiesASplitDiskIntoOne) {
  put("s-f001.vmdk", std::string(mib, 'a'));
  put("s-f002.vmdk", std::string(512, '-') + std::string(mib, 'b'));
  put("s.vmdk",
      "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
      "createType=\"twoGbMaxExtentFlat\"\nRW 2048 FLAT \"s-f001.vmdk\" 0\n"
      "RW 2048 FLAT \"s-f002.vmdk\" 1\n");
  copy_disk(at("s.vmdk"), at("t.vmdk"));
  EXPECT_TRUE(text("t-flat.vmdk") == std::string(mib, 'a') + std::string(mib, 'b'));
  expect_error(ErrorKind::unsupported, "several extents",
               [&] { extend_disk(at("s.vmdk"), 8 * mib); });
  delete_disk(at("s.vmdk"));
  EXPECT_EQ(content_of(folder.path()).size(), 2u);
}

TEST_F(DiskTest, RefusesWhatItCannotRead) {
  put("d-delta.vmdk", "qcow");
  put("d.vmdk",
      "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=2\ncreateType=\"vmfsSparse\"\n"
      "parentFileNameHint=\"a.vmdk\"\nRW 2048 VMFSSPARSE \"d-delta.vmdk\"\n");
  expect_error(ErrorKind::unsupported, "difference",
               [&] { copy_disk(at("d.vmdk"), at("e.vmdk")); });
  const DiskInfo info = query_disk(at("d.vmdk"));
  EXPECT_EQ(info.parent, "a.vmdk");
  EXPECT_EQ(info.provisioning, Provisioning::thin);
  delete_disk(at("d.vmdk"));
  EXPECT_TRUE(content_of(folder.path()).empty());
}

TEST_F(DiskTest, MovesWithinADatastoreByName) {
  create("a/x.vmdk", Provisioning::thin);
  write("a/x-flat.vmdk", 0, "data");
  fs::create_directory(real("b"));
  const DiskInfo before = query_disk(at("a/x.vmdk"));
  const auto inode = datastore->status("a/x-flat.vmdk").st_ino;
  move_disk(at("a/x.vmdk"), at("b/y.vmdk"));
  EXPECT_EQ(datastore->status("b/y-flat.vmdk").st_ino, inode);
  EXPECT_EQ(query_disk(at("b/y.vmdk")).uuid, before.uuid);
  EXPECT_TRUE(names("a").empty());
  create("a/x.vmdk", Provisioning::thin, mib);
  expect_error(ErrorKind::already_exists, "[ds] a/x.vmdk",
               [&] { move_disk(at("b/y.vmdk"), at("a/x.vmdk")); });
  move_disk(at("b/y.vmdk"), at("a/x.vmdk"), IfExists::replace);
  EXPECT_EQ(query_disk(at("a/x.vmdk")).uuid, before.uuid);
  EXPECT_TRUE(text("a/x-flat.vmdk").starts_with("data"));
  EXPECT_TRUE(names("b").empty());
}

TEST_F(DiskTest, MovesBetweenDatastores) {
  const TestFolder other("/dev/shm");
  const auto target = std::make_shared<Datastore>("other", other.path());
  create("x.vmdk", Provisioning::thin);
  write("x-flat.vmdk", mib, "data");
  const std::string before = text("x-flat.vmdk");
  const DiskInfo info = query_disk(at("x.vmdk"));
  move_disk(at("x.vmdk"), {target, "y.vmdk"});
  EXPECT_TRUE(content_of(folder.path()).empty());
  EXPECT_EQ(query_disk({target, "y.vmdk"}).uuid, info.uuid);
  EXPECT_TRUE(read_file(other.path() / "y-flat.vmdk", 1 << 30) == before);
}

TEST_F(DiskTest, GrowsAsItIs) {
  for (const auto& [name, provisioning] :
       {std::pair("thin", Provisioning::thin), std::pair("lazy", Provisioning::lazy_zeroed),
        std::pair("eager", Provisioning::eager_zeroed)}) {
    const std::string disk = std::string(name) + ".vmdk", flat = std::string(name) + "-flat.vmdk";
    create(disk, provisioning, 2 * mib);
    write(flat, 0, "data");
    extend_disk(at(disk), 6 * mib);
    const DiskInfo info = query_disk(at(disk));
    EXPECT_EQ(info.capacity, 6 * mib);
    EXPECT_EQ(info.provisioning, provisioning) << name;
    EXPECT_EQ(info.geometry, vmx::geometry_for(6 * mib / 512, vmx::AdapterType::lsi_logic));
    EXPECT_TRUE(text(flat) == "data" + std::string(6 * mib - 4, '\0'));
    if (provisioning != Provisioning::thin) {
      EXPECT_GE(allocated(real(flat)), 6 * mib);
    }
  }
  expect_error(ErrorKind::invalid_argument, "cannot be extended",
               [&] { extend_disk(at("thin.vmdk"), mib); });
}

TEST_F(DiskTest, StaysAsItWasWhenGrowingIsCancelled) {
  create("a.vmdk", Provisioning::eager_zeroed, 2 * mib);
  const auto before = content_of(folder.path());
  std::stop_source stop;
  expect_error(ErrorKind::cancelled, "[ds] a.vmdk", [&] {
    extend_disk(
        at("a.vmdk"), 8 * mib, false, [&](std::uint64_t, std::uint64_t) { stop.request_stop(); },
        stop.get_token());
  });
  EXPECT_TRUE(content_of(folder.path()) == before);
}

TEST_F(DiskTest, IsInflatedAroundItsContent) {
  create("a.vmdk", Provisioning::thin);
  write("a-flat.vmdk", 3 * mib, "data");
  const std::string before = text("a-flat.vmdk");
  inflate_disk(at("a.vmdk"));
  EXPECT_TRUE(text("a-flat.vmdk") == before);
  EXPECT_EQ(query_disk(at("a.vmdk")).provisioning, Provisioning::eager_zeroed);
  EXPECT_GE(allocated(real("a-flat.vmdk")), 8 * mib);

  create("lazy.vmdk", Provisioning::lazy_zeroed);
  write("lazy-flat.vmdk", 5 * mib, "data");
  inflate_disk(at("lazy.vmdk"));
  EXPECT_EQ(query_disk(at("lazy.vmdk")).provisioning, Provisioning::eager_zeroed);
  EXPECT_EQ(text("lazy-flat.vmdk").substr(5 * mib, 4), "data");
}

TEST_F(DiskTest, IsFilledWithZeros) {
  create("a.vmdk", Provisioning::thin);
  write("a-flat.vmdk", 3 * mib, "data");
  const auto before = read_descriptor(at("a.vmdk"));
  zero_fill_disk(at("a.vmdk"));
  EXPECT_TRUE(text("a-flat.vmdk") == std::string(8 * mib, '\0'));
  EXPECT_EQ(query_disk(at("a.vmdk")).provisioning, Provisioning::eager_zeroed);
  EXPECT_NE(read_descriptor(at("a.vmdk")).cid, before.cid);
  EXPECT_EQ(read_descriptor(at("a.vmdk")).uuid, before.uuid);
}

TEST_F(DiskTest, GivesBlocksOfZerosBack) {
  create("a.vmdk", Provisioning::thin);
  write("a-flat.vmdk", 0, std::string(6 * mib, '\0'));
  write("a-flat.vmdk", mib, "data");
  const std::string before = text("a-flat.vmdk");
  shrink_disk(at("a.vmdk"));
  EXPECT_LE(allocated(real("a-flat.vmdk")), 128u << 10);
  EXPECT_TRUE(text("a-flat.vmdk") == before);
  create("b.vmdk", Provisioning::lazy_zeroed);
  expect_error(ErrorKind::unsupported, "not thin", [&] { shrink_disk(at("b.vmdk")); });
}

TEST_F(DiskTest, TakesAnotherUuid) {
  create("a.vmdk", Provisioning::thin);
  set_disk_uuid(at("a.vmdk"), "6000C29a-6b1c-22d1-0f3e-55a0918c4d70");
  EXPECT_EQ(query_disk(at("a.vmdk")).uuid, "60 00 C2 9a 6b 1c 22 d1-0f 3e 55 a0 91 8c 4d 70");
  expect_error(ErrorKind::invalid_argument, "no UUID", [&] { set_disk_uuid(at("a.vmdk"), "x"); });
}

TEST_F(DiskTest, IsGivenAUuidForGoodWhenAskedForOne) {
  create("a.vmdk", Provisioning::thin);
  vmx::VmdkDescriptor descriptor = read_descriptor(at("a.vmdk"));
  EXPECT_EQ(disk_uuid(at("a.vmdk")), descriptor.uuid);
  descriptor.uuid.clear();
  put("a.vmdk", descriptor.serialise());
  {
    const Fd guest = open_as_qemu_does("a-flat.vmdk");
    expect_error(ErrorKind::busy, "[ds] a.vmdk is in use", [&] { disk_uuid(at("a.vmdk")); });
  }
  const std::string given = disk_uuid(at("a.vmdk"));
  EXPECT_TRUE(given.starts_with("60 00 C2 9")) << given;
  EXPECT_EQ(disk_uuid(at("a.vmdk")), given);
  descriptor.uuid = given;
  EXPECT_EQ(read_descriptor(at("a.vmdk")).serialise(), descriptor.serialise());
}

TEST_F(DiskTest, IsLeftAloneWhileAGuestHasIt) {
  create("a.vmdk", Provisioning::thin);
  const auto before = content_of(folder.path());
  const Fd guest = open_as_qemu_does("a-flat.vmdk");
  const auto busy = [&](auto operation) {
    expect_error(ErrorKind::busy, "[ds] a.vmdk is in use", operation);
  };
  busy([&] { delete_disk(at("a.vmdk")); });
  busy([&] { copy_disk(at("a.vmdk"), at("b.vmdk")); });
  busy([&] { move_disk(at("a.vmdk"), at("b.vmdk")); });
  busy([&] { extend_disk(at("a.vmdk"), 16 * mib); });
  busy([&] { inflate_disk(at("a.vmdk")); });
  busy([&] { zero_fill_disk(at("a.vmdk")); });
  busy([&] { shrink_disk(at("a.vmdk")); });
  EXPECT_EQ(query_disk(at("a.vmdk")).capacity, 8 * mib);
  EXPECT_TRUE(content_of(folder.path()) == before);
  create("b.vmdk", Provisioning::thin);
  busy([&] { copy_disk(at("b.vmdk"), at("a.vmdk"), {.if_exists = IfExists::replace}); });
}

TEST_F(DiskTest, IsCopiedWhileAGuestReadsIt) {
  create("a.vmdk", Provisioning::thin);
  const Fd guest = open_as_qemu_does("a-flat.vmdk", false);
  bool nested = false;
  copy_disk(at("a.vmdk"), at("b.vmdk"), {}, [&](std::uint64_t, std::uint64_t) {
    if (std::exchange(nested, true)) return;
    // QEMU asks for this before it writes: does anybody forbid that?
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = 201;
    lock.l_len = 1;
    ASSERT_EQ(::fcntl(guest.get(), F_OFD_GETLK, &lock), 0);
    EXPECT_EQ(lock.l_type, F_RDLCK);
  });
  EXPECT_TRUE(nested);
  expect_error(ErrorKind::busy, "a.vmdk", [&] { delete_disk(at("a.vmdk")); });
}

TEST_F(DiskTest, MayBeCopiedTwiceAtOnceButNotChangedMeanwhile) {
  create("a.vmdk", Provisioning::eager_zeroed);
  bool nested = false;
  copy_disk(at("a.vmdk"), at("b.vmdk"), {}, [&](std::uint64_t, std::uint64_t) {
    if (std::exchange(nested, true)) return;
    copy_disk(at("a.vmdk"), at("c.vmdk"));
    expect_error(ErrorKind::busy, "a.vmdk", [&] { delete_disk(at("a.vmdk")); });
  });
  EXPECT_TRUE(nested);
  EXPECT_EQ(content_of(folder.path()).size(), 6u);
}

class FullDatastore : public testing::TestWithParam<Provisioning> {};

TEST_P(FullDatastore, KeepsNothingHalfMade) {
  const TestFolder folder(testing::TempDir(), 4 * mib);
  const auto datastore = std::make_shared<Datastore>("full", folder.path());
  const Location disk{datastore, "a.vmdk"};
  expect_error(ErrorKind::no_space, "[full] a.vmdk",
               [&] { create_disk(disk, {.capacity = 8 * mib, .provisioning = GetParam()}); });
  EXPECT_TRUE(content_of(folder.path()).empty());
  EXPECT_EQ(drafts_in(folder.path()), 0u);

  create_disk(disk, {.capacity = mib, .provisioning = GetParam()});
  const auto before = content_of(folder.path());
  expect_error(ErrorKind::no_space, "[full] a.vmdk", [&] { extend_disk(disk, 8 * mib); });
  expect_error(ErrorKind::no_space, "[full] b.vmdk", [&] {
    extend_disk(disk, 2 * mib);
    copy_disk(disk, {datastore, "b.vmdk"});
    copy_disk(disk, {datastore, "c.vmdk"});
  });
  EXPECT_EQ(drafts_in(folder.path()), 0u);
  EXPECT_EQ(query_disk(disk).capacity, 2 * mib);
}

INSTANTIATE_TEST_SUITE_P(Thick, FullDatastore,
                         testing::Values(Provisioning::lazy_zeroed, Provisioning::eager_zeroed));

}  // namespace
}  // namespace virga::datastore
