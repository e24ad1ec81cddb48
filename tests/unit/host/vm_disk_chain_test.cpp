#include "host/vm_disk_chain.h"

#include <gmock/gmock.h>

#include "datastore/delta_disk.h"
#include "vm_config_sample.h"

namespace virga::host {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

struct VmDiskChain : testing::Test {
  Surroundings around;
  vmx::MachineConfig config;

  VmDiskChain() {
    config.display_name = "web";
    config.guest_os = "debian11-64";
    config.controllers.push_back({.bus = vmx::Bus::scsi, .number = 0});
    around.add_disk("[ds1] web/web.vmdk");
    add_delta("web-000001", "web.vmdk");
    add_delta("web-000002", "web-000001.vmdk");
    config.disks.push_back({.slot = {vmx::Bus::scsi, 0, 0}, .file = "web-000002.vmdk"});
  }

  void add_delta(const std::string& stem, const std::string& parent) {
    datastore::DiskInfo& info = around.disks["[ds1] web/" + stem + ".vmdk"];
    info = around.disks.at("[ds1] web/web.vmdk");
    info.create_type = datastore::delta_create_type;
    info.parent = parent;
    info.extents = {"web/" + stem + "-delta.vmdk"};
    info.layout.reset();
    info.described = {
        {.sectors = info.capacity / 512, .type = "QCOW2", .file = stem + "-delta.vmdk"}};
  }
};

vmx::DatastorePath path(const std::string& name) {
  return vmx::DatastorePath("ds1", "web/" + name);
}

TEST_F(VmDiskChain, BeginsWithTheBase) {
  EXPECT_THAT(disk_chain(path("web-000002.vmdk"), around.context),
              ElementsAre(path("web.vmdk"), path("web-000001.vmdk"), path("web-000002.vmdk")));
  EXPECT_THAT(disk_chain(path("web.vmdk"), around.context), ElementsAre(path("web.vmdk")));
}

TEST_F(VmDiskChain, EndsAlthoughDisksDescendFromThemselves) {
  around.disks["[ds1] web/web.vmdk"].parent = "web-000002.vmdk";
  EXPECT_THAT(disk_chain(path("web-000002.vmdk"), around.context), SizeIs(255));
}

TEST_F(VmDiskChain, IsWhatTheMachineRunsOn) {
  const auto spec = machine_spec(config, around.context, "m");
  using hypervisor::DiskFormat;
  EXPECT_THAT(
      spec.disks.at(0).chain,
      ElementsAre(
          hypervisor::DiskImage{"/volumes/ds1/web/web-flat.vmdk", DiskFormat::raw},
          hypervisor::DiskImage{"/volumes/ds1/web/web-000001-delta.vmdk", DiskFormat::qcow2},
          hypervisor::DiskImage{"/volumes/ds1/web/web-000002-delta.vmdk", DiskFormat::qcow2}));
}

TEST_F(VmDiskChain, NamesTheDiskThatIsMissing) {
  around.disks.erase("[ds1] web/web.vmdk");
  const auto fault = expect_fault<vim::FileNotFound>(
      "web.vmdk is missing", [&] { machine_spec(config, around.context, "m"); });
  EXPECT_EQ(fault.file, "[ds1] web/web.vmdk");
  around.disks["[ds1] web/web-000001.vmdk"].parent = "/dev/elsewhere";
  expect_fault<vim::NotSupported>("in no datastore",
                                  [&] { machine_spec(config, around.context, "m"); });
}

TEST_F(VmDiskChain, IsShownAsBackings) {
  const auto info = config_info(config, around.context, {}, false);
  const vim::VirtualDisk* disk = nullptr;
  for (const auto& device : info.hardware.device)
    if (const auto* found = device.as<vim::VirtualDisk>()) disk = found;
  ASSERT_TRUE(disk);
  const auto* top = disk->backing.as<vim::VirtualDiskFlatVer2BackingInfo>();
  ASSERT_TRUE(top);
  EXPECT_EQ(top->fileName, "[ds1] web/web-000002.vmdk");
  EXPECT_EQ(top->deltaDiskFormat, "redoLogFormat");
  ASSERT_TRUE(top->parent && top->parent->parent);
  EXPECT_EQ(top->parent->fileName, "[ds1] web/web-000001.vmdk");
  EXPECT_EQ(top->parent->parent->fileName, "[ds1] web/web.vmdk");
  EXPECT_FALSE(top->parent->parent->parent);
  EXPECT_FALSE(top->parent->parent->deltaDiskFormat);
}

TEST_F(VmDiskChain, TellsWhatTheVmAndItsSnapshotsNeed) {
  add_delta("web-000003", "web.vmdk");
  vmx::SnapshotTree snapshots;
  snapshots.snapshots.push_back({.uid = 1, .disks = {{"web.vmdk", "scsi0:0"}}});
  snapshots.snapshots.push_back({.uid = 2, .disks = {{"web-000003.vmdk", "scsi0:0"}}});
  const vmx::DiskTree tree = disk_tree(config, snapshots, around.context);
  EXPECT_EQ(tree.parents, (std::map<std::string, std::string>{
                              {"[ds1] web/web.vmdk", ""},
                              {"[ds1] web/web-000001.vmdk", "[ds1] web/web.vmdk"},
                              {"[ds1] web/web-000002.vmdk", "[ds1] web/web-000001.vmdk"},
                              {"[ds1] web/web-000003.vmdk", "[ds1] web/web.vmdk"}}));
  EXPECT_EQ(tree.needed, (std::set<std::string>{"[ds1] web/web.vmdk", "[ds1] web/web-000002.vmdk",
                                                "[ds1] web/web-000003.vmdk"}));
}

TEST_F(VmDiskChain, KeepsItsSize) {
  vim::VirtualMachineConfigSpec spec;
  auto& change = spec.deviceChange.emplace_back();
  change.operation = vim::VirtualDeviceConfigSpecOperation::edit;
  vim::VirtualDisk disk;
  disk.key = 2000;
  disk.controllerKey = 1000;
  disk.unitNumber = 0;
  disk.capacityInKB = 16 << 20;
  vim::VirtualDiskFlatVer2BackingInfo backing;
  backing.fileName = "[ds1] web/web-000002.vmdk";
  backing.diskMode = "persistent";
  disk.backing = model::share(std::move(backing));
  change.device = model::share(std::move(disk));
  expect_fault<vim::InvalidDeviceOperation>(
      "has snapshots", [&] { plan_change(config, spec, around.context, false); });
}

}  // namespace
}  // namespace virga::host
