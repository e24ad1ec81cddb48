// Generations of virtual hardware: what they are, and that a VM gets nothing its own has not.
#include "host/hardware_version.h"

#include <algorithm>

#include "vm_config_specs.h"

namespace virga::host {
namespace {

TEST(HardwareVersions, AreReadAndWrittenAsVmxWords) {
  for (const HardwareVersion& version : hardware_versions())
    EXPECT_EQ(parse_hardware_version(format_hardware_version(version.number)), version.number);
  EXPECT_EQ(format_hardware_version(7), "vmx-07");
  for (const char* wrong : {"", "vmx-", "vmx-7", "vmx-1x", "19", "VMX-19", "vmx-190"})
    EXPECT_EQ(parse_hardware_version(wrong), std::nullopt) << wrong;
}

TEST(HardwareVersions, GrowWithTime) {
  EXPECT_TRUE(std::ranges::is_sorted(hardware_versions(), {}, &HardwareVersion::number));
  EXPECT_TRUE(std::ranges::is_sorted(hardware_versions(), {}, &HardwareVersion::max_vcpus));
  EXPECT_TRUE(std::ranges::is_sorted(hardware_versions(), {}, &HardwareVersion::max_memory_mib));
}

TEST(HardwareVersions, AreThoseThatReleasesBrought) {
  const auto released = [](int number) { return hardware_version(number).release; };
  EXPECT_EQ(released(7), "ESX/ESXi 4.x");
  EXPECT_EQ(released(8), "ESXi 5.0");
  EXPECT_EQ(released(9), "ESXi 5.1");
  EXPECT_EQ(released(10), "ESXi 5.5");
  EXPECT_EQ(released(11), "ESXi 6.0");
  EXPECT_EQ(released(12), "ESXi 6.5");
  EXPECT_EQ(released(13), "ESXi 6.5");
  EXPECT_EQ(released(14), "ESXi 6.7");
  EXPECT_EQ(released(16), "ESXi 6.7 U2");
  EXPECT_EQ(released(17), "ESXi 7.0");
  EXPECT_EQ(hardware_version(17).max_vcpus, 256);
  EXPECT_EQ(hardware_version(17).max_memory_mib, 6128 * 1024);
}

TEST(HardwareVersions, FiveAndSixAreNone) {
  EXPECT_FALSE(is_hardware_version(5));
  EXPECT_FALSE(is_hardware_version(6));
  EXPECT_EQ(hardware_version(6).number, 4);
  EXPECT_EQ(hardware_version(3).number, 4);
}

TEST_F(VmCreation, NewerHardwareThanTheHostsIsNotSupported) {
  around.context.host_name = "esx1";
  for (const char* version : {"vmx-20", "vmx-99"}) {
    spec.version = version;
    const auto fault = expect_fault<vim::VirtualHardwareVersionNotSupported>(
        std::string(version) + " is newer than vmx-19", [&] { create(spec); });
    EXPECT_EQ(fault.hostName, "esx1");
  }
  spec.version = "vmx-05";
  expect_fault<vim::InvalidArgument>("no hardware version 'vmx-05'", [&] { create(spec); });
}

struct Newer {
  const char* name;
  const char* version;
  void (*build)(Spec&);
  const char* expected;
};

template <class Device>
void add_one(Spec& spec) {
  Device device;
  device.key = -1;
  add(spec, std::move(device));
}

class DeviceOfANewerVersion : public testing::TestWithParam<Newer> {};

TEST_P(DeviceOfANewerVersion, IsRefusedNamingBoth) {
  Surroundings around;
  Spec spec;
  spec.name = "web";
  spec.version = GetParam().version;
  GetParam().build(spec);
  const auto fault = expect_fault<vim::DeviceUnsupportedForVmVersion>(
      GetParam().expected, [&] { plan_creation(spec, around.context); });
  EXPECT_EQ(fault.currentVersion, GetParam().version);
  EXPECT_EQ(fault.expectedVersion, GetParam().expected);
  EXPECT_EQ(fault.deviceIndex, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Devices, DeviceOfANewerVersion,
    testing::Values(
        Newer{"pvscsi", "vmx-04", add_one<vim::ParaVirtualSCSIController>, "vmx-07"},
        Newer{"lsi_sas", "vmx-04", add_one<vim::VirtualLsiLogicSASController>, "vmx-07"},
        Newer{"sata", "vmx-09", add_one<vim::VirtualAHCIController>, "vmx-10"},
        Newer{"nvme", "vmx-12", add_one<vim::VirtualNVMEController>, "vmx-13"},
        Newer{"vmxnet3", "vmx-04", [](Spec& s) { add(s, card<vim::VirtualVmxnet3>("Lab")); },
              "vmx-07"},
        Newer{"e1000e", "vmx-07", [](Spec& s) { add(s, card<vim::VirtualE1000e>("Lab")); },
              "vmx-08"},
        Newer{"xhci", "vmx-07", add_one<vim::VirtualUSBXHCIController>, "vmx-08"},
        Newer{"tpm", "vmx-13", add_one<vim::VirtualTPM>, "vmx-14"},
        Newer{"watchdog", "vmx-15", add_one<vim::VirtualWDT>, "vmx-17"},
        Newer{"ide_disk", "vmx-04", [](Spec& s) { add_new_disk(s, disk(200, 1024)); }, "vmx-07"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(VmCreation, FirmwareAndCoresAreHeldToTheVersion) {
  spec.version = "vmx-07";
  spec.firmware = "efi";
  expect_fault<vim::InvalidArgument>("vmx-07 has no EFI; vmx-08 is the first",
                                     [&] { create(spec); });
  spec.firmware = "bios";
  spec.nestedHVEnabled = true;
  expect_fault<vim::InvalidArgument>("vmx-07 has no hardware virtualization",
                                     [&] { create(spec); });
  spec.nestedHVEnabled.reset();
  spec.version = "vmx-04";
  spec.numCPUs = spec.numCoresPerSocket = 2;
  expect_fault<vim::InvalidArgument>("2 cores per socket are more than the 1 of hardware version",
                                     [&] { create(spec); });
}

TEST_F(VmCreation, OfVersion4HasFourAdapters) {
  spec.version = "vmx-04";
  for (int i = 0; i < 4; ++i) add(spec, card<vim::VirtualE1000>("Lab"));
  EXPECT_EQ(create(spec).config.network_adapters.size(), 4u);
  add(spec, card<vim::VirtualE1000>("Lab"));
  expect_fault<vim::TooManyDevices>("hardware version vmx-04 has at most 4 network adapters",
                                    [&] { create(spec); });
}

TEST_F(VmChange, UpgradesToTheVersionAskedForOrTheHosts) {
  present.hardware_version = 11;
  EXPECT_EQ(upgraded_version(present, std::nullopt, around.context), 19);
  EXPECT_EQ(upgraded_version(present, "vmx-14", around.context), 14);
  expect_fault<vim::AlreadyUpgraded>("web has hardware version vmx-11 already",
                                     [&] { upgraded_version(present, "vmx-11", around.context); });
  expect_fault<vim::AlreadyUpgraded>("already",
                                     [&] { upgraded_version(present, "vmx-08", around.context); });
  expect_fault<vim::VirtualHardwareVersionNotSupported>(
      "vmx-21 is newer", [&] { upgraded_version(present, "vmx-21", around.context); });
  expect_fault<vim::InvalidArgument>("vmx-06",
                                     [&] { upgraded_version(present, "vmx-06", around.context); });
}

TEST_F(VmChange, HardwareNewerThanTheHostsDoesNotRun) {
  present.hardware_version = 21;
  expect_fault<vim::VirtualHardwareVersionNotSupported>(
      "vmx-21", [&] { machine_spec(present, around.context, "web"); });
}

}  // namespace
}  // namespace virga::host
