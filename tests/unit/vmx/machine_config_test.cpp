#include "vmx/machine_config.h"

#include <gtest/gtest.h>

#include "../expect_error.h"
#include "sample.h"

namespace virga::vmx {
namespace {

MachineConfig sample_machine(const std::string& name) {
  return read(sample_vmx(name));
}

bool has_line(const VmxFile& file, const std::string& line) {
  return ("\n" + file.serialise()).find("\n" + line + "\n") != std::string::npos;
}

class MachineSample : public testing::TestWithParam<std::string> {};

TEST_P(MachineSample, WritesBackWithoutAChange) {
  VmxFile file = sample_vmx(GetParam());
  const std::string before = file.serialise();
  write(read(file), file);
  EXPECT_EQ(file.serialise(), before);
}

TEST_P(MachineSample, IsTheSameMachineInANewFile) {
  const MachineConfig machine = sample_machine(GetParam());
  MachineConfig again = read(VmxFile::parse(make_vmx(machine).serialise(), "new"));
  // A new file says of itself what every VM has; nothing of the machine's own is lost.
  for (const auto& [key, value] : machine.extra) EXPECT_EQ(find_extra(again, key), value) << key;
  again.extra = machine.extra;
  EXPECT_EQ(again, machine);
}

INSTANTIATE_TEST_SUITE_P(Vmware, MachineSample,
                         testing::Values("esxi55.vmx", "esxi67.vmx", "esxi70.vmx",
                                         "workstation16.vmx"));

TEST(ReadMachine, KnowsTheMachineItself) {
  const MachineConfig machine = sample_machine("esxi55.vmx");
  EXPECT_EQ(machine.display_name, "files01");
  EXPECT_EQ(machine.bios_uuid, "421a5c3e-8b91-206d-aa14-0f77e2c3905b");
  EXPECT_EQ(machine.instance_uuid, "501a61d2-7e04-b8c1-933a-5d2846fb10e7");
  EXPECT_EQ(machine.guest_os, "windows8srv-64");
  EXPECT_EQ(machine.annotation, "File server\nOwner: \"storage\" team|room # 4");
  EXPECT_EQ(machine.hardware_version, 10);
  EXPECT_EQ(machine.memory_mib, 4096);
  EXPECT_EQ(machine.cpus, 2);
  EXPECT_EQ(machine.cores_per_socket, 2);
  EXPECT_EQ(machine.cpu, (Allocation{500, 4000, SharesLevel::high, 0}));
  EXPECT_EQ(machine.memory, (Allocation{1024, std::nullopt, SharesLevel::custom, 81920}));
  EXPECT_TRUE(machine.disk_uuids_shown);
  EXPECT_FALSE(machine.tools.before_power_off);
  EXPECT_TRUE(machine.tools.before_suspend);
  EXPECT_EQ(machine.extended_config, "files01.vmxf");
}

TEST(ReadMachine, KnowsFirmwareBootAndPower) {
  const MachineConfig machine = sample_machine("esxi67.vmx");
  EXPECT_EQ(machine.firmware, Firmware::efi);
  EXPECT_TRUE(machine.secure_boot);
  EXPECT_EQ(machine.power,
            (PowerOptions{PowerOption::preset, PowerOption::soft, PowerOption::preset}));
  EXPECT_EQ(machine.tools.upgrade_policy, "upgradeAtPowerCycle");
  EXPECT_TRUE(machine.nested_virtualization && machine.cpu_hot_add && machine.memory_hot_add);
  EXPECT_TRUE(machine.memory_reservation_locked);
  EXPECT_EQ(machine.suspend_state, "db02-4c1e7a55.vmss");
  EXPECT_FALSE(machine.clean_shutdown);
  EXPECT_EQ(machine.video.memory_bytes, 8 << 20);
  EXPECT_TRUE(machine.video.autodetect);

  const MachineConfig kiosk = sample_machine("esxi70.vmx");
  EXPECT_EQ(kiosk.boot.delay_ms, 5000);
  EXPECT_TRUE(kiosk.boot.enter_setup_once);
  EXPECT_EQ(kiosk.boot.order, (std::vector<std::string>{"cdrom", "hdd", "ethernet0"}));
  EXPECT_EQ(kiosk.video, (Video{16 << 20, 2, false, true}));
  EXPECT_EQ(kiosk.usb, (UsbControllers{false, false, true}));
  EXPECT_EQ(kiosk.memory.limit, std::nullopt);
}

TEST(ReadMachine, KnowsControllersAndDisks) {
  const MachineConfig files = sample_machine("esxi55.vmx");
  EXPECT_EQ(files.controllers,
            (std::vector<Controller>{
                {Bus::scsi, 0, ControllerModel::lsi_sas, BusSharing::none, std::nullopt},
                {Bus::scsi, 1, ControllerModel::pvscsi, BusSharing::within_host, std::nullopt}}));
  ASSERT_EQ(files.disks.size(), 2u);
  EXPECT_EQ(files.disks[0].slot.key(), "scsi0:0");
  EXPECT_EQ(files.disks[1].mode, DiskMode::independent_persistent);
  EXPECT_TRUE(files.disks[1].multi_writer);
  EXPECT_TRUE(files.changes_tracked);
  EXPECT_TRUE(files.disks[0].changes_tracked);
  EXPECT_FALSE(files.disks[1].changes_tracked);

  const MachineConfig db = sample_machine("esxi67.vmx");
  EXPECT_EQ(db.controllers.size(), 2u);
  EXPECT_EQ(db.controllers[0].pci_slot, 160);
  EXPECT_EQ(db.disks[1].slot.unit, 20);
  EXPECT_TRUE(db.disks[1].write_through);

  const MachineConfig kiosk = sample_machine("esxi70.vmx");
  ASSERT_EQ(kiosk.disks.size(), 2u);
  EXPECT_EQ(kiosk.disks[0].slot, (Slot{Bus::ide, 0, 0}));
  EXPECT_EQ(kiosk.disks[0].mode, DiskMode::nonpersistent);
  EXPECT_EQ(kiosk.disks[1].slot, (Slot{Bus::nvme, 0, 0}));
  EXPECT_EQ(kiosk.other_devices, (std::vector<OtherDevice>{{{Bus::scsi, 0, 5}, "scsi-passthru"}}));
}

TEST(ReadMachine, KnowsCdRomsAndFloppies) {
  const MachineConfig files = sample_machine("esxi55.vmx");
  ASSERT_EQ(files.cdroms.size(), 1u);
  EXPECT_EQ(files.cdroms[0],
            (CdRom{{Bus::ide, 1, 0}, CdRomBacking::client_emulated, "", false, true}));
  const MachineConfig db = sample_machine("esxi67.vmx");
  EXPECT_EQ(
      db.cdroms[0],
      (CdRom{
          {Bus::sata, 0, 0}, CdRomBacking::image, "/vmfs/volumes/iso/debian-12.iso", true, true}));
  const MachineConfig kiosk = sample_machine("esxi70.vmx");
  EXPECT_EQ(kiosk.cdroms[0].backing, CdRomBacking::client_passthrough);
  EXPECT_EQ(kiosk.floppies, (std::vector<Floppy>{{0, FloppyBacking::image, "drivers.flp", false}}));
  const MachineConfig office = sample_machine("workstation16.vmx");
  EXPECT_EQ(office.cdroms[0].backing, CdRomBacking::host_passthrough);
  EXPECT_EQ(office.cdroms[0].file, "auto detect");
  EXPECT_TRUE(office.floppies.empty());
}

TEST(ReadMachine, KnowsNetworkAdapters) {
  const MachineConfig files = sample_machine("esxi55.vmx");
  ASSERT_EQ(files.network_adapters.size(), 2u);
  EXPECT_EQ(files.network_adapters[0].address_type, AddressType::assigned);
  EXPECT_EQ(files.network_adapters[0].mac, "00:50:56:9a:4c:11");
  const NetworkAdapter& storage = files.network_adapters[1];
  EXPECT_EQ(storage.model, AdapterModel::e1000);
  EXPECT_EQ(storage.network, "Storage # 2");
  EXPECT_EQ(storage.address_type, AddressType::manual);
  EXPECT_EQ(storage.mac, "00:50:56:00:aa:01");
  EXPECT_FALSE(storage.start_connected || storage.wake_on_lan);

  const NetworkAdapter db = sample_machine("esxi67.vmx").network_adapters.at(0);
  EXPECT_EQ(db.distributed_port, (DistributedPort{"50 2c 7f 11 a3 58 04 9e-6d 20 c9 b7 81 5e f4 03",
                                                  "dvportgroup-4021", "17", "1190533881"}));
  EXPECT_TRUE(db.upt_compatible);
  EXPECT_EQ(db.pci_slot, 192);

  const MachineConfig kiosk = sample_machine("esxi70.vmx");
  EXPECT_FALSE(kiosk.network_adapters[0].guest_may_disconnect);
  EXPECT_EQ(kiosk.network_adapters[1].generated_offset, 10);
  EXPECT_EQ(kiosk.network_adapters[1].mac, generated_mac(kiosk.bios_uuid, 10));

  const NetworkAdapter office = sample_machine("workstation16.vmx").network_adapters.at(0);
  EXPECT_EQ(office.model, AdapterModel::vlance);
  EXPECT_EQ(office.connection_type, "nat");
  EXPECT_EQ(office.mac, "");
}

TEST(ReadMachine, KnowsSerialPorts) {
  const SerialPort port = sample_machine("esxi67.vmx").serial_ports.at(0);
  EXPECT_EQ(port.backing, SerialBacking::network);
  EXPECT_EQ(port.target, "telnet://:13370");
  EXPECT_TRUE(port.is_server && port.yield_on_poll && port.start_connected);
  EXPECT_EQ(sample_machine("workstation16.vmx").serial_ports.at(0).backing, SerialBacking::print);
}

TEST(ReadMachine, KeepsTheRestAsExtra) {
  const MachineConfig machine = sample_machine("esxi67.vmx");
  EXPECT_EQ(find_extra(machine, "GUESTINFO.metadata"), "e30=");
  EXPECT_EQ(find_extra(machine, "ethernet0.shares"), "normal");
  EXPECT_EQ(find_extra(machine, "memsize"), std::nullopt);
  EXPECT_EQ(find_extra(machine, ".encoding"), std::nullopt);
}

TEST(ReadMachine, IgnoresDevicesWithoutAController) {
  const MachineConfig machine = read(VmxFile::parse(
      "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"a.vmdk\"\nscsi1.present = \"TRUE\"\n"
      "scsi1:7.present = \"TRUE\"\nscsi1:20.present = \"TRUE\"\nscsi01:0.present = \"TRUE\"\n"
      "ethernet0.present = \"FALSE\"\n",
      "x"));
  EXPECT_TRUE(machine.disks.empty());
  EXPECT_EQ(machine.controllers.size(), 1u);
  EXPECT_EQ(machine.controllers[0].model, ControllerModel::bus_logic);
  EXPECT_TRUE(machine.network_adapters.empty());
  EXPECT_EQ(find_extra(machine, "scsi1:7.present"), "TRUE");
}

TEST(ReadMachine, NamesTheKeyThatMakesNoSense) {
  const auto damaged = [](const std::string& line, const std::string& why) {
    expect_error(ErrorKind::damaged, "a.vmx: " + why, [&] { read(VmxFile::parse(line, "a.vmx")); });
  };
  damaged("memsize = \"lots\"", "memsize = \"lots\"");
  damaged("numvcpus = \"0\"", "numvcpus = \"0\" is out of range");
  damaged("firmware = \"openboot\"", "firmware = \"openboot\" is not a known word");
  damaged("uuid.bios = \"56 4d\"", "uuid.bios = \"56 4d\" is no UUID");
  damaged("scsi0.present = \"TRUE\"\nscsi0.virtualDev = \"x\"", "scsi0.virtualDev");
  damaged("ethernet0.present = \"TRUE\"\nethernet0.generatedAddress = \"1\"",
          "ethernet0.generatedAddress = \"1\" is no MAC address");
}

TEST(WriteMachine, ChangesOnlyWhatDiffers) {
  VmxFile file = sample_vmx("esxi67.vmx");
  std::string expected = file.serialise();
  const auto replace = [&](const std::string& from, const std::string& to) {
    expected.replace(expected.find(from), from.size(), to);
  };
  replace("memSize = \"8192\"", "memSize = \"16384\"");
  replace("firmware = \"efi\"\n", "");
  replace("ethernet0.virtualDev = \"vmxnet3\"", "ethernet0.virtualDev = \"e1000\"");
  replace("scsi0:20.mode = \"independent-nonpersistent\"\n", "");
  replace("guestinfo.metadata = \"e30=\"\n", "");
  expected += "annotation = \"line|0Atwo\"\n";
  expected += "guestinfo.userdata = \"x\"\n";

  MachineConfig machine = read(file);
  machine.memory_mib = 16384;
  machine.firmware = Firmware::bios;
  machine.annotation = "line\ntwo";
  machine.network_adapters[0].model = AdapterModel::e1000;
  machine.disks[1].mode = DiskMode::persistent;
  set_extra(machine, "guestinfo.metadata", "");
  set_extra(machine, "guestinfo.userdata", "x");
  write(machine, file);
  EXPECT_EQ(file.serialise(), expected);
  EXPECT_EQ(read(file), machine);
}

TEST(WriteMachine, SaysWhatADiskIsGranted) {
  VmxFile file = sample_vmx("esxi67.vmx");
  MachineConfig machine = read(file);
  EXPECT_EQ(machine.disks[0].io, Allocation{});
  EXPECT_FALSE(find_extra(machine, "sched.scsi0:0.throughputCap"));
  machine.disks[0].io = {.limit = 300, .level = SharesLevel::custom, .custom_shares = 1500};
  machine.disks[0].redo = "db02.vmdk.REDO_a1b2c0";
  write(machine, file);
  EXPECT_TRUE(has_line(file, "sched.scsi0:0.throughputCap = \"300\""));
  EXPECT_TRUE(has_line(file, "sched.scsi0:0.shares = \"1500\""));
  EXPECT_TRUE(has_line(file, "scsi0:0.redo = \"db02.vmdk.REDO_a1b2c0\""));
  EXPECT_EQ(read(file), machine);
  machine.disks[0].io.limit.reset();
  machine.disks[0].redo.clear();
  write(machine, file);
  EXPECT_FALSE(file.get("sched.scsi0:0.throughputCap"));
  EXPECT_EQ(read(file), machine);
  EXPECT_TRUE(is_described("sched.scsi0:0.shares"));
  EXPECT_FALSE(is_described("sched.scsi0:0.bandwidthCap"));
  EXPECT_FALSE(is_described("sched.swap.derivedName"));
}

TEST(WriteMachine, TakesAllLinesOfAGoneDevice) {
  VmxFile file = sample_vmx("esxi67.vmx");
  MachineConfig machine = read(file);
  machine.network_adapters.clear();
  machine.disks.pop_back();
  write(machine, file);
  EXPECT_TRUE(file.entries("ethernet0.").empty());
  EXPECT_TRUE(file.entries("scsi0:20.").empty());
  EXPECT_EQ(file.get("scsi0:0.fileName"), "db02.vmdk");
  machine.disks.clear();
  write(machine, file);
  EXPECT_TRUE(file.entries("sched.scsi0:0.").empty());
}

TEST(WriteMachine, GivesANewDeviceNoLeftovers) {
  VmxFile file = VmxFile::parse(
      "ethernet0.present = \"FALSE\"\nethernet0.address = \"00:50:56:00:00:01\"\n"
      "ethernet0.dvs.portId = \"3\"\nethernet0.filter4.name = \"x\"\n"
      "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"old.vmdk\"\n",
      "x");
  MachineConfig machine = read(file);
  machine.network_adapters.push_back({.number = 0, .network = "VM Network"});
  machine.controllers.push_back({Bus::scsi, 0, ControllerModel::pvscsi});
  write(machine, file);
  const MachineConfig again = read(file);
  EXPECT_EQ(again.network_adapters, machine.network_adapters);
  EXPECT_TRUE(again.disks.empty());
  EXPECT_FALSE(file.contains("ethernet0.filter4.name"));
}

TEST(WriteMachine, ReplacesADiskByACdRom) {
  VmxFile file = sample_vmx("esxi67.vmx");
  MachineConfig machine = read(file);
  const Slot slot = machine.disks[0].slot;
  machine.disks.erase(machine.disks.begin());
  machine.cdroms.push_back({slot, CdRomBacking::image, "a.iso", true});
  write(machine, file);
  EXPECT_TRUE(has_line(file, "scsi0:0.deviceType = \"cdrom-image\""));
  EXPECT_TRUE(has_line(file, "scsi0:0.present = \"TRUE\""));
  EXPECT_EQ(read(file).cdroms.size(), 2u);
}

TEST(WriteMachine, RefusesWhatNoFileCanExpress) {
  const auto refuse = [](const std::string& why, auto change) {
    MachineConfig machine = sample_machine("esxi67.vmx");
    change(machine);
    VmxFile file = sample_vmx("esxi67.vmx");
    const std::string before = file.serialise();
    expect_error(ErrorKind::invalid_argument, why, [&] { write(machine, file); });
    EXPECT_EQ(file.serialise(), before);
  };
  refuse("scsi0:0 holds two", [](auto& m) { m.disks[1].slot.unit = 0; });
  refuse("scsi0:7 is the controller's own", [](auto& m) { m.disks[1].slot.unit = 7; });
  refuse("scsi0:65 is no unit", [](auto& m) { m.disks[1].slot.unit = 65; });
  refuse("scsi2:0 is on a controller", [](auto& m) { m.disks[1].slot = {Bus::scsi, 2, 0}; });
  refuse("scsi0:20 is no unit",
         [](auto& m) { m.controllers[0].model = ControllerModel::lsi_logic; });
  refuse("ethernet10 is out of range", [](auto& m) { m.network_adapters[0].number = 10; });
  refuse("ethernet0 stands twice",
         [](auto& m) { m.network_adapters.push_back(m.network_adapters[0]); });
  refuse("sata0 cannot be such", [](auto& m) { m.controllers[1].model = ControllerModel::pvscsi; });
  refuse("memSize is not extra", [](auto& m) { m.extra.push_back({"memSize", "1"}); });
  refuse("no UUID", [](auto& m) { m.bios_uuid = "x"; });
}

TEST(MakeVmx, WritesWhatVmwareExpects) {
  MachineConfig machine;
  machine.display_name = "new";
  machine.bios_uuid = "564d1c2e-5a8b-0123-4567-89abcda7d832";
  machine.extra = {{"guestinfo.a", "1"}};
  const VmxFile file = make_vmx(machine);
  EXPECT_TRUE(file.serialise().starts_with(".encoding = \"UTF-8\"\nconfig.version = \"8\"\n"));
  for (const std::string line :
       {"virtualHW.version = \"19\"", "memsize = \"32\"", "numvcpus = \"1\"",
        "displayName = \"new\"", "uuid.bios = \"56 4d 1c 2e 5a 8b 01 23-45 67 89 ab cd a7 d8 32\"",
        "floppy0.present = \"FALSE\"", "pciBridge4.virtualDev = \"pcieRootPort\"",
        "guestinfo.a = \"1\""})
    EXPECT_TRUE(has_line(file, line)) << line;
}

TEST(ExtraConfig, IsNeverWhatAMemberStandsFor) {
  for (const char* key :
       {"memSize", "scsi0:3.FILENAME", "ethernet9.address", "serial31.vspc", "ide1:1.mode"})
    EXPECT_TRUE(is_described(key)) << key;
  for (const char* key : {"guestinfo.memsize", "scsi0:7.fileName", "ethernet10.address",
                          "scsi0:0.digestEnabled", "scsi4.present"})
    EXPECT_FALSE(is_described(key)) << key;
  MachineConfig machine;
  expect_error(ErrorKind::invalid_argument, "numvcpus",
               [&] { set_extra(machine, "numvcpus", "4"); });
  set_extra(machine, "a.b", "1");
  set_extra(machine, "A.B", "2");
  EXPECT_EQ(machine.extra, (std::vector<VmxFile::Entry>{{"a.b", "2"}}));
  set_extra(machine, "A.B", "");
  EXPECT_TRUE(machine.extra.empty());
}

TEST(Slots, AreGivenFromTheLowestWithoutSeven) {
  MachineConfig machine;
  machine.controllers = {{Bus::scsi, 0, ControllerModel::lsi_logic}};
  std::vector<int> units;
  while (const auto slot = first_free_slot(machine, Bus::scsi, 0)) {
    units.push_back(slot->unit);
    machine.disks.push_back({.slot = *slot});
  }
  EXPECT_EQ(units, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15}));
  machine.controllers[0].model = ControllerModel::pvscsi;
  EXPECT_EQ(first_free_slot(machine, Bus::scsi, 0), (Slot{Bus::scsi, 0, 16}));
  EXPECT_EQ(first_free_slot(machine, Bus::scsi, 1), std::nullopt);
  EXPECT_EQ(first_free_slot(machine, Bus::ide, 1), (Slot{Bus::ide, 1, 0}));
  EXPECT_EQ(first_free_controller(machine, Bus::scsi), 1);
  EXPECT_EQ(first_free_controller(machine, Bus::sata), 0);
  EXPECT_EQ(first_free_network_adapter(machine), 0);
}

TEST(Uuids, HaveTwoForms) {
  const std::string spaced = "56 4d 1c 2e 5a 8b 01 23-45 67 89 ab cd ef 01 23";
  const std::string canonical = "564d1c2e-5a8b-0123-4567-89abcdef0123";
  EXPECT_EQ(canonical_uuid(spaced), canonical);
  EXPECT_EQ(vmx_uuid("564D1C2E-5A8B-0123-4567-89ABCDEF0123"), spaced);
  EXPECT_EQ(canonical_uuid(canonical), canonical);
  for (const char* bad : {"", "564d", "564d1c2e-5a8b-0123-4567-89abcdef012x",
                          "564d1c2e-5a8b-0123-4567-89abcdef01234"})
    expect_error(ErrorKind::invalid_argument, "no UUID", [&] { canonical_uuid(bad); });
}

TEST(MacAddresses, AreMadeFromTheUuid) {
  EXPECT_EQ(generated_mac("564d1c2e-5a8b-0123-4567-89abcda7d832", 0), "00:0c:29:a7:d8:32");
  EXPECT_EQ(generated_mac("564d1c2e-5a8b-0123-4567-89abcda7d832", 10), "00:0c:29:a7:d8:3c");
  EXPECT_EQ(generated_mac("564d1c2e-5a8b-0123-4567-89abcdffffff", 1), "00:0c:29:00:00:00");
  MachineConfig machine;
  machine.bios_uuid = "564d1c2e-5a8b-0123-4567-89abcda7d832";
  machine.network_adapters = {{.number = 0},
                              {.number = 1, .address_type = AddressType::assigned},
                              {.number = 2, .mac = "00:0c:29:a7:d8:3c", .generated_offset = 10},
                              {.number = 3}};
  EXPECT_TRUE(generate_missing_macs(machine));
  EXPECT_EQ(machine.network_adapters[0].mac, "00:0c:29:a7:d8:32");
  EXPECT_EQ(machine.network_adapters[1].mac, "");
  EXPECT_EQ(machine.network_adapters[3].mac, "00:0c:29:a7:d8:46");
  EXPECT_EQ(machine.network_adapters[3].generated_offset, 20);
  EXPECT_FALSE(generate_missing_macs(machine));
}

TEST(MacAddresses, AvoidThoseOfOthers) {
  MachineConfig machine;
  machine.bios_uuid = "564d1c2e-5a8b-0123-4567-89abcda7d832";
  machine.network_adapters = {{.number = 0}};
  generate_missing_macs(machine, [](const std::string& mac) { return mac == "00:0c:29:a7:d8:32"; });
  EXPECT_EQ(machine.network_adapters[0].mac, "00:0c:29:a7:d8:3c");
  EXPECT_EQ(machine.network_adapters[0].generated_offset, 10);
}

TEST(AdapterModel, IsTheEnhancedVmxnetByItsFeatures) {
  const std::string text =
      "virtualHW.version = \"7\"\n"
      "ethernet0.present = \"TRUE\"\nethernet0.virtualDev = \"vmxnet\"\n"
      "ethernet1.present = \"TRUE\"\nethernet1.virtualDev = \"vmxnet\"\n"
      "ethernet1.features = \"15\"\n";
  VmxFile file = VmxFile::parse(text, "old.vmx");
  const MachineConfig machine = read(file);
  EXPECT_EQ(machine.network_adapters.at(0).model, AdapterModel::vmxnet);
  EXPECT_EQ(machine.network_adapters.at(1).model, AdapterModel::vmxnet2);
  write(machine, file);
  EXPECT_EQ(file.serialise(), text);
  EXPECT_EQ(read(make_vmx(machine)).network_adapters, machine.network_adapters);
}

TEST(AdapterModel, DependsOnTheGuestWhereTheFileDoesNotSay) {
  EXPECT_EQ(default_adapter_model("winxppro", 19), AdapterModel::vlance);
  EXPECT_EQ(default_adapter_model("debian11-64", 19), AdapterModel::e1000);
  EXPECT_EQ(default_adapter_model("windows7-64", 19), AdapterModel::e1000);
  EXPECT_EQ(default_adapter_model("windows9srv-64", 19), AdapterModel::e1000e);
  EXPECT_EQ(default_adapter_model("windows9srv-64", 7), AdapterModel::e1000);
}

TEST(MacAddresses, OfUsersStayOutOfTheGeneratedRanges) {
  for (const char* good :
       {"00:50:56:00:00:00", "00:50:56:3F:ff:ff", "00-50-56-12-34-56", "02:00:00:00:00:01"})
    EXPECT_NO_THROW(check_manual_mac(good)) << good;
  for (const char* bad : {"00:50:56:40:00:00", "00:50:56:9a:00:01", "00:0c:29:00:00:01",
                          "01:50:56:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00",
                          "00:50:56:00:00", "00:50:56:00:00:0g", "005056000000"})
    EXPECT_THROW(check_manual_mac(bad), Error) << bad;
}

}  // namespace
}  // namespace virga::vmx
