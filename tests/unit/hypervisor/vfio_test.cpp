// Devices for guests, on a sysfs as machines with an IOMMU have it: this one has none.
#include "hypervisor/vfio.h"

#include <gmock/gmock.h>

#include "../expect_error.h"
#include "base/sysfs.h"
#include "fake_machine.h"
#include "hypervisor/host_devices.h"
#include "hypervisor/mediated_device.h"

namespace virga::hypervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A GPU with vGPU profiles, a network card with a virtual function, and a bridge.
struct Passthrough : FakeMachine {
  Passthrough() {
    device("0000:3b:00.0", "0x10de", "0x1bb3", "0x030200", 17);
    put(at("0000:3b:00.0") + "/mdev_supported_types/nvidia-63/name", "GRID P4-1Q\n");
    put(at("0000:3b:00.0") + "/mdev_supported_types/nvidia-63/available_instances", "8\n");
    put(at("0000:3b:00.0") + "/mdev_supported_types/nvidia-63/description", "framebuffer=1024M\n");
    device("0000:5e:00.0", "0x8086", "0x1572", "0x020000", 20);
    put(at("0000:5e:00.0") + "/sriov_totalvfs", "64\n");
    put(at("0000:5e:00.0") + "/sriov_numvfs", "1\n");
    put(at("0000:5e:00.0") + "/sriov_drivers_autoprobe", "1\n");
    link(at("0000:5e:00.0") + "/virtfn0", at("0000:5e:02.0"));
    put(at("0000:5e:00.0") + "/net/ens3f0/address", "00:11:22:33:44:55\n");
    device("0000:5e:02.0", "0x8086", "0x154c", "0x020000", 21);
    link(at("0000:5e:02.0") + "/physfn", at("0000:5e:00.0"));
    device("0000:00:01.0", "0x8086", "0x2030", "0x060400", 1);
  }

  static std::string at(const std::string& address) { return "sys/bus/pci/devices/" + address; }
  void device(const std::string& address, const char* vendor, const char* id, const char* kind,
              int group) {
    put(at(address) + "/vendor", std::string(vendor) + "\n");
    put(at(address) + "/device", std::string(id) + "\n");
    put(at(address) + "/class", std::string(kind) + "\n");
    put(at(address) + "/revision", "0xa1\n");
    put(at(address) + "/driver_override", "(null)\n");
    link(at(address) + "/iommu_group", "sys/kernel/iommu_groups/" + std::to_string(group));
  }
  PciDevice probed(const std::string& address) {
    for (const PciDevice& device : probe_pci_devices(root))
      if (device.address == address) return device;
    throw std::runtime_error("no " + address);
  }
  std::string text(const std::string& path) { return read_text(root + "/" + path); }
};

TEST_F(Passthrough, DevicesAreListedWithWhatCanBeDoneWithThem) {
  const PciDevice gpu = probed("0000:3b:00.0");
  EXPECT_EQ(gpu.iommu_group, 17);
  EXPECT_EQ(gpu.revision, 0xa1);
  EXPECT_TRUE(gpu.can_be_passed_through());
  EXPECT_THAT(gpu.mediated,
              ElementsAre(MediatedType{"nvidia-63", "GRID P4-1Q", 8, "framebuffer=1024M"}));
  const PciDevice card = probed("0000:5e:00.0");
  EXPECT_THAT(card.functions, ElementsAre("0000:5e:02.0"));
  EXPECT_EQ(card.most_functions, 64);
  EXPECT_EQ(card.interface, "ens3f0");
  EXPECT_EQ(probed("0000:5e:02.0").physical_function, "0000:5e:00.0");
  EXPECT_FALSE(probed("0000:00:01.0").can_be_passed_through());
  fs::remove(root + "/" + at("0000:3b:00.0") + "/iommu_group");
  EXPECT_FALSE(probed("0000:3b:00.0").can_be_passed_through());
}

TEST_F(Passthrough, ADeviceIsTakenFromItsDriverAndGivenBack) {
  const std::string address = "0000:3b:00.0";
  put("sys/bus/pci/drivers/nouveau/unbind", "");
  link(at(address) + "/driver", "sys/bus/pci/drivers/nouveau");
  put("sys/bus/pci/drivers_probe", "");
  bind_to_vfio(address, true, root);
  EXPECT_EQ(text(at(address) + "/driver_override"), "vfio-pci");
  EXPECT_EQ(text("sys/bus/pci/drivers/nouveau/unbind"), address);
  EXPECT_EQ(text("sys/bus/pci/drivers_probe"), address);
  put(at(address) + "/driver_override", "");
  bind_to_vfio(address, false, root);
  EXPECT_EQ(text(at(address) + "/driver_override"), "");
  EXPECT_EQ(failure_of([&] { bind_to_vfio("0000:99:00.0", true, root); }).kind(),
            ErrorKind::not_found);
}

// The kernel's own part, that functions come and go, is played by the tree.
TEST_F(Passthrough, ACardIsDividedIntoFunctionsForVfio) {
  put("sys/bus/pci/drivers_probe", "");
  divide_for_vfio("0000:5e:00.0", 1, root);
  EXPECT_EQ(text(at("0000:5e:00.0") + "/sriov_drivers_autoprobe"), "0");
  EXPECT_EQ(text(at("0000:5e:00.0") + "/sriov_numvfs"), "1");
  EXPECT_EQ(text(at("0000:5e:02.0") + "/driver_override"), "vfio-pci");
  EXPECT_EQ(text("sys/bus/pci/drivers_probe"), "0000:5e:02.0");
  const Error failure = failure_of([&] { divide_for_vfio("0000:5e:00.0", 2, root); });
  EXPECT_THAT(failure.what(), HasSubstr("0000:5e:00.0 made no virtual function 1"));
  divide_for_vfio("0000:5e:00.0", 0, root);
  EXPECT_EQ(text(at("0000:5e:00.0") + "/sriov_numvfs"), "0");
}

// As above: what the kernel makes and removes is there all along.
TEST_F(Passthrough, AGpuIsSharedUnderAUuid) {
  const DeviceShare share{"nvidia-63", "0f9c7f4e-0000-4000-8000-000000000001"};
  const std::string made = "sys/bus/mdev/devices/" + share.uuid;
  put(at("0000:3b:00.0") + "/mdev_supported_types/nvidia-63/create", "");
  put(made + "/remove", "");
  EXPECT_EQ(failure_of([&] { create_mediated_device("0000:3b:00.0", share, root); }).kind(),
            ErrorKind::io);
  link(made + "/iommu_group", "sys/kernel/iommu_groups/40");
  EXPECT_EQ(create_mediated_device("0000:3b:00.0", share, root), 40);
  EXPECT_EQ(text(at("0000:3b:00.0") + "/mdev_supported_types/nvidia-63/create"), share.uuid);
  EXPECT_EQ(text(made + "/remove"), "1");
  const DeviceShare other{"nvidia-99", share.uuid};
  EXPECT_EQ(failure_of([&] { create_mediated_device("0000:3b:00.0", other, root); }).kind(),
            ErrorKind::not_found);
  fs::remove_all(root + "/" + made);
  EXPECT_NO_THROW(remove_mediated_device(share.uuid, root));
}

TEST_F(Passthrough, RdmaDevicesAreKnownByTheirCards) {
  put("sys/class/infiniband/mlx5_0/device/net/ens3f0/address", "00:11:22:33:44:55\n");
  EXPECT_THAT(probe_host_devices(root).rdma, ElementsAre(RdmaDevice{"mlx5_0", "ens3f0"}));
}

TEST(NetworkFunction, IsHeldToItsAddressByItsCard) {
  NetworkFunction function{
      .interface = "ens3f0", .index = 3, .mac = "00:0c:29:01:02:03", .vlan = 7};
  EXPECT_THAT(configuring_command(function),
              ElementsAre("ip", "link", "set", "dev", "ens3f0", "vf", "3", "mac",
                          "00:0c:29:01:02:03", "vlan", "7", "spoofchk", "on"));
  function.forged_transmits = true;
  EXPECT_EQ(configuring_command(function).back(), "off");
  function.interface = "no-such-card";
  EXPECT_EQ(failure_of([&] { configure(function); }).kind(), ErrorKind::io);
}

}  // namespace
}  // namespace virga::hypervisor
