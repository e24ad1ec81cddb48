// Disks sent and received, against qemu-img, which knows the format by itself.
#include "datastore/disk_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "datastore/delta_disk.h"
#include "datastore/virtual_disk.h"
#include "fixture.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t capacity = 6 * mib + 512 * 5;

std::string sectors() {
  std::mt19937 random(1);
  std::string bytes(capacity, '\0');
  for (std::size_t at = 1000; at < 301'000; ++at) bytes[at] = static_cast<char>(random());
  bytes.replace(2 * mib, mib, mib, 'x');
  bytes.replace(capacity - 512, 512, 512, 'e');
  return bytes;
}

struct DiskStreamTest : DatastoreTest {
  void create(const std::string& path, Provisioning provisioning = Provisioning::thin,
              std::uint64_t bytes = capacity) {
    create_disk(at(path), {.capacity = bytes, .provisioning = provisioning});
  }
  void fill(const std::string& flat) { put(flat, sectors()); }

  std::string send(const std::string& disk) {
    std::string sent;
    DiskExport sending(at(disk), "disk-0.vmdk");
    while (const auto piece = sending.next()) sent += *piece;
    return sent;
  }
  void receive(const std::string& disk, std::string_view bytes, std::size_t piece = 1 << 20) {
    DiskImport receiving(at(disk));
    for (std::size_t from = 0; from < bytes.size(); from += piece)
      receiving.write(bytes.substr(from, piece));
    receiving.finish();
  }
  bool qemu_img(const std::string& arguments) {
    const std::string command =
        fmt::format("cd '{}' && qemu-img {} >/dev/null", folder.path().string(), arguments);
    return std::system(command.c_str()) == 0;
  }
};

TEST_F(DiskStreamTest, SendsWhatQemuReads) {
  create("a.vmdk");
  fill("a-flat.vmdk");
  put("t.vmdk", send("a.vmdk"));
  EXPECT_TRUE(qemu_img("compare -f vmdk -F raw t.vmdk a-flat.vmdk"));
  EXPECT_EQ(read_descriptor(at("t.vmdk")).extents[0].file, "disk-0.vmdk");
}

TEST_F(DiskStreamTest, SendsADeltaWithAllItStandsOn) {
  create("a.vmdk", Provisioning::thin, 6 * mib);
  put("a-flat.vmdk", sectors().substr(0, 6 * mib));
  create_delta(at("a-000001.vmdk"), at("a.vmdk"));
  create_delta(at("a-000002.vmdk"), at("a-000001.vmdk"));
  ASSERT_EQ(std::system(fmt::format("cd '{}' && qemu-io -f qcow2 -c 'write -P 7 1M 70k' "
                                    "a-000001-delta.vmdk >/dev/null && qemu-io -f qcow2 "
                                    "-c 'write -P 9 5M 64k' a-000002-delta.vmdk >/dev/null",
                                    folder.path().string())
                            .c_str()),
            0);
  put("t.vmdk", send("a-000002.vmdk"));
  EXPECT_TRUE(qemu_img("compare -f vmdk -F qcow2 t.vmdk a-000002-delta.vmdk"));
}

TEST_F(DiskStreamTest, CountsWhatItSends) {
  create("a.vmdk");
  fill("a-flat.vmdk");
  DiskExport sending(at("a.vmdk"), "disk-0.vmdk");
  EXPECT_EQ(sending.capacity(), capacity);
  while (sending.next()) continue;
  EXPECT_EQ(sending.data_bytes(), (5 + 16 + 1) * 65536u);
  EXPECT_FALSE(sending.next());
}

TEST_F(DiskStreamTest, LetsNobodyWriteMeanwhile) {
  create("a.vmdk");
  const DiskExport sending(at("a.vmdk"), "x.vmdk");
  const DiskExport again(at("a.vmdk"), "x.vmdk");
  expect_error(ErrorKind::busy, "[ds] a.vmdk is in use", [&] { delete_disk(at("a.vmdk")); });
}

TEST_F(DiskStreamTest, ReceivesWhatWasSentInEachProvisioning) {
  create("a.vmdk");
  fill("a-flat.vmdk");
  const std::string sent = send("a.vmdk");
  for (const auto provisioning :
       {Provisioning::thin, Provisioning::lazy_zeroed, Provisioning::eager_zeroed}) {
    create("b.vmdk", provisioning);
    receive("b.vmdk", sent, 10'007);
    EXPECT_TRUE(text("b-flat.vmdk") == sectors());
    EXPECT_EQ(query_disk(at("b.vmdk")).provisioning, provisioning);
    if (provisioning == Provisioning::thin) {
      EXPECT_LT(allocated(real("b-flat.vmdk")), 2 * mib);
    }
    delete_disk(at("b.vmdk"));
  }
}

TEST_F(DiskStreamTest, ReceivesWhatQemuWrites) {
  put("raw", sectors());
  ASSERT_TRUE(qemu_img("convert -f raw -O vmdk -o subformat=streamOptimized raw t.vmdk"));
  create("b.vmdk");
  receive("b.vmdk", text("t.vmdk"));
  EXPECT_TRUE(text("b-flat.vmdk") == sectors());
}

TEST_F(DiskStreamTest, ReceivesPlainSectors) {
  create("b.vmdk");
  receive("b.vmdk", sectors(), 100);
  EXPECT_TRUE(text("b-flat.vmdk") == sectors());
}

TEST_F(DiskStreamTest, LeavesTheRestOfALargerDiskZeros) {
  create("a.vmdk");
  fill("a-flat.vmdk");
  create("b.vmdk", Provisioning::thin, 8 * mib);
  receive("b.vmdk", send("a.vmdk"));
  EXPECT_TRUE(text("b-flat.vmdk") == sectors() + std::string(8 * mib - capacity, '\0'));
}

TEST_F(DiskStreamTest, NamesADiskThatIsTooLarge) {
  create("a.vmdk");
  const std::string sent = send("a.vmdk");
  create("b.vmdk", Provisioning::thin, mib);
  expect_error(ErrorKind::invalid_argument,
               "what comes for [ds] b.vmdk is a disk of 6294016 bytes or more; it has 1048576",
               [&] { receive("b.vmdk", sent); });
  expect_error(ErrorKind::invalid_argument, "[ds] b.vmdk",
               [&] { receive("b.vmdk", std::string(mib + 1, 'x')); });
}

TEST_F(DiskStreamTest, KnowsWhatIsCutOff) {
  create("a.vmdk");
  fill("a-flat.vmdk");
  const std::string sent = send("a.vmdk");
  create("b.vmdk");
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, sent.size() - 512})
    expect_error(ErrorKind::damaged, "what came for [ds] b.vmdk is cut off",
                 [&] { receive("b.vmdk", std::string_view(sent).substr(0, size)); });
  expect_error(ErrorKind::damaged, "what came for [ds] b.vmdk is cut off after 6294015 bytes",
               [&] { receive("b.vmdk", sectors().substr(1)); });
}

TEST_F(DiskStreamTest, RefusesADiskInGrains) {
  put("raw", sectors());
  ASSERT_TRUE(qemu_img("convert -f raw -O vmdk raw t.vmdk"));
  create("b.vmdk");
  expect_error(ErrorKind::unsupported, "[ds] b.vmdk is a sparse disk that is not stream-optimized",
               [&] { receive("b.vmdk", text("t.vmdk")); });
}

TEST_F(DiskStreamTest, TellsOfAFullFileSystem) {
  const TestFolder small(testing::TempDir(), 2 * mib);
  const Location disk{std::make_shared<Datastore>("small", small.path()), "b.vmdk"};
  create_disk(disk, {.capacity = 8 * mib});
  DiskImport receiving(disk);
  expect_error(ErrorKind::no_space, "[small] b.vmdk",
               [&] { receiving.write(std::string(8 * mib, 'x')); });
}

}  // namespace
}  // namespace virga::datastore
