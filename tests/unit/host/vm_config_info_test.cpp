#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/vm_config.h"
#include "host/vm_redo.h"
#include "hypervisor/machine_spec.h"
#include "vm_config_sample.h"

namespace virga::host {
namespace {

using testing::ElementsAre;

class VmConfig : public testing::Test {
 protected:
  VmConfig() { around.add_disk("[ds1] web/web.vmdk"); }

  vim::VirtualMachineConfigInfo info(bool powered_on = false, const DeviceState& state = {}) const {
    return config_info(config, around.context, state, powered_on);
  }

  Surroundings around;
  vmx::MachineConfig config = sample_config();
};

// --- Keys and files ----------------------------------------------------------------------------

TEST_F(VmConfig, DevicesHaveTheKeysOfVsphere) {
  EXPECT_EQ(device_key(vmx::Disk{.slot = {vmx::Bus::scsi, 1, 3}}), 2019);
  EXPECT_EQ(device_key(vmx::Disk{.slot = {vmx::Bus::sata, 1, 2}}), 16032);
  EXPECT_EQ(device_key(vmx::Disk{.slot = {vmx::Bus::nvme, 0, 4}}), 32004);
  EXPECT_EQ(device_key(vmx::CdRom{.slot = {vmx::Bus::ide, 1, 0}}), 3002);
  EXPECT_EQ(device_key(vmx::Controller{.bus = vmx::Bus::sata, .number = 2}), 15002);
  EXPECT_EQ(device_key(vmx::NetworkAdapter{.number = 9}), 4009);
  EXPECT_EQ(device_key(vmx::SerialPort{.number = 1}), 9001);
  EXPECT_EQ(controller_key({vmx::Bus::ide, 1, 1}), 201);
}

TEST_F(VmConfig, NoTwoDisksShareAKey) {
  std::set<int> keys;
  for (int controller = 0; controller < 4; ++controller) {
    for (int unit = 0; unit < 65; ++unit) {
      if (unit == vmx::scsi_own_unit) continue;
      EXPECT_TRUE(
          keys.insert(device_key(vmx::Disk{.slot = {vmx::Bus::scsi, controller, unit}})).second)
          << controller << ":" << unit;
    }
  }
  EXPECT_GE(*keys.begin(), 2000);
  EXPECT_LT(*keys.rbegin(), 3000);
}

TEST_F(VmConfig, FilesAreFoundBesideTheVmxAndInVolumes) {
  const auto place = [&](const char* file) { return resolve_file(around.context, file).format(); };
  EXPECT_EQ(place("web.vmdk"), "[ds1] web/web.vmdk");
  EXPECT_EQ(place("../other/x.vmdk"), "[ds1] other/x.vmdk");
  EXPECT_EQ(place("/vmfs/volumes/ds2/iso/a.iso"), "[ds2] iso/a.iso");
  EXPECT_EQ(place("/vmfs/volumes/5f3a2b1c-00000002/iso/a.iso"), "[ds2] iso/a.iso");
  EXPECT_EQ(place("[5f3a2b1c-00000002] iso/a.iso"), "[ds2] iso/a.iso");
  EXPECT_EQ(place("/vmfs/volumes/5f3a2b1c-00000003/a.iso"), "[5f3a2b1c-00000003] a.iso");
  EXPECT_EQ(place("[ds2] iso/a.iso"), "[ds2] iso/a.iso");
  for (const char* nowhere : {"", "/dev/sr0", "../../x.vmdk", "/vmfs/volumes/ds1/../x"})
    expect_fault<vim::InvalidDatastorePath>("lies in no datastore", [&] { place(nowhere); });
}

// --- config_info -------------------------------------------------------------------------------

TEST_F(VmConfig, TellsWhatTheVmIs) {
  config.annotation = "front end";
  config.extra = {{"guestinfo.role", "web"}};
  const auto info = this->info();
  EXPECT_EQ(info.name, "web");
  EXPECT_EQ(info.guestId, "debian11_64Guest");
  EXPECT_EQ(info.guestFullName, "Debian GNU/Linux 11 (64-bit)");
  EXPECT_EQ(info.version, "vmx-19");
  EXPECT_EQ(info.uuid, config.bios_uuid);
  EXPECT_EQ(info.instanceUuid, config.instance_uuid);
  EXPECT_EQ(info.annotation, "front end");
  EXPECT_EQ(info.files.vmPathName, "[ds1] web/web.vmx");
  EXPECT_EQ(info.files.logDirectory, "[ds1] web/");
  EXPECT_EQ(info.hardware.numCPU, 2);
  EXPECT_EQ(info.hardware.memoryMB, 2048);
  EXPECT_EQ(info.firmware, "bios");
  EXPECT_EQ(info.cpuAllocation->limit, -1);
  EXPECT_EQ(info.cpuAllocation->shares->shares, 2000);
  EXPECT_EQ(info.memoryAllocation->shares->shares, 20'480);
  ASSERT_EQ(info.extraConfig.size(), 1u);
  EXPECT_EQ(info.extraConfig[0]->key, "guestinfo.role");
  EXPECT_EQ(*info.extraConfig[0]->value.get<std::string>(), "web");
  EXPECT_FALSE(info.template_);
}

TEST_F(VmConfig, AVmtxIsATemplate) {
  around.context.config_file = vmx::DatastorePath("ds1", "web/web.vmtx");
  EXPECT_TRUE(info().template_);
  EXPECT_TRUE(config_summary(config, around.context).template_);
}

TEST_F(VmConfig, ListsTheDevicesEveryVmHas) {
  const auto info = config_info({}, around.context, {}, false);
  std::vector<std::string> devices;
  for (const auto& device : info.hardware.device)
    devices.push_back(fmt::format("{} {}", device->key, device->type_info().name));
  EXPECT_THAT(devices, ElementsAre("200 VirtualIDEController", "201 VirtualIDEController",
                                   "300 VirtualPS2Controller", "100 VirtualPCIController",
                                   "400 VirtualSIOController", "600 VirtualKeyboard",
                                   "700 VirtualPointingDevice", "500 VirtualMachineVideoCard",
                                   "12000 VirtualMachineVMCIDevice"));
}

TEST_F(VmConfig, ControllersListWhatHangsOnThem) {
  const auto info = this->info();
  EXPECT_THAT(device_at<vim::VirtualController>(info, 1000).device, ElementsAre(2000));
  EXPECT_THAT(device_at<vim::VirtualController>(info, 201).device, ElementsAre(3002));
  EXPECT_THAT(device_at<vim::VirtualController>(info, 300).device, ElementsAre(600, 700));
  EXPECT_THAT(device_at<vim::VirtualController>(info, 100).device,
              ElementsAre(500, 12000, 1000, 4000));
  EXPECT_THAT(device_at<vim::VirtualController>(info, 400).device, ElementsAre(9000));
}

TEST_F(VmConfig, ShowsADisk) {
  const auto info = this->info();
  const auto& disk = device_at<vim::VirtualDisk>(info, 2000);
  EXPECT_EQ(disk.controllerKey, 1000);
  EXPECT_EQ(disk.unitNumber, 0);
  EXPECT_EQ(disk.capacityInKB, 8 << 20);
  EXPECT_EQ(disk.capacityInBytes, static_cast<std::int64_t>(8 * kGib));
  EXPECT_EQ(disk.deviceInfo->label, "Hard disk 1");
  EXPECT_EQ(disk.deviceInfo->summary, "8,388,608 KB");
  const auto* backing = disk.backing.as<vim::VirtualDiskFlatVer2BackingInfo>();
  ASSERT_NE(backing, nullptr);
  EXPECT_EQ(backing->fileName, "[ds1] web/web.vmdk");
  EXPECT_EQ(backing->datastore, (MoRef{"Datastore", "ds1"}));
  EXPECT_EQ(backing->diskMode, "persistent");
  EXPECT_EQ(backing->thinProvisioned, true);
  EXPECT_EQ(backing->eagerlyScrub, std::nullopt);
  EXPECT_EQ(backing->uuid, "6000C29a-6b1c-22d1-0f3e-55a0918c4d70");
}

TEST_F(VmConfig, ADiskThatCannotBeReadIsShownWithoutASize) {
  around.disks.clear();
  const auto info = this->info();
  EXPECT_EQ(device_at<vim::VirtualDisk>(info, 2000).capacityInKB, 0);
  EXPECT_THAT(device_at<vim::VirtualDisk>(info, 2000).deviceInfo->summary,
              testing::HasSubstr("missing"));
}

TEST_F(VmConfig, AFileOutsideEveryDatastoreIsShownAsItStands) {
  config.disks[0].file = "/home/me/vm/web.vmdk";
  const auto info = this->info();
  const auto* backing =
      device_at<vim::VirtualDisk>(info, 2000).backing.as<vim::VirtualDiskFlatVer2BackingInfo>();
  EXPECT_EQ(backing->fileName, "/home/me/vm/web.vmdk");
  EXPECT_EQ(backing->datastore, std::nullopt);
}

TEST_F(VmConfig, ShowsAnAdapter) {
  const auto info = this->info();
  const auto& card = device_at<vim::VirtualVmxnet3>(info, 4000);
  EXPECT_EQ(card.controllerKey, 100);
  EXPECT_EQ(card.unitNumber, 7);
  EXPECT_EQ(card.macAddress, "00:0c:29:a1:b2:c3");
  EXPECT_EQ(card.addressType, "generated");
  EXPECT_EQ(card.deviceInfo->label, "Network adapter 1");
  EXPECT_EQ(card.deviceInfo->summary, "VM Network");
  const auto* backing = card.backing.as<vim::VirtualEthernetCardNetworkBackingInfo>();
  ASSERT_NE(backing, nullptr);
  EXPECT_EQ(backing->deviceName, "VM Network");
  EXPECT_EQ(backing->network, (MoRef{"Network", "VM Network"}));
}

TEST_F(VmConfig, DevicesAreConnectedWhileTheVmRuns) {
  EXPECT_FALSE(device_at<vim::VirtualVmxnet3>(info(), 4000).connectable->connected);
  EXPECT_TRUE(device_at<vim::VirtualVmxnet3>(info(true), 4000).connectable->connected);
  EXPECT_FALSE(
      device_at<vim::VirtualVmxnet3>(info(true, {{{4000, false}}}), 4000).connectable->connected);
  EXPECT_TRUE(device_at<vim::VirtualCdrom>(info(true), 3002).connectable->connected);
  config.cdroms[0].backing = vmx::CdRomBacking::client_passthrough;
  EXPECT_FALSE(device_at<vim::VirtualCdrom>(info(true), 3002).connectable->connected);
  config.network_adapters[0].network = "gone";
  EXPECT_FALSE(device_at<vim::VirtualVmxnet3>(info(true), 4000).connectable->connected);
}

TEST_F(VmConfig, ChangeVersionFollowsTheConfigurationAndNotTheRun) {
  const std::string before = info().changeVersion;
  EXPECT_EQ(info(true).changeVersion, before);
  config.clean_shutdown = false;
  config.suspend_state = "web.vmss";
  config.location_uuid = "564d0000-0000-0000-0000-000000000000";
  vmx::set_extra(config, "sched.swap.derivedName", "/vmfs/volumes/ds1/web/web-1.vswp");
  EXPECT_EQ(info().changeVersion, before);
  config.annotation = "changed";
  EXPECT_NE(info().changeVersion, before);
}

TEST_F(VmConfig, SummaryCounts) {
  const auto summary = config_summary(config, around.context);
  EXPECT_EQ(summary.numCpu, 2);
  EXPECT_EQ(summary.memorySizeMB, 2048);
  EXPECT_EQ(summary.numEthernetCards, 1);
  EXPECT_EQ(summary.numVirtualDisks, 1);
  EXPECT_EQ(summary.vmPathName, "[ds1] web/web.vmx");
  EXPECT_EQ(summary.hwVersion, "vmx-19");
}

// --- machine_spec ------------------------------------------------------------------------------

TEST_F(VmConfig, IsAMachineTheHypervisorTakes) {
  const auto spec = machine_spec(config, around.context, "machine-1");
  EXPECT_NO_THROW(hypervisor::validate(spec));
  EXPECT_EQ(spec.id, "machine-1");
  EXPECT_EQ(spec.name, "web");
  EXPECT_EQ(spec.memory_mib, 2048u);
  EXPECT_EQ(spec.vcpus, 2);
  ASSERT_EQ(spec.disks.size(), 1u);
  EXPECT_EQ(spec.disks[0].key, 2000);
  EXPECT_EQ(spec.disks[0].chain.back().path, "/volumes/ds1/web/web-flat.vmdk");
  EXPECT_EQ(spec.disks[0].serial, "");
  EXPECT_THAT(spec.controllers,
              ElementsAre(hypervisor::Controller{1000, hypervisor::ControllerModel::pvscsi, 0},
                          hypervisor::Controller{201, hypervisor::ControllerModel::ide, 1}));
  EXPECT_EQ(spec.cdroms[0].path, "/volumes/ds2/iso/debian.iso");
  EXPECT_EQ(spec.nics[0].mac, "00:0c:29:a1:b2:c3");
  EXPECT_TRUE(spec.nics[0].link_up);
  EXPECT_EQ(spec.serial_ports[0].backend, hypervisor::LineBackend::socket);
  EXPECT_EQ(spec.serial_ports[0].log_path, "/volumes/ds1/web/serial0.log");
  EXPECT_THAT(spec.boot_order, ElementsAre("disk-2000", "cdrom-3002", "nic-4000"));
}

TEST_F(VmConfig, BootsInTheOrderAskedAndThenFromTheRest) {
  around.add_disk("[ds1] web/two.vmdk");
  config.disks.push_back({.slot = {vmx::Bus::scsi, 0, 1}, .file = "two.vmdk"});
  config.boot.order = {"ethernet0", "hdd", "ethernet5", "floppy"};
  config.extra = {{"bios.hddOrder", "scsi0:1"}};
  config.boot.retry = true;
  const auto spec = machine_spec(config, around.context, "m");
  EXPECT_THAT(spec.boot_order, ElementsAre("nic-4000", "disk-2001", "disk-2000", "cdrom-3002"));
  EXPECT_EQ(spec.boot_retry_ms, 10'000u);
}

TEST_F(VmConfig, EfiKeepsItsVariablesBesideTheVmx) {
  config.firmware = vmx::Firmware::efi;
  EXPECT_EQ(machine_spec(config, around.context, "m").nvram_path, "/volumes/ds1/web/web.nvram");
  config.nvram.clear();
  EXPECT_EQ(machine_spec(config, around.context, "m").nvram_path, "/volumes/ds1/web/web.nvram");
}

TEST_F(VmConfig, DisconnectedDevicesStartSo) {
  config.cdroms[0].start_connected = false;
  config.network_adapters[0].start_connected = false;
  auto spec = machine_spec(config, around.context, "m");
  EXPECT_EQ(spec.cdroms[0].path, std::nullopt);
  EXPECT_FALSE(spec.nics[0].link_up);
  spec = machine_spec(config, around.context, "m", {{{3002, true}, {4000, true}}});
  EXPECT_EQ(spec.cdroms[0].path, "/volumes/ds2/iso/debian.iso");
  EXPECT_TRUE(spec.nics[0].link_up);
}

TEST_F(VmConfig, DiskUuidsAreShownWhenAskedFor) {
  config.disk_uuids_shown = true;
  EXPECT_EQ(machine_spec(config, around.context, "m").disks[0].serial, "6000c29a6b1c22d10f3e");
}

struct Unserved {
  const char* name;
  void (*spoil)(vmx::MachineConfig&, Surroundings&);
  const char* message;
};

class UnservedMachine : public testing::TestWithParam<Unserved> {};

TEST_P(UnservedMachine, IsRefusedByName) {
  Surroundings around;
  around.add_disk("[ds1] web/web.vmdk");
  vmx::MachineConfig config = sample_config();
  GetParam().spoil(config, around);
  expect_fault<vim::NotSupported>(GetParam().message,
                                  [&] { machine_spec(config, around.context, "m"); });
}

TEST_F(VmConfig, GivesTheMachineTheExtentsOfASplitDiskInItsOrder) {
  datastore::DiskInfo& info = around.disks["[ds1] web/web.vmdk"];
  info.layout = datastore::DiskLayout::split_flat;
  info.described = {{.sectors = 64, .type = "FLAT", .file = "web-f001.vmdk", .offset = 8},
                    {.sectors = 32, .type = "SPARSE", .file = "web-s002.vmdk"}};
  const auto spec = machine_spec(config, around.context, "m");
  EXPECT_EQ(
      spec.disks[0].chain,
      (std::vector<hypervisor::DiskImage>{{"/volumes/ds1/web/web.vmdk",
                                           hypervisor::DiskFormat::vmdk,
                                           {{"/volumes/ds1/web/web-f001.vmdk", 64, false, 8},
                                            {"/volumes/ds1/web/web-s002.vmdk", 32, true, 0}}}}));
}

TEST_F(VmConfig, GivesTheMachineAFileForWhatIsDiscarded) {
  config.disks[0].mode = vmx::DiskMode::independent_nonpersistent;
  config.disks[0].redo = next_redo(config.disks[0]);
  config.disks[0].io.limit = 100;
  const hypervisor::Disk disk = machine_spec(config, around.context, "m").disks[0];
  EXPECT_TRUE(disk.discards_changes);
  EXPECT_EQ(disk.iops_limit, 100u);
  ASSERT_EQ(disk.chain.size(), 2u);
  EXPECT_EQ(disk.chain[1].path, "/volumes/ds1/web/" + config.disks[0].redo);
  EXPECT_EQ(disk.chain[1].format, hypervisor::DiskFormat::qcow2);
}

// Whatever a .vmx names as such a file is deleted in the end.
TEST(Redo, IsOnlyWhatWeCouldHaveMade) {
  vmx::Disk disk{.file = "web.vmdk"};
  disk.redo = next_redo(disk);
  EXPECT_THAT(disk.redo, testing::MatchesRegex("web.vmdk.REDO_[0-9a-f]+0"));
  const std::string other = next_redo(disk);
  EXPECT_EQ(other, disk.redo.substr(0, disk.redo.size() - 1) + "1");
  for (const char* foreign : {"", "web.vmdk", "../a/b.vmdk.REDO_123450", "/etc/x.REDO_123450",
                              ".REDO_123450", "web.vmdk.REDO_12345"}) {
    disk.redo = foreign;
    EXPECT_FALSE(has_redo(disk)) << foreign;
    EXPECT_THROW(redo_file(vmx::DatastorePath("ds1", "web/web.vmx"), disk), kernel::Fault);
  }
  disk.redo = "./web.vmdk.REDO_a1b2c0";
  EXPECT_EQ(redo_file(vmx::DatastorePath("ds1", "web/web.vmx"), disk).path(),
            "web/web.vmdk.REDO_a1b2c0");
}

INSTANTIATE_TEST_SUITE_P(
    VmConfig, UnservedMachine,
    testing::Values(
        Unserved{"sesparse_disk",
                 [](auto&, auto& around) {
                   datastore::DiskInfo& disk = around.disks["[ds1] web/web.vmdk"];
                   disk.create_type = "seSparse";
                   disk.layout.reset();
                   disk.described[0].type = "SESPARSE";
                 },
                 "Hard disk 1: [ds1] web/web.vmdk of type seSparse"},
        Unserved{"stream_optimized_disk",
                 [](auto&, auto& around) {
                   datastore::DiskInfo& disk = around.disks["[ds1] web/web.vmdk"];
                   disk.layout = datastore::DiskLayout::stream_optimized;
                   disk.described[0].type = "SPARSE";
                 },
                 "Hard disk 1: writing to [ds1] web/web.vmdk"},
        Unserved{
            "delta",
            [](auto&, auto& around) { around.disks["[ds1] web/web.vmdk"].parent = "base.vmdk"; },
            "a delta of base.vmdk"},
        Unserved{"disk_mode",
                 [](auto& config, auto&) { config.disks[0].mode = vmx::DiskMode::nonpersistent; },
                 "Hard disk 1: disk mode nonpersistent"},
        Unserved{"many_writers", [](auto& config, auto&) { config.disks[0].multi_writer = true; },
                 "Hard disk 1: sharing"},
        Unserved{"bus_logic",
                 [](auto& config, auto&) {
                   config.controllers[0].model = vmx::ControllerModel::bus_logic;
                 },
                 "SCSI controller 0 (VirtualBusLogicController)"},
        Unserved{"vmxnet2",
                 [](auto& config, auto&) {
                   config.network_adapters[0].model = vmx::AdapterModel::vmxnet2;
                 },
                 "Network adapter 1 (VirtualVmxnet2)"},
        Unserved{"renderer",
                 [](auto& config, auto&) {
                   config.video.enable_3d = true;
                   config.video.renderer = vmx::Renderer::hardware;
                 },
                 "a hardware renderer of 3D"},
        Unserved{"passthrough",
                 [](auto& config, auto&) {
                   config.other_devices = {{{vmx::Bus::scsi, 0, 5}, "scsi-passthru"}};
                 },
                 "scsi-passthru device at scsi0:5"},
        Unserved{"serial_concentrator",
                 [](auto& config, auto&) {
                   config.serial_ports[0].backing = vmx::SerialBacking::network;
                   config.serial_ports[0].target = "vSPC.py";
                   config.serial_ports[0].proxy = "telnet://spc:13370";
                 },
                 "Serial port 1 on telnet://spc:13370"},
        Unserved{"watchdog_at_boot",
                 [](auto& config, auto&) { config.watchdogs = {{.run_on_boot = true}}; },
                 "A watchdog timer that the firmware starts"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(VmConfig, AMissingDiskIsNamed) {
  around.disks.clear();
  const auto fault = expect_fault<vim::FileNotFound>(
      "Hard disk 1: [ds1] web/web.vmdk", [&] { machine_spec(config, around.context, "m"); });
  EXPECT_EQ(fault.file, "[ds1] web/web.vmdk");
}

}  // namespace
}  // namespace virga::host
