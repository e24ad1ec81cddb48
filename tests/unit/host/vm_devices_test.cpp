// The devices with a file of their own (vm_device_*.cpp): from the API to the .vmx, back to the
// API, and to the hypervisor.
#include "base/error.h"
#include "base/uuid.h"
#include "host/config_target.h"
#include "host/pci_patterns.h"
#include "host/serial_uri.h"
#include "vm_config_specs.h"

namespace virga::host {
namespace {

using hypervisor::LineBackend;
using testing::ElementsAre;
using testing::HasSubstr;

struct VmDevices : PlanTest {
  VmDevices() {
    devices.optical_drives = {"/dev/sr0"};
    devices.floppy_drives = {"/dev/fd0"};
    devices.serial_ports = {"/dev/ttyS0"};
    devices.parallel_ports = {"/dev/parport0"};
    devices.usb = {{.bus = 1, .address = 4, .ports = {1, 3}, .vendor = 0x781, .product = 0x5567}};
    around.context.host_devices = [this] { return devices; };
    around.context.warn = [this](const std::string& message) { warnings.push_back(message); };
    present.serial_ports.clear();
  }

  void apply() {
    present = change_vm(spec).config;
    spec = {};
  }
  hypervisor::MachineSpec machine() { return machine_spec(present, around.context, "m"); }

  hypervisor::HostDevices devices;
  std::vector<std::string> warnings;
  Spec spec;
};

Ptr<vim::VirtualDeviceConnectInfo> at_start(bool connected) {
  vim::VirtualDeviceConnectInfo info;
  info.startConnected = connected;
  return model::share(info);
}

template <class Backing>
Ptr<vim::VirtualDeviceBackingInfo> device_named(const std::string& name) {
  Backing backing;
  backing.deviceName = name;
  return model::share(std::move(backing));
}

template <class Backing>
Ptr<vim::VirtualDeviceBackingInfo> file_named(const std::string& name) {
  Backing backing;
  backing.fileName = name;
  return model::share(std::move(backing));
}

// --- Serial ports ------------------------------------------------------------------------------

vim::VirtualSerialPort port_at(const std::string& uri, const std::string& direction) {
  vim::VirtualSerialPortURIBackingInfo backing;
  backing.serviceURI = uri;
  backing.direction = direction;
  vim::VirtualSerialPort port;
  port.key = -1;
  port.yieldOnPoll = true;
  port.backing = model::share(std::move(backing));
  port.connectable = at_start(true);
  return port;
}

TEST_F(VmDevices, ASerialPortIsOnTheNetwork) {
  add(spec, port_at("telnet://:2001", "server"));
  add(spec, port_at("tcp://[2001:db8::7]:4000", "client"));
  apply();
  const auto info = this->info();
  const auto& shown = device_at<vim::VirtualSerialPort>(info, 9000);
  const auto* backing = shown.backing.as<vim::VirtualSerialPortURIBackingInfo>();
  ASSERT_NE(backing, nullptr);
  EXPECT_EQ(backing->serviceURI, "telnet://:2001");
  EXPECT_EQ(backing->direction, "server");
  const auto lines = machine().serial_ports;
  EXPECT_EQ(lines[0].network, (hypervisor::NetworkLine{"", 2001, true, true}));
  EXPECT_EQ(lines[1].network, (hypervisor::NetworkLine{"2001:db8::7", 4000, false, false}));
}

TEST_F(VmDevices, ASerialPortSpeaksTls) {
  add(spec, port_at("telnets://:2001", "server"));
  add(spec, port_at("tcp+ssl://spc.lab:4000#verify", "client"));
  add(spec, port_at("SSL://[2001:db8::7]:4000/#verify&peerName=2001:db8::7", "client"));
  apply();
  const auto lines = machine().serial_ports;
  using hypervisor::LineSecurity;
  using hypervisor::NetworkLine;
  EXPECT_EQ(lines[0].network, (NetworkLine{"", 2001, true, true, LineSecurity{false}}));
  EXPECT_EQ(lines[1].network, (NetworkLine{"spc.lab", 4000, false, false, LineSecurity{true}}));
  EXPECT_EQ(lines[2].network, (NetworkLine{"2001:db8::7", 4000, false, false, LineSecurity{true}}));
}

TEST_F(VmDevices, ASerialPortKnowsItsPeerByAThumbprint) {
  const std::string print = "0A:1B:2C:3D:4E:5F:60:71:82:93:A4:B5:C6:D7:E8:F9:0A:1B:2C:3D";
  EXPECT_EQ(parse_serial_uri("telnets://spc.lab:4000#thumbprint=" + print, false).security,
            (hypervisor::LineSecurity{false, print}));
  EXPECT_THROW(parse_serial_uri("telnets://:4000#thumbprint=" + print, true), Error);
}

TEST_F(VmDevices, WhatTlsDoesNotCheckIsRefusedByName) {
  for (const auto& [uri, named] :
       std::map<std::string, std::string>{{"telnets://spc:1#verify&cipherList=ALL", "cipherList"},
                                          {"telnets://spc:1#peerName=other", "peerName"},
                                          {"telnet://spc:1#verify", "both ends agree"},
                                          {"tcp6://spc:1", "tcp6"}}) {
    spec = {};
    add(spec, port_at(uri, "client"));
    expect_fault<vim::NotSupported>(named.c_str(), [&] { change_vm(spec); });
  }
}

TEST_F(VmDevices, AConcentratorIsRefusedByName) {
  auto port = port_at("telnet://:2001", "server");
  static_cast<vim::VirtualSerialPortURIBackingInfo&>(port.backing.edit()).proxyURI =
      "telnet://spc:13370";
  add(spec, port);
  expect_fault<vim::NotSupported>("telnet://spc:13370", [&] { change_vm(spec); });
}

struct BadUri {
  const char* uri;
  const char* direction;
  const char* why;
};
class SerialUri : public testing::TestWithParam<BadUri> {};
TEST_P(SerialUri, IsRefusedWithItsReason) {
  Surroundings around;
  Spec spec;
  add(spec, port_at(GetParam().uri, GetParam().direction));
  const auto fault = expect_fault<vim::InvalidDeviceBacking>(
      GetParam().why, [&] { plan_change(sample_config(), spec, around.context, false); });
  EXPECT_THAT(*fault.property, HasSubstr("virtualDeviceSpec.device.backing."));
}
INSTANTIATE_TEST_SUITE_P(VmDevices, SerialUri,
                         testing::Values(BadUri{"2001", "server", "not like telnet"},
                                         BadUri{"http://:80", "server", "none of tcp, telnet"},
                                         BadUri{"ssl://:80#trust", "server", "parameter 'trust'"},
                                         BadUri{"ssl://h:80#thumbprint=AA", "client", "like AA:BB"},
                                         BadUri{"tcp://host", "client", "no port"},
                                         BadUri{"tcp://:0", "server", "within 1 and 65535"},
                                         BadUri{"tcp://:99999", "server", "within 1 and 65535"},
                                         BadUri{"tcp://::1:80", "server", "in brackets"},
                                         BadUri{"tcp://a/b:80", "client", "names no host"},
                                         BadUri{"tcp://a,b:80", "client", "names no host"},
                                         BadUri{"tcp://:80", "client", "calls a host"},
                                         BadUri{"tcp://:80", "sideways", "neither server"}));

TEST_F(VmDevices, ASerialPortIsADeviceOfTheHost) {
  vim::VirtualSerialPort port;
  port.backing = device_named<vim::VirtualSerialPortDeviceBackingInfo>("/dev/ttyS0");
  port.connectable = at_start(true);
  add(spec, port);
  port.backing = device_named<vim::VirtualSerialPortDeviceBackingInfo>("/dev/sda");
  add(spec, port);
  apply();
  const auto lines = machine().serial_ports;
  EXPECT_EQ(lines[0].backend, LineBackend::device);
  EXPECT_EQ(lines[0].path, "/dev/ttyS0");
  EXPECT_EQ(lines[1].backend, LineBackend::none);  // what is no serial port is not opened
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("Serial port 2 is not connected")));
}

TEST_F(VmDevices, AClientOfAPipeIsConnectedByWhoeverStartsIt) {
  auto port = console_port();
  static_cast<vim::VirtualSerialPortPipeBackingInfo&>(port.backing.edit()).endpoint = "client";
  port.connectable = at_start(true);
  add(spec, port);
  apply();
  EXPECT_FALSE(present.serial_ports[0].is_server);
  EXPECT_EQ(machine().serial_ports[0].backend, LineBackend::stream);
}

// --- Parallel ports ----------------------------------------------------------------------------

TEST_F(VmDevices, AParallelPortIsAFileOrADevice) {
  vim::VirtualParallelPort port;
  port.connectable = at_start(true);
  port.backing = file_named<vim::VirtualParallelPortFileBackingInfo>("[ds1] web/printed");
  add(spec, port);
  port.backing = device_named<vim::VirtualParallelPortDeviceBackingInfo>("");
  add(spec, port);
  apply();
  EXPECT_EQ(present.parallel_ports[0].target, "printed");
  EXPECT_EQ(device_at<vim::VirtualParallelPort>(info(), 10001).controllerKey, 400);
  const auto lines = machine().parallel_ports;
  EXPECT_EQ(lines[0].path, "/volumes/ds1/web/printed");
  EXPECT_EQ(lines[1].backend, LineBackend::device);
  EXPECT_EQ(lines[1].path, "/dev/parport0");
}

// --- Floppies and CD-ROM drives ----------------------------------------------------------------

vim::VirtualFloppy floppy(const std::string& image) {
  vim::VirtualFloppy device;
  device.key = -1;
  device.backing = file_named<vim::VirtualFloppyImageBackingInfo>(image);
  device.connectable = at_start(true);
  return device;
}

TEST_F(VmDevices, AFloppyChangesWhileTheVmRuns) {
  add(spec, floppy("[ds1] web/a.flp"));
  apply();
  EXPECT_EQ(machine().floppies[0].path, "/volumes/ds1/web/a.flp");
  edit<vim::VirtualFloppy>(spec, info(true), 8000, [](auto& device) {
    device.backing = file_named<vim::VirtualFloppyImageBackingInfo>("[ds2] b.flp");
    device.connectable.edit().connected = true;
  });
  const ConfigPlan plan = change_vm(spec, true);
  EXPECT_THAT(plan.edited, ElementsAre(8000));
  EXPECT_THAT(plan.privileges, testing::Contains("VirtualMachine.Interact.SetFloppyMedia"));
  EXPECT_EQ(machine_spec(plan.config, around.context, "m").floppies[0].path, "/volumes/ds2/b.flp");
}

TEST_F(VmDevices, DrivesOfTheHostAreOnesItHas) {
  vim::VirtualFloppy drive;
  drive.backing = device_named<vim::VirtualFloppyDeviceBackingInfo>("/dev/fd0");
  drive.connectable = at_start(true);
  add(spec, drive);
  apply();
  present.cdroms[0].backing = vmx::CdRomBacking::host_emulated;
  present.cdroms[0].file = "auto detect";
  EXPECT_EQ(machine().floppies[0].path, "/dev/fd0");
  EXPECT_EQ(machine().cdroms[0].path, "/dev/sr0");
  EXPECT_TRUE(warnings.empty());
  devices = {};
  const hypervisor::MachineSpec without = machine();
  EXPECT_EQ(without.floppies[0].path, std::nullopt);
  EXPECT_EQ(without.cdroms[0].path, std::nullopt);
  EXPECT_EQ(warnings.size(), 2u);
}

TEST_F(VmDevices, NothingIsConnectedAtTheUsersEnd) {
  vim::VirtualFloppy drive;
  drive.backing = device_named<vim::VirtualFloppyRemoteDeviceBackingInfo>("");
  add(spec, drive);
  apply();
  edit<vim::VirtualFloppy>(spec, info(true), 8000,
                           [](auto& device) { device.connectable.edit().connected = true; });
  expect_fault<vim::NotSupported>("not backed by this host", [&] { change_vm(spec, true); });
}

// --- USB ---------------------------------------------------------------------------------------

vim::VirtualUSB usb_device(const std::string& pattern) {
  vim::VirtualUSB device;
  device.key = -7;
  device.connected = true;
  device.backing = device_named<vim::VirtualUSBUSBBackingInfo>(pattern);
  return device;
}

TEST_F(VmDevices, UsbDevicesOfTheHostComeAndGo) {
  vim::VirtualUSBXHCIController xhci;
  xhci.key = -5;
  add(spec, xhci);
  vim::VirtualUSBController usb;
  usb.key = -6;
  usb.ehciEnabled = true;
  add(spec, usb);
  apply();
  EXPECT_EQ(present.usb, (vmx::UsbControllers{true, true, true}));
  add(spec, usb_device("path:1/0/2"));
  EXPECT_THAT(change_vm(spec, true).added, ElementsAre(7100));
  apply();
  EXPECT_EQ(machine().usb_devices[0].path, "/dev/bus/usb/001/004");
  EXPECT_EQ(machine().usb_devices[0].controller_key, 14000);
  EXPECT_EQ(device_at<vim::VirtualUSB>(info(), 7100).controllerKey, 14000);
  remove(spec, info(true), 7100);
  EXPECT_THAT(change_vm(spec, true).removed, ElementsAre(7100));
}

TEST_F(VmDevices, AUsbDeviceNeedsAControllerAndToBeThere) {
  add(spec, usb_device("path:1/0/2"));
  expect_fault<vim::InvalidController>("no controller", [&] { change_vm(spec); });
  present.usb.xhci = true;
  spec = {};
  add(spec, usb_device("vid:0781 pid:0001"));
  const auto fault =
      expect_fault<vim::InvalidDeviceBacking>("vid:0781 pid:0001", [&] { change_vm(spec); });
  EXPECT_EQ(fault.property, "virtualDeviceSpec.device.backing.deviceName");
}

TEST_F(VmDevices, InputDevicesAreOnUsbWhereTheSettingsSaySo) {
  present.usb.uhci = true;
  vmx::set_extra(present, "mouse.vusb.enable", "TRUE");
  ASSERT_EQ(machine().usb_devices.size(), 1u);
  EXPECT_EQ(machine().usb_devices[0].model, hypervisor::UsbDeviceModel::tablet);
  EXPECT_EQ(machine().usb_controllers[0].model, hypervisor::UsbControllerModel::uhci);
}

TEST(FindUsb, TakesAllWordsOfAPattern) {
  const std::vector<hypervisor::HostUsbDevice> devices = {
      {.bus = 1, .ports = {1}, .vendor = 0x781, .product = 1},
      {.bus = 1, .ports = {2}, .vendor = 0x781, .product = 0xabcd}};
  EXPECT_EQ(find_usb(devices, "vid:0781 pid:ABCD autoclean:1")->ports, std::vector{2});
  EXPECT_EQ(find_usb(devices, "vid:0781")->ports, std::vector{1});
  EXPECT_FALSE(find_usb(devices, "path:1/0 pid:abcd"));
  EXPECT_FALSE(find_usb(devices, "autoclean:1"));
  EXPECT_FALSE(find_usb(devices, ""));
}

// --- Sound and the watchdog --------------------------------------------------------------------

TEST_F(VmDevices, ASoundCardIsOneOfThree) {
  add(spec, vim::VirtualEnsoniq1371{});
  apply();
  EXPECT_EQ(machine().sound->model, hypervisor::SoundModel::ensoniq1370);
  EXPECT_EQ(device_at<vim::VirtualEnsoniq1371>(info(), 5000).controllerKey, 100);
  add(spec, vim::VirtualHdAudioCard{});
  expect_fault<vim::TooManyDevices>("at most 1 sound card", [&] { change_vm(spec); });
}

TEST_F(VmDevices, AWatchdogIsStartedByItsGuest) {
  add(spec, vim::VirtualWDT{});
  apply();
  EXPECT_EQ(machine().watchdog, hypervisor::Watchdog{18000});
  present.watchdogs.clear();
  vim::VirtualWDT at_boot;
  at_boot.runOnBoot = true;
  add(spec, at_boot);
  expect_fault<vim::NotSupported>("that the firmware starts", [&] { change_vm(spec); });
}

// --- TPM ---------------------------------------------------------------------------------------

TEST_F(VmDevices, ATpmNeedsEfi) {
  add(spec, vim::VirtualTPM{});
  const auto fault =
      expect_fault<vim::InvalidDeviceSpec>("needs EFI firmware", [&] { change_vm(spec); });
  EXPECT_EQ(fault.deviceIndex, 0);
  spec.firmware = "efi";
  apply();
  EXPECT_EQ(machine().tpm, (hypervisor::Tpm{11000, "/volumes/ds1/web/web.vtpm"}));
  spec.firmware = "bios";
  expect_fault<vim::InvalidArgument>("virtual TPM", [&] { change_vm(spec); });
}

TEST_F(VmDevices, SecureBootNeedsEfiAndItsHardware) {
  spec.bootOptions.edit().efiSecureBootEnabled = true;
  expect_fault<vim::InvalidArgument>("needs EFI firmware", [&] { change_vm(spec); });
  spec.firmware = "efi";
  apply();
  EXPECT_TRUE(machine().secure_boot);
  EXPECT_TRUE(*info().bootOptions->efiSecureBootEnabled);
  spec.bootOptions.edit().efiSecureBootEnabled = false;
  expect_fault<vim::InvalidPowerState>("Secure Boot", [&] { change_vm(spec, true); });
  present.secure_boot = false;
  present.hardware_version = 11;
  spec.bootOptions.edit().efiSecureBootEnabled = true;
  expect_fault<vim::InvalidArgument>("vmx-13", [&] { change_vm(spec); });
}

// --- PCI devices of the host -------------------------------------------------------------------

hypervisor::PciDevice gpu(const std::string& address, int group) {
  return {.address = address,
          .vendor = 0x10de,
          .device = 0x1bb3,
          .subsystem_vendor = 0x10de,
          .class_code = 0x030200,
          .driver = "vfio-pci",
          .iommu_group = group};
}

vim::VirtualPCIPassthrough with_backing(Ptr<vim::VirtualDeviceBackingInfo> backing) {
  vim::VirtualPCIPassthrough device;
  device.key = -1;
  device.backing = std::move(backing);
  return device;
}

vim::VirtualPCIPassthrough device_at_place(const std::string& id) {
  vim::VirtualPCIPassthroughDeviceBackingInfo backing;
  backing.id = id;
  return with_backing(model::share(std::move(backing)));
}

vim::VirtualPCIPassthrough any_gpu(const std::string& label = "") {
  vim::VirtualPCIPassthroughDynamicBackingInfo backing;
  vim::VirtualPCIPassthroughAllowedDevice& allowed = backing.allowedDevice.emplace_back();
  allowed.vendorId = 0x10de;
  allowed.deviceId = 0x1bb3;
  if (!label.empty()) backing.customLabel = label;
  return with_backing(model::share(std::move(backing)));
}

struct VmPassthrough : VmDevices {
  VmPassthrough() {
    devices.pci = {gpu("0000:3b:00.0", 17), gpu("0000:af:00.0", 18)};
    around.context.pci_label = [this](const std::string& address) { return labels[address]; };
    around.context.pci_in_use = [this](const std::string& address) { return address == taken; };
    spec.memoryReservationLockedToMax = true;
  }
  std::vector<std::string> addresses() {
    std::vector<std::string> all;
    for (const auto& device : machine().passthrough) all.push_back(device.address);
    return all;
  }
  std::map<std::string, std::string> labels;
  std::string taken;
};

TEST_F(VmPassthrough, AStaticDeviceIsTheOneWithThatId) {
  add(spec, device_at_place("0000:af:00.0"));
  apply();
  EXPECT_EQ(present.memory.reservation, present.memory_mib);
  const auto machine = this->machine();
  ASSERT_EQ(machine.passthrough.size(), 1u);
  EXPECT_EQ(machine.passthrough[0], (hypervisor::PassthroughDevice{13000, 0, "0000:af:00.0", 18}));
  const auto info = this->info();
  const auto* backing = device_at<vim::VirtualPCIPassthrough>(info, 13000)
                            .backing.as<vim::VirtualPCIPassthroughDeviceBackingInfo>();
  ASSERT_NE(backing, nullptr);
  EXPECT_EQ(backing->deviceId, "0x1bb3");
  EXPECT_EQ(backing->vendorId, 0x10de);
  taken = "0000:af:00.0";
  expect_fault<vim::GenericVmConfigFault>("another virtual machine", [&] { this->machine(); });
  taken.clear();
  devices.pci[1].driver = "nouveau";
  expect_fault<vim::GenericVmConfigFault>("not enabled for passthrough", [&] { this->machine(); });
}

TEST_F(VmPassthrough, ADynamicDeviceIsAnyThatFits) {
  add(spec, any_gpu());
  add(spec, any_gpu());
  apply();
  EXPECT_EQ(present.passthrough[0].allowed, "10de:1bb3");
  EXPECT_THAT(addresses(), ElementsAre("0000:3b:00.0", "0000:af:00.0"));
  taken = "0000:3b:00.0";
  expect_fault<vim::GenericVmConfigFault>("PCI device 1: no device 10de:1bb3", [&] { machine(); });
  present.passthrough.pop_back();
  EXPECT_THAT(addresses(), ElementsAre("0000:af:00.0"));
}

TEST_F(VmPassthrough, ADynamicDeviceHasTheLabel) {
  add(spec, any_gpu("render"));
  apply();
  expect_fault<vim::GenericVmConfigFault>("labelled render", [&] { machine(); });
  labels["0000:af:00.0"] = "render";
  EXPECT_THAT(addresses(), ElementsAre("0000:af:00.0"));
}

TEST_F(VmPassthrough, AllMemoryIsReserved) {
  spec = {};
  add(spec, any_gpu());
  apply();
  expect_fault<vim::GenericVmConfigFault>("must be equal to its 2048 MB", [&] { machine(); });
  present.memory.reservation = 2048;
  EXPECT_NO_THROW(machine());
  expect_fault<vim::NotSupported>("PCI device 0", [&] { require_savable(present); });
}

TEST_F(VmPassthrough, WhatCannotBePassedThroughIsNamed) {
  devices.pci[0].iommu_group.reset();
  add(spec, device_at_place("0000:3b:00.0"));
  const auto fault = expect_fault<vim::InvalidDeviceBacking>("no IOMMU stands before it",
                                                             [&] { change_vm(spec); });
  EXPECT_EQ(fault.property, "virtualDeviceSpec.device.backing.id");
  spec = {};
  add(spec, device_at_place("0000:99:00.0"));
  expect_fault<vim::InvalidDeviceBacking>("no PCI device '0000:99:00.0'", [&] { change_vm(spec); });
  present.hardware_version = 15;
  spec = {};
  add(spec, any_gpu());
  expect_fault<vim::DeviceUnsupportedForVmVersion>("vmx-17", [&] { change_vm(spec); });
}

// --- Functions of the host's network cards ------------------------------------------------------

// Two cards with two functions each, of which the second is the uplink of "Lab".
struct VmSriov : VmPassthrough {
  VmSriov() {
    devices.pci = {card("0000:5e:00.0", "ens3f0", {"0000:5e:02.0", "0000:5e:02.1"}),
                   card("0000:5e:00.1", "ens3f1", {"0000:5e:0a.0", "0000:5e:0a.1"})};
    for (const auto& physical : std::vector(devices.pci))
      for (const std::string& address : physical.functions)
        devices.pci.push_back({.address = address,
                               .vendor = 0x8086,
                               .device = 0x154c,
                               .class_code = 0x020000,
                               .driver = "vfio-pci",
                               .iommu_group = 20 + static_cast<int>(devices.pci.size()),
                               .physical_function = physical.address});
    around.context.uplink_policy = [](const std::string& network) -> std::optional<UplinkPolicy> {
      if (network == "Lab") return UplinkPolicy{{"ens3f1"}, 7, true};
      return UplinkPolicy{};
    };
  }
  static hypervisor::PciDevice card(const std::string& address, const std::string& interface,
                                    std::vector<std::string> functions) {
    return {.address = address,
            .driver = "i40e",
            .iommu_group = 1,
            .most_functions = 64,
            .functions = std::move(functions),
            .interface = interface};
  }
};

vim::VirtualSriovEthernetCard function_of(const std::string& physical,
                                          const std::string& wanted = "") {
  vim::VirtualSriovEthernetCard card;
  card.key = -1;
  vim::VirtualEthernetCardNetworkBackingInfo backing;
  backing.deviceName = "Lab";
  card.backing = model::share(std::move(backing));
  if (physical.empty()) return card;
  const auto named = [](const std::string& id) {
    vim::VirtualPCIPassthroughDeviceBackingInfo info;
    info.id = id;
    return model::share(std::move(info));
  };
  auto& functions = card.sriovBacking.edit();
  functions.physicalFunctionBacking = named(physical);
  if (!wanted.empty()) functions.virtualFunctionBacking = named(wanted);
  return card;
}

TEST_F(VmSriov, AnAdapterIsAnyFreeFunctionOfItsCard) {
  add(spec, function_of("0000:5e:00.0"));
  apply();
  const auto device = machine().passthrough.at(0);
  EXPECT_EQ(device.address, "0000:5e:02.0");
  EXPECT_EQ(device.network,
            (hypervisor::NetworkFunction{"ens3f0", 0, present.passthrough[0].sriov->mac, 7, true}));
  EXPECT_THAT(device.network->mac, testing::StartsWith("00:0c:29:"));
  taken = "0000:5e:02.0";
  EXPECT_EQ(machine().passthrough.at(0).address, "0000:5e:02.1");
  devices.pci[3].driver = "iavf";
  expect_fault<vim::GenericVmConfigFault>("no virtual function of 0000:5e:00.0 is free",
                                          [&] { machine(); });
}

TEST_F(VmSriov, AnAdapterIsTheFunctionItNamesIfItCan) {
  add(spec, function_of("0000:5e:00.0", "0000:5e:02.1"));
  apply();
  EXPECT_EQ(machine().passthrough.at(0).address, "0000:5e:02.1");
  EXPECT_EQ(machine().passthrough.at(0).network->index, 1);
  taken = "0000:5e:02.1";
  EXPECT_EQ(machine().passthrough.at(0).address, "0000:5e:02.0");
}

TEST_F(VmSriov, AnAdapterWithoutACardIsAFunctionOfAnUplink) {
  add(spec, function_of(""));
  add(spec, function_of("Automatic-0000:00:00.0"));
  apply();
  EXPECT_THAT(addresses(), ElementsAre("0000:5e:0a.0", "0000:5e:0a.1"));
  taken = "0000:5e:0a.0";
  expect_fault<vim::GenericVmConfigFault>("no uplink of the network 'Lab'", [&] { machine(); });
}

TEST_F(VmSriov, AnAdapterIsShownAndSurvivesItsVmx) {
  auto card = function_of("0000:5e:00.0", "0000:5e:02.1");
  card.addressType = "manual";
  card.macAddress = "00:50:56:00:00:0A";
  card.allowGuestOSMtuChange = true;
  add(spec, card);
  apply();
  const auto info = this->info();
  const auto& shown = device_at<vim::VirtualSriovEthernetCard>(info, 13000);
  EXPECT_EQ(shown.macAddress, "00:50:56:00:00:0a");
  EXPECT_EQ(shown.sriovBacking->physicalFunctionBacking->id, "0000:5e:00.0");
  EXPECT_EQ(shown.sriovBacking->virtualFunctionBacking->id, "0000:5e:02.1");
  EXPECT_TRUE(*shown.allowGuestOSMtuChange);
  const std::string text = vmx::make_vmx(present).serialise();
  EXPECT_EQ(vmx::read(vmx::VmxFile::parse(text, "web.vmx")).passthrough, present.passthrough);
  add(spec, card);
  expect_fault<vim::InvalidDeviceSpec>("SR-IOV adapter 0 has the address",
                                       [&] { change_vm(spec); });
  spec = {};
  edit<vim::VirtualSriovEthernetCard>(spec, info, 13000, [](auto& it) {
    it.sriovBacking = {};
    it.addressType = "generated";
    it.macAddress = "";
  });
  apply();
  EXPECT_EQ(present.passthrough[0].sriov->physical_function, "0000:5e:00.0");
  EXPECT_EQ(present.passthrough[0].sriov->mac, "00:0c:29:a1:b2:cd");
}

TEST_F(VmSriov, WhatNoAdapterCanBeIsNamed) {
  add(spec, function_of("0000:5e:02.0"));
  const auto fault =
      expect_fault<vim::InvalidDeviceBacking>("has no virtual functions", [&] { change_vm(spec); });
  EXPECT_EQ(fault.property, "virtualDeviceSpec.device.sriovBacking.physicalFunctionBacking.id");
  spec = {};
  add(spec, function_of("0000:99:00.0"));
  expect_fault<vim::InvalidDeviceBacking>("no PCI device '0000:99:00.0'", [&] { change_vm(spec); });
  spec = {};
  add(spec, function_of(""));
  apply();
  expect_fault<vim::GenericVmConfigFault>("must be equal to its 2048 MB", [&] {
    present.memory_reservation_locked = false;
    present.memory.reservation = 0;
    machine();
  });
  expect_fault<vim::NotSupported>("SR-IOV adapter 0", [&] { require_savable(present); });
  present.hardware_version = 9;
  add(spec, function_of(""));
  expect_fault<vim::DeviceUnsupportedForVmVersion>("vmx-10", [&] { change_vm(spec); });
}

// --- Virtual GPUs ------------------------------------------------------------------------------

// Two GPUs that are divided, the first with less left, and one that is not.
struct VmVgpu : VmPassthrough {
  VmVgpu() {
    for (auto& device : devices.pci) {
      device.driver = "nvidia";
      device.mediated = {{"nvidia-63", "GRID P4-1Q", 1}, {"nvidia-64", "GRID P4-2Q", 0}};
    }
    devices.pci[1].mediated[0].available = 3;
    devices.pci.push_back(devices.pci[1]);
    devices.pci[2].address = "0000:d8:00.0";
    devices.pci[2].mediated[0].name = "GRID P4-8Q";
    graphics.hostDefaultGraphicsType = "sharedDirect";
    auto& kept = graphics.deviceType.emplace_back();
    kept.deviceId = "0000:d8:00.0";
    kept.graphicsType = "shared";
    around.context.graphics = [this] { return graphics; };
  }
  vim::HostGraphicsConfig graphics;
};

vim::VirtualPCIPassthrough vgpu(const std::string& profile) {
  vim::VirtualPCIPassthroughVmiopBackingInfo backing;
  backing.vgpu = profile;
  return with_backing(model::share(std::move(backing)));
}

TEST_F(VmVgpu, AProfileIsAShareOfTheGpuWithMostLeft) {
  for (int i = 0; i < 3; ++i) add(spec, vgpu("grid_p4-1q"));
  apply();
  EXPECT_THAT(addresses(), ElementsAre("0000:af:00.0", "0000:af:00.0", "0000:3b:00.0"));
  const auto shares = machine().passthrough;
  EXPECT_EQ(shares[0].share->type, "nvidia-63");
  EXPECT_NE(shares[0].share->uuid, shares[1].share->uuid);
  EXPECT_EQ(shares[0].share->uuid, machine().passthrough[0].share->uuid);
  EXPECT_TRUE(is_uuid(shares[0].share->uuid));
  graphics.sharedPassthruAssignmentPolicy = "consolidation";
  EXPECT_THAT(addresses(), ElementsAre("0000:3b:00.0", "0000:af:00.0", "0000:af:00.0"));
  add(spec, vgpu("grid_p4-1q"));
  apply();
  EXPECT_EQ(machine().passthrough.size(), 4u);
  devices.pci[0].mediated[0].available = 0;
  expect_fault<vim::InsufficientGraphicsResourcesFault>("PCI device 3: no GPU", [&] { machine(); });
  add(spec, vgpu("grid_p4-1q"));
  expect_fault<vim::TooManyDevices>("at most 4 virtual GPUs", [&] { change_vm(spec); });
}

TEST_F(VmVgpu, AProfileIsShownAndSurvivesItsVmx) {
  add(spec, vgpu("grid_p4-2q"));
  apply();
  const auto info = this->info();
  const auto* backing = device_at<vim::VirtualPCIPassthrough>(info, 13000)
                            .backing.as<vim::VirtualPCIPassthroughVmiopBackingInfo>();
  ASSERT_NE(backing, nullptr);
  EXPECT_EQ(backing->vgpu, "grid_p4-2q");
  EXPECT_EQ(config_summary(present, around.context).numVmiopBackings, 1);
  const auto file = vmx::make_vmx(present);
  EXPECT_EQ(file.get("pciPassthru0.virtualDev"), "vmiop");
  EXPECT_EQ(vmx::read(file).passthrough, present.passthrough);
  expect_fault<vim::NotSupported>("PCI device 0", [&] { require_savable(present); });
}

TEST_F(VmVgpu, AProfileThatNoGpuHasIsNamed) {
  add(spec, vgpu("grid_p4-8q"));
  const auto fault =
      expect_fault<vim::InvalidDeviceBacking>("the profile 'grid_p4-8q'", [&] { change_vm(spec); });
  EXPECT_EQ(fault.property, "virtualDeviceSpec.device.backing.vgpu");
  present.hardware_version = 10;
  expect_fault<vim::DeviceUnsupportedForVmVersion>("vmx-11", [&] { change_vm(spec); });
}

// --- RDMA, old adapters and the video card -----------------------------------------------------

template <class Card>
Card card_on(const std::string& network) {
  Card card;
  card.key = -1;
  vim::VirtualEthernetCardNetworkBackingInfo backing;
  backing.deviceName = network;
  card.backing = model::share(std::move(backing));
  return card;
}

TEST_F(VmSriov, AnRdmaAdapterIsAVmxnet3WithADeviceOfAnUplink) {
  auto card = card_on<vim::VirtualVmxnet3Vrdma>("Lab");
  card.deviceProtocol = "rocev1";
  add(spec, card);
  apply();
  EXPECT_EQ(device_at<vim::VirtualVmxnet3Vrdma>(info(), 4001).deviceProtocol, "rocev1");
  EXPECT_EQ(vmx::read(vmx::make_vmx(present)).network_adapters, present.network_adapters);
  expect_fault<vim::GenericVmConfigFault>("no uplink of the network 'Lab' has RDMA",
                                          [&] { machine(); });
  devices.rdma = {{"mlx5_0", "ens3f0"}, {"mlx5_1", "ens3f1"}};
  const auto nic = machine().nics.at(1);
  EXPECT_EQ(nic.model, hypervisor::NicModel::vmxnet3);
  EXPECT_EQ(nic.rdma, (hypervisor::RdmaFunction{"mlx5_1", 1, "/run/rdmacm-mux-mlx5_1-1"}));
  expect_fault<vim::NotSupported>("Network adapter 2", [&] { require_savable(present); });
  add(spec, card);
  expect_fault<vim::DeviceHotPlugNotSupported>("VirtualVmxnet3Vrdma",
                                               [&] { change_vm(spec, true); });
  spec = {};
  edit<vim::VirtualVmxnet3Vrdma>(spec, info(), 4001, [](auto& it) { it.deviceProtocol = "iwarp"; });
  expect_fault<vim::InvalidDeviceSpec>("no RDMA protocol 'iwarp'", [&] { change_vm(spec); });
  present.hardware_version = 11;
  spec = {};
  add(spec, card);
  expect_fault<vim::DeviceUnsupportedForVmVersion>("vmx-13", [&] { change_vm(spec); });
}

TEST_F(VmDevices, AVmxnet2IsKeptAndNotStarted) {
  add(spec, card_on<vim::VirtualVmxnet2>("Lab"));
  apply();
  EXPECT_NO_THROW(device_at<vim::VirtualVmxnet2>(info(), 4001));
  EXPECT_EQ(vmx::read(vmx::make_vmx(present)).network_adapters, present.network_adapters);
  expect_fault<vim::NotSupported>("Network adapter 2 (VirtualVmxnet2)", [&] { machine(); });
  add(spec, card_on<vim::VirtualVmxnet2>("Lab"));
  expect_fault<vim::DeviceHotPlugNotSupported>("VirtualVmxnet2", [&] { change_vm(spec, true); });
}

TEST_F(VmDevices, AVideoCardIsKeptAsItIsAskedFor) {
  vim::VirtualMachineVideoCard card;
  card.key = 500;
  card.numDisplays = 4;
  card.useAutoDetect = true;
  card.enable3DSupport = true;
  card.graphicsMemorySizeInKB = 512 << 10;
  add(spec, card);
  apply();
  const auto info = this->info();
  const auto& shown = device_at<vim::VirtualMachineVideoCard>(info, 500);
  EXPECT_EQ(shown.numDisplays, 4);
  EXPECT_EQ(shown.graphicsMemorySizeInKB, 512 << 10);
  EXPECT_EQ(vmx::read(vmx::make_vmx(present)).video, present.video);
  machine();
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("one display, of 4"), HasSubstr("no 3D")));
  edit<vim::VirtualMachineVideoCard>(spec, info, 500, [](auto& it) { it.numDisplays = 2; });
  expect_fault<vim::InvalidPowerState>("The video card", [&] { change_vm(spec, true); });
}

TEST(PciPatterns, SurviveTheirText) {
  const std::vector<PciPattern> patterns = {
      {0x10de, 0x1bb3}, {0x8086, 0x1572, 0x8086, std::nullopt, std::uint16_t{2}}};
  EXPECT_EQ(format_pci_patterns(patterns), "10de:1bb3 8086:1572:8086:*:0002");
  EXPECT_EQ(parse_pci_patterns(format_pci_patterns(patterns)), patterns);
  EXPECT_TRUE(parse_pci_patterns("10de 10de: :1bb3 10de:1bb3:1:2:3:4 x:y 10000:1").empty());
  EXPECT_TRUE(matches(patterns, gpu("0000:3b:00.0", 1)));
  EXPECT_FALSE(matches({{0x10de, 0x1bb3, std::uint16_t{1}}}, gpu("0000:3b:00.0", 1)));
}

// --- All ---------------------------------------------------------------------------------------

TEST_F(VmDevices, SurviveTheirVmx) {
  add(spec, port_at("telnet://:2001", "server"));
  add(spec, floppy("[ds1] web/a.flp"));
  add(spec, vim::VirtualHdAudioCard{});
  add(spec, vim::VirtualWDT{});
  add(spec, vim::VirtualUSBXHCIController{});
  vim::VirtualParallelPort port;
  port.backing = file_named<vim::VirtualParallelPortFileBackingInfo>("[ds2] printed");
  add(spec, port);
  apply();
  add(spec, usb_device("path:1/0/2"));
  apply();
  const std::string text = vmx::make_vmx(present).serialise();
  EXPECT_EQ(vmx::read(vmx::VmxFile::parse(text, "web.vmx")), vmx::read(vmx::make_vmx(present)));
  const auto again = vmx::read(vmx::VmxFile::parse(text, "web.vmx"));
  EXPECT_EQ(again.serial_ports, present.serial_ports);
  EXPECT_EQ(again.parallel_ports, present.parallel_ports);
  EXPECT_EQ(again.floppies, present.floppies);
  EXPECT_EQ(again.sound_cards, present.sound_cards);
  EXPECT_EQ(again.watchdogs, present.watchdogs);
  EXPECT_EQ(again.usb, present.usb);
  EXPECT_EQ(again.usb_devices, present.usb_devices);
  EXPECT_THAT(text, HasSubstr("usb.autoConnect.device0 = \"path:1/0/2\""));
}

TEST_F(VmDevices, TellWhatOfThemIsConnected) {
  add(spec, floppy("[ds1] web/a.flp"));
  present.usb.xhci = true;
  add(spec, usb_device("path:1/0/2"));
  apply();
  hypervisor::MachineSpec running = machine();
  EXPECT_TRUE(connections(present, running).connected.at(8000));
  EXPECT_TRUE(connections(present, running).connected.at(7100));
  running.floppies[0].path.reset();
  running.usb_devices.clear();
  EXPECT_FALSE(connections(present, running).connected.at(8000));
  EXPECT_FALSE(connections(present, running).connected.at(7100));
}

}  // namespace
}  // namespace virga::host
