// The QEMU backend with real guests (TCG): a boot sector is the witness.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "../expect_error.h"
#include "base/error.h"
#include "base/process.h"
#include "crash_point.h"
#include "hypervisor/qemu/accelerator.h"
#include "hypervisor/qemu/machine_record.h"
#include "hypervisor/saved_state.h"
#include "lab.h"

namespace virga::hypervisor {
namespace {

using ::testing::HasSubstr;

struct Qemu : ::testing::Test {
  Lab lab;
  std::unique_ptr<Hypervisor> hypervisor = lab.hypervisor();

  std::shared_ptr<Machine> start(MachineSpec spec, StartOptions options = {}) {
    const auto machine = lab.run(hypervisor->start(std::move(spec), std::move(options)));
    lab.run(machine->resume());
    return machine;
  }
};

std::string status_line(pid_t pid, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
  return {};
}

TEST_F(Qemu, RunsPausesResetsAndPowersOff) {
  const auto machine = lab.run(hypervisor->start(lab.spec(), {}));
  Ear ear(lab, machine);
  EXPECT_EQ(machine->state(), MachineState::ready);
  EXPECT_EQ(failure_of([&] { lab.run(machine->save(lab.path("guest.vmss"), {})); }).kind(),
            ErrorKind::invalid_state);
  lab.run(machine->resume());
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::running);
  SerialLine line(lab, *machine);
  EXPECT_EQ(line.ask('n'), '0');
  EXPECT_EQ(line.ask('n'), '1');

  lab.run(machine->pause());
  EXPECT_EQ(machine->state(), MachineState::paused);
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::paused);
  line.send('n');  // waits in the port of a guest that stands still
  lab.run(machine->resume());
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::running);
  EXPECT_EQ(line.receive(), '2');

  lab.run(machine->reset());
  EXPECT_FALSE(ear.next<WasReset>().by_guest);
  EXPECT_EQ(line.receive(), 'b');
  EXPECT_EQ(line.ask('n'), '0');

  lab.run(machine->power_off());
  EXPECT_EQ(machine->state(), MachineState::exited);
  EXPECT_EQ(ear.next<Exited>().exit.cause, Exit::Cause::powered_off);
  EXPECT_TRUE(lab.is_gone("guest"));
}

TEST_F(Qemu, TellsWhatTheGuestDoesToItself) {
  const auto machine = start(lab.spec());
  Ear ear(lab, machine);
  SerialLine line(lab, *machine);
  line.send('r');
  EXPECT_TRUE(ear.next<WasReset>().by_guest);
  EXPECT_EQ(line.receive(), 'b');
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::running);
  line.send('p');
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::shut_down);
  EXPECT_EQ(ear.next<Exited>().exit.cause, Exit::Cause::guest_shut_down);
}

TEST_F(Qemu, ReportsAProcessThatIsKilled) {
  const auto machine = start(lab.spec());
  Ear ear(lab, machine);
  ASSERT_EQ(::kill(process_of(lab, "guest"), SIGKILL), 0);
  const Exit exit = ear.next<Exited>().exit;
  EXPECT_EQ(exit.cause, Exit::Cause::killed);
  EXPECT_EQ(exit.code, SIGKILL);
  EXPECT_THAT(describe(exit), HasSubstr("signal 9"));
  EXPECT_TRUE(lab.is_gone("guest"));
  EXPECT_EQ(failure_of([&] { lab.run(machine->reset()); }).kind(), ErrorKind::invalid_state);
}

TEST_F(Qemu, ReportsAProcessThatIsTerminated) {
  const auto machine = start(lab.spec());
  Ear ear(lab, machine);
  ASSERT_EQ(::kill(process_of(lab, "guest"), SIGTERM), 0);
  const Exit exit = ear.next<Exited>().exit;
  EXPECT_EQ(exit.cause, Exit::Cause::killed);
  EXPECT_EQ(exit.code, SIGTERM);
  EXPECT_THAT(exit.detail, HasSubstr("terminating on signal 15"));
}

TEST_F(Qemu, EndsAProcessThatDoesNotAnswer) {
  const auto machine = start(lab.spec());
  ASSERT_EQ(::kill(process_of(lab, "guest"), SIGSTOP), 0);
  lab.run(machine->power_off());
  EXPECT_EQ(machine->exit()->cause, Exit::Cause::powered_off);
}

TEST_F(Qemu, RunsUnprivileged) {
  if (guest_user().empty()) GTEST_FAIL() << "this test must run as root";
  const auto machine = start(lab.spec());
  const pid_t pid = process_of(lab, "guest");
  EXPECT_THAT(status_line(pid, "Uid"), Not(HasSubstr("\t0")));
  EXPECT_THAT(status_line(pid, "Gid"), Not(HasSubstr("\t0")));
  EXPECT_EQ(status_line(pid, "NoNewPrivs"), "1");
  EXPECT_EQ(status_line(pid, "CapEff"), "0000000000000000");
  EXPECT_EQ(status_line(pid, "Seccomp"), "2");
  EXPECT_EQ(::getsid(pid), pid);
  lab.run(machine->power_off());
}

TEST_F(Qemu, SuspendsAndResumes) {
  const MachineSpec spec = lab.spec();
  auto machine = start(spec);
  {
    SerialLine line(lab, *machine);
    EXPECT_EQ(line.ask('n'), '0');
  }
  Ear ear(lab, machine);
  std::vector<int> progress;
  lab.run(machine->save(lab.path("guest.vmss"), [&](int percent) { progress.push_back(percent); }));
  EXPECT_EQ(machine->exit()->cause, Exit::Cause::saved);
  EXPECT_EQ(progress.back(), 100);
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::running);
  EXPECT_EQ(ear.next<StateChanged>().to, MachineState::saving);
  EXPECT_FALSE(fs::exists(unfinished_state(lab.path("guest.vmss"))));

  machine = start(spec, {.restore_from = lab.path("guest.vmss")});
  EXPECT_EQ(machine->state(), MachineState::running);
  SerialLine line(lab, *machine, 0);
  EXPECT_EQ(line.ask('n'), '1');  // it counts on where it was
  lab.run(machine->power_off());
}

Async<void> until_exited(std::shared_ptr<Machine> machine) {
  while (machine->state() != MachineState::exited) co_await sleep_for(5ms);
}

TEST_F(Qemu, LeavesNothingOfAStateWhenItsProcessIsKilled) {
  const auto machine = start(lab.spec());
  const pid_t pid = process_of(lab, "guest");
  machine->on_event([&](const MachineEvent& event) {
    const auto* changed = std::get_if<StateChanged>(&event);
    if (changed && changed->to == MachineState::saving) ::kill(pid, SIGKILL);
  });
  EXPECT_EQ(failure_of([&] { lab.run(machine->save(lab.path("guest.vmss"), {})); }).kind(),
            ErrorKind::gone);
  lab.run(until_exited(machine));
  EXPECT_EQ(machine->exit()->cause, Exit::Cause::killed);
  EXPECT_FALSE(fs::exists(lab.path("guest.vmss")));
  EXPECT_FALSE(fs::exists(unfinished_state(lab.path("guest.vmss"))));
  EXPECT_TRUE(lab.is_gone("guest"));
}

TEST_F(Qemu, RefusesAStateOfAnotherMachine) {
  MachineSpec spec = lab.spec();
  lab.run(start(spec)->save(lab.path("guest.vmss"), {}));
  spec.memory_mib = 32;
  const Error refused = failure_of([&] { start(spec, {.restore_from = lab.path("guest.vmss")}); });
  EXPECT_EQ(refused.kind(), ErrorKind::invalid_state);
  EXPECT_THAT(refused.what(), HasSubstr("16 MiB of memory, it has 32"));
  EXPECT_TRUE(lab.is_gone("guest"));
}

TEST_F(Qemu, LeavesNothingBehindWhenAStateIsTorn) {
  const MachineSpec spec = lab.spec();
  lab.run(start(spec)->save(lab.path("guest.vmss"), {}));
  fs::resize_file(lab.path("guest.vmss"), fs::file_size(lab.path("guest.vmss")) / 2);
  const Error torn = failure_of([&] { start(spec, {.restore_from = lab.path("guest.vmss")}); });
  EXPECT_THAT(torn.what(), HasSubstr("guest did not start"));
  EXPECT_TRUE(lab.is_gone("guest"));
  EXPECT_TRUE(fs::exists(lab.path("guest.vmss")));
}

TEST_F(Qemu, RunsOnWhenTheDiskIsTooFullForItsState) {
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "this test must run as root";
  ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  fs::create_directory(lab.path("small"));
  ASSERT_EQ(::mount("tmpfs", lab.path("small").c_str(), "tmpfs", 0, "size=256k"), 0);
  hypervisor = lab.hypervisor();  // its threads see the mount
  const auto machine = start(lab.spec());
  SerialLine line(lab, *machine);
  const Error full = failure_of([&] { lab.run(machine->save(lab.path("small/guest.vmss"), {})); });
  EXPECT_EQ(full.kind(), ErrorKind::no_space) << full.what();
  EXPECT_FALSE(fs::exists(lab.path("small/guest.vmss")));
  EXPECT_EQ(machine->state(), MachineState::running);
  EXPECT_EQ(line.ask('n'), '0');
  lab.run(machine->power_off());
  ::umount2(lab.path("small").c_str(), MNT_DETACH);
}

TEST_F(Qemu, NamesWhatItCannotStartWith) {
  MachineSpec spec = lab.spec();
  spec.disks[0].chain[0].path = lab.path("nowhere.img");
  const Error missing = failure_of([&] { start(spec); });
  EXPECT_EQ(missing.kind(), ErrorKind::not_found);
  EXPECT_THAT(missing.what(), HasSubstr("nowhere.img"));
  EXPECT_TRUE(lab.is_gone("guest"));
}

TEST_F(Qemu, NamesAMissingUser) {
  QemuOptions options = lab.options();
  options.user = "no-such-user";
  hypervisor = make_qemu_hypervisor(lab.io.get_executor(), options);
  const Error missing = failure_of([&] { start(lab.spec()); });
  EXPECT_EQ(missing.subject(), "no-such-user");
  EXPECT_THAT(missing.what(), HasSubstr("does not exist"));
}

TEST_F(Qemu, TellsWhyQemuGaveUp) {
  MachineSpec spec = lab.spec();
  spec.disks[0].chain[0].format = DiskFormat::qcow2;  // it is not
  const Error refused = failure_of([&] { start(spec); });
  EXPECT_THAT(refused.what(), HasSubstr("not in qcow2 format"));
  EXPECT_TRUE(lab.is_gone("guest"));
}

TEST_F(Qemu, StartsAMachineOnce) {
  const auto machine = start(lab.spec());
  EXPECT_EQ(failure_of([&] { start(lab.spec()); }).kind(), ErrorKind::already_exists);
  const auto other = lab.hypervisor();
  EXPECT_EQ(failure_of([&] { lab.run(other->start(lab.spec(), {})); }).kind(),
            ErrorKind::already_exists);
  lab.run(machine->power_off());
}

TEST_F(Qemu, ShowsScreenCountersAndDisplay) {
  const auto machine = start(lab.spec());
  SerialLine line(lab, *machine);
  EXPECT_EQ(lab.run(machine->screenshot()).substr(1, 3), "PNG");
  const Fd display = lab.run(machine->open_display());
  char greeting[12] = {};
  ASSERT_EQ(::read(display.get(), greeting, sizeof greeting), 12);
  EXPECT_EQ(std::string(greeting, 12), "RFB 003.008\n");
  const Counters counters = lab.run(machine->counters());
  EXPECT_GT(counters.cpu_time, 0ns);
  EXPECT_EQ(counters.vcpu_time.size(), 1u);
  EXPECT_GT(counters.resident_bytes, 1u << 20);
  EXPECT_GE(counters.disks.at(2000).read_bytes, 512u);  // the boot sector at least
  lab.run(machine->power_off());
}

TEST_F(Qemu, AsksTheGuestThroughThePowerButtonWithoutAnAgent) {
  const auto machine = start(lab.spec());
  EXPECT_EQ(lab.run(machine->shutdown_guest()), ShutdownMeans::acpi);
  EXPECT_FALSE(lab.run(machine->guest_info()).agent_running);
  EXPECT_EQ(failure_of([&] { lab.run(machine->reboot_guest()); }).kind(), ErrorKind::invalid_state);
  lab.run(machine->power_off());
}

TEST_F(Qemu, ChangesAMachineThatRuns) {
  const auto machine = start(lab.spec());
  lab.run(machine->add_controller({.key = 1001, .model = ControllerModel::lsi_sas, .bus = 1}));
  lab.run(machine->add_disk(
      {.key = 2016, .controller_key = 1001, .unit = 3, .chain = {{lab.make_image("second.img")}}}));
  EXPECT_EQ(find_disk(machine->spec(), 2016).unit, 3);
  lab.run(machine->resize_disk(2016, 2 << 20));
  EXPECT_EQ(fs::file_size(lab.path("second.img")), 2u << 20);
  EXPECT_EQ(failure_of([&] { lab.run(machine->resize_disk(2016, 1 << 20)); }).kind(),
            ErrorKind::invalid_argument);
  lab.run(machine->remove_disk(2016));
  EXPECT_EQ(machine->spec().disks.size(), 1u);
  lab.run(machine->add_disk(
      {.key = 2016, .controller_key = 1000, .unit = 1, .chain = {{lab.path("second.img")}}}));

  lab.run(machine->change_medium(3000, lab.make_image("first.iso")));
  EXPECT_EQ(find_cdrom(machine->spec(), 3000).path, lab.path("first.iso"));
  lab.run(machine->change_medium(3000, lab.make_image("second.iso")));
  lab.run(machine->change_medium(3000, std::nullopt));
  EXPECT_FALSE(find_cdrom(machine->spec(), 3000).path);

  lab.run(machine->add_nic({.key = 4000, .slot = 0, .mac = "00:50:56:00:00:01"}, {}));
  lab.run(machine->set_link(4000, false));
  EXPECT_FALSE(find_nic(machine->spec(), 4000).link_up);
  // This guest does not listen to the hot-plug controller.
  const Error kept = failure_of([&] { lab.run(machine->remove_nic(4000)); });
  EXPECT_EQ(kept.kind(), ErrorKind::timed_out);
  EXPECT_EQ(kept.subject(), "nic-4000");
  lab.run(machine->power_off());
}

// It closes the tray of a drive it resets, between any two commands.
TEST_F(Qemu, ChangesAMediumWhileTheFirmwareStarts) {
  const auto machine = start(lab.spec());
  const std::string isos[] = {lab.make_image("first.iso"), lab.make_image("second.iso")};
  for (int boots = 1; boots <= 5; ++boots) {
    for (int change = 0; change < 16; ++change)
      lab.run(machine->change_medium(3000, isos[change % 2]));
    SerialLine(lab, *machine, boots);
    lab.run(machine->reset());
  }
  lab.run(machine->power_off());
}

TEST_F(Qemu, UndoesAHotChangeThatFails) {
  const auto machine = start(lab.spec());
  Disk disk{
      .key = 2001, .controller_key = 1000, .unit = 1, .chain = {{lab.make_image("second.img")}}};
  disk.chain[0].format = DiskFormat::qcow2;
  EXPECT_THAT(failure_of([&] { lab.run(machine->add_disk(disk)); }).what(),
              HasSubstr("not in qcow2 format"));
  EXPECT_EQ(machine->spec().disks.size(), 1u);
  disk.chain[0].format = DiskFormat::raw;
  lab.run(machine->add_disk(disk));  // nothing of the failed attempt is in the way
  EXPECT_EQ(failure_of([&] {
              lab.run(machine->add_disk(
                  {.key = 3001, .controller_key = 200, .unit = 1, .chain = disk.chain}));
            }).kind(),
            ErrorKind::unsupported);
  lab.run(machine->power_off());
}

TEST_F(Qemu, SuspendsWithWhatWasAddedWhileItRan) {
  auto machine = start(lab.spec());
  SerialLine(lab, *machine);
  lab.run(machine->add_disk(
      {.key = 2001, .controller_key = 1000, .unit = 1, .chain = {{lab.make_image("second.img")}}}));
  const MachineSpec spec = machine->spec();
  lab.run(machine->save(lab.path("guest.vmss"), {}));
  machine = start(spec, {.restore_from = lab.path("guest.vmss")});
  SerialLine line(lab, *machine, 0);
  EXPECT_EQ(line.ask('n'), '0');
  lab.run(machine->power_off());
}

TEST_F(Qemu, BuildsEveryDevice) {
  MachineSpec spec = lab.spec();
  spec.vcpus = 2;
  spec.cores_per_socket = 2;
  spec.controllers.push_back({.key = 1001, .model = ControllerModel::lsi_logic, .bus = 1});
  spec.controllers.push_back({.key = 1002, .model = ControllerModel::lsi_sas, .bus = 2});
  spec.controllers.push_back({.key = 15000, .model = ControllerModel::ahci, .bus = 0});
  spec.controllers.push_back({.key = 201, .model = ControllerModel::ide, .bus = 1});
  int key = 2100;
  for (const int controller : {1001, 1002, 15000, 201}) {
    spec.disks.push_back({.key = key,
                          .controller_key = controller,
                          .unit = 0,
                          .chain = {{lab.make_image(std::to_string(key) + ".img")}}});
    ++key;
  }
  spec.cdroms.push_back(
      {.key = 3100, .controller_key = 15000, .unit = 1, .path = lab.make_image("cd.iso")});
  int slot = 0;
  for (const NicModel model :
       {NicModel::vmxnet3, NicModel::e1000e, NicModel::e1000, NicModel::pcnet}) {
    spec.nics.push_back({.key = 4000 + slot,
                         .model = model,
                         .slot = slot,
                         .mac = "00:50:56:00:00:0" + std::to_string(slot)});
    ++slot;
  }
  spec.nics[1].link_up = false;
  spec.serial_ports.push_back(
      {.key = 9001, .backend = LineBackend::file, .path = lab.path("second-port.log")});
  spec.serial_ports.push_back({.key = 9002});
  spec.floppies = {{.key = 8000, .unit = 0, .path = lab.make_image("boot.flp", 1440 << 10)},
                   {.key = 8001, .unit = 1}};
  spec.parallel_ports = {{.key = 10000, .backend = LineBackend::file, .path = lab.path("printed")}};
  spec.usb_controllers = {{.key = 7000, .model = UsbControllerModel::ehci},
                          {.key = 14000, .model = UsbControllerModel::xhci}};
  spec.usb_devices = {{.key = 7120, .controller_key = 14000, .model = UsbDeviceModel::tablet},
                      {.key = 7121, .controller_key = 7000, .model = UsbDeviceModel::keyboard}};
  spec.sound = {.key = 5000};
  spec.watchdog = {.key = 18000};
  auto machine = start(spec);
  {
    SerialLine line(lab, *machine);
    EXPECT_EQ(line.ask('n'), '0');
  }
  EXPECT_EQ(lab.run(machine->counters()).disks.size(), 9u);
  lab.run(machine->save(lab.path("guest.vmss"), {}));
  machine = start(spec, {.restore_from = lab.path("guest.vmss")});
  SerialLine line(lab, *machine, 0);
  EXPECT_EQ(line.ask('n'), '1');
  lab.run(machine->power_off());
}

TEST_F(Qemu, BuildsEachSoundCardAndUhci) {
  for (const SoundModel model : {SoundModel::ensoniq1370, SoundModel::sound_blaster16}) {
    MachineSpec spec = lab.spec();
    spec.sound = {.key = 5000, .model = model};
    spec.usb_controllers = {{.key = 7000, .model = UsbControllerModel::uhci}};
    const auto machine = start(spec);
    EXPECT_EQ(machine->state(), MachineState::running);
    lab.run(machine->power_off());
  }
}

TEST_F(Qemu, ChangesFloppiesAndUsbDevicesWhileItRuns) {
  MachineSpec spec = lab.spec();
  spec.floppies = {{.key = 8000, .unit = 0}};
  spec.usb_controllers = {{.key = 14000, .model = UsbControllerModel::xhci}};
  const auto machine = start(spec);
  SerialLine(lab, *machine);
  for (const char* name : {"first.flp", "second.flp"})
    lab.run(machine->change_medium(8000, lab.make_image(name, 1440 << 10)));
  EXPECT_EQ(find_floppy(machine->spec(), 8000).path, lab.path("second.flp"));
  lab.run(machine->change_medium(8000, std::nullopt));
  EXPECT_EQ(failure_of([&] { lab.run(machine->change_medium(8001, std::nullopt)); }).kind(),
            ErrorKind::not_found);
  lab.run(machine->add_usb_device(
      {.key = 7120, .controller_key = 14000, .model = UsbDeviceModel::keyboard}));
  lab.run(machine->remove_usb_device(7120));
  EXPECT_TRUE(machine->spec().usb_devices.empty());
  lab.run(machine->power_off());
}

// The guest's answer to 'n', from the far end of its serial line.
char ask_for_a_number(int line) {
  char c = 'n';
  EXPECT_EQ(::write(line, &c, 1), 1);
  do {
    pollfd ready{line, POLLIN, 0};
    if (::poll(&ready, 1, 60'000) != 1 || ::read(line, &c, 1) != 1) return '?';
  } while (c == 'b');  // it has just started
  return c;
}

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A socket bound to a port that was free.
std::pair<Fd, int> bind_somewhere() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return {std::move(fd), ntohs(address.sin_port)};
}

TEST_F(Qemu, ServesASerialPortOnTheNetwork) {
  const int port = bind_somewhere().second;
  MachineSpec spec = lab.spec();
  spec.serial_ports = {{.key = 9000,
                        .backend = LineBackend::network,
                        .network = NetworkLine{.host = "127.0.0.1", .port = port}}};
  const auto machine = start(spec);
  const Fd caller(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  ASSERT_EQ(::connect(caller.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
            0);
  EXPECT_EQ(ask_for_a_number(caller.get()), '0');
  spec.id = "second";
  EXPECT_THAT(failure_of([&] { start(spec); }).what(), HasSubstr("127.0.0.1"));
  lab.run(machine->power_off());
}

TEST_F(Qemu, CallsTheServerOfASerialPort) {
  const auto [server, port] = bind_somewhere();
  MachineSpec spec = lab.spec();
  spec.serial_ports = {
      {.key = 9000,
       .backend = LineBackend::network,
       .network = NetworkLine{.host = "127.0.0.1", .port = port, .server = false}}};
  const auto machine = start(spec);  // nobody listens yet
  ASSERT_EQ(::listen(server.get(), 1), 0);
  const Fd line(::accept(server.get(), nullptr, nullptr));
  EXPECT_EQ(ask_for_a_number(line.get()), '0');
  lab.run(machine->power_off());
}

TEST_F(Qemu, GivesASerialPortAStreamOrADevice) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const Fd ours(ends[0]);
  MachineSpec spec = lab.spec();
  spec.serial_ports = {{.key = 9000, .backend = LineBackend::stream}};
  EXPECT_EQ(failure_of([&] { start(spec); }).subject(), "serial-9000");
  StartOptions options;
  options.streams[9000] = Fd(ends[1]);
  auto machine = start(spec, std::move(options));
  EXPECT_EQ(ask_for_a_number(ours.get()), '0');
  lab.run(machine->power_off());

  const Fd terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(::grantpt(terminal.get()) | ::unlockpt(terminal.get()), 0);
  spec.serial_ports = {
      {.key = 9000, .backend = LineBackend::device, .path = ::ptsname(terminal.get())}};
  machine = start(spec);
  EXPECT_EQ(ask_for_a_number(terminal.get()), '0');
  lab.run(machine->power_off());
}

// Processes whose command line has the words.
std::vector<pid_t> processes_with(const std::string& words) {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    std::ifstream file(entry.path() / "cmdline");
    std::string line((std::istreambuf_iterator<char>(file)), {});
    std::ranges::replace(line, '\0', ' ');
    if (pid > 0 && line.find(words) != std::string::npos) found.push_back(pid);
  }
  return found;
}

struct QemuTpm : Qemu {
  MachineSpec spec = lab.spec();
  std::vector<pid_t> before = processes_with("swtpm socket");

  QemuTpm() { spec.tpm = {.key = 11000, .state_directory = lab.path("guest.vtpm")}; }

  std::vector<pid_t> emulators() {
    std::vector<pid_t> now = processes_with("swtpm socket");
    std::erase_if(now, [&](pid_t pid) { return std::ranges::count(before, pid) > 0; });
    return now;
  }
  // When the machine ended, its emulator is about to.
  void await_no_emulator() {
    for (const pid_t pid : emulators()) {
      const Fd process = open_pidfd(pid);
      pollfd ended{process.get(), POLLIN, 0};
      if (process) {
        EXPECT_EQ(::poll(&ended, 1, 60'000), 1);
      }
    }
  }
};

TEST_F(QemuTpm, LivesAsLongAsTheMachine) {
  auto machine = start(spec);
  SerialLine(lab, *machine);
  EXPECT_TRUE(fs::exists(lab.path("guest.vtpm/tpm2-00.permall")));
  lab.run(machine->save(lab.path("guest.vmss"), {}));
  await_no_emulator();
  machine = start(spec, {.restore_from = lab.path("guest.vmss")});
  ASSERT_EQ(emulators().size(), 1u);
  if (!guest_user().empty()) {
    EXPECT_THAT(status_line(emulators().front(), "Uid"), Not(HasSubstr("\t0")));
  }
  lab.run(machine->power_off());
  await_no_emulator();
  machine = start(spec);
  ASSERT_EQ(::kill(process_of(lab, "guest"), SIGKILL), 0);
  await_no_emulator();
}

TEST_F(QemuTpm, IsNotLeftBehindByAStartThatFails) {
  write_file_atomically(lab.path("guest.vtpm"), "no directory", 0600);
  EXPECT_THAT(failure_of([&] { start(spec); }).what(), HasSubstr("guest.vtpm"));
  EXPECT_TRUE(lab.is_gone("guest"));
  EXPECT_TRUE(emulators().empty());
}

struct QemuEfi : Qemu {
  MachineSpec spec = lab.spec();
  const std::string rom = lab.path("roms/pvscsi.rom");  // of its only controller

  QemuEfi() {
    spec.memory_mib = 128;
    spec.firmware = Firmware::efi;
    spec.nvram_path = lab.path("guest.nvram");
    create_efi_variables(spec.nvram_path);
    fs::create_directory(lab.path("roms"));
    write_file_atomically(rom, std::string(4096, '\0'), 0644);
  }
};

TEST_F(QemuEfi, StartsWithTheRomOfItsController) {
  const auto machine = start(spec);
  EXPECT_EQ(machine->state(), MachineState::running);
  lab.run(machine->power_off());
}

TEST_F(QemuEfi, StartsAndGoesOnWithSecureBoot) {
  EXPECT_FALSE(has_platform_key(read_file(spec.nvram_path)));
  create_efi_variables(spec.nvram_path, true);
  EXPECT_TRUE(has_platform_key(read_file(spec.nvram_path)));
  spec.secure_boot = true;
  spec.floppies = {{.key = 8000, .unit = 0}};
  spec.controllers.push_back({.key = 201, .model = ControllerModel::ide, .bus = 1});
  spec.cdroms.push_back({.key = 3100, .controller_key = 201, .unit = 1});
  auto machine = start(spec);
  lab.run(machine->save(lab.path("guest.vmss"), {}));
  machine = start(spec, {.restore_from = lab.path("guest.vmss")});
  EXPECT_EQ(machine->state(), MachineState::running);
  lab.run(machine->power_off());
}

TEST_F(QemuEfi, DoesNotStartWithoutTheRomAndNamesIt) {
  fs::remove(rom);
  const Error error = failure_of([&] { start(spec); });
  EXPECT_EQ(error.kind(), ErrorKind::not_found);
  EXPECT_THAT(error.what(), HasSubstr(rom));
  EXPECT_TRUE(lab.is_gone(spec.id));
}

// What a suspended machine has in its ROMs comes with its memory: a newer build may have others.
TEST_F(QemuEfi, IsRestoredWhereTheRomIsAnotherOne) {
  lab.run(start(spec)->save(lab.path("guest.vmss"), {}));
  write_file_atomically(rom, std::string(9000, 'x'), 0644);
  const auto machine = start(spec, {.restore_from = lab.path("guest.vmss")});
  EXPECT_EQ(machine->state(), MachineState::running);
  lab.run(machine->power_off());
}

// ---- A daemon that dies

// Starts machines in a process of their own, which then is killed as a daemon may be. There must be
// no other thread when it is called: it forks.
void start_in_a_daemon_that_dies(Lab& lab, const std::vector<std::string>& ids) {
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    try {
      lab.io.notify_fork(asio::execution_context::fork_child);
      const auto hypervisor = lab.hypervisor();
      std::vector<std::shared_ptr<Machine>> machines;
      for (const auto& id : ids) {
        machines.push_back(lab.run(hypervisor->start(lab.spec(id), {})));
        lab.run(machines.back()->resume());
      }
      ::raise(SIGKILL);
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
    }
    ::_exit(1);
  }
  const Fd process = open_pidfd(daemon);
  pollfd ended{process.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, std::chrono::milliseconds(patience).count()), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(daemon, &status, 0), daemon);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the daemon could not start its guests";
}

void kill_and_wait(pid_t pid) {
  const Fd process = open_pidfd(pid);
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  pollfd ended{process.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&ended, 1, std::chrono::milliseconds(patience).count()), 1);
}

TEST_F(Qemu, FindsItsGuestsAgainAfterTheDaemonDied) {
  hypervisor.reset();
  start_in_a_daemon_that_dies(lab, {"alive", "dead"});
  hypervisor = lab.hypervisor();
  kill_and_wait(process_of(lab, "dead"));

  auto machines = lab.run(hypervisor->adopt());
  ASSERT_EQ(machines.size(), 2u);
  if (machines[0]->id() == "dead") std::swap(machines[0], machines[1]);
  EXPECT_EQ(machines[1]->state(), MachineState::exited);
  EXPECT_EQ(machines[1]->exit()->cause, Exit::Cause::unknown);
  EXPECT_TRUE(lab.is_gone("dead"));

  const auto machine = machines[0];
  Ear ear(lab, machine);
  EXPECT_EQ(machine->id(), "alive");
  EXPECT_EQ(machine->state(), MachineState::running);
  SerialLine line(lab, *machine);
  EXPECT_EQ(line.ask('n'), '0');
  EXPECT_TRUE(lab.run(hypervisor->adopt()).empty());
  line.send('p');
  EXPECT_EQ(ear.next<Exited>().exit.cause, Exit::Cause::guest_shut_down);
}

// A daemon in a process of its own, killed before its `step`th step after the one that calls
// begin(). False when its work was done before. There must be no other thread: it forks.
bool dies_before_step(long step, Lab& lab,
                      const std::function<void(Hypervisor&, std::function<void()> begin)>& work) {
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    try {
      lab.io.notify_fork(asio::execution_context::fork_child);
      const auto hypervisor = lab.hypervisor();
      work(*hypervisor, [&] { crash_before_step(step); });
      crash_before_step(0);
      ::_exit(0);  // guests live on, as those of a daemon that was killed
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
    }
    ::_exit(1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(daemon, &status, 0), daemon);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "it failed by itself";
  return WIFSIGNALED(status);
}

// The processes that hold a file open: whatever else they hide, a guest holds its disk.
std::vector<pid_t> holders_of(const std::string& path) {
  std::vector<pid_t> holders;
  for (const auto& process : fs::directory_iterator("/proc")) {
    std::error_code code;
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", code)) {
      if (fs::read_symlink(fd, code) == path) {
        holders.push_back(std::stoi(process.path().filename()));
        break;
      }
    }
  }
  return holders;
}

// A child that had not become QEMU when its daemon died holds the disk until it sees that.
void await_end(const std::vector<pid_t>& processes) {
  for (const pid_t pid : processes) {
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    pollfd ended{process.get(), POLLIN, 0};
    if (process) ::poll(&ended, 1, 10'000);
  }
}

// What a daemon finds when it is started again: no machine, or the one that was meant.
std::shared_ptr<Machine> find_again(Lab& lab, Hypervisor& hypervisor) {
  const auto machines = lab.run(hypervisor.adopt());
  EXPECT_LE(machines.size(), 1u);
  return machines.empty() ? nullptr : machines[0];
}

struct AfterACrash : Qemu {
  const MachineSpec spec = lab.spec();
  const std::string state = lab.path("guest.vmss");

  // Nothing of the guest runs, and no directory of it is left.
  void expect_gone() {
    await_end(holders_of(lab.path("guest.img")));
    EXPECT_THAT(holders_of(lab.path("guest.img")), testing::IsEmpty());
    EXPECT_TRUE(lab.is_gone("guest"));
    EXPECT_FALSE(fs::exists(unfinished_state(state)));
  }
  void expect_one_that_counts_from(char number, Machine& machine, int boots) {
    EXPECT_EQ(holders_of(lab.path("guest.img")).size(), 1u);
    EXPECT_EQ(machine.state(), MachineState::running);
    EXPECT_EQ(SerialLine(lab, machine, boots).ask('n'), number);
  }
  // It booted more than `boots` times: returns how often. It may have been reset twice, by the
  // daemon that died and by its successor.
  int expect_reset_since(int boots, Machine& machine) {
    SerialLine line(lab, machine, boots + 1);
    char answer = line.ask('n');
    while (answer == 'b') answer = line.ask('n');
    EXPECT_EQ(answer, '0');
    const std::string said = read_file(machine.serial_log(spec.serial_ports.front().key));
    return static_cast<int>(std::count(said.begin(), said.end(), 'b'));
  }
};

TEST_F(AfterACrash, AStartIsWholeOrNeverWas) {
  bool died = true;
  int ready = 0, running = 0;
  for (long step = 1; died; ++step) {
    SCOPED_TRACE(step);
    hypervisor.reset();
    died = dies_before_step(step, lab, [&](Hypervisor& own, const auto& begin) {
      lab.run(own.capabilities());
      begin();
      lab.run(lab.run(own.start(spec, {}))->resume());
    });
    hypervisor = lab.hypervisor();
    const auto machine = find_again(lab, *hypervisor);
    if (machine && machine->state() == MachineState::exited) {
      EXPECT_EQ(machine->exit()->cause, Exit::Cause::interrupted_start);
    } else if (machine) {
      ++(machine->state() == MachineState::ready ? ready : running);
      if (machine->state() == MachineState::ready) lab.run(machine->resume());
      expect_one_that_counts_from('0', *machine, 1);
      lab.run(machine->power_off());
    }
    expect_gone();
  }
  EXPECT_GT(ready, 0);
  EXPECT_GT(running, 1);
}

// One guest, which counts on through all of it.
TEST_F(AfterACrash, ASaveIsWholeOrTheGuestRunsOn) {
  expect_one_that_counts_from('0', *start(spec), 1);
  bool died = true;
  char number = '1';
  int saved = 0, undone = 0;
  for (long step = 1; died; ++step) {
    SCOPED_TRACE(step);
    hypervisor.reset();
    died = dies_before_step(step, lab, [&](Hypervisor& own, const auto& begin) {
      const auto machine = lab.run(own.adopt()).at(0);
      begin();
      lab.run(machine->save(state, {}));
    });
    hypervisor = lab.hypervisor();
    auto machine = find_again(lab, *hypervisor);
    const bool ended = !machine || machine->state() == MachineState::exited;
    ++(ended ? saved : undone);
    EXPECT_EQ(fs::exists(state), ended);
    EXPECT_FALSE(fs::exists(unfinished_state(state)));
    if (ended) {
      if (machine) {
        EXPECT_EQ(machine->exit()->cause, Exit::Cause::saved);
      }
      expect_gone();
      machine = start(spec, {.restore_from = state});
      fs::remove(state);
    }
    expect_one_that_counts_from(number++, *machine, 0);
    if (!died) lab.run(machine->power_off());
  }
  expect_gone();
  EXPECT_GT(saved, 1);
  EXPECT_GT(undone, 1);
}

TEST_F(AfterACrash, ARestoreIsWholeOrTheStateIsStillThere) {
  {
    const auto machine = start(spec);
    EXPECT_EQ(SerialLine(lab, *machine).ask('n'), '0');
    lab.run(machine->save(state, {}));
  }
  bool died = true;
  int undone = 0, ready = 0, running = 0;
  for (long step = 1; died; ++step) {
    SCOPED_TRACE(step);
    hypervisor.reset();
    died = dies_before_step(step, lab, [&](Hypervisor& own, const auto& begin) {
      lab.run(own.capabilities());
      begin();
      lab.run(lab.run(own.start(spec, {.restore_from = state}))->resume());
    });
    hypervisor = lab.hypervisor();
    auto machine = find_again(lab, *hypervisor);
    if (!machine || machine->state() == MachineState::exited) {
      if (machine) {
        EXPECT_EQ(machine->exit()->cause, Exit::Cause::interrupted_start);
      }
      ++undone;
      expect_gone();
      continue;
    }
    ++(machine->state() == MachineState::ready ? ready : running);
    if (machine->state() == MachineState::ready) lab.run(machine->resume());
    expect_one_that_counts_from('1', *machine, 0);
    lab.run(machine->power_off());
    expect_gone();
  }
  EXPECT_GT(undone, 1);
  EXPECT_GT(ready, 0);
  EXPECT_GT(running, 1);
}

// One guest, reset again and again: whenever the daemon dies, its disk is on one overlay, the
// former or the fresh one, and one that was replaced is in nobody's hands.
TEST_F(AfterACrash, AResetThatDiscardsChangesIsFinishedOrNeverWas) {
  const auto make_overlay = [&](long number) {
    const std::string path = lab.path(fmt::format("overlay{}", number));
    run_checked({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "guest.img", path});
    return path;
  };
  MachineSpec discarding = spec;
  std::string current = make_overlay(0);
  discarding.disks[0].chain.push_back({current, DiskFormat::qcow2});
  discarding.disks[0].discards_changes = true;
  expect_one_that_counts_from('0', *start(discarding), 1);
  bool died = true;
  int boots = 1, kept = 0, replaced = 0;
  for (long step = 1; died; ++step) {
    SCOPED_TRACE(step);
    hypervisor.reset();
    const std::string fresh = make_overlay(step);
    died = dies_before_step(step, lab, [&](Hypervisor& own, const auto& begin) {
      const auto machine = lab.run(own.adopt()).at(0);
      begin();
      lab.run(machine->reset({{2000, fresh}}));
    });
    hypervisor = lab.hypervisor();
    const auto machine = find_again(lab, *hypervisor);
    ASSERT_TRUE(machine);
    const std::vector<DiskImage> chain = find_disk(machine->spec(), 2000).chain;
    ASSERT_EQ(chain.size(), 2u);
    const bool is_replaced = chain[1].path == fresh;
    ASSERT_TRUE(is_replaced || chain[1].path == current);
    EXPECT_TRUE(holders_of(is_replaced ? current : fresh).empty());
    EXPECT_EQ(holders_of(chain[1].path).size(), 1u);
    ++(is_replaced ? replaced : kept);
    if (is_replaced) current = fresh;
    EXPECT_EQ(machine->state(), MachineState::running);
    if (is_replaced) boots = expect_reset_since(boots, *machine);
    if (!died) lab.run(machine->power_off());
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(replaced, 1);
}

// One guest that grows: what its QEMU has got, a daemon that comes back knows.
TEST_F(AfterACrash, WhatCameWhileItRanIsKnown) {
  MachineSpec growing = spec;
  growing.max_vcpus = 200;
  growing.max_memory_mib = 4096;
  expect_one_that_counts_from('0', *start(growing), 1);
  bool died = true;
  int vcpus = 1;
  std::size_t dimms = 0, unrecorded = 0;
  for (long step = 1; died; ++step) {
    SCOPED_TRACE(step);
    hypervisor.reset();
    died = dies_before_step(step, lab, [&](Hypervisor& own, const auto& begin) {
      const auto machine = lab.run(own.adopt()).at(0);
      begin();
      lab.run(machine->add_memory(128));
      lab.run(machine->add_vcpus(2));
    });
    const MachineSpec recorded = read_record(lab.path("run/guest")).spec;
    hypervisor = lab.hypervisor();
    const auto machine = find_again(lab, *hypervisor);
    ASSERT_TRUE(machine);
    const MachineSpec& present = machine->spec();
    unrecorded += present != recorded;
    EXPECT_GE(present.vcpus, vcpus);
    EXPECT_LE(present.vcpus, vcpus + 2);
    EXPECT_GE(present.dimms.size(), dimms);
    EXPECT_LE(present.dimms.size(), dimms + 1);
    EXPECT_EQ(present.memory_mib, spec.memory_mib + 128 * present.dimms.size());
    vcpus = present.vcpus;
    dimms = present.dimms.size();
    if (died) continue;
    // It can be rebuilt as it is.
    lab.run(machine->save(state, {}));
    MachineSpec plain = spec;
    plain.vcpus = vcpus;
    plain.memory_mib = present.memory_mib;
    const auto again = start(plain, {.restore_from = state});
    EXPECT_EQ(again->spec().dimms.size(), dimms);
    EXPECT_EQ(SerialLine(lab, *again, 0).ask('n'), '1');
    lab.run(again->power_off());
  }
  EXPECT_GT(vcpus, 3);
  EXPECT_GT(unrecorded, 0u);
}

TEST_F(Qemu, LearnsThatAnAdoptedGuestShutDownWhileNobodyWatched) {
  auto machine = start(lab.spec());
  auto line = std::make_unique<SerialLine>(lab, *machine);
  machine.reset();  // as if the daemon were gone
  hypervisor.reset();
  line->send('p');
  line.reset();
  hypervisor = lab.hypervisor();
  // The guest may need a moment more; then its end arrives as an event instead.
  machine = lab.run(hypervisor->adopt()).at(0);
  Ear ear(lab, machine);
  EXPECT_EQ(ear.next<Exited>().exit.cause, Exit::Cause::guest_shut_down);
}

TEST_F(Qemu, ReportsARecordItCannotRead) {
  fs::create_directories(lab.path("run/torn"));
  write_file_atomically(lab.path("run/torn/machine.json"), "{\"pid\":");
  fs::create_directories(lab.path("run/empty"));
  const auto machines = lab.run(hypervisor->adopt());
  ASSERT_EQ(machines.size(), 1u);
  EXPECT_EQ(machines[0]->id(), "torn");
  EXPECT_EQ(machines[0]->state(), MachineState::exited);
  EXPECT_TRUE(lab.is_gone("empty"));
}

// ---- Accelerators

TEST_F(Qemu, TriesAnAcceleratorByRunningAGuest) {
  EXPECT_EQ(try_accelerator(lab.options(), "tcg", patience), "");
  EXPECT_THAT(try_accelerator(lab.options(), "no-such-accelerator", patience),
              HasSubstr("a trial guest failed"));
}

TEST_F(Qemu, TellsItsCapabilities) {
  const Capabilities capabilities = lab.run(hypervisor->capabilities());
  EXPECT_EQ(capabilities.backend, "qemu");
  EXPECT_EQ(capabilities.accelerator, "tcg");
  EXPECT_EQ(capabilities.accelerator_reason, "KVM is switched off");
  EXPECT_FALSE(capabilities.version.empty());
}

TEST(Accelerator, ReadsTheProcessorsFlags) {
  EXPECT_TRUE(has_virtualization("processor : 0\nflags\t\t: fpu vmx sse\n"));
  EXPECT_TRUE(has_virtualization("flags\t\t: fpu svm\n"));
  EXPECT_FALSE(has_virtualization("flags\t\t: fpu vmmcall\nvmx flags : vnmi\n"));
}

}  // namespace
}  // namespace virga::hypervisor
