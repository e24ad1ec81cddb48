#include "host/config_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace virga::host {
namespace {

using testing::ElementsAre;

TEST(ConfigTarget, ListsTheHostsDevices) {
  hypervisor::HostDevices devices;
  devices.optical_drives = {"/dev/sr0"};
  devices.serial_ports = {"/dev/ttyS0", "/dev/ttyS1"};
  devices.parallel_ports = {"/dev/parport0"};
  vim::ConfigTarget target;
  list_host_devices(
      devices, [](const auto&) { return ""; }, "host-1", target);
  ASSERT_EQ(target.cdRom.size(), 1u);
  EXPECT_EQ(target.cdRom[0]->name, "/dev/sr0");
  ASSERT_EQ(target.serial.size(), 2u);
  EXPECT_EQ(target.serial[1]->name, "/dev/ttyS1");
  EXPECT_EQ(target.parallel.size(), 1u);
  EXPECT_TRUE(target.floppy.empty());
}

TEST(ConfigTarget, NamesUsbDevicesByTheirPlace) {
  hypervisor::HostUsbDevice keyboard;
  keyboard.bus = 2;
  keyboard.ports = {1, 3};
  keyboard.vendor = 0x046d;
  keyboard.product = 0xc31c;
  keyboard.manufacturer = "Logitech";
  keyboard.name = "Keyboard K120";
  keyboard.mbps = 1.5;
  keyboard.interfaces = {{0x03, 0x01, 0x01}, {0x03, 0x00, 0x00}, {0x03, 0x00, 0x00}};
  hypervisor::HostDevices devices;
  devices.usb = {keyboard};
  vim::ConfigTarget target;
  list_host_devices(
      devices, [](const auto&) { return ""; }, "host-1", target);
  ASSERT_EQ(target.usb.size(), 1u);
  const vim::VirtualMachineUsbInfo& info = *target.usb[0];
  EXPECT_EQ(info.name, "path:2/0/2");
  EXPECT_EQ(info.physicalPath, "2/0/2");
  EXPECT_EQ(info.description, "Logitech Keyboard K120");
  EXPECT_EQ(info.vendor, 0x046d);
  EXPECT_THAT(info.family, ElementsAre("hid_bootable", "hid"));
  EXPECT_THAT(info.speed, ElementsAre("low"));
}

TEST(ConfigTarget, ListsPciDevicesThatVmsCanHave) {
  hypervisor::HostDevices devices;
  devices.pci = {
      {.address = "0000:3b:00.0",
       .vendor = 0x10de,
       .device = 0x1bb3,
       .class_code = 0x030200,
       .driver = "vfio-pci",
       .iommu_group = 17},
      {.address = "0000:5e:00.0",
       .driver = "i40e",
       .iommu_group = 20,
       .functions = {"0000:5e:02.0"},
       .interface = "ens3f0"},
      {.address = "0000:5e:02.0", .iommu_group = 21, .physical_function = "0000:5e:00.0"},
      {.address = "0000:00:01.0", .class_code = 0x060400, .driver = "vfio-pci", .iommu_group = 1}};
  vim::ConfigTarget target;
  list_host_devices(
      devices, [](const auto&) { return "lab"; }, "host-1", target);
  ASSERT_EQ(target.pciPassthrough.size(), 1u);
  EXPECT_EQ(target.pciPassthrough[0]->pciDevice.id, "0000:3b:00.0");
  EXPECT_EQ(target.pciPassthrough[0]->systemId, "host-1");
  ASSERT_EQ(target.dynamicPassthrough.size(), 1u);
  EXPECT_EQ(target.dynamicPassthrough[0]->customLabel, "lab");
  EXPECT_EQ(target.dynamicPassthrough[0]->vendorId, 0x10de);
  ASSERT_EQ(target.sriov.size(), 2u);
  EXPECT_EQ(target.sriov[0]->pnic, "ens3f0");
  EXPECT_FALSE(target.sriov[0]->virtualFunction);
  EXPECT_EQ(target.sriov[1]->pciDevice.id, "0000:5e:02.0");
  EXPECT_EQ(target.sriov[1]->pnic, "ens3f0");
  EXPECT_TRUE(target.sriov[1]->virtualFunction);
}

}  // namespace
}  // namespace virga::host
