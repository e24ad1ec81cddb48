#include "host/vm_clone.h"

#include "vm_config_sample.h"

namespace virga::host {
namespace {

using Spec = vim::VirtualMachineCloneSpec;

struct VmCloneTest : testing::Test {
  VmCloneTest() {
    around.add_disk("[ds1] web/web.vmdk");
    source.extra = {{"guestinfo.role", "web"},
                    {"sched.swap.derivedName", "/vmfs/volumes/x/web-1.vswp"},
                    {"migrate.hostLog", "./web.hlog"}};
    here.config_file = vmx::DatastorePath("ds1", "copy/copy.vmx");
  }

  ClonePlan plan() const {
    CloneRequest wanted{"copy", model::share(Spec(spec)), {}};
    wanted.folder_on = [](const std::string& datastore) {
      return vmx::DatastorePath(datastore, "copy");
    };
    return plan_clone(source, around.context, wanted, here);
  }

  void locate(int disk, const std::string& datastore,
              model::Ptr<vim::VirtualDeviceBackingInfo> backing = {}) {
    vim::VirtualMachineRelocateSpecDiskLocator locator;
    locator.diskId = disk;
    locator.datastore = {"Datastore", datastore};
    locator.diskBackingInfo = std::move(backing);
    spec.location.disk.push_back(model::share(std::move(locator)));
  }

  void change_device(vim::VirtualDeviceConfigSpecOperation operation,
                     model::Ptr<vim::VirtualDevice> device) {
    vim::VirtualDeviceConfigSpec change;
    change.operation = operation;
    change.device = std::move(device);
    spec.config.edit().deviceChange.push_back(model::share(std::move(change)));
  }

  // As a client finds it at the source.
  template <class T>
  T found(int key) const {
    return device_at<T>(config_info(source, around.context, {}, false), key);
  }

  Surroundings around;
  vmx::MachineConfig source = sample_config();
  ConfigContext here = around.context;
  Spec spec;
};

constexpr int kDisk = 2000, kCard = 4000;

TEST_F(VmCloneTest, HasAnIdentityAndFilesOfItsOwn) {
  source.suspend_state = "web.vmss";
  source.clean_shutdown = false;
  source.disks[0].redo = "web.vmdk.REDO_1";
  source.network_adapters[0].address_type = vmx::AddressType::assigned;
  const ClonePlan made = plan();
  EXPECT_EQ(made.config.display_name, "copy");
  EXPECT_NE(made.config.bios_uuid, source.bios_uuid);
  EXPECT_NE(made.config.instance_uuid, source.instance_uuid);
  EXPECT_EQ(made.config.network_adapters[0].address_type, vmx::AddressType::generated);
  EXPECT_EQ(made.config.network_adapters[0].mac, vmx::generated_mac(made.config.bios_uuid, 0));
  EXPECT_EQ(made.config.nvram, "copy.nvram");
  EXPECT_EQ(made.config.extended_config, "copy.vmxf");
  EXPECT_TRUE(made.config.suspend_state.empty());
  EXPECT_TRUE(made.config.clean_shutdown);
  EXPECT_EQ(made.config.disks[0].file, "copy.vmdk");
  EXPECT_TRUE(made.config.disks[0].redo.empty());
  EXPECT_EQ(made.config.cdroms, source.cdroms);
  EXPECT_EQ(made.config.extra, (std::vector<vmx::VmxFile::Entry>{{"guestinfo.role", "web"}}));
  ASSERT_EQ(made.copy.size(), 1u);
  EXPECT_EQ(made.copy[0].from.format(), "[ds1] web/web.vmdk");
  EXPECT_EQ(made.copy[0].to.format(), "[ds1] copy/copy.vmdk");
  EXPECT_EQ(made.copy[0].capacity, 8 * kGib);
  EXPECT_FALSE(made.copy[0].provisioning);
  EXPECT_TRUE(made.create.empty());
  EXPECT_TRUE(made.privileges.empty());
}

TEST_F(VmCloneTest, LeavesImagesWhereTheyAre) {
  source.cdroms[0].file = "tools.iso";
  EXPECT_EQ(plan().config.cdroms[0].file, "/vmfs/volumes/5f3a2b1c-00000001/web/tools.iso");
}

TEST_F(VmCloneTest, PutsEachDiskWhereItIsAskedFor) {
  around.add_disk("[ds2] data/web_data.vmdk");
  source.disks.push_back({.slot = {vmx::Bus::scsi, 0, 1},
                          .file = "/vmfs/volumes/5f3a2b1c-00000002/data/web_data.vmdk"});
  source.disks.push_back({.slot = {vmx::Bus::scsi, 0, 2}, .file = "web.vmdk"});
  const auto places = [this] {
    std::string all;
    for (const DiskToCopy& disk : plan().copy) all += disk.to.format() + " ";
    return all;
  };
  EXPECT_EQ(places(), "[ds1] copy/copy.vmdk [ds2] copy/copy.vmdk [ds1] copy/copy_1.vmdk ");
  spec.location.datastore = MoRef{"Datastore", "ds2"};
  EXPECT_EQ(places(), "[ds2] copy/copy.vmdk [ds2] copy/copy_1.vmdk [ds2] copy/copy_2.vmdk ");
  locate(kDisk + 1, "ds1");
  EXPECT_EQ(places(), "[ds2] copy/copy.vmdk [ds1] copy/copy.vmdk [ds2] copy/copy_1.vmdk ");
  EXPECT_EQ(plan().config.disks[0].file, "/vmfs/volumes/5f3a2b1c-00000002/copy/copy.vmdk");
  EXPECT_EQ(plan().config.disks[1].file, "copy.vmdk");
}

TEST_F(VmCloneTest, ProvisionsDisksAsAskedFor) {
  using datastore::Provisioning;
  spec.location.transform = vim::VirtualMachineRelocateTransformation::sparse;
  EXPECT_EQ(plan().copy[0].provisioning, Provisioning::thin);
  spec.location.transform = vim::VirtualMachineRelocateTransformation::flat;
  EXPECT_EQ(plan().copy[0].provisioning, Provisioning::lazy_zeroed);
  vim::VirtualDiskFlatVer2BackingInfo backing;
  backing.diskMode = "persistent";
  backing.eagerlyScrub = true;
  locate(kDisk, "ds1", model::share(backing));
  EXPECT_EQ(plan().copy[0].provisioning, Provisioning::eager_zeroed);
  backing.thinProvisioned = true;
  spec.location.disk.clear();
  locate(kDisk, "ds1", model::share(backing));
  expect_fault<vim::InvalidArgument>("thin and written with zeros", [&] { plan(); });
}

TEST_F(VmCloneTest, TakesDevicesAsTheSourceShowsThem) {
  using Operation = vim::VirtualDeviceConfigSpecOperation;
  auto disk = found<vim::VirtualDisk>(kDisk);
  disk.capacityInKB = 16 << 20;
  disk.capacityInBytes = 16 * static_cast<std::int64_t>(kGib);
  change_device(Operation::edit, model::share(disk));
  auto card = found<vim::VirtualVmxnet3>(kCard);
  vim::VirtualEthernetCardNetworkBackingInfo lab;
  lab.deviceName = "Lab";
  card.backing = model::share(std::move(lab));
  change_device(Operation::edit, model::share(card));
  const ClonePlan made = plan();
  ASSERT_TRUE(made.copy[0].growth);
  EXPECT_EQ(made.copy[0].growth->capacity, 16 * kGib);
  EXPECT_EQ(made.config.network_adapters[0].network, "Lab");
  EXPECT_EQ(made.config.network_adapters[0].mac, vmx::generated_mac(made.config.bios_uuid, 0));
}

TEST_F(VmCloneTest, CopiesNoDiskThatItIsNotToHave) {
  change_device(vim::VirtualDeviceConfigSpecOperation::remove,
                model::share(found<vim::VirtualDisk>(kDisk)));
  EXPECT_TRUE(plan().copy.empty());
  EXPECT_TRUE(plan().config.disks.empty());
}

TEST_F(VmCloneTest, CopiesADeltaWithAllBelow) {
  around.add_disk("[ds1] web/web-000001.vmdk");
  auto& delta = around.disks["[ds1] web/web-000001.vmdk"];
  delta.create_type = "custom";
  delta.parent = "web.vmdk";
  delta.layout.reset();
  source.disks[0].file = "web-000001.vmdk";
  auto disk = found<vim::VirtualDisk>(kDisk);
  disk.capacityInKB = 16 << 20;
  disk.capacityInBytes = 16 * static_cast<std::int64_t>(kGib);
  change_device(vim::VirtualDeviceConfigSpecOperation::edit, model::share(disk));
  const ClonePlan made = plan();
  EXPECT_EQ(made.copy[0].from.format(), "[ds1] web/web-000001.vmdk");
  EXPECT_EQ(made.config.disks[0].file, "copy.vmdk");
  EXPECT_TRUE(made.copy[0].growth);  // it is no delta any more
}

TEST_F(VmCloneTest, LinksToWhatASnapshotKeeps) {
  source.disks.push_back({.slot = {vmx::Bus::scsi, 0, 1},
                          .file = "web.vmdk",
                          .mode = vmx::DiskMode::independent_persistent});
  spec.location.diskMoveType = "createNewChildDiskBacking";
  expect_fault<vim::InvalidArgument>("snapshot", [&] { plan(); });
  spec.snapshot = MoRef{"VirtualMachineSnapshot", "1-snapshot-1"};
  const ClonePlan made = plan();
  ASSERT_EQ(made.copy.size(), 2u);
  EXPECT_TRUE(made.copy[0].is_linked);
  EXPECT_EQ(made.copy[0].from.format(), "[ds1] web/web.vmdk");
  EXPECT_EQ(made.copy[0].to.format(), "[ds1] copy/copy.vmdk");
  EXPECT_FALSE(made.copy[1].is_linked);  // no snapshot keeps it
  auto disk = found<vim::VirtualDisk>(kDisk);
  disk.capacityInKB = 16 << 20;
  disk.capacityInBytes = 16 * static_cast<std::int64_t>(kGib);
  change_device(vim::VirtualDeviceConfigSpecOperation::edit, model::share(disk));
  expect_fault<vim::InvalidDeviceSpec>("cannot grow", [&] { plan(); });
  spec.config.reset();
  spec.location.datastore = MoRef{"Datastore", "ds2"};
  expect_fault<vim::NotSupported>("another datastore", [&] { plan(); });
  spec.location.diskMoveType = "moveAllDiskBackingsAndConsolidate";
  EXPECT_FALSE(plan().copy[0].is_linked);
}

TEST_F(VmCloneTest, RefusesByNameWhatItIsNotToBe) {
  const auto refuse = [&](auto expected, const std::string& part, auto change) {
    const Spec before = spec;
    change();
    expect_fault<decltype(expected)>(part, [&] { plan(); });
    spec = before;
  };
  refuse(vim::DiskMoveTypeNotSupported{}, "moveChildMostDiskBacking",
         [&] { spec.location.diskMoveType = "moveChildMostDiskBacking"; });
  refuse(vim::InvalidArgument{}, "sideways", [&] { spec.location.diskMoveType = "sideways"; });
  refuse(vim::InvalidArgument{}, "there is no disk 77", [&] { locate(77, "ds1"); });
  refuse(vim::InvalidArgument{}, "named twice", [&] {
    locate(kDisk, "ds1");
    locate(kDisk, "ds2");
  });
  refuse(vim::NotSupported{}, "spec.memory", [&] { spec.memory = true; });
  refuse(vim::NotSupported{}, "spec.location.service",
         [&] { spec.location.service.edit().url = "https://elsewhere"; });
  refuse(vim::InvalidArgument{}, "template", [&] { spec.template_ = spec.powerOn = true; });
  around.disks.clear();
  refuse(vim::FileNotFound{}, "[ds1] web/web.vmdk", [] {});
}

TEST_F(VmCloneTest, CopiesNoRawDevicesAndNoTpm) {
  around.add_raw_device("naa.600508b1001c", kGib);
  around.add_raw_disk("[ds1] web/web.vmdk", false, "naa.600508b1001c");
  expect_fault<vim::RDMConversionNotSupported>("Hard disk 1", [&] { plan(); });
  around.add_disk("[ds1] web/web.vmdk");
  source.firmware = vmx::Firmware::efi;
  source.tpms = {{}};
  expect_fault<vim::NotSupported>("TPM", [&] { plan(); });
}

TEST_F(VmCloneTest, KnowsWhichDisksCannotBeReadBesideAGuest) {
  EXPECT_NO_THROW(require_readable_beside_guest(source));
  source.disks[0].mode = vmx::DiskMode::independent_persistent;
  expect_fault<vim::DeviceNotSupported>("independent",
                                        [&] { require_readable_beside_guest(source); });
  source.disks[0].mode = vmx::DiskMode::persistent;
  source.disks[0].multi_writer = true;
  expect_fault<vim::DeviceNotSupported>("other VMs",
                                        [&] { require_readable_beside_guest(source); });
}

}  // namespace
}  // namespace virga::host
