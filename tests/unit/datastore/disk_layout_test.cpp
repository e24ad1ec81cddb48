// Disks in every layout, both ways against qemu-img, which knows the formats by itself.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "base/file.h"
#include "datastore/browse.h"
#include "datastore/virtual_disk.h"
#include "fixture.h"
#include "vmx/sparse_extent.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t mib = 1 << 20;

struct LayoutTest : DatastoreTest {
  void TearDown() override { EXPECT_EQ(drafts_in(folder.path()), 0u); }

  // A thin disk, by default one with data and zeros by turns and an incomplete last grain.
  void create(const std::string& path, std::uint64_t capacity = 6 * mib + 512 * 5) {
    create_disk(at(path), {.capacity = capacity});
  }
  void write(const std::string& file, std::uint64_t offset, const std::string& data) {
    const Fd fd = open_file(real(file), O_WRONLY);
    ASSERT_EQ(::pwrite(fd.get(), data.data(), data.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(data.size()));
  }
  void fill(const std::string& flat) {
    std::mt19937 random(1);
    std::string noise(300'000, '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    write(flat, 1000, noise);
    write(flat, 2 * mib, std::string(mib, 'x'));
    write(flat, 3 * mib, std::string(mib, '\0'));
    write(flat, 6 * mib + 512 * 4, std::string(512, 'e'));
  }
  void create_filled(const std::string& stem) {
    create(stem + ".vmdk");
    fill(stem + "-flat.vmdk");
  }

  // Runs qemu-img in the datastore's folder.
  void qemu_img(const std::string& arguments) {
    const std::string command =
        fmt::format("cd '{}' && qemu-img {} 2>&1", folder.path().string(), arguments);
    FILE* pipe = ::popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::string output;
    for (char buffer[256]; std::fgets(buffer, sizeof buffer, pipe);) output += buffer;
    EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << output;
  }
  void expect_same_to_qemu(const std::string& disk, const std::string& flat) {
    qemu_img(fmt::format("compare -f vmdk -F raw {} {}", disk, flat));
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const FileInfo& file : list_folder(at(""), {.show_extents = true}).files)
      names.push_back(file.name);
    return names;
  }
};

struct LayoutCase {
  DiskLayout layout;
  const char* create_type;
  const char* extent;  // its first file
};

void PrintTo(const LayoutCase& it, std::ostream* out) {
  *out << it.create_type;
}

class EachLayout : public LayoutTest, public testing::WithParamInterface<LayoutCase> {};

TEST_P(EachLayout, IsWrittenAsQemuReadsIt) {
  create_filled("a");
  copy_disk(at("a.vmdk"), at("b.vmdk"), {.layout = GetParam().layout});
  const DiskInfo info = query_disk(at("b.vmdk"));
  EXPECT_EQ(info.create_type, GetParam().create_type);
  EXPECT_EQ(info.layout, GetParam().layout);
  EXPECT_EQ(info.capacity, 6 * mib + 512 * 5);
  EXPECT_EQ(info.extents.front(), GetParam().extent);
  EXPECT_NE(info.uuid, query_disk(at("a.vmdk")).uuid);
  expect_same_to_qemu("b.vmdk", "a-flat.vmdk");
}

TEST_P(EachLayout, IsReadBack) {
  create_filled("a");
  copy_disk(at("a.vmdk"), at("b.vmdk"), {.layout = GetParam().layout});
  copy_disk(at("b.vmdk"), at("c.vmdk"));
  EXPECT_TRUE(text("c-flat.vmdk") == text("a-flat.vmdk"));
  EXPECT_EQ(query_disk(at("c.vmdk")).layout, DiskLayout::vmfs);
}

TEST_P(EachLayout, IsMadeEmpty) {
  create_disk(at("b.vmdk"), {.capacity = 5 * mib, .layout = GetParam().layout});
  create("zeros.vmdk", 5 * mib);
  EXPECT_EQ(query_disk(at("b.vmdk")).capacity, 5 * mib);
  expect_same_to_qemu("b.vmdk", "zeros-flat.vmdk");
}

TEST_P(EachLayout, IsMovedAndDeletedWithAllItsFiles) {
  create_filled("a");
  copy_disk(at("a.vmdk"), at("b.vmdk"), {.layout = GetParam().layout});
  const std::size_t count = files().size();
  create_disk(at("c.vmdk"), {.capacity = mib});
  move_disk(at("b.vmdk"), at("c.vmdk"), IfExists::replace);
  EXPECT_EQ(files().size(), count);
  expect_same_to_qemu("c.vmdk", "a-flat.vmdk");

  const TestFolder other("/dev/shm");
  const Location there{std::make_shared<Datastore>("other", other.path()), "d.vmdk"};
  const DiskInfo before = query_disk(at("c.vmdk"));
  move_disk(at("c.vmdk"), there);
  EXPECT_EQ(query_disk(there).layout, GetParam().layout);
  EXPECT_EQ(query_disk(there).uuid, before.uuid);
  copy_disk(there, at("e.vmdk"));
  EXPECT_TRUE(text("e-flat.vmdk") == text("a-flat.vmdk"));
  delete_disk(there);
  EXPECT_TRUE(content_of(other.path()).empty());
  EXPECT_EQ(files(), (std::vector<std::string>{"a-flat.vmdk", "a.vmdk", "e-flat.vmdk", "e.vmdk"}));
}

TEST_P(EachLayout, IsLeftAloneWhileInUse) {
  create_disk(at("b.vmdk"), {.capacity = mib, .layout = GetParam().layout});
  const Fd user = open_file(real(GetParam().extent), O_RDWR);
  struct flock lock {};
  lock.l_type = F_RDLCK;
  lock.l_start = 100;  // as QEMU locks an image that it writes
  lock.l_len = 4;
  ASSERT_EQ(::fcntl(user.get(), F_OFD_SETLK, &lock), 0);
  const auto before = content_of(folder.path());
  const auto busy = [&](auto operation) {
    expect_error(ErrorKind::busy, "[ds] b.vmdk", operation);
  };
  busy([&] { delete_disk(at("b.vmdk")); });
  busy([&] { copy_disk(at("b.vmdk"), at("c.vmdk")); });
  busy([&] { move_disk(at("b.vmdk"), at("c.vmdk")); });
  busy([&] { defragment_disk(at("b.vmdk")); });
  EXPECT_TRUE(content_of(folder.path()) == before);
}

TEST_P(EachLayout, IsDefragmentedInItsPlace) {
  create_filled("a");
  copy_disk(at("a.vmdk"), at("b.vmdk"), {.layout = GetParam().layout});
  const DiskInfo before = query_disk(at("b.vmdk"));
  const auto inode = datastore->status(GetParam().extent).st_ino;
  const auto names = files();
  defragment_disk(at("b.vmdk"));
  EXPECT_EQ(files(), names);
  EXPECT_NE(datastore->status(GetParam().extent).st_ino, inode);
  EXPECT_EQ(query_disk(at("b.vmdk")).uuid, before.uuid);
  EXPECT_EQ(query_disk(at("b.vmdk")).provisioning, before.provisioning);
  EXPECT_EQ(query_fragmentation(at("b.vmdk")), 0);
  expect_same_to_qemu("b.vmdk", "a-flat.vmdk");
}

INSTANTIATE_TEST_SUITE_P(
    All, EachLayout,
    testing::Values(LayoutCase{DiskLayout::vmfs, "vmfs", "b-flat.vmdk"},
                    LayoutCase{DiskLayout::monolithic_flat, "monolithicFlat", "b-flat.vmdk"},
                    LayoutCase{DiskLayout::split_flat, "twoGbMaxExtentFlat", "b-f001.vmdk"},
                    LayoutCase{DiskLayout::split_sparse, "twoGbMaxExtentSparse", "b-s001.vmdk"},
                    LayoutCase{DiskLayout::monolithic_sparse, "monolithicSparse", "b.vmdk"},
                    LayoutCase{DiskLayout::stream_optimized, "streamOptimized", "b.vmdk"}),
    [](const auto& info) { return std::string(info.param.create_type); });

class EachQemuFormat : public LayoutTest, public testing::WithParamInterface<const char*> {};

TEST_P(EachQemuFormat, IsRead) {
  create_filled("a");
  qemu_img(fmt::format("convert -f raw -O vmdk -o {} a-flat.vmdk q.vmdk", GetParam()));
  EXPECT_EQ(query_disk(at("q.vmdk")).capacity, query_disk(at("a.vmdk")).capacity);
  copy_disk(at("q.vmdk"), at("b.vmdk"));
  EXPECT_TRUE(text("b-flat.vmdk") == text("a-flat.vmdk"));
  copy_disk(at("q.vmdk"), at("c.vmdk"), {.layout = DiskLayout::stream_optimized});
  expect_same_to_qemu("c.vmdk", "a-flat.vmdk");
}

INSTANTIATE_TEST_SUITE_P(All, EachQemuFormat,
                         testing::Values("subformat=monolithicSparse", "subformat=monolithicFlat",
                                         "subformat=twoGbMaxExtentSparse",
                                         "subformat=twoGbMaxExtentFlat",
                                         "subformat=streamOptimized",
                                         "subformat=monolithicSparse,zeroed_grain=on"));

struct SparseDiskTest : LayoutTest {};

TEST_F(SparseDiskTest, IsFoundSoundByQemu) {
  create_filled("a");
  for (const auto& [disk, layout] : {std::pair("m.vmdk", DiskLayout::monolithic_sparse),
                                     std::pair("s.vmdk", DiskLayout::split_sparse),
                                     std::pair("t.vmdk", DiskLayout::stream_optimized)}) {
    copy_disk(at("a.vmdk"), at(disk), {.layout = layout});
    qemu_img(fmt::format("check -f vmdk {}", disk));
  }
}

TEST_F(SparseDiskTest, IsWrittenByQemuAndReadAgain) {
  create_filled("a");
  copy_disk(at("a.vmdk"), at("m.vmdk"), {.layout = DiskLayout::monolithic_sparse});
  const std::string patch =
      fmt::format("cd '{}' && qemu-io -f vmdk -c 'write -P 0x5a 4m 100k' m.vmdk > /dev/null",
                  folder.path().string());
  ASSERT_EQ(std::system(patch.c_str()), 0);
  copy_disk(at("m.vmdk"), at("b.vmdk"));
  EXPECT_TRUE(text("b-flat.vmdk").substr(4 * mib, 100 << 10) == std::string(100 << 10, '\x5a'));
}

TEST_F(SparseDiskTest, SplitsEveryTwoGigabytes) {
  constexpr std::uint64_t border = 4'192'256ULL * 512, capacity = 2 * border + mib;
  create("a.vmdk", capacity);
  write("a-flat.vmdk", border - 1000, std::string(2000, 'x'));
  write("a-flat.vmdk", capacity - 10, std::string(10, 'y'));
  for (const auto& [disk, layout] : {std::pair("f.vmdk", DiskLayout::split_flat),
                                     std::pair("s.vmdk", DiskLayout::split_sparse)}) {
    copy_disk(at("a.vmdk"), at(disk), {.provisioning = Provisioning::thin, .layout = layout});
    EXPECT_EQ(query_disk(at(disk)).extents.size(), 3u);
    EXPECT_EQ(read_descriptor(at(disk)).extents[2].sectors, mib / 512);
    expect_same_to_qemu(disk, "a-flat.vmdk");
    move_disk(at(disk), at("moved.vmdk"));
    expect_same_to_qemu("moved.vmdk", "a-flat.vmdk");
    copy_disk(at("moved.vmdk"), at("b.vmdk"));
    qemu_img("compare -f raw -F raw a-flat.vmdk b-flat.vmdk");
    delete_disk(at("moved.vmdk"));
    delete_disk(at("b.vmdk"));
  }
  EXPECT_EQ(files(), (std::vector<std::string>{"a-flat.vmdk", "a.vmdk"}));
}

TEST_F(SparseDiskTest, TakesAndGivesBackAsItIsWritten) {
  create_filled("a");
  copy_disk(at("a.vmdk"), at("m.vmdk"), {.layout = DiskLayout::monolithic_sparse});
  const DiskInfo info = query_disk(at("m.vmdk"));
  EXPECT_EQ(info.provisioning, Provisioning::thin);
  EXPECT_EQ(info.allocated, allocated(real("m.vmdk")));
  EXPECT_LT(fs::file_size(real("m.vmdk")), 2 * mib);
  const std::string zeros = fmt::format(
      "cd '{}' && qemu-io -f vmdk -c 'write 0 6m' -c 'write -P 0 0 6m' m.vmdk > /dev/null",
      folder.path().string());
  ASSERT_EQ(std::system(zeros.c_str()), 0);
  EXPECT_GT(fs::file_size(real("m.vmdk")), 6 * mib);
  shrink_disk(at("m.vmdk"));
  EXPECT_LT(fs::file_size(real("m.vmdk")), mib);
  for (const Provisioning kind : {Provisioning::lazy_zeroed, Provisioning::eager_zeroed}) {
    const std::string stem = kind == Provisioning::lazy_zeroed ? "lazy" : "eager";
    copy_disk(at("m.vmdk"), at(stem + ".vmdk"), {.provisioning = kind});
    EXPECT_EQ(query_disk(at(stem + ".vmdk")).provisioning, kind);
    EXPECT_GE(allocated(real(stem + "-flat.vmdk")), 6 * mib);
  }
}

TEST_F(SparseDiskTest, IsRefusedByWhatNeedsFlatExtents) {
  create_disk(at("m.vmdk"), {.capacity = mib, .layout = DiskLayout::monolithic_sparse});
  const auto refused = [&](auto operation) {
    expect_error(ErrorKind::unsupported, "[ds] m.vmdk has SPARSE extents", operation);
  };
  refused([&] { extend_disk(at("m.vmdk"), 2 * mib); });
  refused([&] { inflate_disk(at("m.vmdk")); });
  refused([&] { zero_fill_disk(at("m.vmdk")); });
}

TEST_F(SparseDiskTest, OfDamagedGrainsIsRefusedByName) {
  create_filled("a");
  copy_disk(at("a.vmdk"), at("t.vmdk"), {.layout = DiskLayout::stream_optimized});
  write("t.vmdk", 64 * 1024 + 12 + 2, "garbage");
  const auto before = files();
  expect_error(ErrorKind::damaged, "[ds] t.vmdk: grain 0 cannot be inflated",
               [&] { copy_disk(at("t.vmdk"), at("b.vmdk")); });
  fs::resize_file(real("t.vmdk"), 100'000);
  expect_error(ErrorKind::damaged, "[ds] t.vmdk: the stream is cut off",
               [&] { copy_disk(at("t.vmdk"), at("b.vmdk")); });
  EXPECT_EQ(files(), before);
}

TEST_F(SparseDiskTest, WhoseExtentIsTooSmallIsRefusedByName) {
  create_disk(at("s.vmdk"), {.capacity = 2 * mib, .layout = DiskLayout::split_sparse});
  std::string descriptor = text("s.vmdk");
  descriptor.replace(descriptor.find("RW 4096"), 7, "RW 8192");
  put("s.vmdk", descriptor);
  expect_error(ErrorKind::damaged, "[ds] s-s001.vmdk holds 4096 sectors",
               [&] { copy_disk(at("s.vmdk"), at("b.vmdk")); });
}

TEST_F(SparseDiskTest, ReadsExtentsOfZeros) {
  put("z-f001.vmdk", std::string(mib, 'a'));
  put("z.vmdk",
      "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
      "createType=\"twoGbMaxExtentFlat\"\nRW 2048 FLAT \"z-f001.vmdk\" 0\nRW 2048 ZERO\n");
  copy_disk(at("z.vmdk"), at("b.vmdk"));
  EXPECT_TRUE(text("b-flat.vmdk") == std::string(mib, 'a') + std::string(mib, '\0'));
  copy_disk(at("z.vmdk"), at("t.vmdk"), {.layout = DiskLayout::stream_optimized});
  expect_same_to_qemu("t.vmdk", "b-flat.vmdk");
}

TEST_F(SparseDiskTest, IsOneFileToABrowser) {
  create_filled("a");
  copy_disk(at("a.vmdk"), at("s.vmdk"), {.layout = DiskLayout::split_sparse});
  copy_disk(at("a.vmdk"), at("m.vmdk"), {.layout = DiskLayout::monolithic_sparse});
  std::vector<std::string> names;
  for (const FileInfo& file : list_folder(at(""), {.disk_details = true}).files) {
    EXPECT_EQ(file.kind, FileKind::disk) << file.name;
    ASSERT_TRUE(file.disk) << file.name;
    EXPECT_EQ(file.disk->capacity, 6 * mib + 512 * 5);
    names.push_back(file.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a.vmdk", "m.vmdk", "s.vmdk"}));
}

TEST_F(SparseDiskTest, ScatteredIsFoundFragmented) {
  constexpr off_t size = mib, block = 4096;
  create("a.vmdk", size);
  EXPECT_EQ(query_fragmentation(at("a.vmdk")), 0);
  // Every other block is taken out of a file of twice the size: none of the rest has its neighbour.
  write("a-flat.vmdk", 0, std::string(2 * size, 'x'));
  const Fd fd = open_file(real("a-flat.vmdk"), O_WRONLY);
  for (off_t offset = 0; offset < size; offset += block)
    ASSERT_EQ(::fallocate(fd.get(), FALLOC_FL_COLLAPSE_RANGE, offset, block), 0);
  EXPECT_EQ(query_fragmentation(at("a.vmdk")), 100);
  defragment_disk(at("a.vmdk"));
  EXPECT_LT(query_fragmentation(at("a.vmdk")), 5);
  EXPECT_TRUE(text("a-flat.vmdk") == std::string(size, 'x'));
}

}  // namespace
}  // namespace virga::datastore
