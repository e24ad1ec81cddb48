// What a VirtualMachineConfigSpec comes to.
#include "host/vm_config.h"

#include <gtest/gtest.h>

#include "hypervisor/machine_spec.h"
#include "vm_config_specs.h"

namespace virga::host {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// --- Creation ----------------------------------------------------------------------------------

TEST_F(VmCreation, OfAWholeVm) {
  spec.guestId = "debian11_64Guest";
  spec.numCPUs = 4;
  spec.numCoresPerSocket = 2;
  spec.memoryMB = 4096;
  spec.annotation = "front end";
  spec.version = "vmx-18";
  spec.firmware = "efi";
  spec.files = model::share([] {
    vim::VirtualMachineFileInfo files;
    files.vmPathName = "[ds1]";
    return files;
  }());
  // Before their controllers, as some clients have them.
  add_new_disk(spec, disk(-101, 16 << 20));
  add_new_disk(spec, disk(-101, 1 << 20));
  add(spec, controller<vim::ParaVirtualSCSIController>(-101));
  add(spec, controller<vim::VirtualAHCIController>(-102));
  add(spec, image_drive(-102, "[ds2] iso/debian.iso"));
  add(spec, card<vim::VirtualVmxnet3>("VM Network"));
  add(spec, card<vim::VirtualE1000e>("Lab"));
  add(spec, console_port());

  const ConfigPlan plan = create(spec);
  EXPECT_EQ(plan.config.display_name, "web");
  EXPECT_EQ(plan.config.guest_os, "debian11-64");
  EXPECT_EQ(plan.config.cpus, 4);
  EXPECT_EQ(plan.config.cores_per_socket, 2);
  EXPECT_EQ(plan.config.memory_mib, 4096);
  EXPECT_EQ(plan.config.hardware_version, 18);
  EXPECT_EQ(plan.config.firmware, vmx::Firmware::efi);
  EXPECT_EQ(plan.config.nvram, "web.nvram");
  ASSERT_EQ(plan.config.disks.size(), 2u);
  EXPECT_EQ(plan.config.disks[0].slot.key(), "scsi0:0");
  EXPECT_EQ(plan.config.disks[0].file, "web.vmdk");
  EXPECT_EQ(plan.config.disks[1].slot.key(), "scsi0:1");
  EXPECT_EQ(plan.config.disks[1].file, "web_1.vmdk");
  EXPECT_EQ(plan.config.cdroms[0].slot.key(), "sata0:0");
  EXPECT_EQ(plan.config.cdroms[0].file, "/vmfs/volumes/5f3a2b1c-00000002/iso/debian.iso");
  EXPECT_TRUE(plan.config.cdroms[0].start_connected);
  EXPECT_EQ(plan.config.network_adapters[1].model, vmx::AdapterModel::e1000e);
  EXPECT_EQ(plan.config.network_adapters[1].network, "Lab");

  ASSERT_EQ(plan.create.size(), 2u);
  EXPECT_EQ(plan.create[0].path.format(), "[ds1] web/web.vmdk");
  EXPECT_EQ(plan.create[0].spec.capacity, 16 * kGib);
  EXPECT_EQ(plan.create[0].spec.provisioning, datastore::Provisioning::thin);
  EXPECT_EQ(plan.create[0].spec.hardware_version, 18);
  EXPECT_THAT(plan.added, ElementsAre(1000, 15000, 2000, 2001, 16000, 4000, 4001, 9000));
  EXPECT_THAT(plan.privileges, testing::Contains("VirtualMachine.Config.AddNewDisk"));
}

// What is planned can be written, read again and run.
TEST_F(VmCreation, ComesBackFromItsVmx) {
  spec.uuid = "564d1c22-d10f-3e55-a091-8c4d70a1b2c3";
  add(spec, controller<vim::VirtualLsiLogicSASController>(-1));
  add_new_disk(spec, disk(-1, 1 << 20));
  add(spec, card<vim::VirtualPCNet32>("Lab"));
  const ConfigPlan plan = create(spec);
  EXPECT_EQ(plan.config.network_adapters[0].mac, "00:0c:29:a1:b2:c3");
  vmx::MachineConfig again = vmx::read(vmx::make_vmx(plan.config));
  again.extra.clear();
  EXPECT_EQ(again, plan.config);
  around.add_disk("[ds1] web/web.vmdk", kGib);
  EXPECT_NO_THROW(hypervisor::validate(machine_spec(plan.config, around.context, "m")));
}

TEST_F(VmCreation, OfTheLeastHasDefaults) {
  const ConfigPlan plan = create(spec);
  EXPECT_EQ(plan.config.guest_os, "other");
  EXPECT_EQ(plan.config.hardware_version, 19);
  EXPECT_EQ(plan.config.cpus, 1);
  EXPECT_EQ(plan.config.firmware, vmx::Firmware::bios);
  EXPECT_TRUE(plan.config.disks.empty());
}

TEST_F(VmCreation, TakesTheDevicesEveryVmHas) {
  add(spec, controller<vim::VirtualIDEController>(-7, 1));
  add(spec, controller<vim::VirtualPCIController>(100));
  vim::VirtualMachineVideoCard video;
  video.key = 500;
  video.videoRamSizeInKB = 16'384;
  add(spec, video);
  add(spec, image_drive(-7, "[ds1] a.iso"));
  const ConfigPlan plan = create(spec);
  EXPECT_EQ(plan.config.video.memory_bytes, 16 << 20);
  EXPECT_EQ(plan.config.cdroms[0].slot.key(), "ide1:0");
}

TEST_F(VmCreation, NeedsPrivilegesForDisksOnlyBesideItsOwn) {
  around.add_disk("[ds2] old.vmdk");
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  vim::VirtualDisk existing = disk(-1, 0, "[ds2] old.vmdk");
  add(spec, existing);
  spec.annotation = "x";
  const ConfigPlan plan = create(spec);
  EXPECT_THAT(plan.privileges, testing::Contains("VirtualMachine.Config.AddExistingDisk"));
  EXPECT_THAT(plan.privileges, testing::Not(testing::Contains("VirtualMachine.Config.Annotation")));
  EXPECT_EQ(plan.config.disks[0].file, "/vmfs/volumes/5f3a2b1c-00000002/old.vmdk");
}

struct Name {
  const char* label;
  std::string name;
};
class VmName : public testing::TestWithParam<Name> {};
TEST_P(VmName, IsRefused) {
  Surroundings around;
  Spec spec;
  spec.name = GetParam().name;
  expect_fault<vim::InvalidName>("is not valid", [&] { plan_creation(spec, around.context); });
}
INSTANTIATE_TEST_SUITE_P(VmCreation, VmName,
                         testing::Values(Name{"empty", ""}, Name{"blank", "  "},
                                         Name{"too_long", std::string(81, 'x')},
                                         Name{"control", "a\nb"}, Name{"not_text", "a\xff"}),
                         [](const auto& info) { return std::string(info.param.label); });

// --- New disks ---------------------------------------------------------------------------------

TEST_F(VmCreation, DisksAreNamedAroundWhatIsThere) {
  around.add_disk("[ds1] web/web.vmdk");
  around.add_disk("[ds1] web/web_1.vmdk");
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  add_new_disk(spec, disk(-1, 1024));
  add_new_disk(spec, disk(-1, 1024, "[ds2]"));
  add_new_disk(spec, disk(-1, 1024, "[ds2] data/big.vmdk"));
  const ConfigPlan plan = create(spec);
  EXPECT_EQ(plan.create[0].path.format(), "[ds1] web/web_2.vmdk");
  EXPECT_EQ(plan.create[1].path.format(), "[ds2] web/web.vmdk");
  EXPECT_EQ(plan.create[2].path.format(), "[ds2] data/big.vmdk");
  EXPECT_EQ(plan.config.disks[1].file, "/vmfs/volumes/5f3a2b1c-00000002/web/web.vmdk");
}

TEST_F(VmCreation, DisksAreThinThickOrZeroed) {
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  for (const auto& [thin, eager] : {std::pair(true, false), {false, false}, {false, true}}) {
    vim::VirtualDisk device = disk(-1, 1024);
    auto& backing = static_cast<vim::VirtualDiskFlatVer2BackingInfo&>(device.backing.edit());
    backing.thinProvisioned = thin;
    backing.eagerlyScrub = eager;
    add_new_disk(spec, device);
  }
  const ConfigPlan plan = create(spec);
  EXPECT_EQ(plan.create[0].spec.provisioning, datastore::Provisioning::thin);
  EXPECT_EQ(plan.create[1].spec.provisioning, datastore::Provisioning::lazy_zeroed);
  EXPECT_EQ(plan.create[2].spec.provisioning, datastore::Provisioning::eager_zeroed);
}

TEST_F(VmCreation, UnitSevenIsLeftToTheController) {
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  for (int i = 0; i < 9; ++i) add_new_disk(spec, disk(-1, 1024));
  const ConfigPlan plan = create(spec);
  std::vector<int> units;
  for (const auto& it : plan.config.disks) units.push_back(it.slot.unit);
  EXPECT_THAT(units, ElementsAre(0, 1, 2, 3, 4, 5, 6, 8, 9));
}

// --- What is wrong with a device ---------------------------------------------------------------

struct BadDevice {
  const char* name;
  void (*build)(Spec&);
  const char* message;
  int index;
  const char* property;
};

class WrongDevice : public testing::TestWithParam<BadDevice> {};

TEST_P(WrongDevice, IsNamedByIndexAndProperty) {
  Surroundings around;
  around.add_disk("[ds1] old/old.vmdk");
  Spec spec;
  spec.name = "web";
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  GetParam().build(spec);
  const auto fault = expect_fault<vim::InvalidDeviceSpec>(
      GetParam().message, [&] { plan_creation(spec, around.context); });
  EXPECT_EQ(fault.deviceIndex, GetParam().index);
  EXPECT_EQ(fault.property, GetParam().property);
}

INSTANTIATE_TEST_SUITE_P(
    VmCreation, WrongDevice,
    testing::Values(
        BadDevice{"no_controller",
                  [](Spec& s) {
                    vim::VirtualDisk it = disk(0, 1024);
                    it.controllerKey.reset();
                    add_new_disk(s, it);
                  },
                  "names no controller", 1, "virtualDeviceSpec.device.controllerKey"},
        BadDevice{"unknown_controller", [](Spec& s) { add_new_disk(s, disk(-5, 1024)); },
                  "no controller -5", 1, "virtualDeviceSpec.device.controllerKey"},
        BadDevice{"unit_seven", [](Spec& s) { add_new_disk(s, disk(-1, 1024, "", 7)); },
                  "unit 7 is that of SCSI controller 0", 1, "virtualDeviceSpec.device.unitNumber"},
        BadDevice{"unit_taken",
                  [](Spec& s) {
                    add_new_disk(s, disk(-1, 1024, "", 3));
                    add_new_disk(s, disk(-1, 1024, "", 3));
                  },
                  "unit 3 of SCSI controller 0 is taken", 2, "virtualDeviceSpec.device.unitNumber"},
        BadDevice{"unit_beyond", [](Spec& s) { add_new_disk(s, disk(200, 1024, "", 2)); },
                  "IDE 0 has 2 units", 1, "virtualDeviceSpec.device.unitNumber"},
        BadDevice{"unit_below_all", [](Spec& s) { add_new_disk(s, disk(-1, 1024, "", -2)); },
                  "no unit -2", 1, "virtualDeviceSpec.device.unitNumber"},
        BadDevice{"bus_taken",
                  [](Spec& s) { add(s, controller<vim::VirtualLsiLogicController>(-2, 0)); },
                  "SCSI controller 0 is there already", 1, "virtualDeviceSpec.device.busNumber"},
        BadDevice{"bus_beyond",
                  [](Spec& s) { add(s, controller<vim::VirtualLsiLogicController>(-2, 4)); },
                  "bus 4 is not below 4", 1, "virtualDeviceSpec.device.busNumber"},
        BadDevice{"ambiguous_key",
                  [](Spec& s) { add(s, controller<vim::VirtualAHCIController>(-1)); },
                  "two new controllers have the key -1", 1, "virtualDeviceSpec.device.key"},
        BadDevice{"no_size", [](Spec& s) { add_new_disk(s, disk(-1, 0)); }, "has no size", 1,
                  "virtualDeviceSpec.device.capacityInKB"},
        BadDevice{"negative_size", [](Spec& s) { add_new_disk(s, disk(-1, -4)); }, "-4 KB", 1,
                  "virtualDeviceSpec.device.capacityInKB"},
        BadDevice{"half_a_sector",
                  [](Spec& s) {
                    vim::VirtualDisk it = disk(-1, 0);
                    it.capacityInBytes = 1000;
                    add_new_disk(s, it);
                  },
                  "1000 bytes", 1, "virtualDeviceSpec.device.capacityInBytes"},
        BadDevice{"too_large", [](Spec& s) { add_new_disk(s, disk(-1, (62LL << 30) + 1)); },
                  "is no size", 1, "virtualDeviceSpec.device.capacityInKB"},
        BadDevice{"no_backing",
                  [](Spec& s) {
                    vim::VirtualDisk it = disk(-1, 1024);
                    it.backing.reset();
                    add_new_disk(s, it);
                  },
                  "no backing", 1, "virtualDeviceSpec.device.backing"},
        BadDevice{"unknown_datastore",
                  [](Spec& s) { add_new_disk(s, disk(-1, 1024, "[nowhere] x.vmdk")); },
                  "no datastore 'nowhere'", 1, "virtualDeviceSpec.device.backing"},
        BadDevice{"path_without_datastore",
                  [](Spec& s) { add_new_disk(s, disk(-1, 1024, "x.vmdk")); }, "x.vmdk", 1,
                  "virtualDeviceSpec.device.backing"},
        BadDevice{"path_that_leaves",
                  [](Spec& s) { add_new_disk(s, disk(-1, 1024, "[ds1] ../x.vmdk")); }, "..", 1,
                  "virtualDeviceSpec.device.backing"},
        BadDevice{"no_vmdk", [](Spec& s) { add_new_disk(s, disk(-1, 1024, "[ds1] x.img")); },
                  "[ds1] x.img is no .vmdk", 1, "virtualDeviceSpec.device.backing.fileName"},
        BadDevice{"unknown_mode",
                  [](Spec& s) {
                    vim::VirtualDisk it = disk(-1, 1024);
                    static_cast<vim::VirtualDiskFlatVer2BackingInfo&>(it.backing.edit()).diskMode =
                        "forever";
                    add_new_disk(s, it);
                  },
                  "no disk mode 'forever'", 1, "virtualDeviceSpec.device.backing.diskMode"},
        BadDevice{
            "thin_and_zeroed",
            [](Spec& s) {
              vim::VirtualDisk it = disk(-1, 1024);
              static_cast<vim::VirtualDiskFlatVer2BackingInfo&>(it.backing.edit()).eagerlyScrub =
                  true;
              add_new_disk(s, it);
            },
            "both thin and", 1, "virtualDeviceSpec.device.backing.eagerlyScrub"},
        BadDevice{"attached_twice",
                  [](Spec& s) {
                    add(s, disk(-1, 0, "[ds1] old/old.vmdk"));
                    add(s, disk(-1, 0, "[ds1] old/old.vmdk"));
                  },
                  "is a disk of this virtual machine already", 2,
                  "virtualDeviceSpec.device.backing.fileName"},
        BadDevice{"attached_with_another_size",
                  [](Spec& s) { add(s, disk(-1, 16 << 20, "[ds1] old/old.vmdk")); },
                  "8589934592 bytes, not 17179869184", 1, "virtualDeviceSpec.device.capacityInKB"},
        BadDevice{"destroyed_when_added",
                  [](Spec& s) {
                    add(s, disk(-1, 0, "[ds1] old/old.vmdk")).fileOperation =
                        FileOperation::destroy;
                  },
                  "cannot be destroyed", 1, "virtualDeviceSpec.operation"},
        BadDevice{"file_operation_of_a_card",
                  [](Spec& s) {
                    add(s, card<vim::VirtualVmxnet3>("Lab")).fileOperation = FileOperation::create;
                  },
                  "only a disk has a file operation", 1, "virtualDeviceSpec.operation"},
        BadDevice{"no_operation",
                  [](Spec& s) { add(s, card<vim::VirtualVmxnet3>("Lab")).operation.reset(); },
                  "neither add nor edit nor remove", 1, "virtualDeviceSpec.operation"},
        BadDevice{"no_device", [](Spec& s) { change(s, Operation::add, nullptr); }, "missing", 1,
                  "virtualDeviceSpec.device"},
        BadDevice{"unknown_network", [](Spec& s) { add(s, card<vim::VirtualVmxnet3>("Gone")); },
                  "no network 'Gone'", 1, "virtualDeviceSpec.device.backing.deviceName"},
        BadDevice{"no_network",
                  [](Spec& s) {
                    auto it = card<vim::VirtualVmxnet3>("Lab");
                    it.backing.reset();
                    add(s, it);
                  },
                  "names no network", 1, "virtualDeviceSpec.device.backing"},
        BadDevice{"mac_that_is_none",
                  [](Spec& s) {
                    auto it = card<vim::VirtualVmxnet3>("Lab");
                    it.addressType = "manual";
                    it.macAddress = "00:50:56:00";
                    add(s, it);
                  },
                  "'00:50:56:00' is no MAC address", 1, "virtualDeviceSpec.device.macAddress"},
        BadDevice{"reserved_mac",
                  [](Spec& s) {
                    auto it = card<vim::VirtualVmxnet3>("Lab");
                    it.addressType = "manual";
                    it.macAddress = "00:0c:29:00:00:01";
                    add(s, it);
                  },
                  "00:0c:29:00:00:01", 1, "virtualDeviceSpec.device.macAddress"},
        BadDevice{"multicast_mac",
                  [](Spec& s) {
                    auto it = card<vim::VirtualVmxnet3>("Lab");
                    it.addressType = "assigned";
                    it.macAddress = "01:50:56:00:00:01";
                    add(s, it);
                  },
                  "no unicast address", 1, "virtualDeviceSpec.device.macAddress"},
        BadDevice{"chosen_generated_mac",
                  [](Spec& s) {
                    auto it = card<vim::VirtualVmxnet3>("Lab");
                    it.macAddress = "00:0c:29:00:00:01";
                    add(s, it);
                  },
                  "cannot be a generated address", 1, "virtualDeviceSpec.device.macAddress"},
        BadDevice{"same_mac_twice",
                  [](Spec& s) {
                    auto it = card<vim::VirtualVmxnet3>("Lab");
                    it.addressType = "manual";
                    it.macAddress = "00:50:56:00:00:01";
                    add(s, it);
                    add(s, it);
                  },
                  "Network adapter 1 has the address 00:50:56:00:00:01 already", 2,
                  "virtualDeviceSpec.device.macAddress"},
        BadDevice{"unknown_address_type",
                  [](Spec& s) {
                    auto it = card<vim::VirtualVmxnet3>("Lab");
                    it.addressType = "lucky";
                    add(s, it);
                  },
                  "no address type 'lucky'", 1, "virtualDeviceSpec.device.addressType"},
        BadDevice{"drive_on_scsi", [](Spec& s) { add(s, image_drive(-1, "[ds1] a.iso")); },
                  "SCSI controller 0 takes no CD-ROM drive", 1,
                  "virtualDeviceSpec.device.controllerKey"},
        BadDevice{"drive_without_medium", [](Spec& s) { add(s, image_drive(200, "[ds1]")); },
                  "'[ds1]' is no file", 1, "virtualDeviceSpec.device.backing.fileName"},
        BadDevice{"tools_image",
                  [](Spec& s) { add(s, image_drive(200, "[] /vmimages/tools/linux.iso")); },
                  "Invalid configuration for device '1'", 1, "virtualDeviceSpec.device.backing"},
        BadDevice{"video_memory",
                  [](Spec& s) {
                    vim::VirtualMachineVideoCard it;
                    it.videoRamSizeInKB = 1;
                    add(s, it);
                  },
                  "1 is not within", 1, "virtualDeviceSpec.device.videoRamSizeInKB"},
        BadDevice{"displays",
                  [](Spec& s) {
                    vim::VirtualMachineVideoCard it;
                    it.numDisplays = 11;
                    add(s, it);
                  },
                  "11 is not within", 1, "virtualDeviceSpec.device.numDisplays"},
        BadDevice{"renderer",
                  [](Spec& s) {
                    vim::VirtualMachineVideoCard it;
                    it.use3dRenderer = "voodoo";
                    add(s, it);
                  },
                  "no renderer 'voodoo'", 1, "virtualDeviceSpec.device.use3dRenderer"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(VmCreation, FilesThatAreInTheWayAreNamed) {
  around.add_disk("[ds1] web/data.vmdk");
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  add_new_disk(spec, disk(-1, 1024, "[ds1] web/data.vmdk"));
  const auto fault =
      expect_fault<vim::FileAlreadyExists>("[ds1] web/data.vmdk", [&] { create(spec); });
  EXPECT_EQ(fault.file, "[ds1] web/data.vmdk");
}

TEST_F(VmCreation, TwoDisksOfOneNameAreRefused) {
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  add_new_disk(spec, disk(-1, 1024, "[ds1] web/data.vmdk"));
  add_new_disk(spec, disk(-1, 1024, "[ds1] web/data.vmdk"));
  expect_fault<vim::FileAlreadyExists>("[ds1] web/data.vmdk", [&] { create(spec); });
}

TEST_F(VmCreation, FilesThatAreMissingAreNamed) {
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  add(spec, disk(-1, 0, "[ds1] gone.vmdk"));
  EXPECT_EQ(expect_fault<vim::FileNotFound>("[ds1] gone.vmdk", [&] { create(spec); }).file,
            "[ds1] gone.vmdk");
}

TEST_F(VmCreation, ReplaceMakesWhatIsNotThereOnly) {
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  add_new_disk(spec, disk(-1, 1024, "[ds1] data.vmdk")).fileOperation = FileOperation::replace;
  EXPECT_EQ(create(spec).create.size(), 1u);
  around.add_disk("[ds1] data.vmdk");
  expect_fault<vim::NotSupported>("replacing the disk [ds1] data.vmdk", [&] { create(spec); });
}

struct Crowd {
  const char* name;
  void (*build)(Spec&);
  const char* message;
};
class TooManyDevices : public testing::TestWithParam<Crowd> {};
TEST_P(TooManyDevices, AreRefused) {
  Surroundings around;
  Spec spec;
  spec.name = "web";
  GetParam().build(spec);
  expect_fault<vim::TooManyDevices>(GetParam().message,
                                    [&] { plan_creation(spec, around.context); });
}
INSTANTIATE_TEST_SUITE_P(
    VmCreation, TooManyDevices,
    testing::Values(Crowd{"adapters",
                          [](Spec& s) {
                            for (int i = 0; i < 11; ++i) add(s, card<vim::VirtualVmxnet3>("Lab"));
                          },
                          "at most 10 network adapters"},
                    Crowd{"scsi_controllers",
                          [](Spec& s) {
                            for (int i = 0; i < 5; ++i)
                              add(s, controller<vim::ParaVirtualSCSIController>(-1 - i, -1));
                          },
                          "at most 4 scsi controllers"},
                    Crowd{"serial_ports",
                          [](Spec& s) {
                            for (int i = 0; i < 5; ++i) add(s, console_port());
                          },
                          "at most 4 serial ports"},
                    Crowd{"disks",
                          [](Spec& s) {
                            add(s, controller<vim::VirtualLsiLogicController>(-1));
                            for (int i = 0; i < 8; ++i) add_new_disk(s, disk(-1, 1024));
                          },
                          "SCSI controller 0 has no free unit"},
                    Crowd{"drives",
                          [](Spec& s) {
                            for (int i = 0; i < 3; ++i) add(s, image_drive(200, "[ds1] a.iso"));
                          },
                          "IDE 0 has no free unit"}),
    [](const auto& info) { return std::string(info.param.name); });

// --- What nobody serves ------------------------------------------------------------------------

struct Unserved {
  const char* name;
  void (*build)(Spec&);
  const char* message;
};

class UnservedField : public testing::TestWithParam<Unserved> {};

TEST_P(UnservedField, IsRefusedByName) {
  Surroundings around;
  Spec spec;
  spec.name = "web";
  GetParam().build(spec);
  expect_fault<vim::NotSupported>(GetParam().message, [&] { plan_creation(spec, around.context); });
}

template <class Device>
void add_plain(Spec& spec) {
  add(spec, Device{});
}

template <class Edit>
void add_edited_disk(Spec& spec, Edit edit) {
  add(spec, controller<vim::ParaVirtualSCSIController>(-1));
  vim::VirtualDisk it = disk(-1, 1024);
  edit(it, static_cast<vim::VirtualDiskFlatVer2BackingInfo&>(it.backing.edit()));
  add_new_disk(spec, it);
}

INSTANTIATE_TEST_SUITE_P(
    VmCreation, UnservedField,
    testing::Values(
        Unserved{"vapp", [](Spec& s) { s.vAppConfig.edit().ovfEnvironmentTransport = {"iso"}; },
                 "config.vAppConfig.ovfEnvironmentTransport is not supported"},
        Unserved{"cpu_hot_remove", [](Spec& s) { s.cpuHotRemoveEnabled = true; },
                 "config.cpuHotRemoveEnabled is not supported"},
        Unserved{"swap", [](Spec& s) { s.swapPlacement = "hostLocal"; }, "config.swapPlacement"},
        Unserved{"affinity", [](Spec& s) { s.cpuAffinity.edit().affinitySet = {1}; },
                 "config.cpuAffinity.affinitySet"},
        Unserved{"latency",
                 [](Spec& s) {
                   s.latencySensitivity.edit().level =
                       vim::LatencySensitivitySensitivityLevel::high;
                 },
                 "config.latencySensitivity.level"},
        Unserved{"wwn", [](Spec& s) { s.npivNodeWorldWideName = {1}; },
                 "config.npivNodeWorldWideName"},
        Unserved{"managed_by", [](Spec& s) { s.managedBy.edit().extensionKey = "x"; },
                 "config.managedBy.extensionKey"},
        Unserved{"flag", [](Spec& s) { s.flags.edit().vbsEnabled = true; },
                 "config.flags.vbsEnabled"},
        Unserved{"tools",
                 [](Spec& s) { s.tools.edit().toolsUpgradePolicy = "upgradeAtPowerCycle"; },
                 "config.tools.toolsUpgradePolicy"},
        Unserved{"setup", [](Spec& s) { s.bootOptions.edit().enterBIOSSetup = true; },
                 "config.bootOptions.enterBIOSSetup"},
        Unserved{"standby", [](Spec& s) { s.powerOpInfo.edit().standbyAction = "powerOnSuspend"; },
                 "config.powerOpInfo.standbyAction"},
        Unserved{"expandable", [](Spec& s) { s.cpuAllocation.edit().expandableReservation = true; },
                 "config.cpuAllocation.expandableReservation"},
        Unserved{"log_directory", [](Spec& s) { s.files.edit().logDirectory = "[ds2] logs/"; },
                 "config.files.logDirectory"},
        Unserved{"policy",
                 [](Spec& s) {
                   s.vmProfile.push_back(Ptr<vim::VirtualMachineProfileSpec>(
                       model::share(vim::VirtualMachineDefinedProfileSpec{})));
                 },
                 "config.vmProfile (a VirtualMachineDefinedProfileSpec)"},
        Unserved{"bus_logic", add_plain<vim::VirtualBusLogicController>,
                 "adding a VirtualBusLogicController"},
        Unserved{"distributed_port",
                 [](Spec& s) {
                   auto it = card<vim::VirtualVmxnet3>("Lab");
                   it.backing =
                       model::share(vim::VirtualEthernetCardDistributedVirtualPortBackingInfo{});
                   add(s, it);
                 },
                 "VirtualEthernetCardDistributedVirtualPortBackingInfo"},
        Unserved{"opaque_network",
                 [](Spec& s) {
                   auto it = card<vim::VirtualVmxnet3>("Lab");
                   it.backing = model::share(vim::VirtualEthernetCardOpaqueNetworkBackingInfo{});
                   add(s, it);
                 },
                 "VirtualEthernetCardOpaqueNetworkBackingInfo"},
        Unserved{"network_limit",
                 [](Spec& s) {
                   auto it = card<vim::VirtualVmxnet3>("Lab");
                   it.resourceAllocation.edit().share.level = vim::SharesLevel::normal;
                   it.resourceAllocation.edit().limit = 100;
                   add(s, it);
                 },
                 "config.deviceChange[0].device.resourceAllocation.limit"},
        Unserved{"raw_disk",
                 [](Spec& s) {
                   add(s, controller<vim::ParaVirtualSCSIController>(-1));
                   vim::VirtualDisk it = disk(-1, 1024);
                   it.backing = model::share(vim::VirtualDiskRawDiskVer2BackingInfo{});
                   add_new_disk(s, it);
                 },
                 "VirtualDiskRawDiskVer2BackingInfo"},
        Unserved{"disk_mode",
                 [](Spec& s) {
                   add_edited_disk(
                       s, [](auto&, auto& backing) { backing.diskMode = "nonpersistent"; });
                 },
                 "disk mode nonpersistent"},
        Unserved{"write_through",
                 [](Spec& s) {
                   add_edited_disk(s, [](auto&, auto& backing) { backing.writeThrough = true; });
                 },
                 "device.backing.writeThrough"},
        Unserved{"disk_uuid",
                 [](Spec& s) {
                   add_edited_disk(s, [](auto&, auto& backing) { backing.uuid = "6000C29a"; });
                 },
                 "device.backing.uuid"},
        Unserved{"disk_limit",
                 [](Spec& s) {
                   add_edited_disk(s, [](auto& device, auto&) {
                     device.storageIOAllocation.edit().reservation = 500;
                   });
                 },
                 "device.storageIOAllocation.reservation"},
        Unserved{"filter",
                 [](Spec& s) {
                   add_edited_disk(s, [](auto& device, auto&) { device.iofilter = {"vmwarelwd"}; });
                 },
                 "device.iofilter"},
        Unserved{"encrypted_disk",
                 [](Spec& s) {
                   add(s, controller<vim::ParaVirtualSCSIController>(-1));
                   add_new_disk(s, disk(-1, 1024)).backing.edit().crypto =
                       model::share(vim::CryptoSpecEncrypt{});
                 },
                 "config.deviceChange[1].backing"},
        Unserved{"lsi_unit",
                 [](Spec& s) {
                   add(s, controller<vim::VirtualLsiLogicController>(-1));
                   add_new_disk(s, disk(-1, 1024, "", 9));
                 },
                 "unit 9 of SCSI controller 0"}),
    [](const auto& info) { return std::string(info.param.name); });

// --- Values out of bounds ----------------------------------------------------------------------

class WrongValue : public testing::TestWithParam<Unserved> {};

TEST_P(WrongValue, IsAnInvalidArgument) {
  Surroundings around;
  Spec spec;
  spec.name = "web";
  GetParam().build(spec);
  expect_fault<vim::InvalidArgument>(GetParam().message,
                                     [&] { plan_creation(spec, around.context); });
}

INSTANTIATE_TEST_SUITE_P(
    VmCreation, WrongValue,
    testing::Values(
        Unserved{"no_cpu", [](Spec& s) { s.numCPUs = 0; }, "configSpec.numCPUs"},
        Unserved{"cpus_of_host", [](Spec& s) { s.numCPUs = 33; },
                 "33 virtual processors are more than the 32 of this host"},
        Unserved{"cpus_of_version",
                 [](Spec& s) {
                   s.version = "vmx-07";
                   s.numCPUs = 9;
                 },
                 "more than the 8 of hardware version vmx-07"},
        Unserved{"cores",
                 [](Spec& s) {
                   s.numCPUs = 4;
                   s.numCoresPerSocket = 3;
                 },
                 "4 virtual processors do not divide into sockets of 3 cores"},
        Unserved{"no_memory", [](Spec& s) { s.memoryMB = 0; }, "configSpec.memoryMB"},
        Unserved{"odd_memory", [](Spec& s) { s.memoryMB = 1023; }, "1023 MB is not"},
        Unserved{"memory_of_host", [](Spec& s) { s.memoryMB = 65'540; },
                 "65540 MB is more than the 65536 MB of this host"},
        Unserved{"memory_of_version",
                 [](Spec& s) {
                   s.version = "vmx-04";
                   s.memoryMB = 65'536;
                 },
                 "more than the 65532 MB of hardware version vmx-04"},
        Unserved{"guest", [](Spec& s) { s.guestId = "debain11_64Guest"; },
                 "no guest operating system 'debain11_64Guest'"},
        Unserved{"version", [](Spec& s) { s.version = "19"; }, "no hardware version '19'"},
        Unserved{"uuid", [](Spec& s) { s.uuid = "1234"; }, "configSpec.uuid"},
        Unserved{"instance_uuid", [](Spec& s) { s.instanceUuid = "x"; }, "configSpec.instanceUuid"},
        Unserved{"firmware", [](Spec& s) { s.firmware = "coreboot"; },
                 "'coreboot' is neither bios nor efi"},
        Unserved{"power", [](Spec& s) { s.powerOpInfo.edit().powerOffType = "gently"; },
                 "configSpec.powerOpInfo.powerOffType"},
        Unserved{"boot_delay", [](Spec& s) { s.bootOptions.edit().bootDelay = -1; },
                 "bootOptions.bootDelay"},
        Unserved{"boot_from_nothing",
                 [](Spec& s) {
                   vim::VirtualMachineBootOptionsBootableDiskDevice device;
                   device.deviceKey = 2000;
                   s.bootOptions.edit().bootOrder.push_back(
                       Ptr<vim::VirtualMachineBootOptionsBootableDevice>(model::share(device)));
                 },
                 "there is no disk 2000"},
        Unserved{"reservation", [](Spec& s) { s.cpuAllocation.edit().reservation = -1; },
                 "cpuAllocation.reservation"},
        Unserved{"limit_below_reservation",
                 [](Spec& s) {
                   s.cpuAllocation.edit().reservation = 500;
                   s.cpuAllocation.edit().limit = 100;
                 },
                 "100 is less than the reservation of 500"},
        Unserved{"memory_reservation",
                 [](Spec& s) {
                   s.memoryMB = 1024;
                   s.memoryAllocation.edit().reservation = 2048;
                 },
                 "2048 MB is more than the VM's 1024 MB"},
        Unserved{"described_option",
                 [](Spec& s) {
                   vim::OptionValue& option = s.extraConfig.emplace_back();
                   option.key = "memsize";
                   option.value = model::any(std::string("4096"));
                 },
                 "memsize"},
        Unserved{"option_without_key",
                 [](Spec& s) { s.extraConfig.emplace_back().value = model::any(std::string("x")); },
                 "'' is no key"},
        Unserved{"option_with_lines",
                 [](Spec& s) {
                   vim::OptionValue& option = s.extraConfig.emplace_back();
                   option.key = "a\nmemsize";
                   option.value = model::any(std::string("x"));
                 },
                 "is no key"}),
    [](const auto& info) { return std::string(info.param.name); });

// --- Changes -----------------------------------------------------------------------------------

// A client may send back all that it was told; that changes nothing.
TEST_F(VmChange, ToWhatIsThereIsNone) {
  const auto now = info();
  spec.changeVersion = now.changeVersion;
  spec.name = now.name;
  spec.version = now.version;
  spec.uuid = now.uuid;
  spec.instanceUuid = now.instanceUuid;
  spec.guestId = now.guestId;
  spec.alternateGuestName = now.alternateGuestName;
  spec.annotation = now.annotation;
  spec.files = model::share(now.files);
  spec.tools = now.tools;
  spec.flags = model::share(now.flags);
  spec.powerOpInfo = model::share(now.defaultPowerOps);
  spec.numCPUs = now.hardware.numCPU;
  spec.numCoresPerSocket = now.hardware.numCoresPerSocket;
  spec.memoryMB = now.hardware.memoryMB;
  spec.memoryHotAddEnabled = now.memoryHotAddEnabled;
  spec.cpuHotAddEnabled = now.cpuHotAddEnabled;
  spec.cpuAllocation = now.cpuAllocation;
  spec.memoryAllocation = now.memoryAllocation;
  spec.latencySensitivity = now.latencySensitivity;
  spec.extraConfig = now.extraConfig;
  spec.swapPlacement = now.swapPlacement;
  spec.bootOptions = now.bootOptions;
  spec.firmware = now.firmware;
  spec.nestedHVEnabled = now.nestedHVEnabled;
  spec.vPMCEnabled = now.vPMCEnabled;
  spec.changeTrackingEnabled = now.changeTrackingEnabled;
  spec.ftEncryptionMode = now.ftEncryptionMode;
  spec.vAppConfigRemoved = false;
  spec.npivTemporaryDisabled = false;
  for (const auto& device : now.hardware.device) change(spec, Operation::edit, device);
  for (const bool powered_on : {false, true}) {
    const ConfigPlan plan = change_vm(spec, powered_on);
    EXPECT_EQ(plan.config, present);
    EXPECT_THAT(plan.create, IsEmpty());
    EXPECT_THAT(plan.grow, IsEmpty());
    EXPECT_THAT(plan.added, IsEmpty());
    EXPECT_THAT(plan.removed, IsEmpty());
    if (!powered_on) {
      EXPECT_THAT(plan.edited, IsEmpty());
      EXPECT_THAT(plan.privileges, IsEmpty());
    }
  }
}

TEST_F(VmChange, MeantForAnotherConfigurationIsRefused) {
  spec.changeVersion = info().changeVersion;
  present.annotation = "somebody was faster";
  expect_fault<vim::ConcurrentAccess>("web", [&] { change_vm(spec); });
}

struct SettingCase {
  const char* name;
  void (*build)(Spec&);
  bool (*holds)(const vmx::MachineConfig&);
  const char* privilege;
  bool while_running;
};

class SettingChange : public testing::TestWithParam<SettingCase> {};

TEST_P(SettingChange, IsMadeForAPrivilege) {
  const SettingCase& setting = GetParam();
  Surroundings around;
  around.add_disk("[ds1] web/web.vmdk");
  Spec spec;
  setting.build(spec);
  const ConfigPlan plan = plan_change(sample_config(), spec, around.context, false);
  EXPECT_TRUE(setting.holds(plan.config));
  EXPECT_THAT(plan.privileges, ElementsAre(setting.privilege));
}

TEST_P(SettingChange, WaitsForTheGuestWhereItMust) {
  const SettingCase& setting = GetParam();
  Surroundings around;
  around.add_disk("[ds1] web/web.vmdk");
  Spec spec;
  setting.build(spec);
  vmx::MachineConfig suspended = sample_config();
  suspended.suspend_state = "web.vmss";
  if (setting.while_running) {
    EXPECT_TRUE(setting.holds(plan_change(sample_config(), spec, around.context, true).config));
    EXPECT_TRUE(setting.holds(plan_change(suspended, spec, around.context, false).config));
    return;
  }
  const auto running = expect_fault<vim::InvalidPowerState>(
      "configSpec.", [&] { plan_change(sample_config(), spec, around.context, true); });
  EXPECT_EQ(running.existingState, vim::VirtualMachinePowerState::poweredOn);
  const auto asleep = expect_fault<vim::InvalidPowerState>(
      "configSpec.", [&] { plan_change(suspended, spec, around.context, false); });
  EXPECT_EQ(asleep.existingState, vim::VirtualMachinePowerState::suspended);
}

INSTANTIATE_TEST_SUITE_P(
    VmChange, SettingChange,
    testing::Values(
        SettingCase{"name", [](Spec& s) { s.name = "web01"; },
                    [](const auto& c) { return c.display_name == "web01"; },
                    "VirtualMachine.Config.Rename", true},
        SettingCase{"annotation", [](Spec& s) { s.annotation = "x"; },
                    [](const auto& c) { return c.annotation == "x"; },
                    "VirtualMachine.Config.Annotation", true},
        SettingCase{"cpu_hot_add", [](Spec& s) { s.cpuHotAddEnabled = true; },
                    [](const auto& c) { return c.cpu_hot_add; }, "VirtualMachine.Config.CPUCount",
                    false},
        SettingCase{"cores", [](Spec& s) { s.numCoresPerSocket = 2; },
                    [](const auto& c) { return c.cores_per_socket == 2; },
                    "VirtualMachine.Config.CPUCount", false},
        SettingCase{"memory_hot_add", [](Spec& s) { s.memoryHotAddEnabled = true; },
                    [](const auto& c) { return c.memory_hot_add; }, "VirtualMachine.Config.Memory",
                    false},
        SettingCase{"firmware", [](Spec& s) { s.firmware = "efi"; },
                    [](const auto& c) { return c.firmware == vmx::Firmware::efi; },
                    "VirtualMachine.Config.Settings", false},
        SettingCase{"guest", [](Spec& s) { s.guestId = "ubuntu64Guest"; },
                    [](const auto& c) { return c.guest_os == "ubuntu-64"; },
                    "VirtualMachine.Config.Settings", false},
        SettingCase{"nested", [](Spec& s) { s.nestedHVEnabled = true; },
                    [](const auto& c) { return c.nested_virtualization; },
                    "VirtualMachine.Config.Settings", false},
        SettingCase{"disk_uuids", [](Spec& s) { s.flags.edit().diskUuidEnabled = true; },
                    [](const auto& c) { return c.disk_uuids_shown; },
                    "VirtualMachine.Config.Settings", false},
        SettingCase{"change_tracking", [](Spec& s) { s.changeTrackingEnabled = true; },
                    [](const auto& c) { return c.changes_tracked && c.disks[0].changes_tracked; },
                    "VirtualMachine.Config.ChangeTracking", true},
        SettingCase{"tools", [](Spec& s) { s.tools.edit().afterResume = false; },
                    [](const auto& c) { return !c.tools.after_resume; },
                    "VirtualMachine.Config.Settings", true},
        SettingCase{"power", [](Spec& s) { s.powerOpInfo.edit().powerOffType = "hard"; },
                    [](const auto& c) { return c.power.power_off == vmx::PowerOption::hard; },
                    "VirtualMachine.Config.Settings", true},
        SettingCase{
            "shares",
            [](Spec& s) { s.cpuAllocation.edit().shares.edit().level = vim::SharesLevel::high; },
            [](const auto& c) { return c.cpu.level == vmx::SharesLevel::high; },
            "VirtualMachine.Config.Resource", true},
        SettingCase{"limit", [](Spec& s) { s.memoryAllocation.edit().limit = 1024; },
                    [](const auto& c) { return c.memory.limit == 1024; },
                    "VirtualMachine.Config.Resource", true},
        SettingCase{"boot_order",
                    [](Spec& s) {
                      vim::VirtualMachineBootOptionsBootableEthernetDevice first;
                      first.deviceKey = 4000;
                      vim::VirtualMachineBootOptionsBootableDiskDevice second;
                      second.deviceKey = 2000;
                      auto& order = s.bootOptions.edit().bootOrder;
                      using Device = Ptr<vim::VirtualMachineBootOptionsBootableDevice>;
                      order.push_back(Device(model::share(first)));
                      order.push_back(Device(model::share(second)));
                    },
                    [](const auto& c) {
                      return c.boot.order == std::vector<std::string>{"ethernet0", "hdd"} &&
                             vmx::find_extra(c, "bios.hddOrder") == "scsi0:0";
                    },
                    "VirtualMachine.Config.Settings", true},
        SettingCase{"extra",
                    [](Spec& s) {
                      vim::OptionValue& option = s.extraConfig.emplace_back();
                      option.key = "guestinfo.role";
                      option.value = model::any(std::string("web"));
                    },
                    [](const auto& c) { return vmx::find_extra(c, "guestinfo.role") == "web"; },
                    "VirtualMachine.Config.AdvancedConfig", true}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(VmChange, AnEmptyValueRemovesAnOption) {
  present.extra = {{"guestinfo.role", "web"}};
  vim::OptionValue& option = spec.extraConfig.emplace_back();
  option.key = "GUESTINFO.role";
  option.value = model::any(std::string());
  EXPECT_THAT(change_vm(spec).config.extra, IsEmpty());
}

TEST_F(VmChange, EnableUuidIsKnownByItsKey) {
  vim::OptionValue& option = spec.extraConfig.emplace_back();
  option.key = "disk.enableUUID";
  option.value = model::any(std::string("TRUE"));
  EXPECT_TRUE(change_vm(spec).config.disk_uuids_shown);
}

TEST_F(VmChange, ChangeTrackingIsKnownByItsKeys) {
  for (const char* key : {"ctkEnabled", "scsi0:0.ctkEnabled"}) {
    vim::OptionValue& option = spec.extraConfig.emplace_back();
    option.key = key;
    option.value = model::any(std::string("true"));
  }
  const ConfigPlan plan = change_vm(spec);
  EXPECT_TRUE(plan.config.changes_tracked);
  EXPECT_TRUE(plan.config.disks[0].changes_tracked);
  EXPECT_EQ(plan.config.extra, present.extra);
}

TEST_F(VmChange, ChangeTrackingIsRefusedBeforeHardwareSeven) {
  present.hardware_version = 4;
  spec.changeTrackingEnabled = true;
  expect_fault<vim::InvalidArgument>("changed block tracking", [&] { change_vm(spec); });
}

TEST_F(VmChange, HardwareGoesForwardOnly) {
  present.hardware_version = 15;
  spec.version = "vmx-19";
  EXPECT_EQ(change_vm(spec).config.hardware_version, 19);
  spec.version = "vmx-13";
  expect_fault<vim::NotSupported>("from hardware version vmx-15 to vmx-13",
                                  [&] { change_vm(spec); });
}

TEST_F(VmChange, AGuestOfALaterApiMayStay) {
  present.guest_os = "debian13-64";
  spec.guestId = "debian13_64Guest";
  EXPECT_EQ(change_vm(spec).config, present);
}

// --- Disks of a VM -----------------------------------------------------------------------------

TEST_F(VmChange, ADiskGrows) {
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) { it.capacityInKB = 16 << 20; });
  const ConfigPlan plan = change_vm(spec);
  ASSERT_EQ(plan.grow.size(), 1u);
  EXPECT_EQ(plan.grow[0].path.format(), "[ds1] web/web.vmdk");
  EXPECT_EQ(plan.grow[0].key, 2000);
  EXPECT_EQ(plan.grow[0].capacity, 16 * kGib);
  EXPECT_FALSE(plan.grow[0].eager_zero);
  EXPECT_THAT(plan.privileges, ElementsAre("VirtualMachine.Config.DiskExtend"));
  EXPECT_THAT(plan.edited, ElementsAre(2000));
}

TEST_F(VmChange, EitherWayOfSayingTheSizeCounts) {
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) {
    it.capacityInBytes = static_cast<std::int64_t>(9 * kGib);
  });
  EXPECT_EQ(change_vm(spec).grow[0].capacity, 9 * kGib);
}

TEST_F(VmChange, ADiskNeverShrinks) {
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) {
    it.capacityInKB = 4 << 20;
    it.capacityInBytes.reset();
  });
  expect_fault<vim::InvalidDeviceOperation>(
      "Hard disk 1 has 8589934592 bytes and cannot shrink to 4294967296", [&] { change_vm(spec); });
}

TEST_F(VmChange, ADiskGrowsWhileTheVmRunsOnScsiOnly) {
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) { it.capacityInKB = 16 << 20; });
  EXPECT_EQ(change_vm(spec, true).grow.size(), 1u);
  present.disks[0].slot = {vmx::Bus::ide, 0, 0};
  spec.deviceChange.clear();
  edit<vim::VirtualDisk>(spec, info(), 3000, [](auto& it) { it.capacityInKB = 16 << 20; });
  expect_fault<vim::InvalidPowerState>("The size of Hard disk 1", [&] { change_vm(spec, true); });
}

TEST_F(VmChange, ADiskIsRemovedAndItsFileStaysUnlessAskedFor) {
  auto& removed = remove(spec, info(), 2000);
  ConfigPlan plan = change_vm(spec);
  EXPECT_THAT(plan.config.disks, IsEmpty());
  EXPECT_THAT(plan.destroy, IsEmpty());
  EXPECT_THAT(plan.removed, ElementsAre(2000));
  EXPECT_THAT(plan.privileges, ElementsAre("VirtualMachine.Config.RemoveDisk"));
  removed.fileOperation = FileOperation::destroy;
  plan = change_vm(spec);
  ASSERT_EQ(plan.destroy.size(), 1u);
  EXPECT_EQ(plan.destroy[0].format(), "[ds1] web/web.vmdk");
}

TEST_F(VmChange, ARemovedDiskMakesRoomForAnother) {
  add_new_disk(spec, disk(1000, 1024, "[ds1] web/new.vmdk", 0));
  remove(spec, info(), 2000);
  const ConfigPlan plan = change_vm(spec);
  ASSERT_EQ(plan.config.disks.size(), 1u);
  EXPECT_EQ(plan.config.disks[0].file, "new.vmdk");
  EXPECT_THAT(plan.removed, ElementsAre(2000));
  EXPECT_THAT(plan.added, ElementsAre(2000));
}

TEST_F(VmChange, OfADiskIsRefusedWhereItWouldBeAnother) {
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) {
    static_cast<vim::VirtualDiskFlatVer2BackingInfo&>(it.backing.edit()).fileName =
        "[ds1] web/other.vmdk";
  });
  expect_fault<vim::InvalidDeviceBacking>("is [ds1] web/web.vmdk, not [ds1] web/other.vmdk",
                                          [&] { change_vm(spec); });
  spec.deviceChange.clear();
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) { it.unitNumber = 1; });
  expect_fault<vim::NotSupported>("moving Hard disk 1 from scsi0:0", [&] { change_vm(spec); });
}

TEST_F(VmChange, OfADisksMode) {
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) {
    static_cast<vim::VirtualDiskFlatVer2BackingInfo&>(it.backing.edit()).diskMode =
        "independent_persistent";
  });
  EXPECT_EQ(change_vm(spec).config.disks[0].mode, vmx::DiskMode::independent_persistent);
  expect_fault<vim::InvalidPowerState>("The mode or the sharing of Hard disk 1",
                                       [&] { change_vm(spec, true); });
}

TEST_F(VmChange, OfADisksShareOfItsDatastore) {
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) {
    auto& io = it.storageIOAllocation.edit();
    io.limit = 500;
    io.shares.edit().level = vim::SharesLevel::high;
  });
  const ConfigPlan plan = change_vm(spec, true);
  EXPECT_EQ(plan.config.disks[0].io,
            (vmx::Allocation{.limit = 500, .level = vmx::SharesLevel::high}));
  EXPECT_THAT(plan.edited, ElementsAre(2000));
  EXPECT_THAT(plan.privileges, ElementsAre("VirtualMachine.Config.Resource"));
  // Clients of old know shares in another place.
  spec.deviceChange.clear();
  edit<vim::VirtualDisk>(spec, info(), 2000,
                         [](auto& it) { it.shares.edit().level = vim::SharesLevel::low; });
  EXPECT_EQ(change_vm(spec).config.disks[0].io.level, vmx::SharesLevel::low);
  spec.deviceChange.clear();
  edit<vim::VirtualDisk>(spec, info(), 2000,
                         [](auto& it) { it.storageIOAllocation.edit().limit = 15; });
  expect_fault<vim::InvalidDeviceSpec>("15 is neither", [&] { change_vm(spec); });
}

TEST_F(VmChange, OfADiskThatDiscardsItsChangesWhileItRunsIsRefused) {
  present.disks[0].mode = vmx::DiskMode::independent_nonpersistent;
  remove(spec, info(), 2000);
  expect_fault<vim::InvalidPowerState>("The presence of Hard disk 1",
                                       [&] { change_vm(spec, true); });
  spec.deviceChange.clear();
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) { it.capacityInBytes = 16 * kGib; });
  expect_fault<vim::InvalidPowerState>("The size of Hard disk 1", [&] { change_vm(spec, true); });
}

// --- Controllers, drives and adapters of a VM --------------------------------------------------

TEST_F(VmChange, AControllerGoesWhenNothingHangsOnIt) {
  remove(spec, info(), 1000);
  expect_fault<vim::InvalidDeviceOperation>("devices hang on SCSI controller 0",
                                            [&] { change_vm(spec); });
  remove(spec, info(), 2000);
  const ConfigPlan plan = change_vm(spec);
  EXPECT_THAT(plan.config.controllers, IsEmpty());
  EXPECT_THAT(plan.removed, ElementsAre(2000, 1000));
}

TEST_F(VmChange, WhatEveryVmHasStays) {
  remove(spec, info(), 200);
  expect_fault<vim::InvalidDeviceOperation>("every virtual machine has it",
                                            [&] { change_vm(spec); });
}

TEST_F(VmChange, OfADeviceThatIsNotThere) {
  vim::VirtualVmxnet3 ghost = card<vim::VirtualVmxnet3>("Lab");
  ghost.key = 4005;
  change(spec, Operation::edit, model::share(ghost));
  expect_fault<vim::DeviceNotFound>("no VirtualVmxnet3 4005", [&] { change_vm(spec); });
  spec.deviceChange.clear();
  change(spec, Operation::remove, model::share(ghost));
  expect_fault<vim::DeviceNotFound>("4005", [&] { change_vm(spec); });
  spec.deviceChange.clear();
  vim::VirtualE1000 other_model = card<vim::VirtualE1000>("Lab");
  other_model.key = 4000;
  change(spec, Operation::edit, model::share(other_model));
  expect_fault<vim::DeviceNotFound>("no VirtualE1000 4000", [&] { change_vm(spec); });
}

TEST_F(VmChange, AMediumIsChangedWhileTheVmRuns) {
  edit<vim::VirtualCdrom>(spec, info(true), 3002, [](auto& it) {
    static_cast<vim::VirtualCdromIsoBackingInfo&>(it.backing.edit()).fileName = "[ds1] other.iso";
    it.connectable.edit().connected = true;
  });
  const ConfigPlan plan = change_vm(spec, true);
  EXPECT_EQ(plan.config.cdroms[0].file, "/vmfs/volumes/5f3a2b1c-00000001/other.iso");
  EXPECT_THAT(plan.edited, ElementsAre(3002));
  EXPECT_TRUE(plan.connections.connected.at(3002));
  EXPECT_THAT(plan.privileges, ElementsAre("VirtualMachine.Interact.SetCDMedia",
                                           "VirtualMachine.Interact.DeviceConnection"));
}

TEST_F(VmChange, AUsersOwnDriveIsKeptButNotConnected) {
  edit<vim::VirtualCdrom>(spec, info(true), 3002, [](auto& it) {
    it.backing = model::share(vim::VirtualCdromRemotePassthroughBackingInfo{});
    it.connectable.edit().connected = false;
  });
  EXPECT_EQ(change_vm(spec, true).config.cdroms[0].backing, vmx::CdRomBacking::client_passthrough);
  spec.deviceChange.clear();
  edit<vim::VirtualCdrom>(spec, info(true), 3002, [](auto& it) {
    it.backing = model::share(vim::VirtualCdromRemotePassthroughBackingInfo{});
    it.connectable.edit().connected = true;
  });
  expect_fault<vim::NotSupported>("connecting a VirtualCdrom", [&] { change_vm(spec, true); });
}

TEST_F(VmChange, AnAdapterMovesWhileTheVmRuns) {
  edit<vim::VirtualVmxnet3>(spec, info(true), 4000, [](auto& it) {
    auto& backing = static_cast<vim::VirtualEthernetCardNetworkBackingInfo&>(it.backing.edit());
    backing.deviceName = "Lab";  // the reference still names the old network
  });
  const ConfigPlan plan = change_vm(spec, true);
  EXPECT_EQ(plan.config.network_adapters[0].network, "Lab");
  EXPECT_THAT(plan.edited, ElementsAre(4000));
  EXPECT_EQ(plan.config.network_adapters[0].mac, present.network_adapters[0].mac);
}

TEST_F(VmChange, ANetworkMayBeGivenByReference) {
  edit<vim::VirtualVmxnet3>(spec, info(), 4000, [](auto& it) {
    auto& backing = static_cast<vim::VirtualEthernetCardNetworkBackingInfo&>(it.backing.edit());
    backing.deviceName.clear();
    backing.network = MoRef{"Network", "Lab"};
  });
  EXPECT_EQ(change_vm(spec).config.network_adapters[0].network, "Lab");
}

TEST_F(VmChange, AnAdaptersAddressWaitsForPowerOff) {
  edit<vim::VirtualVmxnet3>(spec, info(), 4000, [](auto& it) {
    it.addressType = "Manual";
    it.macAddress = "00-50-56-00-00-0A";
  });
  const ConfigPlan plan = change_vm(spec);
  EXPECT_EQ(plan.config.network_adapters[0].mac, "00:50:56:00:00:0a");
  EXPECT_EQ(plan.config.network_adapters[0].address_type, vmx::AddressType::manual);
  expect_fault<vim::InvalidPowerState>("Network adapter 1", [&] { change_vm(spec, true); });
}

TEST_F(VmChange, AnAddressIsGeneratedAnew) {
  present.network_adapters[0].address_type = vmx::AddressType::manual;
  present.network_adapters[0].mac = "00:50:56:00:00:0a";
  edit<vim::VirtualVmxnet3>(spec, info(), 4000, [](auto& it) { it.addressType = "generated"; });
  EXPECT_EQ(change_vm(spec).config.network_adapters[0].mac, "00:0c:29:a1:b2:c3");
}

TEST_F(VmChange, ANewAdapterFillsTheGap) {
  present.network_adapters.push_back({.number = 2, .network = "Lab", .mac = "00:0c:29:00:00:02"});
  add(spec, card<vim::VirtualVmxnet3>("Lab"));
  const ConfigPlan plan = change_vm(spec, true);
  EXPECT_THAT(plan.added, ElementsAre(4001));
  ASSERT_EQ(plan.config.network_adapters.size(), 3u);
  EXPECT_EQ(plan.config.network_adapters[1].number, 1);
  EXPECT_FALSE(plan.config.network_adapters[1].mac.empty());
}

TEST_F(VmChange, ARemovedAdapterLeavesTheBootOrder) {
  present.boot.order = {"ethernet0", "hdd"};
  remove(spec, info(), 4000);
  EXPECT_THAT(change_vm(spec, true).config.boot.order, ElementsAre("hdd"));
}

TEST_F(VmChange, ADisconnectedCableIsToldToTheHost) {
  edit<vim::VirtualVmxnet3>(spec, info(true), 4000,
                            [](auto& it) { it.connectable.edit().connected = false; });
  const ConfigPlan plan = change_vm(spec, true);
  EXPECT_FALSE(plan.connections.connected.at(4000));
  EXPECT_THAT(plan.edited, ElementsAre(4000));
  EXPECT_EQ(plan.config, present);
}

// --- While it runs -----------------------------------------------------------------------------

TEST_F(VmChange, DisksComeAndGoOnScsiWhileTheVmRuns) {
  add_new_disk(spec, disk(1000, 1024));
  add(spec, controller<vim::VirtualLsiLogicController>(-1, 1));
  add_new_disk(spec, disk(-1, 1024));
  remove(spec, info(true), 2000);
  const ConfigPlan plan = change_vm(spec, true);
  EXPECT_THAT(plan.removed, ElementsAre(2000));
  EXPECT_THAT(plan.added, ElementsAre(1001, 2000, 2016));
}

struct ColdCase {
  const char* name;
  void (*build)(Spec&, const vim::VirtualMachineConfigInfo&);
};
class ColdDevice : public testing::TestWithParam<ColdCase> {};
TEST_P(ColdDevice, NeitherComesNorGoesWhileTheVmRuns) {
  Surroundings around;
  around.add_disk("[ds1] web/web.vmdk");
  const vmx::MachineConfig present = sample_config();
  Spec spec;
  GetParam().build(spec, config_info(present, around.context, {}, true));
  EXPECT_NO_THROW(plan_change(present, spec, around.context, false));
  const auto fault = expect_fault<vim::DeviceHotPlugNotSupported>(
      "while the virtual machine is powered on",
      [&] { plan_change(present, spec, around.context, true); });
  EXPECT_EQ(fault.deviceIndex, 0);
}
INSTANTIATE_TEST_SUITE_P(
    VmChange, ColdDevice,
    testing::Values(
        ColdCase{"ide_disk", [](Spec& s, const auto&) { add_new_disk(s, disk(200, 1024)); }},
        ColdCase{"drive", [](Spec& s, const auto&) { add(s, image_drive(200, "[ds1] a.iso")); }},
        ColdCase{"drive_away", [](Spec& s, const auto& info) { remove(s, info, 3002); }},
        ColdCase{"ahci",
                 [](Spec& s, const auto&) { add(s, controller<vim::VirtualAHCIController>(-1)); }},
        ColdCase{"serial_port", [](Spec& s, const auto&) { add(s, console_port()); }},
        ColdCase{"usb", [](Spec& s, const auto&) { add(s, vim::VirtualUSBController{}); }},
        ColdCase{"sound", [](Spec& s, const auto&) { add(s, vim::VirtualHdAudioCard{}); }},
        ColdCase{"watchdog", [](Spec& s, const auto&) { add(s, vim::VirtualWDT{}); }},
        ColdCase{"serial_port_away", [](Spec& s, const auto& info) { remove(s, info, 9000); }}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(VmChange, ASuspendedVmKeepsItsDevices) {
  present.suspend_state = "web.vmss";
  remove(spec, info(), 4000);
  const auto fault =
      expect_fault<vim::InvalidPowerState>("web is suspended", [&] { change_vm(spec); });
  EXPECT_EQ(fault.existingState, vim::VirtualMachinePowerState::suspended);
}

}  // namespace
}  // namespace virga::host
