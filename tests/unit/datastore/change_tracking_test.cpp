#include "datastore/change_tracking.h"

#include <fcntl.h>

#include "base/process.h"
#include "datastore/delta_disk.h"
#include "datastore/files.h"
#include "datastore/qcow2.h"
#include "datastore/virtual_disk.h"
#include "fixture.h"

namespace virga::datastore {
namespace {

constexpr std::uint64_t kib = 1 << 10, mib = 1 << 20;

struct ChangeTrackingTest : DatastoreTest {
  const Location base = at("vm/web.vmdk"), delta = at("vm/web-000001.vmdk");

  void SetUp() override {
    fs::create_directory(real("vm"));
    create_disk(base, {.capacity = 8 * mib});
  }

  std::string path(const std::string& name) const { return real("vm/" + name).string(); }
  void write(const std::string& image, const std::string& format, const std::string& command) {
    run_checked({"qemu-io", "-f", format, "-c", command, path(image)});
  }
  // As a guest's hypervisor does for a run.
  void run(const std::string& disk, const std::string& extent, const vmx::Areas& areas) {
    open_track(path(disk + "-ctk.vmdk"));
    close_track(path(disk + "-ctk.vmdk"), path(extent), extent.ends_with("-flat.vmdk"), areas,
                8 * mib);
  }
  ReadImage reader(const std::string& name) const {
    return [text = text("vm/" + name)](std::uint64_t offset, std::uint64_t length) {
      return offset < text.size() ? text.substr(offset, length) : std::string();
    };
  }
};

TEST_F(ChangeTrackingTest, GoesOnFromRunToRun) {
  EXPECT_EQ(read_track(base), std::nullopt);
  start_tracking(base);
  EXPECT_EQ(read_descriptor(base).change_track_file, "web-ctk.vmdk");
  const auto begun = read_track(base)->change_id();
  EXPECT_EQ(query_disk(base).change_id, begun.format());
  run("web", "web-flat.vmdk", {{0, 64 * kib}});
  start_tracking(base);
  run("web", "web-flat.vmdk", {{mib, 64 * kib}});
  EXPECT_EQ(vmx::changes_since(*read_track(base), begun),
            (vmx::Areas{{0, 64 * kib}, {mib, 64 * kib}}));
  stop_tracking(base);
  EXPECT_EQ(read_track(base), std::nullopt);
  EXPECT_EQ(read_descriptor(base).change_track_file, "");
  EXPECT_FALSE(fs::exists(path("web-ctk.vmdk")));
}

TEST_F(ChangeTrackingTest, BeginsAnEpochWhereItCannotGoOn) {
  std::string former;
  const auto expect_epoch = [&](const char* why) {
    start_tracking(base);
    const std::string uuid = read_track(base)->uuid;
    EXPECT_NE(uuid, former) << why;
    start_tracking(base);
    EXPECT_EQ(read_track(base)->uuid, uuid) << why;
    former = uuid;
  };
  expect_epoch("the first");
  open_track(path("web-ctk.vmdk"));
  expect_epoch("it was left open");
  write("web-flat.vmdk", "raw", "write 0 64k");
  expect_epoch("somebody else wrote");
  extend_disk(base, 16 * mib);
  expect_epoch("it has grown");
  zero_fill_disk(base);
  expect_epoch("it was filled with zeros");
  put("vm/web-ctk.vmdk", "\x01\x02 what VMware has there");
  expect_epoch("another format");
  copy(at("vm/web-flat.vmdk"), at("vm/other"));
  move(at("vm/other"), at("vm/web-flat.vmdk"), IfExists::replace);
  expect_epoch("another file");
  defragment_disk(base);
  expect_epoch("written anew");
}

TEST_F(ChangeTrackingTest, GoesWithTheDisk) {
  start_tracking(base);
  copy_disk(base, at("vm/copy.vmdk"));
  EXPECT_EQ(read_descriptor(at("vm/copy.vmdk")).change_track_file, "");
  start_tracking(at("vm/copy.vmdk"));
  copy_disk(base, at("vm/copy.vmdk"), {.if_exists = IfExists::replace});
  EXPECT_FALSE(fs::exists(path("copy-ctk.vmdk"))) << "of what was replaced";
  move_disk(base, at("vm/moved.vmdk"));
  EXPECT_EQ(read_track(at("vm/moved.vmdk")), std::nullopt);
  EXPECT_FALSE(fs::exists(path("web-ctk.vmdk")));
  start_tracking(at("vm/moved.vmdk"));
  for (const char* disk : {"vm/moved.vmdk", "vm/copy.vmdk"}) delete_disk(at(disk));
  EXPECT_TRUE(fs::is_empty(real("vm")));
}

TEST_F(ChangeTrackingTest, GoesOnInADeltaAndBackIntoTheBase) {
  start_tracking(base);
  const auto begun = read_track(base)->change_id();
  open_track(path("web-ctk.vmdk"));
  create_delta(delta, base);
  track_delta(delta, base, true);
  close_track(path("web-ctk.vmdk"), path("web-flat.vmdk"), true, {{0, 64 * kib}}, 8 * mib);
  track_parent(base, delta);
  EXPECT_EQ(read_track(base)->change_id(), read_track(delta)->change_id());
  const auto snapshot = read_track(base)->change_id();
  run("web-000001", "web-000001-delta.vmdk", {{mib, 64 * kib}});
  const auto now = read_track(delta)->change_id();

  merge_tracks({base, delta}, false);
  settle_track(base);
  EXPECT_EQ(read_track(base)->change_id(), now);
  EXPECT_EQ(vmx::changes_since(*read_track(base), begun),
            (vmx::Areas{{0, 64 * kib}, {mib, 64 * kib}}));
  EXPECT_EQ(vmx::changes_since(*read_track(base), snapshot), (vmx::Areas{{mib, 64 * kib}}));
  write("web-flat.vmdk", "raw", "write 0 4k");
  EXPECT_EQ(read_track(base), std::nullopt);
}

TEST_F(ChangeTrackingTest, IsNotPassedOnByAnOpenDelta) {
  start_tracking(base);
  create_delta(delta, base);
  track_delta(delta, base, false);
  open_track(path("web-000001-ctk.vmdk"));
  merge_tracks({base, delta}, false);
  EXPECT_EQ(read_track(base), std::nullopt);
}

TEST_F(ChangeTrackingTest, BeginsWithTheFirstSnapshot) {
  create_delta(delta, base);
  track_delta(delta, base, true);
  track_parent(base, delta);
  EXPECT_EQ(read_track(base)->change_id(), read_track(delta)->change_id());
}

TEST_F(ChangeTrackingTest, AllocatedAreasAreThoseOfTheWholeChain) {
  write("web-flat.vmdk", "raw", "write 0 64k");
  create_delta(delta, base);
  write("web-000001-delta.vmdk", "qcow2", "write 4M 100k");
  write("web-000001-delta.vmdk", "qcow2", "write 8323072 64k");
  const std::vector<Location> chain = {base, delta};
  EXPECT_EQ(allocated_areas(chain),
            (vmx::Areas{{0, 64 * kib}, {4 * mib, 128 * kib}, {8 * mib - 64 * kib, 64 * kib}}));
  EXPECT_EQ(allocated_areas({base}), (vmx::Areas{{0, 64 * kib}}));
}

TEST_F(ChangeTrackingTest, ReadsTheBitmapsThatQemuKeeps) {
  // A granularity that lets one cluster of the bitmap reach over 1 GiB.
  run_checked({"qemu-img", "create", "-q", "-f", "qcow2", path("b"), "3000M"});
  expect_error(ErrorKind::damaged, "b", [&] { bitmap_areas(reader("b"), "b"); });
  run_checked({"qemu-img", "bitmap", "--add", "-g", "2048", path("b"), "changes"});
  EXPECT_EQ(bitmap_areas(reader("b"), "b"), vmx::Areas());
  write("b", "qcow2", "write 5k 1k");
  write("b", "qcow2", "write 1023M 2M");
  write("b", "qcow2", "write 2999M 1M");
  const vmx::Areas marked = bitmap_areas(reader("b"), "b");
  EXPECT_EQ(marked, (vmx::Areas{{4 * kib, 2 * kib}, {1023 * mib, 2 * mib}, {2999 * mib, mib}}));
  run_checked({"qemu-img", "bitmap", "--add", path("b"), "another"});
  expect_error(ErrorKind::damaged, "b", [&] { bitmap_areas(reader("b"), "b"); });
}

}  // namespace
}  // namespace virga::datastore
