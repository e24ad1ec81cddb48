// Disks that are logical units (RDM).
#include <gtest/gtest.h>

#include "hypervisor/machine_spec.h"
#include "vm_config_sample.h"
#include "vm_config_specs.h"

namespace virga::host {
namespace {

using Raw = vim::VirtualDiskRawDiskMappingVer1BackingInfo;

class RawDisk : public testing::Test {
 protected:
  RawDisk() {
    around.add_disk("[ds1] web/web.vmdk");
    around.add_raw_device("naa.600508b1", 4 * kGib);
  }

  static Raw raw(const std::string& device, const char* compatibility) {
    Raw backing;
    backing.deviceName = device;
    if (compatibility) backing.compatibilityMode = compatibility;
    return backing;
  }
  static vim::VirtualDisk on(Raw backing) {
    vim::VirtualDisk device = disk(1000, 0);
    device.backing = model::share(std::move(backing));
    return device;
  }
  ConfigPlan change(const Spec& spec) const {
    return plan_change(config, spec, around.context, false);
  }
  ConfigPlan with_new(Raw backing) const {
    Spec spec;
    add_new_disk(spec, on(std::move(backing)));
    return change(spec);
  }
  ConfigPlan with_existing(Raw backing) const {
    Spec spec;
    add(spec, on(std::move(backing)));
    return change(spec);
  }
  vim::VirtualDisk shown(const vmx::MachineConfig& of) const {
    const auto info = config_info(of, around.context, {}, false);
    for (const auto& device : info.hardware.device)
      if (const auto* found = device.as<vim::VirtualDisk>(); found && found->unitNumber == 1)
        return *found;
    throw std::runtime_error("there is no such disk");
  }
  // The VM with the disk, as it is once the plan was carried out.
  vmx::MachineConfig mapped(bool physical) {
    config = with_new(raw("naa.600508b1", physical ? "physicalMode" : "virtualMode")).config;
    around.add_raw_disk("[ds1] web/web_1.vmdk", physical, "naa.600508b1");
    return config;
  }

  Surroundings around;
  vmx::MachineConfig config = sample_config();
};

TEST_F(RawDisk, IsMadeOfTheUnitAndAsLarge) {
  const ConfigPlan plan = with_new(raw("naa.600508b1", "virtualMode"));
  ASSERT_EQ(plan.create.size(), 1u);
  EXPECT_EQ(plan.create[0].path.format(), "[ds1] web/web_1.vmdk");
  EXPECT_EQ(plan.create[0].spec.capacity, 4 * kGib);
  EXPECT_EQ(plan.create[0].spec.mapping,
            (datastore::RawMapping{false, "naa.600508b1", "0200600508b1"}));
  EXPECT_THAT(plan.privileges, testing::Contains("VirtualMachine.Config.RawDevice"));
  EXPECT_TRUE(with_new(raw("naa.600508b1", "physicalMode")).create[0].spec.mapping->passthrough);
}

TEST_F(RawDisk, IsRefusedByWhatIsWrongWithIt) {
  const auto expect = [&](const std::string& part, Raw backing) {
    expect_fault<vim::InvalidDeviceBacking>(part, [&] { with_new(backing); });
  };
  expect("there is no disk 'naa.none' on this host", raw("naa.none", "virtualMode"));
  expect("'' is neither physicalMode nor virtualMode", raw("naa.600508b1", nullptr));
  Raw other_unit = raw("naa.600508b1", "virtualMode");
  other_unit.lunUuid = "0200";
  expect("is the unit 0200600508b1, not 0200", other_unit);
  Raw discarding = raw("naa.600508b1", "physicalMode");
  discarding.diskMode = "independent_nonpersistent";
  expect("keeps what is written to it", discarding);
  around.taken_raw_device = "naa.600508b1";
  expect("naa.600508b1 is taken", raw("naa.600508b1", "virtualMode"));
}

TEST_F(RawDisk, IsOneDiskOnly) {
  Spec spec;
  for (int i = 0; i < 2; ++i) add_new_disk(spec, on(raw("naa.600508b1", "virtualMode")));
  expect_fault<vim::InvalidDeviceBacking>("is to be [ds1] web/web_1.vmdk too",
                                          [&] { change(spec); });
}

TEST_F(RawDisk, IsShownWithItsUnit) {
  for (const bool physical : {false, true}) {
    config = sample_config();
    const vim::VirtualDisk device = shown(mapped(physical));
    EXPECT_EQ(device.capacityInBytes, static_cast<std::int64_t>(4 * kGib));
    const auto* backing = device.backing.as<Raw>();
    ASSERT_NE(backing, nullptr);
    EXPECT_EQ(backing->fileName, "[ds1] web/web_1.vmdk");
    EXPECT_EQ(backing->lunUuid, "0200600508b1");
    EXPECT_EQ(backing->deviceName, "vml.0200600508b1");
    EXPECT_EQ(backing->compatibilityMode, physical ? "physicalMode" : "virtualMode");
    around.disks.erase("[ds1] web/web_1.vmdk");
  }
}

TEST_F(RawDisk, HasNoDeviceNameWhereItsUnitIsNot) {
  const vmx::MachineConfig moved = mapped(false);
  around.raw_devices.clear();
  EXPECT_EQ(shown(moved).backing.as<Raw>()->deviceName, "");
}

TEST_F(RawDisk, PassesCommandsOnInPhysicalModeOnly) {
  for (const bool physical : {false, true}) {
    config = sample_config();
    const auto spec = machine_spec(mapped(physical), around.context, "m");
    EXPECT_NO_THROW(hypervisor::validate(spec));
    const hypervisor::Disk& machine = hypervisor::find_disk(spec, 2001);
    EXPECT_EQ(machine.passthrough, physical);
    ASSERT_EQ(machine.chain.size(), 1u);
    EXPECT_EQ(machine.chain[0].path, "/dev/naa.600508b1");
    EXPECT_TRUE(machine.chain[0].block_device);
    around.disks.erase("[ds1] web/web_1.vmdk");
  }
}

TEST_F(RawDisk, IsEmulatedWhereTheUnitKnowsNoScsi) {
  around.raw_devices.at("naa.600508b1").takes_scsi = false;
  const auto spec = machine_spec(mapped(true), around.context, "m");
  EXPECT_FALSE(hypervisor::find_disk(spec, 2001).passthrough);
}

TEST_F(RawDisk, IsTakenAsItIs) {
  around.add_raw_disk("[ds1] raw.vmdk", true, "naa.600508b1");
  Raw backing;
  backing.fileName = "[ds1] raw.vmdk";
  const ConfigPlan plan = with_existing(backing);
  EXPECT_TRUE(plan.create.empty());
  EXPECT_EQ(plan.config.disks.back().file, "/vmfs/volumes/5f3a2b1c-00000001/raw.vmdk");
  const auto expect = [&](const std::string& part, Raw asked) {
    asked.fileName = "[ds1] raw.vmdk";
    expect_fault<vim::InvalidDeviceBacking>(part, [&] { with_existing(asked); });
  };
  expect("mapped in the other mode", raw("", "virtualMode"));
  expect("is the unit naa.600508b1", raw("naa.none", nullptr));
  Raw discarding;
  discarding.diskMode = "independent_nonpersistent";
  expect("keeps what is written to it", discarding);
  around.add_disk("[ds1] raw.vmdk");
  expect("is no raw device mapping", raw("", nullptr));
}

TEST_F(RawDisk, KeepsItsModeAndSize) {
  mapped(true);
  const auto edit = [&](vim::VirtualDisk device) {
    Spec spec;
    add(spec, std::move(device)).operation = vim::VirtualDeviceConfigSpecOperation::edit;
    return change(spec);
  };
  EXPECT_NO_THROW(edit(shown(config)));
  vim::VirtualDisk larger = shown(config);
  larger.capacityInKB *= 2;
  larger.capacityInBytes.reset();
  expect_fault<vim::NotSupported>("vmfsPassthroughRawDeviceMap", [&] { edit(larger); });
  vim::VirtualDisk other = shown(config);
  Raw backing = *other.backing.as<Raw>();
  backing.compatibilityMode = "virtualMode";
  other.backing = model::share(backing);
  expect_fault<vim::InvalidDeviceBacking>("mapped in the other mode", [&] { edit(other); });
}

}  // namespace
}  // namespace virga::host
