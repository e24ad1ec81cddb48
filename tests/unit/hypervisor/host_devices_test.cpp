#include "hypervisor/host_devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_machine.h"

namespace virga::hypervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(FakeMachine, ListsDrivesAndPortsByTheirNodes) {
  put("sys/class/block/sr0/size", "0\n");
  put("sys/class/block/sda/size", "2048\n");
  put("sys/class/block/fd0/size", "8\n");
  put("sys/class/tty/ttyS0/type", "4\n");
  put("sys/class/tty/ttyS1/type", "0\n");  // no chip behind it
  put("sys/class/tty/tty1/dev", "4:1\n");
  put("sys/class/tty/ttyUSB0/dev", "188:0\n");
  put("sys/class/ppdev/parport0/dev", "99:0\n");
  put("sys/class/sound/card0/id", "PCH\n");
  put("sys/class/sound/pcmC0D0p/dev", "116:2\n");
  const HostDevices found = probe_host_devices(root);
  EXPECT_THAT(found.optical_drives, ElementsAre("/dev/sr0"));
  EXPECT_THAT(found.floppy_drives, ElementsAre("/dev/fd0"));
  EXPECT_THAT(found.serial_ports, ElementsAre("/dev/ttyS0", "/dev/ttyUSB0"));
  EXPECT_THAT(found.parallel_ports, ElementsAre("/dev/parport0"));
  EXPECT_THAT(found.sound_cards, ElementsAre("card0"));
}

TEST_F(FakeMachine, ListsUsbDevicesButNoHubsAndInterfaces) {
  const std::string bus = "sys/bus/usb/devices/";
  put(bus + "usb1/bDeviceClass", "09\n");
  put(bus + "1-2/bDeviceClass", "09\n");
  put(bus + "1-0:1.0/bInterfaceClass", "09\n");
  const std::string stick = bus + "1-2.3/";
  put(stick + "bDeviceClass", "00\n");
  put(stick + "busnum", "1\n");
  put(stick + "devnum", "12\n");
  put(stick + "idVendor", "0930\n");
  put(stick + "idProduct", "6545\n");
  put(stick + "manufacturer", "Kingston\n");
  put(stick + "product", "DataTraveler 2.0\n");
  put(stick + "serial", "60A44C\n");
  put(stick + "speed", "480\n");
  put(stick + "1-2.3:1.0/bInterfaceClass", "08\n");
  put(stick + "1-2.3:1.0/bInterfaceSubClass", "06\n");
  put(stick + "1-2.3:1.0/bInterfaceProtocol", "50\n");
  const auto found = probe_host_devices(root).usb;
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].node(), "/dev/bus/usb/001/012");
  EXPECT_THAT(found[0].ports, ElementsAre(2, 3));
  EXPECT_EQ(found[0].vendor, 0x0930);
  EXPECT_EQ(found[0].product, 0x6545);
  EXPECT_EQ(found[0].name, "DataTraveler 2.0");
  EXPECT_DOUBLE_EQ(found[0].mbps, 480);
  EXPECT_THAT(found[0].interfaces, ElementsAre(UsbInterface{0x08, 0x06, 0x50}));
}

TEST_F(FakeMachine, WithoutDevicesHasNone) {
  const HostDevices found = probe_host_devices(root);
  EXPECT_THAT(found.optical_drives, IsEmpty());
  EXPECT_THAT(found.usb, IsEmpty());
}

}  // namespace
}  // namespace virga::hypervisor
