#include "storage/devices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../expect_error.h"
#include "sysfs_tree.h"

namespace virga::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

std::vector<std::string> names(const std::vector<const Path*>& paths) {
  std::vector<std::string> all;
  for (const Path* path : paths) all.push_back(path->name());
  return all;
}

std::vector<std::string> paths_of(const Devices& devices, const std::string& unit) {
  const LogicalUnit* found = find_unit(devices, unit);
  return found ? names(paths_to(devices, *found)) : std::vector<std::string>{"no such unit"};
}

TEST(Devices, OfARackServer) {
  const SysfsTree tree("server.tree");
  const Devices devices = read_devices(tree.root());
  // In the order of the PCI bus; both ports of the ATA controller are one adapter.
  ASSERT_THAT(devices.adapters, SizeIs(4));
  EXPECT_EQ(devices.adapters[0].driver, "usb-storage");
  EXPECT_EQ(devices.adapters[1].driver, "ahci");
  EXPECT_EQ(devices.adapters[1].kind, AdapterKind::block);
  EXPECT_EQ(devices.adapters[1].pci_address, "0000:00:1f.2");
  EXPECT_THAT(devices.adapters[1].rescan_files, SizeIs(2));
  EXPECT_EQ(devices.adapters[2].kind, AdapterKind::parallel_scsi);
  EXPECT_EQ(devices.adapters[2].driver, "megaraid_sas");
  EXPECT_EQ(devices.adapters[2].pci_address, "0000:3b:00.0");
  EXPECT_EQ(devices.adapters[3].kind, AdapterKind::sas);
  EXPECT_EQ(devices.adapters[3].model, "SAS9300-8e");
  EXPECT_EQ(std::get<std::uint64_t>(devices.adapters[3].identity), 0x500605b00a1b2c30u);

  const LogicalUnit* ssd = find_unit(devices, "naa.5002538e40a1b2c3");
  ASSERT_TRUE(ssd);
  EXPECT_EQ(ssd->device_path, "/dev/sda");
  EXPECT_EQ(ssd->bytes, 937703088ull * 512);
  EXPECT_EQ(ssd->physical_block_bytes, 4096u);
  EXPECT_FALSE(ssd->rotational);
  EXPECT_TRUE(ssd->local);
  EXPECT_EQ(ssd->vendor, "ATA");
  EXPECT_EQ(ssd->serial.substr(0, 8), "S45V0001");
  EXPECT_EQ(ssd->inquiry.size(), 8u);
  EXPECT_EQ(ssd->uuid, "02000000005002538e40a1b2c353414d53554e");
  EXPECT_THAT(paths_of(devices, ssd->name), ElementsAre("vmhba1:C0:T0:L0"));

  // A CD-ROM drive and an enclosure without identifiers go by their paths.
  const LogicalUnit* drive = find_unit(devices, "mpx.vmhba1:C0:T1:L0");
  ASSERT_TRUE(drive);
  EXPECT_EQ(drive->type, 5);
  EXPECT_FALSE(drive->is_disk());
  EXPECT_EQ(drive->uuid, "0000000000766d686261313a313a30");
  const LogicalUnit* enclosure = find_unit(devices, "mpx.vmhba2:C0:T32:L0");
  ASSERT_TRUE(enclosure);
  EXPECT_EQ(enclosure->type, 13);
  EXPECT_THAT(paths_of(devices, "naa.61866da05c5e1f00209d4e8b0a1b2c3d"),
              ElementsAre("vmhba2:C2:T0:L0"));
  EXPECT_TRUE(find_unit(devices, "mpx.vmhba0:C0:T0:L0")->removable);
}

TEST(Devices, TakesAPathOutAndIn) {
  const SysfsTree tree("server.tree");
  const std::string state =
      "devices/pci0000:5d/0000:5d:00.0/0000:5e:00.0/host3/port-3:0/end_device-3:0/target3:0:0/"
      "3:0:0:0/state";
  const Devices devices = read_devices(tree.root());
  const Path* path = find_path(devices, "vmhba3:C0:T0:L0");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->state, PathState::disabled);
  set_path_enabled(*path, true);
  EXPECT_TRUE(tree.text(state).starts_with("running"));
  set_path_enabled(*path, false);
  EXPECT_TRUE(tree.text(state).starts_with("offline"));
}

TEST(Devices, RescansEveryHostOfAnAdapter) {
  const SysfsTree tree("server.tree");
  const Devices devices = read_devices(tree.root());
  rescan(*find_adapter(devices, "vmhba1"));
  EXPECT_EQ(tree.text("class/scsi_host/host0/scan"), "- - -");
  EXPECT_EQ(tree.text("class/scsi_host/host1/scan"), "- - -");
  EXPECT_EQ(tree.text("class/scsi_host/host2/scan"), "\n");
}

TEST(Devices, OfAServerOnASan) {
  const SysfsTree tree("san.tree");
  const Devices devices = read_devices(tree.root());
  ASSERT_THAT(devices.adapters, SizeIs(5));
  const auto& first = std::get<FibreChannelLink>(devices.adapters[0].identity);
  EXPECT_EQ(devices.adapters[0].kind, AdapterKind::fibre_channel);
  EXPECT_TRUE(devices.adapters[0].online);
  EXPECT_EQ(devices.adapters[0].model, "QLE2742");
  EXPECT_EQ(first.port.port_name, 0x21000024ff0a1b2cu);
  EXPECT_EQ(first.port.node_name, 0x20000024ff0a1b2cu);
  EXPECT_EQ(first.bits_per_second, 32'000'000'000u);
  EXPECT_FALSE(devices.adapters[1].online);
  EXPECT_EQ(std::get<FibreChannelLink>(devices.adapters[1].identity).bits_per_second, 0u);
  const auto& fcoe = std::get<FibreChannelLink>(devices.adapters[2].identity);
  EXPECT_EQ(devices.adapters[2].kind, AdapterKind::fcoe);
  EXPECT_EQ(fcoe.nic, "eth2");
  EXPECT_EQ(fcoe.mac, "00:1b:21:0a:0b:0c");
  EXPECT_EQ(fcoe.forwarder_mac, "00:0d:ec:a1:b2:c3");
  EXPECT_EQ(fcoe.vlan, 100);
  const auto& hardware = std::get<IscsiInitiator>(devices.adapters[3].identity);
  EXPECT_EQ(hardware.name, "iqn.2000-04.com.qlogic:qle8362.gs1");
  EXPECT_EQ(hardware.mac, "00:0e:1e:01:02:03");
  EXPECT_FALSE(hardware.software);
  EXPECT_TRUE(std::get<IscsiInitiator>(devices.adapters[4].identity).software);
}

TEST(Devices, PathsOfOneVolumeAreOneUnit) {
  const SysfsTree tree("san.tree");
  const Devices devices = read_devices(tree.root());
  const LogicalUnit* volume = find_unit(devices, "naa.60060160557135001a2b3c4d5e6f7080");
  ASSERT_TRUE(volume);
  EXPECT_TRUE(volume->multipath);
  EXPECT_FALSE(volume->local);
  EXPECT_EQ(volume->device_path, "/dev/mapper/mpatha");
  EXPECT_EQ(volume->map, "360060160557135001a2b3c4d5e6f7080");
  const auto paths = paths_to(devices, *volume);
  EXPECT_THAT(names(paths), ElementsAre("vmhba0:C0:T0:L4", "vmhba0:C0:T1:L4", "vmhba1:C0:T0:L4"));
  EXPECT_EQ(paths[1]->scsi_address, "1:0:1:4");
  EXPECT_EQ(paths[0]->state, PathState::active);
  EXPECT_TRUE(paths[0]->working);
  EXPECT_EQ(paths[1]->state, PathState::standby);
  EXPECT_FALSE(paths[1]->working);
  EXPECT_EQ(paths[2]->state, PathState::dead);
  EXPECT_EQ(std::get<FibreChannelPort>(paths[1]->remote).port_name, 0x500601683ea00001u);

  // Each session of the kernel's initiator is a target of the one software adapter.
  const auto sessions =
      paths_to(devices, *find_unit(devices, "naa.6090a048a0b1c2d3e4f5a6b7c8d9e0f1"));
  EXPECT_THAT(names(sessions), ElementsAre("vmhba4:C0:T0:L0", "vmhba4:C0:T1:L0"));
  const auto& target = std::get<IscsiTarget>(sessions[1]->remote);
  EXPECT_EQ(target.name, "iqn.2001-05.com.equallogic:vol1");
  EXPECT_THAT(target.addresses, ElementsAre("[fd00::50]:3260"));
  EXPECT_TRUE(sessions[0]->working);
  EXPECT_FALSE(sessions[1]->working);  // no dm-multipath: the kernel uses the first block device
}

TEST(Devices, OfNvme) {
  const SysfsTree tree("nvme.tree");
  const Devices devices = read_devices(tree.root());
  ASSERT_THAT(devices.adapters, SizeIs(4));
  EXPECT_EQ(devices.adapters[0].kind, AdapterKind::nvme_pcie);
  EXPECT_EQ(devices.adapters[0].model, "SAMSUNG MZQL23T8HCLS-00A07");
  EXPECT_EQ(devices.adapters[3].kind, AdapterKind::nvme_tcp);
  EXPECT_FALSE(devices.adapters[3].online);
  ASSERT_THAT(devices.controllers, SizeIs(4));
  const NvmeController& drive = devices.controllers[0];
  EXPECT_EQ(drive.adapter, "vmhba0");
  EXPECT_EQ(drive.number, 6);
  EXPECT_EQ(drive.queues, 33);
  EXPECT_EQ(drive.queue_size, 1023);
  EXPECT_EQ(drive.vendor_id, "0x144d");
  EXPECT_EQ(drive.serial, "S64GNE0R123456");
  ASSERT_THAT(drive.namespaces, SizeIs(1));
  EXPECT_EQ(drive.namespaces[0].unit, "eui.36344730523123456025384500000001");
  EXPECT_EQ(find_unit(devices, "/dev/nvme0n1")->bytes, 7501476528ull * 512);

  // One subsystem, two controllers: a unit with two paths.
  const LogicalUnit* shared = find_unit(devices, "/dev/nvme1n1");
  ASSERT_TRUE(shared);
  EXPECT_EQ(shared->name,
            "t10.NVMe____Dual_Port_Drive__________________________DP0001_______________00000001");
  EXPECT_EQ(shared->block_bytes, 4096u);
  EXPECT_TRUE(shared->multipath);
  const auto paths = paths_to(devices, *shared);
  EXPECT_THAT(names(paths), ElementsAre("vmhba1:C0:T0:L0", "vmhba2:C0:T0:L0"));
  EXPECT_EQ(paths[0]->state, PathState::active);
  EXPECT_EQ(paths[1]->state, PathState::dead);

  const auto remote = paths_to(devices, *find_unit(devices, "/dev/nvme3n2"));
  EXPECT_THAT(names(remote), ElementsAre("vmhba3:C0:T0:L1"));
  EXPECT_EQ(remote[0]->state, PathState::dead);
}

TEST(Devices, OfAGuest) {
  const SysfsTree tree("guest.tree");
  const Devices devices = read_devices(tree.root());
  std::vector<std::string> drivers, units;
  for (const Adapter& adapter : devices.adapters) drivers.push_back(adapter.driver);
  for (const LogicalUnit& unit : devices.units) units.push_back(unit.device_path);
  EXPECT_THAT(drivers, ElementsAre("virtio_blk", "virtio_scsi", "device-mapper", "loop", "md"));
  EXPECT_THAT(units, ElementsAre("/dev/sda", "/dev/dm-0", "/dev/loop0", "/dev/md0", "/dev/vda"));
  EXPECT_EQ(find_unit(devices, "/dev/vda")->serial, "welcome-disk");
  EXPECT_EQ(find_unit(devices, "/dev/sda")->name, "mpx.vmhba1:C0:T3:L1");
  const Path* disk = find_path(devices, "vmhba0:C0:T0:L0");
  ASSERT_TRUE(disk);
  expect_error(ErrorKind::unsupported, "vmhba0:C0:T0:L0", [&] { set_path_enabled(*disk, false); });
}

TEST(Devices, OfNothing) {
  const Devices devices = read_devices("/nonexistent");
  EXPECT_TRUE(devices.adapters.empty());
  EXPECT_TRUE(devices.units.empty());
}

}  // namespace
}  // namespace virga::storage
