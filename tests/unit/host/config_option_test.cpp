#include "host/config_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "host/guest_devices.h"
#include "host/vm_config_words.h"

namespace virga::host {
namespace {

using testing::ElementsAre;

constexpr MachineLimits kHost = {.vcpus = 16, .cores_per_socket = 16, .memory_mib = 32'768};

TEST(ConfigOption, OneDescriptorAVersionAndOneDefault) {
  const auto descriptors = config_option_descriptors({"HostSystem", "ha-host"});
  EXPECT_EQ(descriptors.size(), hardware_versions().size());
  std::vector<std::string> defaults;
  for (const auto& it : descriptors) {
    EXPECT_TRUE(it->runSupported) << it->key;
    EXPECT_TRUE(it->createSupported) << it->key;
    if (it->defaultConfigOption) defaults.push_back(it->key);
  }
  EXPECT_THAT(defaults, ElementsAre("vmx-19"));
  EXPECT_EQ(descriptors.front()->key, "vmx-04");
  EXPECT_EQ(descriptors.front()->description, "ESX 3.x and later (VM version 4)");
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
      EXPECT_EQ(device.as<vim::VirtualSCSIControllerOption>()->numSCSIDisks.max, 15);
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

TEST(ConfigOption, DevicesAreThoseOfTheVersion) {
  const auto types = [](int version) {
    std::vector<std::string> all;
    const auto option = config_option(hardware_version(version), kHost);
    for (const auto& device : option.hardwareOptions.virtualDeviceOption)
      all.push_back(device->type);
    return all;
  };
  EXPECT_THAT(types(4), testing::AllOf(testing::Contains("VirtualLsiLogicController"),
                                       testing::Not(testing::Contains("VirtualVmxnet3")),
                                       testing::Not(testing::Contains("VirtualE1000e"))));
  EXPECT_THAT(types(9), testing::AllOf(testing::Contains("VirtualE1000e"),
                                       testing::Not(testing::Contains("VirtualAHCIController"))));
  EXPECT_THAT(types(10), testing::Contains("VirtualAHCIController"));
}

TEST(ConfigOption, CapabilitiesAreThoseOfTheVersion) {
  EXPECT_FALSE(machine_capability(hardware_version(8)).nestedHVSupported);
  EXPECT_TRUE(machine_capability(hardware_version(9)).nestedHVSupported);
  EXPECT_FALSE(machine_capability(hardware_version(4)).multipleCoresPerSocketSupported);
}

TEST(ConfigOption, WhatIsRecommendedIsServedInEveryVersion) {
  for (const HardwareVersion& version : hardware_versions()) {
    for (const GuestOs& guest : guest_operating_systems()) {
      const RecommendedDevices recommended = recommended_devices(guest, version);
      EXPECT_THAT(disk_controllers(version), testing::Contains(recommended.disk_controller))
          << guest.id << version.number;
      EXPECT_THAT(network_adapters(version), testing::Contains(recommended.adapter))
          << guest.id << version.number;
    }
  }
}

TEST(ConfigOption, RecommendsWhatTheGuestHasDriversFor) {
  const auto recommended = [](const char* guest, int version) {
    return recommended_devices(*find_guest_os(guest), hardware_version(version));
  };
  EXPECT_EQ(recommended("windows9Server64Guest", 19).adapter, "VirtualE1000e");
  EXPECT_EQ(recommended("windows9Server64Guest", 19).disk_controller,
            "VirtualLsiLogicSASController");
  EXPECT_TRUE(recommended("windows9Server64Guest", 19).efi);
  EXPECT_EQ(recommended("windows8_64Guest", 7).adapter, "VirtualE1000");
  EXPECT_EQ(recommended("windows7_64Guest", 19).adapter, "VirtualE1000");
  EXPECT_EQ(recommended("winNTGuest", 19).disk_controller, "VirtualIDEController");
  EXPECT_EQ(recommended("rhel8_64Guest", 4).disk_controller, "VirtualLsiLogicController");
  EXPECT_EQ(recommended("debian4_64Guest", 19).adapter, "VirtualE1000");
  EXPECT_EQ(recommended("darwin19_64Guest", 19).disk_controller, "VirtualAHCIController");
}

TEST(ConfigOption, HasTheDevicesEveryVmStartsWith) {
  const auto option = config_option(hardware_version(19), kHost);
  std::vector<int> keys;
  for (const auto& device : option.defaultDevice) keys.push_back(device->key);
  EXPECT_THAT(keys, ElementsAre(200, 201, 300, 100, 400, 600, 700, 500, 12000));
}

}  // namespace
}  // namespace virga::host
