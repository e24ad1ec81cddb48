// The pure parts: descriptions, the command line made of them, and the files they are kept in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "../expect_error.h"
#include "base/error.h"
#include "base/json.h"
#include "hypervisor/machine_spec.h"
#include "hypervisor/qemu/command_line.h"
#include "hypervisor/qemu/devices.h"
#include "hypervisor/qemu/machine_record.h"
#include "hypervisor/saved_state.h"

namespace virga::hypervisor {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

MachineSpec full_spec() {
  MachineSpec spec;
  spec.id = "web-01";
  spec.name = "web, the first";
  spec.bios_uuid = "564d1d3a-0000-4000-8000-000000000001";
  spec.identity = {.manufacturer = "Virga", .serial = "1, 2"};
  spec.memory_mib = 2048;
  spec.vcpus = 4;
  spec.cores_per_socket = 2;
  spec.max_memory_mib = 4096;
  spec.max_vcpus = 8;
  spec.dimms = {128, 256};
  spec.firmware = Firmware::efi;
  spec.nvram_path = "/ds/web/web.nvram";
  spec.controllers = {{.key = 1000, .model = ControllerModel::pvscsi, .bus = 0},
                      {.key = 1003, .model = ControllerModel::lsi_sas, .bus = 3},
                      {.key = 15000, .model = ControllerModel::ahci, .bus = 0},
                      {.key = 201, .model = ControllerModel::ide, .bus = 1}};
  spec.disks = {{.key = 2000,
                 .controller_key = 1000,
                 .unit = 0,
                 .chain = {{"/ds/web/web-flat.vmdk"}, {"/ds/web/1", DiskFormat::qcow2}}},
                {.key = 2048,
                 .controller_key = 1003,
                 .unit = 6,
                 .chain = {{"/ds/web/data.qcow2", DiskFormat::qcow2}},
                 .read_only = true,
                 .serial = "S1",
                 .wwn = 0x5000c29000000001}};
  spec.cdroms = {{.key = 16000, .controller_key = 15000, .unit = 5, .path = "/iso/debian.iso"},
                 {.key = 3002, .controller_key = 201, .unit = 1}};
  spec.nics = {{.key = 4000, .slot = 0, .mac = "00:50:56:00:00:01", .tap = "tap7"},
               {.key = 4009,
                .model = NicModel::e1000,
                .slot = 9,
                .mac = "00:50:56:00:00:02",
                .link_up = false}};
  spec.serial_ports = {{.key = 9000, .backend = LineBackend::socket, .log_path = "/ds/web/s.log"},
                       {.key = 9001, .backend = LineBackend::file, .path = "/ds/web/out"},
                       {.key = 9002,
                        .backend = LineBackend::network,
                        .network = NetworkLine{.host = "2001:db8::7", .port = 2001}},
                       {.key = 9003, .backend = LineBackend::stream}};
  spec.parallel_ports = {{.key = 10000, .backend = LineBackend::file, .path = "/ds/web/printed"},
                         {.key = 10001, .backend = LineBackend::device, .path = "/dev/parport0"}};
  spec.floppies = {{.key = 8000, .unit = 0, .path = "/ds/web/boot.flp"}, {.key = 8001, .unit = 1}};
  spec.usb_controllers = {{.key = 7000, .model = UsbControllerModel::ehci},
                          {.key = 14000, .model = UsbControllerModel::xhci}};
  spec.usb_devices = {{.key = 7100, .controller_key = 14000, .path = "/dev/bus/usb/001/004"},
                      {.key = 7120, .controller_key = 7000, .model = UsbDeviceModel::tablet}};
  spec.sound = {.key = 5000};
  spec.watchdog = {.key = 18000};
  spec.passthrough = {{.key = 13000, .slot = 0, .address = "0000:3b:00.0", .iommu_group = 17},
                      {.key = 13015,
                       .slot = 15,
                       .address = "0000:3b:00.1",
                       .iommu_group = 18,
                       .network = NetworkFunction{"ens3f0", 3, "00:0c:29:01:02:03", 7, true}}};
  spec.tpm = {.key = 11000, .state_directory = "/ds/web/web.vtpm"};
  spec.boot_order = {"cdrom-16000", "disk-2000"};
  spec.boot_delay_ms = 3000;
  spec.boot_retry_ms = 10000;
  return spec;
}

template <class Change>
Error refusal_of(Change change) {
  MachineSpec spec = full_spec();
  change(spec);
  return failure_of([&] { validate(spec); });
}

TEST(MachineSpec, SurvivesItsJson) {
  const MachineSpec spec = full_spec();
  EXPECT_EQ(machine_spec_from_json(to_json(spec)), spec);
  EXPECT_EQ(machine_spec_from_json(to_json(MachineSpec{})), MachineSpec{});
}

TEST(MachineSpec, TakesDefaultsForWhatAnOlderVersionDidNotWrite) {
  const MachineSpec spec = machine_spec_from_json(R"({"id":"a","nics":[{"key":4000}]})");
  EXPECT_TRUE(spec.guest_agent);
  EXPECT_TRUE(spec.nics.at(0).link_up);
}

TEST(MachineSpec, RefusesDamagedJson) {
  for (const char* text : {"", "[]", R"({"nics":7})", R"({"firmware":"coreboot"})",
                           R"({"vcpus":99999999999})", R"({"name":null})"})
    EXPECT_EQ(failure_of([&] { machine_spec_from_json(text); }).kind(), ErrorKind::damaged) << text;
}

TEST(Validate, AcceptsAFullMachine) {
  EXPECT_NO_THROW(validate(full_spec()));
}

TEST(Validate, NamesTheDeviceThatIsWrong) {
  EXPECT_EQ(refusal_of([](auto& s) { s.disks[0].controller_key = 1001; }).subject(), "disk-2000");
  EXPECT_EQ(refusal_of([](auto& s) { s.disks[1].unit = 7; }).kind(), ErrorKind::unsupported);
  EXPECT_EQ(refusal_of([](auto& s) { s.cdroms[1].key = 2000; }).subject(), "cdrom-2000");
  EXPECT_EQ(refusal_of([](auto& s) { s.nics[1].slot = 0; }).subject(), "nic-4009");
  EXPECT_EQ(refusal_of([](auto& s) { s.nics[1].mac = "00:50:56"; }).subject(), "nic-4009");
  EXPECT_EQ(refusal_of([](auto& s) { s.controllers[1].bus = 0; }).subject(), "scsi-1003");
  EXPECT_EQ(refusal_of([](auto& s) { s.boot_order = {"disk-1"}; }).subject(), "disk-1");
  EXPECT_EQ(refusal_of([](auto& s) { s.disks[0].chain.clear(); }).subject(), "disk-2000");
  EXPECT_EQ(refusal_of([](auto& s) {
              s.disks[1].chain = s.disks[0].chain, s.disks[1].chain[1].format = DiskFormat::raw;
            }).subject(),
            "disk-2048");
  EXPECT_EQ(refusal_of([](auto& s) { s.vcpus = 3; }).subject(), "web-01");
  EXPECT_EQ(refusal_of([](auto& s) { s.max_vcpus = 2; }).subject(), "web-01");
  EXPECT_EQ(refusal_of([](auto& s) { s.max_vcpus = 7; }).subject(), "web-01");
  EXPECT_EQ(refusal_of([](auto& s) { s.max_memory_mib = 1024; }).subject(), "web-01");
  EXPECT_EQ(refusal_of([](auto& s) { s.max_memory_mib = 0; }).subject(), "web-01");
  EXPECT_EQ(refusal_of([](auto& s) { s.dimms = {1024, 1024}; }).subject(), "web-01");
  EXPECT_EQ(refusal_of([](auto& s) { s.id = "../etc"; }).subject(), "../etc");
  EXPECT_EQ(refusal_of([](auto& s) { s.nvram_path.clear(); }).subject(), "web-01");
  EXPECT_EQ(refusal_of([](auto& s) { s.disks[1] = s.disks[0], s.disks[1].key = 2001; }).subject(),
            "disk-2001");
  EXPECT_EQ(refusal_of([](auto& s) { s.floppies[1].unit = 0; }).subject(), "floppy-8001");
  EXPECT_EQ(refusal_of([](auto& s) { s.serial_ports[2].network.reset(); }).subject(),
            "serial-9002");
  EXPECT_EQ(refusal_of([](auto& s) { s.parallel_ports[1].path.clear(); }).subject(),
            "parallel-10001");
  EXPECT_EQ(refusal_of([](auto& s) { s.usb_controllers.pop_back(); }).subject(), "usb-device-7100");
  EXPECT_EQ(
      refusal_of([](auto& s) { s.usb_controllers[1].model = UsbControllerModel::uhci; }).subject(),
      "usb-14000");
}

TEST(Validate, HoldsControllersToTheUnitsGuestsSee) {
  EXPECT_TRUE(unit_is_valid(ControllerModel::pvscsi, 15));
  EXPECT_FALSE(unit_is_valid(ControllerModel::pvscsi, 16));
  EXPECT_FALSE(unit_is_valid(ControllerModel::pvscsi, 7));
  EXPECT_TRUE(unit_is_valid(ControllerModel::nvme, 14));
  EXPECT_FALSE(unit_is_valid(ControllerModel::nvme, 15));
  EXPECT_FALSE(is_hot_pluggable(ControllerModel::nvme));
}

TEST(ContestedDisk, IsOneThatOnlyOneOfTheTwoShares) {
  MachineSpec one = full_spec(), other = full_spec();
  EXPECT_EQ(contested_disk(one, other), &one.disks[0]);
  one.disks[0].shared = true;
  EXPECT_EQ(contested_disk(one, other), &one.disks[0]);
  for (Disk& disk : one.disks) disk.shared = true;
  for (Disk& disk : other.disks) disk.shared = true;
  EXPECT_EQ(contested_disk(one, other), nullptr);
  other.disks.clear();
  EXPECT_EQ(contested_disk(full_spec(), other), nullptr);
}

TEST(UnsavableDevice, IsAnNvmeControllerOrTheHosts) {
  MachineSpec spec = full_spec();
  EXPECT_EQ(unsavable_device(spec), "passthrough-13000");
  spec.passthrough.clear();
  EXPECT_EQ(unsavable_device(spec), std::nullopt);
  spec.controllers.push_back({.key = 31000, .model = ControllerModel::nvme});
  EXPECT_EQ(unsavable_device(spec), "nvme-31000");
}

// ---- The command line

const Platform platform = {
    .machine_type = "pc-i440fx-7.2", .efi_code = "/fw/code.fd", .option_roms = "/fw/roms"};

std::string joined(const CommandLine& line) {
  std::string all;
  for (const auto& argument : line.argv) all += argument + "\n";
  return all;
}

using DevicesById = std::map<std::string, json::object>;
DevicesById devices_of(const CommandLine& line) {
  DevicesById devices;
  for (std::size_t i = 0; i + 1 < line.argv.size(); ++i) {
    if (line.argv[i] != "-device") continue;
    json::object device = json::parse(line.argv[i + 1]).as_object();
    if (!device.contains("id")) continue;  // a codec
    const std::string id(device.at("id").as_string());
    if (!devices.emplace(id, std::move(device)).second)
      throw std::runtime_error("two devices are called " + id);
  }
  return devices;
}

// What a descriptor in a datastore says leads nowhere: QEMU is given one that names what we opened.
TEST(CommandLine, NamesExtentsByTheirDescriptors) {
  Disk disk{.key = 2000, .controller_key = 1000};
  disk.chain = {{"/ds/web/web.vmdk",
                 DiskFormat::vmdk,
                 {{"/ds/web/web-f001.vmdk", 4096, false, 8}, {"/ds/web/web-f002.vmdk", 64}}}};
  const std::vector<ImageFile> files = image_files(disk, 3, disk.chain[0]);
  ASSERT_EQ(files.size(), 3u);
  EXPECT_EQ(files[0].set, fdset_of(2000, 3));
  EXPECT_EQ(files[0].kind, ImageFile::Kind::descriptor);
  EXPECT_THAT(files[0].text, HasSubstr("RW 4096 FLAT \"/dev/fdset/1000302000\" 8\n"
                                       "RW 64 FLAT \"/dev/fdset/2000302000\" 0\n"));
  EXPECT_EQ(files[2].path, "/ds/web/web-f002.vmdk");
  EXPECT_EQ(files[2].set, 2'000'302'000);
  EXPECT_EQ(image_of_fdset(files[2].set), std::pair(2000, 3));
  EXPECT_EQ(image_of_fdset(files[0].set), std::pair(2000, 3));
  disk.chain[0].extents.resize(1000, {"/ds/web/web-f001.vmdk", 4096});
  const Error too_many = failure_of([&] { image_files(disk, 0, disk.chain[0]); });
  EXPECT_EQ(too_many.kind(), ErrorKind::unsupported);
  EXPECT_THAT(too_many.what(), HasSubstr("/ds/web/web.vmdk"));
}

TEST(CommandLine, OpensNothingByPath) {
  const CommandLine line = build_command_line(full_spec(), platform, "/run/v/web-01", false);
  const std::string all = joined(line);
  for (const Inherited& file : line.inherited) {
    if (file.path.empty()) continue;
    EXPECT_THAT(all, Not(HasSubstr(file.path)));
  }
  int number = first_inherited;
  for (const Inherited& file : line.inherited) EXPECT_EQ(file.number, number++);
  const auto has = [&](Inherited::Kind kind, const std::string& path, int key = 0) {
    return std::ranges::any_of(line.inherited, [&](const Inherited& file) {
      return file.kind == kind && file.path == path && file.key == key;
    });
  };
  const auto has_image = [&](const std::string& path, bool read_only) {
    return std::ranges::any_of(line.inherited, [&](const Inherited& file) {
      return file.kind == Inherited::Kind::image && file.image.path == path &&
             file.image.read_only == read_only;
    });
  };
  EXPECT_TRUE(has_image("/ds/web/web-flat.vmdk", false));
  EXPECT_TRUE(has_image("/ds/web/data.qcow2", true));
  EXPECT_TRUE(has(Inherited::Kind::read_only, "/iso/debian.iso"));
  EXPECT_TRUE(has(Inherited::Kind::read_only, "/fw/code.fd"));
  EXPECT_TRUE(has(Inherited::Kind::read_write, "/ds/web/web.nvram"));
  EXPECT_TRUE(has(Inherited::Kind::append, "/ds/web/s.log"));
  EXPECT_TRUE(has(Inherited::Kind::listener, "/run/v/web-01/serial-9000.sock"));
  EXPECT_TRUE(has(Inherited::Kind::append, "/ds/web/out"));
  EXPECT_TRUE(has(Inherited::Kind::tap, "", 4000));
  EXPECT_TRUE(has(Inherited::Kind::stream, "", 9003));
  EXPECT_TRUE(has(Inherited::Kind::tpm, ""));
  EXPECT_TRUE(has(Inherited::Kind::read_write, "/ds/web/boot.flp"));
  EXPECT_TRUE(has(Inherited::Kind::append, "/ds/web/printed"));
  EXPECT_TRUE(has(Inherited::Kind::read_write, "/dev/parport0"));
  EXPECT_TRUE(has(Inherited::Kind::read_write, "/dev/bus/usb/001/004"));
  EXPECT_TRUE(std::ranges::any_of(line.inherited, [](const Inherited& file) {
    return file.kind == Inherited::Kind::tcp_listener && file.address.port == 2001;
  }));
}

TEST(CommandLine, GivesScsiControllersTheirRomWhereTheMachineBootsByEfi) {
  const CommandLine line = build_command_line(full_spec(), platform, "/run", false);
  const DevicesById devices = devices_of(line);
  for (const auto& [id, path] : std::map<std::string, std::string>{
           {"scsi-1000", "/fw/roms/pvscsi.rom"}, {"scsi-1003", "/fw/roms/mptsas1068.rom"}}) {
    const auto rom = std::ranges::find(line.inherited, path, &Inherited::path);
    ASSERT_NE(rom, line.inherited.end()) << path;
    EXPECT_EQ(rom->kind, Inherited::Kind::read_only);
    const std::string name = "/dev/fd/" + std::to_string(rom->number);
    EXPECT_EQ(devices.at(id).at("romfile"), json::value(name));
    EXPECT_EQ(devices.at(id).at("romsize"), 65536);
  }
  EXPECT_FALSE(devices.at("sata-15000").contains("romfile"));
  MachineSpec bios = full_spec();
  bios.firmware = Firmware::bios;
  EXPECT_THAT(joined(build_command_line(bios, platform, "/run", false)), Not(HasSubstr("romfile")));
}

TEST(CommandLine, StacksTheImagesOfADisk) {
  const CommandLine line = build_command_line(full_spec(), platform, "/run", false);
  std::map<std::string, json::object> nodes;
  for (std::size_t i = 0; i + 1 < line.argv.size(); ++i) {
    if (line.argv[i] != "-blockdev") continue;
    const json::object node = json::parse(line.argv[i + 1]).as_object();
    nodes[std::string(node.at("node-name").as_string())] = node;
  }
  EXPECT_EQ(devices_of(line).at("disk-2000").at("drive"), "node-2000-1");
  EXPECT_EQ(nodes.at("node-2000-1").at("backing"), "node-2000-0");
  EXPECT_EQ(nodes.at("node-2000-1").at("read-only"), false);
  EXPECT_EQ(nodes.at("node-2000-0").at("read-only"), true);
  EXPECT_EQ(nodes.at("file-2000-0").at("read-only"), false);  // it may be merged into
  EXPECT_EQ(nodes.at("file-2000-1").at("filename"), "/dev/fdset/102000");
  EXPECT_EQ(nodes.at("node-2048-0").at("backing"), nullptr);
  EXPECT_EQ(nodes.at("file-2048-0").at("read-only"), true);
  EXPECT_EQ(key_of_node("node-2000-1"), 2000);
  EXPECT_EQ(key_of_node("efi-variables"), 0);
}

TEST(CommandLine, LeavesRoomToGrow) {
  MachineSpec spec = full_spec();
  const std::string grown = joined(build_command_line(spec, platform, "/run", true));
  EXPECT_THAT(grown, HasSubstr("cpus=4,maxcpus=8,sockets=4,cores=2,threads=1\n"));
  EXPECT_THAT(grown, HasSubstr("size=1664M,slots=32,maxmem=4096M\n"));
  EXPECT_THAT(grown,
              HasSubstr(R"({"qom-type":"memory-backend-ram","id":"memory-1","size":268435456})"));
  EXPECT_THAT(grown,
              HasSubstr(R"({"driver":"pc-dimm","id":"dimm-1","memdev":"memory-1","slot":1})"));
  spec.max_memory_mib = 0;
  spec.max_vcpus = 0;
  spec.dimms.clear();
  const std::string fixed = joined(build_command_line(spec, platform, "/run", true));
  EXPECT_THAT(fixed, HasSubstr("cpus=4,maxcpus=4,sockets=2"));
  EXPECT_THAT(fixed, HasSubstr("-m\n2048M\n"));
}

TEST(CommandLine, SandboxesAndWaits) {
  const CommandLine line = build_command_line(full_spec(), platform, "/run", false);
  EXPECT_THAT(joined(line),
              HasSubstr("-sandbox\non,obsolete=deny,elevateprivileges=deny,spawn=deny,"
                        "resourcecontrol=deny\n"));
  EXPECT_THAT(joined(line), HasSubstr("-nodefaults\n-no-user-config\n"));
  EXPECT_THAT(line.argv, Contains("-S"));
  EXPECT_THAT(line.argv, Not(Contains("-incoming")));
  EXPECT_THAT(joined(build_command_line(full_spec(), platform, "/run", true)),
              HasSubstr("-incoming\ndefer\n"));
}

TEST(CommandLine, GivesEveryDeviceAnAddressOfItsOwn) {
  std::multiset<std::string> addresses;
  for (const auto& [id, device] :
       devices_of(build_command_line(full_spec(), platform, "/r", false)))
    if (const json::value* address = device.if_contains("addr"))
      addresses.insert(std::string(address->as_string()));
  EXPECT_EQ(addresses, (std::multiset<std::string>{"0x2", "0x3", "0x4", "0x7", "0x8", "0xc", "0x15",
                                                   "0x1a.0", "0x1a.1", "0x1a.2", "0x1a.7", "0x1b",
                                                   "0x1c", "0x1d", "0x1f", "0x1", "0x10"}));
}

TEST(CommandLine, KeepsAddressesWhenOtherDevicesGo) {
  MachineSpec spec = full_spec();
  spec.controllers.erase(spec.controllers.begin());
  spec.disks.erase(spec.disks.begin());
  spec.nics.erase(spec.nics.begin());
  spec.boot_order.clear();
  const DevicesById devices = devices_of(build_command_line(spec, platform, "/run", false));
  EXPECT_EQ(devices.at("scsi-1003").at("addr"), "0x7");
  EXPECT_EQ(devices.at("nic-4009").at("addr"), "0x15");
}

TEST(CommandLine, EscapesWhatPeopleWrite) {
  const std::string all = joined(build_command_line(full_spec(), platform, "/run", false));
  EXPECT_THAT(all, HasSubstr("guest=web,, the first,process="));
  EXPECT_THAT(all, HasSubstr("type=1,manufacturer=Virga,serial=1,, 2\n"));
}

TEST(CommandLine, BootsInTheOrderAskedFor) {
  const CommandLine line = build_command_line(full_spec(), platform, "/run", false);
  const DevicesById devices = devices_of(line);
  EXPECT_EQ(devices.at("cdrom-16000").at("bootindex"), 1);
  EXPECT_EQ(devices.at("disk-2000").at("bootindex"), 2);
  EXPECT_FALSE(devices.at("nic-4000").contains("bootindex"));
  EXPECT_THAT(joined(line), HasSubstr("strict=on,menu=on,splash-time=3000,reboot-timeout=10000\n"));
}

TEST(CommandLine, FollowsTheAccelerator) {
  Platform kvm = platform;
  kvm.kvm = true;
  EXPECT_THAT(joined(build_command_line(full_spec(), kvm, "/run", false)),
              HasSubstr("-accel\nkvm\n-cpu\nhost,vmx=off,svm=off\n"));
  EXPECT_THAT(
      joined(build_command_line(full_spec(), platform, "/run", false)),
      HasSubstr("-accel\ntcg,thread=multi,tb-size=64\n-cpu\nmax,la57=off,vmx=off,svm=off\n"));
}

TEST(CommandLine, PutsAMachineWithSecureBootOnQ35) {
  MachineSpec spec = full_spec();
  spec.secure_boot = true;
  const CommandLine line = build_command_line(spec, platform, "/run", false);
  EXPECT_THAT(joined(line), HasSubstr(",smm=on\n"));
  EXPECT_THAT(joined(line), HasSubstr("driver=cfi.pflash01,property=secure,value=on\n"));
  const DevicesById devices = devices_of(line);
  EXPECT_EQ(devices.at("pci.0").at("driver"), "pcie-pci-bridge");
  EXPECT_EQ(devices.at("scsi-1003").at("addr"), "0x7");  // as on pc
  EXPECT_EQ(devices.at("cdrom-3002").at("bus"), "ide.3");
  EXPECT_FALSE(devices.at("cdrom-3002").contains("unit"));
  EXPECT_TRUE(devices.contains("floppy-controller"));
}

TEST(CommandLine, PassesDevicesThroughWithAllMemoryInPlace) {
  const CommandLine line = build_command_line(full_spec(), platform, "/run", false);
  const DevicesById devices = devices_of(line);
  EXPECT_EQ(json::serialize(devices.at("passthrough-13015")),
            R"({"driver":"vfio-pci","id":"passthrough-13015","host":"0000:3b:00.1",)"
            R"("bus":"passthrough","addr":"0x10"})");
  EXPECT_EQ(devices.at("passthrough").at("driver"), "pci-bridge");
  EXPECT_EQ(line.nodes,
            (std::vector<std::string>{"/dev/vfio/vfio", "/dev/vfio/17", "/dev/vfio/18"}));
  EXPECT_EQ(line.locked_bytes, (4096ULL << 20) + (1ULL << 30));
  MachineSpec without = full_spec();
  without.passthrough.clear();
  EXPECT_EQ(build_command_line(without, platform, "/run", false).locked_bytes, 0u);
}

TEST(CommandLine, GivesAShareOfAGpu) {
  MachineSpec spec = full_spec();
  for (PassthroughDevice& device : spec.passthrough) {
    device.address = "0000:3b:00.0";
    device.share = DeviceShare{"nvidia-63", "0f9c7f4e-0000-4000-8000-000000000001"};
  }
  validate(spec);
  EXPECT_EQ(machine_spec_from_json(to_json(spec)), spec);
  const DevicesById devices = devices_of(build_command_line(spec, platform, "/run", false));
  EXPECT_EQ(json::serialize(devices.at("passthrough-13000")),
            R"({"driver":"vfio-pci","id":"passthrough-13000",)"
            R"("sysfsdev":"/sys/bus/mdev/devices/0f9c7f4e-0000-4000-8000-000000000001",)"
            R"("bus":"passthrough","addr":"0x1"})");
}

// QEMU 7.2 takes these arguments; beyond them it needs a device with RDMA.
TEST(CommandLine, GivesAnAdapterRdmaOnSharedMemory) {
  MachineSpec spec = full_spec();
  spec.passthrough.clear();
  spec.nics[0].rdma = RdmaFunction{"mlx5_0", 1, "/run/mux"};
  validate(spec);
  EXPECT_EQ(machine_spec_from_json(to_json(spec)), spec);
  EXPECT_EQ(unsavable_device(spec), "nic-4000");
  const CommandLine line = build_command_line(spec, platform, "/run", false);
  const DevicesById devices = devices_of(line);
  EXPECT_EQ(devices.at("nic-4000").at("multifunction"), true);
  EXPECT_EQ(json::serialize(devices.at("nic-4000-rdma")),
            R"({"driver":"pvrdma","id":"nic-4000-rdma","bus":"pci.0","addr":"0xc.1",)"
            R"("ibdev":"mlx5_0","ibport":1,"netdev":"nic-4000-net",)"
            R"("mad-chardev":"nic-4000-datagrams"})");
  EXPECT_THAT(joined(line), HasSubstr("socket,id=nic-4000-datagrams,path=/run/mux\n"));
  EXPECT_THAT(joined(line), HasSubstr("id=memory,size=1664M,share=on\n"));
  EXPECT_EQ(line.locked_bytes, (4096ULL << 20) + (1ULL << 30));
  spec.nics[0].model = NicModel::e1000;
  EXPECT_EQ(failure_of([&] { validate(spec); }).kind(), ErrorKind::invalid_argument);
}

TEST(CommandLine, CallsTheFarEndOfASerialLine) {
  MachineSpec spec = full_spec();
  spec.serial_ports[2].network = {.host = "spc.lab", .port = 23, .server = false, .telnet = true};
  EXPECT_THAT(joined(build_command_line(spec, platform, "/run", false)),
              HasSubstr("socket,id=serial-9002-line,host=spc.lab,port=23,reconnect=1,telnet=on\n"));
}

TEST(CommandLine, LeavesTlsToWhoeverOpensTheLine) {
  MachineSpec spec = full_spec();
  spec.serial_ports[2].network = {.host = "spc.lab",
                                  .port = 23,
                                  .server = false,
                                  .telnet = true,
                                  .security = LineSecurity{.verify_peer = true}};
  const CommandLine line = build_command_line(spec, platform, "/run", false);
  const auto socket = std::ranges::find(line.inherited, "/run/serial-9002.sock", &Inherited::path);
  ASSERT_NE(socket, line.inherited.end());
  EXPECT_EQ(socket->kind, Inherited::Kind::listener);
  EXPECT_THAT(joined(line), HasSubstr(fmt::format(
                                "socket,id=serial-9002-line,fd={},server=on,wait=off,telnet=on\n",
                                socket->number)));
  EXPECT_EQ(machine_spec_from_json(to_json(spec)), spec);
}

TEST(CommandLine, KnowsTheHostsDrivesFromImages) {
  MachineSpec spec = full_spec();
  spec.cdroms[0].path = "/dev/sr0";
  spec.floppies[0].path = "/dev/fd0";
  const std::string all = joined(build_command_line(spec, platform, "/run", false));
  EXPECT_THAT(all, HasSubstr(R"({"driver":"host_cdrom","node-name":"file-16000-0")"));
  EXPECT_THAT(all, HasSubstr(R"({"driver":"host_device","node-name":"file-8000-0")"));
}

// ---- Logical units

MachineSpec with_units() {
  MachineSpec spec = full_spec();
  spec.disks.resize(2);
  spec.disks[0].chain = {{.path = "/dev/sdb", .block_device = true},
                         {"/ds/web/web-000001-delta.vmdk", DiskFormat::qcow2}};
  DiskImage lun{.path = "naa.600508b1001c"};
  lun.iscsi = {.portal = "10.0.0.5:3260",
               .target = "iqn.2003-01.org.example:array",
               .lun = 7,
               .initiator = "iqn.1998-01.org.virga:host",
               .user = "alice",
               .password = "secret, of alice"};
  spec.disks[1].chain = {lun};
  spec.disks[1].read_only = false;
  spec.disks[1].passthrough = true;
  return spec;
}

TEST(CommandLine, ReachesAUnitByADescriptorOrALogin) {
  const MachineSpec spec = with_units();
  EXPECT_NO_THROW(validate(spec));
  const CommandLine line = build_command_line(spec, platform, "/run", false);
  const std::string all = joined(line);
  EXPECT_THAT(all, HasSubstr(R"({"driver":"host_device","node-name":"file-2000-0",)"
                             R"("filename":"/dev/fdset/2000")"));
  EXPECT_THAT(all, HasSubstr(R"({"driver":"iscsi","node-name":"file-2048-0","transport":"tcp",)"
                             R"("portal":"10.0.0.5:3260","target":"iqn.2003-01.org.example:array",)"
                             R"("lun":7,"initiator-name":"iqn.1998-01.org.virga:host")"));
  const DevicesById devices = devices_of(line);
  EXPECT_EQ(devices.at("disk-2000").at("driver"), "scsi-hd");
  EXPECT_EQ(devices.at("disk-2048").at("driver"), "scsi-block");
  EXPECT_FALSE(devices.at("disk-2048").contains("vendor"));
  const auto is_device = [](const Inherited& file) {
    return file.kind == Inherited::Kind::image && file.image.kind == ImageFile::Kind::device;
  };
  EXPECT_EQ(std::ranges::count_if(line.inherited, is_device), 1);
}

TEST(CommandLine, ShowsNoSecret) {
  const CommandLine line = build_command_line(with_units(), platform, "/run", false);
  const auto secret = std::ranges::find(line.inherited, Inherited::Kind::secret, &Inherited::kind);
  ASSERT_NE(secret, line.inherited.end());
  EXPECT_EQ(secret->secret, "secret, of alice");
  const std::string all = joined(line);
  EXPECT_THAT(all, Not(HasSubstr("secret, of alice")));
  EXPECT_THAT(all, HasSubstr(fmt::format(
                       R"({{"qom-type":"secret","id":"disk-2048-secret","file":"/dev/fd/{}"}})",
                       secret->number)));
  EXPECT_THAT(all, HasSubstr(R"("user":"alice","password-secret":"disk-2048-secret")"));
}

TEST(Spec, KeepsNoSecretInRecords) {
  MachineSpec spec = with_units();
  EXPECT_THAT(to_json(spec), Not(HasSubstr("of alice")));
  const MachineSpec read = machine_spec_from_json(to_json(spec));
  spec.disks[1].chain[0].iscsi->password.clear();
  EXPECT_EQ(read, spec);
}

TEST(Spec, PassesCommandsToDevicesOnScsiAlone) {
  MachineSpec spec = with_units();
  spec.disks[0].passthrough = true;
  EXPECT_THAT(failure_of([&] { validate(spec); }).what(), HasSubstr("disk-2000"));
  spec = with_units();
  spec.disks[1].controller_key = 15000;
  spec.disks[1].unit = 1;
  EXPECT_THAT(failure_of([&] { validate(spec); }).what(), HasSubstr("no SCSI controller"));
}

TEST(ImageFile, HoldsADeviceForOneMachine) {
  const MachineSpec spec = with_units();
  Disk disk = spec.disks[0];
  EXPECT_EQ(image_files(disk, 0, disk.chain[0])[0].kind, ImageFile::Kind::device);
  disk.shared = true;
  EXPECT_EQ(image_files(disk, 0, disk.chain[0])[0].kind, ImageFile::Kind::shared_device);
  EXPECT_TRUE(image_files(spec.disks[1], 0, spec.disks[1].chain[0]).empty());
}

TEST(CommandLine, HandsTheHostsUsbDevicesOver) {
  const DevicesById devices = devices_of(build_command_line(full_spec(), platform, "/run", false));
  EXPECT_EQ(devices.at("usb-device-7100").at("hostdevice"), "/dev/fdset/7100");
  EXPECT_EQ(devices.at("usb-device-7100").at("bus"), "usb-14000.0");
  EXPECT_EQ(devices.at("usb-7000-companion-2").at("masterbus"), "usb-7000.0");
}

TEST(Devices, NameDisksForTheWholeWorld) {
  const MachineSpec spec = full_spec();
  EXPECT_EQ(world_wide_name(spec, spec.disks[1]), 0x5000c29000000001u);
  const std::uint64_t made = world_wide_name(spec, spec.disks[0]);
  EXPECT_EQ(made >> 36, 0x5000c29u);
  MachineSpec other = spec;
  other.id = "web-02";
  EXPECT_NE(world_wide_name(other, other.disks[0]), made);
}

// ---- Files

TEST(MachineRecord, SurvivesItsJson) {
  const MachineRecord record{.process = {.pid = 4711, .start_time = 1ull << 40, .boot_id = "b"},
                             .operation = MachineRecord::Operation::snapshotting,
                             .state_path = "/vm/guest.vmss",
                             .frozen = true,
                             .machine_type = "pc",
                             .accelerator = "tcg",
                             .spec = full_spec(),
                             .images = {{2000, {0, 3}}, {2048, {0}}}};
  EXPECT_EQ(machine_record_from_json(to_json(record)), record);
  EXPECT_EQ(failure_of([] { machine_record_from_json("{\"pid\":1}"); }).kind(), ErrorKind::damaged);
}

TEST(SavedState, SurvivesItsHeader) {
  const SavedState state{"pc-i440fx-7.2", "tcg", "7.2.22", full_spec()};
  const std::string block = encode_header(state);
  EXPECT_EQ(block.size(), state_offset);
  EXPECT_EQ(decode_header(block, "a.vmss"), state);
}

TEST(SavedState, RefusesWhatIsNone) {
  std::string block = encode_header({"pc", "tcg", "7", full_spec()});
  EXPECT_EQ(failure_of([&] { decode_header(block.substr(0, 40), "a.vmss"); }).subject(), "a.vmss");
  EXPECT_EQ(failure_of([&] { decode_header("QEVM", "a.vmss"); }).kind(), ErrorKind::damaged);
  block[20] = '\0';
  EXPECT_EQ(failure_of([&] { decode_header(block, "a.vmss"); }).kind(), ErrorKind::damaged);
}

TEST(SavedState, RefusesAMachineTypeThatIsMoreThanAName) {
  for (const char* type : {"", "pc,kernel=/etc/passwd", "pc accel=kvm"}) {
    const std::string block = encode_header({type, "tcg", "7", full_spec()});
    EXPECT_EQ(failure_of([&] { decode_header(block, "a.vmss"); }).kind(), ErrorKind::damaged);
  }
}

TEST(SavedState, FitsMachinesThatDifferOnlyInWhatMayChange) {
  MachineSpec spec = full_spec();
  const SavedState state{"pc", "tcg", "7", spec};
  spec.name = "renamed";
  spec.disks[0].chain[0].path = "/elsewhere";
  spec.cdroms[0].path.reset();
  spec.nics[0].tap = "tap8";
  spec.nics[1].link_up = true;
  spec.boot_order.clear();
  std::ranges::reverse(spec.disks);
  EXPECT_NO_THROW(check_restorable(state, spec, "tcg"));
}

TEST(SavedState, NamesWhatDoesNotFit) {
  const SavedState state{"pc", "tcg", "7", full_spec()};
  const auto refusal = [&](auto change) {
    MachineSpec spec = full_spec();
    change(spec);
    return std::string(failure_of([&] { check_restorable(state, spec, "tcg"); }).what());
  };
  EXPECT_THAT(refusal([](auto& s) { s.vcpus = 2; }), HasSubstr("4 processors"));
  EXPECT_THAT(refusal([](auto& s) { s.disks.pop_back(); }), HasSubstr("other disks"));
  EXPECT_THAT(refusal([](auto& s) { s.nics[0].mac = "00:50:56:00:00:09"; }),
              HasSubstr("other NICs"));
  EXPECT_THAT(failure_of([&] { check_restorable(state, full_spec(), "kvm"); }).what(),
              HasSubstr("made under tcg, this host runs kvm"));
}

TEST(ProcessStat, ReadsPastAnyName) {
  const auto stat =
      parse_process_stat("7 (a) R (b)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 987654 1 2 3");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->start_time, 987654u);
  EXPECT_EQ(stat->cpu_time, std::chrono::seconds(2));
  EXPECT_FALSE(parse_process_stat("7 (a) Z 1 2 3 4 5 6 7 8 9 10 1 1 0 0 20 0 3 0 9 1"));
  EXPECT_FALSE(parse_process_stat("7 (a) S 1 2"));
  EXPECT_FALSE(parse_process_stat(""));
}

TEST(ProcessIdentity, KnowsAProcessFromItsSuccessor) {
  ProcessIdentity self = identify(::getpid());
  EXPECT_TRUE(open_process(self));
  self.start_time += 1;
  EXPECT_FALSE(open_process(self));
  self = identify(::getpid());
  self.boot_id = "another boot";
  EXPECT_FALSE(open_process(self));
}

}  // namespace
}  // namespace virga::hypervisor
