#include "host/config_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "host/vm_config_words.h"

namespace virga::host {
namespace {

using testing::ElementsAre;

constexpr MachineLimits kHost = {16, 32'768};

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
  EXPECT_EQ(hardware_version(16).number, 15);
  EXPECT_EQ(hardware_version(3).number, 4);
}

TEST(ConfigOption, OneDescriptorAVersionAndOneDefault) {
  const auto descriptors = config_option_descriptors({"HostSystem", "ha-host"});
  EXPECT_EQ(descriptors.size(), hardware_versions().size());
  std::vector<std::string> defaults, not_created;
  for (const auto& it : descriptors) {
    EXPECT_TRUE(it->runSupported) << it->key;
    if (it->defaultConfigOption) defaults.push_back(it->key);
    if (!it->createSupported) not_created.push_back(it->key);
  }
  EXPECT_THAT(defaults, ElementsAre("vmx-19"));
  EXPECT_THAT(not_created, ElementsAre("vmx-04"));
}

TEST(ConfigOption, LimitsAreTheLesserOfVersionAndHost) {
  const auto now = config_option(hardware_version(19), kHost);
  EXPECT_EQ(now.hardwareOptions.numCPU.back(), 16);
  EXPECT_EQ(now.hardwareOptions.memoryMB.max, 32'768);
  const auto old = config_option(hardware_version(4), kHost);
  EXPECT_EQ(old.hardwareOptions.numCPU.back(), 4);
  EXPECT_EQ(old.hardwareOptions.hwVersion, 4);
}

TEST(ConfigOption, OffersOnlyDevicesTheHypervisorHas) {
  const auto option = config_option(hardware_version(19), kHost);
  std::vector<std::string> types;
  for (const auto& device : option.hardwareOptions.virtualDeviceOption) {
    types.push_back(device->type);
    if (const auto controller = controller_model_of(device->type)) {
      EXPECT_TRUE(machine_model(*controller)) << device->type;
    }
    if (const auto adapter = adapter_model_of(device->type)) {
      EXPECT_TRUE(machine_model(*adapter)) << device->type;
    }
  }
  EXPECT_THAT(types, testing::IsSupersetOf({"ParaVirtualSCSIController", "VirtualAHCIController",
                                            "VirtualDisk", "VirtualCdrom", "VirtualVmxnet3"}));
}

TEST(ConfigOption, UnitsAreThoseADiskCanTake) {
  const auto option = config_option(hardware_version(19), kHost);
  for (const auto& device : option.hardwareOptions.virtualDeviceOption) {
    if (device->type == "ParaVirtualSCSIController") {
      EXPECT_EQ(device.as<vim::VirtualSCSIControllerOption>()->numSCSIDisks.max, 63);
    }
    if (device->type == "VirtualLsiLogicController") {
      EXPECT_EQ(device.as<vim::VirtualSCSIControllerOption>()->numSCSIDisks.max, 7);
    }
  }
}

TEST(ConfigOption, DescribesEveryGuestOrThoseAskedFor) {
  const auto all = config_option(hardware_version(19), kHost);
  EXPECT_EQ(all.guestOSDescriptor.size(), guest_operating_systems().size());
  EXPECT_EQ(all.guestOSDescriptor[all.guestOSDefaultIndex]->id, "otherGuest");
  const auto some = config_option(hardware_version(19), kHost, {"debian11_64Guest", "noGuest"});
  ASSERT_EQ(some.guestOSDescriptor.size(), 1u);
  const vim::GuestOsDescriptor& debian = *some.guestOSDescriptor[0];
  EXPECT_EQ(debian.fullName, "Debian GNU/Linux 11 (64-bit)");
  EXPECT_EQ(debian.family, "linuxGuest");
  EXPECT_EQ(debian.recommendedSCSIController, "ParaVirtualSCSIController");
  EXPECT_EQ(debian.recommendedEthernetCard, "VirtualVmxnet3");
  EXPECT_EQ(debian.supportedMaxCPUs, 16);
}

TEST(ConfigOption, WhatIsRecommendedIsServed) {
  for (const GuestOs& guest : guest_operating_systems()) {
    const RecommendedDevices recommended = recommended_devices(guest);
    EXPECT_TRUE(machine_model(recommended.disk_controller)) << guest.id;
    EXPECT_TRUE(machine_model(recommended.adapter)) << guest.id;
  }
}

TEST(ConfigOption, HasTheDevicesEveryVmStartsWith) {
  const auto option = config_option(hardware_version(19), kHost);
  std::vector<int> keys;
  for (const auto& device : option.defaultDevice) keys.push_back(device->key);
  EXPECT_THAT(keys, ElementsAre(200, 201, 300, 100, 400, 600, 700, 500, 12000));
}

}  // namespace
}  // namespace virga::host
