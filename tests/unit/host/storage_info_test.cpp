#include "host/storage_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../storage/sysfs_tree.h"

namespace virga::host {
namespace {

using storage::SysfsTree;
using ::testing::ElementsAre;
using ::testing::SizeIs;

vim::HostStorageDeviceInfo info_of(const char* tree) {
  return storage_device_info(storage::read_devices(SysfsTree(tree).root()));
}

std::vector<std::string> keys(const vim::HostStorageDeviceInfo& info) {
  std::vector<std::string> all;
  for (const auto& adapter : info.hostBusAdapter) all.push_back(*adapter->key);
  return all;
}

TEST(StorageInfo, AdaptersAreOfTheirKinds) {
  EXPECT_THAT(
      keys(info_of("server.tree")),
      ElementsAre("key-vim.host.BlockHba-vmhba0", "key-vim.host.BlockHba-vmhba1",
                  "key-vim.host.ParallelScsiHba-vmhba2", "key-vim.host.SerialAttachedHba-vmhba3"));
  const auto san = info_of("san.tree");
  EXPECT_THAT(
      keys(san),
      ElementsAre("key-vim.host.FibreChannelHba-vmhba0", "key-vim.host.FibreChannelHba-vmhba1",
                  "key-vim.host.FibreChannelOverEthernetHba-vmhba2",
                  "key-vim.host.InternetScsiHba-vmhba3", "key-vim.host.InternetScsiHba-vmhba4"));
  const auto* port = san.hostBusAdapter[0].as<vim::HostFibreChannelHba>();
  EXPECT_EQ(port->portWorldWideName, 0x21000024ff0a1b2c);
  EXPECT_EQ(port->portType, vim::FibreChannelPortType::fabric);
  EXPECT_EQ(port->speed, 32'000'000'000);
  EXPECT_EQ(port->bus, 0x3b);
  const auto* fcoe = san.hostBusAdapter[2].as<vim::HostFibreChannelOverEthernetHba>();
  EXPECT_TRUE(fcoe->isSoftwareFcoe);
  EXPECT_EQ(fcoe->linkInfo.vlanId, 100);
}

TEST(StorageInfo, PathsOfAVolumeTellTheirStates) {
  const auto info = info_of("san.tree");
  const auto unit = info.multipathInfo->lun[0];
  ASSERT_THAT(unit->path, SizeIs(3));
  EXPECT_EQ(unit->policy->policy, "VMW_PSP_RR");
  EXPECT_EQ(unit->path[0]->pathState, "active");
  EXPECT_EQ(unit->path[1]->pathState, "standby");
  EXPECT_EQ(unit->path[2]->pathState, "dead");
  EXPECT_EQ(unit->path[2]->adapter, "key-vim.host.FibreChannelHba-vmhba1");
  const auto* fixed =
      info.multipathInfo->lun[1]->policy.as<vim::HostMultipathInfoFixedLogicalUnitPolicy>();
  ASSERT_TRUE(fixed);
  EXPECT_EQ(fixed->prefer, "vmhba4:C0:T0:L0");
  EXPECT_THAT(info.plugStoreTopology->path, SizeIs(5));
}

TEST(StorageInfo, AVolumeTellsThePolicyOfItsMap) {
  storage::Devices devices = storage::read_devices(SysfsTree("san.tree").root());
  devices.units[0].path_rule = {storage::PathPolicy::most_recent, ""};
  auto policy = storage_device_info(devices).multipathInfo->lun[0]->policy;
  EXPECT_EQ(policy->policy, "VMW_PSP_MRU");
  devices.units[0].path_rule = {storage::PathPolicy::fixed, "1:0:1:4"};
  policy = storage_device_info(devices).multipathInfo->lun[0]->policy;
  EXPECT_EQ(policy->policy, "VMW_PSP_FIXED");
  EXPECT_EQ(policy.as<vim::HostMultipathInfoFixedLogicalUnitPolicy>()->prefer, "vmhba0:C0:T1:L4");
}

TEST(StorageInfo, NvmeControllersAndNamespaces) {
  const auto info = info_of("nvme.tree");
  ASSERT_THAT(info.nvmeTopology->adapter, SizeIs(4));
  const auto controller = info.nvmeTopology->adapter[0]->connectedController[0];
  EXPECT_EQ(controller->associatedAdapter, "key-vim.host.PcieHba-vmhba0");
  EXPECT_EQ(controller->attachedNamespace[0]->capacityInBlocks, 7501476528);
  EXPECT_EQ(*info.hostBusAdapter[0]->storageProtocol, "nvme");
}

TEST(StorageInfo, PartitionsInBothFormats) {
  storage::PartitionTable table;
  table.label = "dos";
  table.partitions = {{1, 2048, 4096, "83", "", true}, {5, 8192, 100, "fb", "", false}};
  const auto info = partition_info("/dev/sda", table, 1 << 30);
  EXPECT_EQ(*info.spec.partitionFormat, "mbr");
  EXPECT_EQ(*info.spec.totalSectors, 2097152);
  EXPECT_EQ(info.spec.partition[0]->endSector, 6143);
  EXPECT_EQ(info.spec.partition[0]->type, "linuxNative");
  EXPECT_EQ(info.spec.partition[0]->attributes, std::int8_t(-128));
  EXPECT_TRUE(info.spec.partition[1]->logical);
  EXPECT_EQ(info.spec.partition[1]->type, "vmfs");
  const auto spec = partition_spec(info.layout, "gpt");
  EXPECT_EQ(spec.partition[1]->partition, 5);
  EXPECT_FALSE(spec.partition[1]->logical);
  EXPECT_EQ(*spec.partition[0]->partitionAlignment, 2048);
}

TEST(StorageInfo, IscsiSettingsWithoutSecrets) {
  storage::IscsiSettings settings;
  settings.authentication.initiator = {storage::Chap::required, "alice", "alicesecret12"};
  storage::IscsiOverrides own;
  own.initiator = storage::ChapCredentials{storage::Chap::preferred, "bob", "bobsecret1234"};
  settings.targets = {{{"10.0.0.5", 3260}, "iqn.2003-01.org.example:one", own}};
  vim::HostInternetScsiHba hba;
  describe_iscsi_settings(hba, settings, {});
  EXPECT_EQ(*hba.authenticationProperties.chapName, "alice");
  EXPECT_FALSE(hba.authenticationProperties.chapSecret);
  const auto target = hba.configuredStaticTarget[0];
  EXPECT_EQ(*target->authenticationProperties->chapName, "bob");
  EXPECT_FALSE(target->authenticationProperties->chapSecret);
  EXPECT_FALSE(*target->authenticationProperties->chapInherited);
  EXPECT_TRUE(*target->authenticationProperties->mutualChapInherited);
}

}  // namespace
}  // namespace virga::host
