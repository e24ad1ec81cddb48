// Open vSwitch for real: daemons, taps, guests. Needs root, as a host does.
#include "switching/ovs/ovs_switching.h"

#include <gmock/gmock.h>
#include <signal.h>

#include "base/error.h"
#include "base/process.h"
#include "playground.h"
#include "switching/names.h"
#include "switching/ovs/netdev.h"

namespace virga::switching {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto vm_network = "VM Network";

// A process that ended and that nobody has waited for yet has no command line.
bool runs(int pid) {
  return fs::exists(fmt::format("/proc/{}", pid)) &&
         !read_file(fmt::format("/proc/{}/cmdline", pid)).empty();
}

class OvsSwitchingTest : public testing::Test {
 protected:
  OvsSwitchingTest() { open(); }

  void open() {
    switching_ = make_ovs_switching(loop_.executor(), loop_.pool(),
                                    {"test-host", machine_.state_dir(), machine_.run_dir()});
    switching_->on_service_change([this](const ServiceChange& change) {
      changes_.push_back((change.running ? "+" : "-") + change.service);
    });
    loop_.run(switching_->start());
  }

  // What a kill of the host's daemon leaves: the processes, and nobody who knows of them.
  void forget() { switching_.reset(); }

  void make_network(int vlan = no_vlan) {
    loop_.run(switching_->add_switch({.name = "vSwitch0"}));
    loop_.run(switching_->add_port_group(
        {.name = vm_network, .virtual_switch = "vSwitch0", .vlan = vlan, .nat = Nat{}}));
  }

  std::string mac_of(int number) { return fmt::format("00:50:56:00:00:{:02x}", number); }

  Tap attach(int number, const std::string& group = vm_network) {
    const std::string vm = fmt::format("vm{}", number);
    return loop_.run(switching_->attach({vm, vm, 4000, mac_of(number), group}));
  }

  // A guest at 10.77.0.<number>.
  std::unique_ptr<Guest> make_guest(int number, const std::string& group = vm_network) {
    auto guest = std::make_unique<Guest>(attach(number, group).fd, mac_of(number));
    guest->set_address(fmt::format("10.77.0.{}/24", number));
    return guest;
  }

  std::string port_of(int number) {
    return tap_name("test-host", fmt::format("vm{}", number), 4000);
  }

  Port port(int number) {
    for (auto& port : switching_->ports()) {
      if (port.id == port_of(number)) return port;
    }
    throw error(ErrorKind::not_found, port_of(number), "no port of vm{}", number);
  }

  template <class T>
  Error refusal(Async<T> operation) {
    try {
      loop_.run(std::move(operation));
    } catch (const Error& e) {
      return e;
    }
    ADD_FAILURE() << "was not refused";
    return Error(ErrorKind::io, "", "");
  }

  // Kills the daemon and waits until it is there again.
  void kill_and_wait(const std::string& service, const std::string& pid_file) {
    const int pid = machine_.pid_of(pid_file);
    changes_.clear();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    loop_.run_until([this] { return changes_.size() >= 2; });
    EXPECT_THAT(changes_, testing::ElementsAre("-" + service, "+" + service));
    EXPECT_NE(machine_.pid_of(pid_file), pid);
  }

  const std::string gateway_ = gateway_name("test-host", "10.77.0.0/24");
  Machine machine_;
  Loop loop_;
  std::vector<std::string> changes_;
  std::shared_ptr<Switching> switching_;
};

TEST_F(OvsSwitchingTest, GuestsReachEachOtherAndTheMachineByPingAndTcp) {
  make_network();
  const auto a = make_guest(11), b = make_guest(12);
  EXPECT_TRUE(a->reaches("10.77.0.12"));
  EXPECT_TRUE(a->reaches("10.77.0.1"));
  EXPECT_TRUE(talk(a->socket(), b->socket(), "10.77.0.12", 5001).complete);
  EXPECT_TRUE(talk(a->socket(), tcp_socket(), "10.77.0.1", 5002).complete);
  EXPECT_TRUE(talk(tcp_socket(), b->socket(), "10.77.0.12", 5003).complete);
}

TEST_F(OvsSwitchingTest, VlansKeepGuestsApart) {
  make_network(10);
  for (const int vlan : {20, no_vlan}) {
    loop_.run(switching_->add_port_group(
        {.name = fmt::format("VLAN {}", vlan), .virtual_switch = "vSwitch0", .vlan = vlan}));
  }
  const auto a = make_guest(11), b = make_guest(12), other = make_guest(13, "VLAN 20"),
             untagged = make_guest(14, "VLAN 0");
  EXPECT_TRUE(a->reaches("10.77.0.12"));
  EXPECT_TRUE(a->reaches("10.77.0.1"));
  EXPECT_TRUE(a->misses("10.77.0.13"));
  EXPECT_TRUE(a->misses("10.77.0.14"));
  EXPECT_TRUE(other->misses("10.77.0.1"));

  // A live port moves, and with it what it reaches.
  loop_.run(switching_->move(port_of(12), "VLAN 20"));
  EXPECT_EQ(port(12).port_group, "VLAN 20");
  EXPECT_TRUE(b->reaches("10.77.0.13"));
  EXPECT_TRUE(b->misses("10.77.0.11"));
}

TEST_F(OvsSwitchingTest, APortMovesBetweenSwitches) {
  make_network();
  loop_.run(switching_->add_switch({.name = "vSwitch1"}));
  loop_.run(switching_->add_port_group({.name = "Lab", .virtual_switch = "vSwitch1"}));
  const auto a = make_guest(11), b = make_guest(12, "Lab");
  EXPECT_TRUE(a->misses("10.77.0.12"));
  loop_.run(switching_->move(port_of(12), vm_network));
  EXPECT_TRUE(a->reaches("10.77.0.12"));
}

TEST_F(OvsSwitchingTest, DhcpGivesAddressAndGateway) {
  make_network();
  const Guest guest(attach(11).fd, mac_of(11));
  const fs::path script = machine_.folder() / "udhcpc.sh";
  write_file_atomically(script,
                        "#!/bin/sh\n"
                        "[ \"$1\" = bound ] || exit 0\n"
                        "ip address add $ip/$mask dev $interface\n"
                        "ip route add default via $router\n"
                        "echo \"dns=$dns\"\n",
                        0755);
  const std::string seen = guest.run(
      {"busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "10", "-T", "1", "-s", script});
  EXPECT_THAT(seen, HasSubstr("dns=10.77.0.1"));
  EXPECT_THAT(guest.run({"ip", "-4", "address", "show", "eth0"}), HasSubstr("inet 10.77.0."));
  EXPECT_TRUE(guest.reaches("10.77.0.1"));
  EXPECT_THAT(read_file(machine_.state_dir() / ("dhcp-" + gateway_ + ".leases")),
              HasSubstr(mac_of(11)));
}

TEST_F(OvsSwitchingTest, GuestsLeaveThroughTheMachineAndNothingComesIn) {
  make_network();
  const auto guest = make_guest(11);
  guest->run({"ip", "route", "add", "default", "via", "10.77.0.1"});
  const Guest outside(ovs::create_tap("outside0", 1500), "02:00:00:00:00:99");
  outside.set_address("198.51.100.2/24");
  ovs::set_ipv4_address("outside0", 198u << 24 | 51u << 16 | 100u << 8 | 1, 0xffffff00);

  const auto seen = talk(guest->socket(), outside.socket(), "198.51.100.2", 5001);
  EXPECT_TRUE(seen.complete);
  EXPECT_EQ(seen.client, "198.51.100.1");

  outside.run({"ip", "route", "add", "10.77.0.0/24", "via", "198.51.100.1"});
  EXPECT_TRUE(outside.reaches("198.51.100.1"));
  EXPECT_TRUE(outside.misses("10.77.0.11"));
}

TEST_F(OvsSwitchingTest, NatCanBeTakenAwayAndGivenAgain) {
  make_network();
  PortGroup group = switching_->port_groups().at(0);
  group.nat.reset();
  loop_.run(switching_->update_port_group(vm_network, group));
  EXPECT_FALSE(ovs::device_exists(gateway_));
  EXPECT_FALSE(fs::exists(machine_.run_dir() / ("dhcp-" + gateway_ + ".pid")));
  EXPECT_THAT(run_checked({"nft", "list", "tables"}), IsEmpty());

  group.nat = Nat{};
  group.name = "Prod";
  EXPECT_EQ(loop_.run(switching_->update_port_group(vm_network, group)).nat->subnet,
            "10.77.0.0/24");
  EXPECT_TRUE(make_guest(11, "Prod")->reaches("10.77.0.1"));
}

TEST_F(OvsSwitchingTest, AnUplinkCarriesTaggedFrames) {
  Fd wire = ovs::create_tap("uplink0", 1500);
  loop_.run(switching_->add_switch({.name = "vSwitch1", .uplinks = {"uplink0"}}));
  loop_.run(switching_->add_port_group({.name = "Lab", .virtual_switch = "vSwitch1", .vlan = 100}));
  loop_.run(switching_->add_port_group({.name = "Flat", .virtual_switch = "vSwitch1"}));
  const auto guest = make_guest(11, "Lab");
  EXPECT_TRUE(guest->misses("10.77.0.12"));  // asks for the address by ARP

  unsigned char frame[2048];
  bool tagged = false;
  while (::read(wire.get(), frame, sizeof frame) > 0)
    tagged = tagged || (frame[12] == 0x81 && frame[13] == 0x00 && frame[15] == 100);
  EXPECT_TRUE(tagged);

  const Guest physical(std::move(wire), mac_of(12));
  physical.set_address("10.77.0.12/24");
  EXPECT_TRUE(guest->misses("10.77.0.12"));
  loop_.run(switching_->move(port_of(11), "Flat"));
  EXPECT_TRUE(guest->reaches("10.77.0.12"));
  EXPECT_TRUE(talk(guest->socket(), physical.socket(), "10.77.0.12", 5001).complete);
}

TEST_F(OvsSwitchingTest, JumboFramesPassWhereTheSwitchIsMadeForThem) {
  make_network();
  const auto a = make_guest(11), b = make_guest(12);
  loop_.run(switching_->update_switch({.name = "vSwitch0", .mtu = 9000}));
  for (const auto* guest : {a.get(), b.get()})
    guest->run({"ip", "link", "set", "eth0", "mtu", "9000"});
  a->run({"ping", "-c1", "-W5", "-M", "do", "-s", "8900", "10.77.0.12"});
  a->run({"ping", "-c1", "-W5", "-M", "do", "-s", "8900", "10.77.0.1"});
}

TEST_F(OvsSwitchingTest, RefusesAnUplinkThatIsMissingOrInUseByTheMachine) {
  auto error = refusal(switching_->add_switch({.name = "vSwitch1", .uplinks = {"eth7"}}));
  EXPECT_EQ(error.kind(), ErrorKind::not_found);
  EXPECT_EQ(error.subject(), "eth7");
  const Fd wire = ovs::create_tap("uplink0", 1500);
  ovs::set_ipv4_address("uplink0", 0xc6336401, 0xffffff00);
  error = refusal(switching_->add_switch({.name = "vSwitch1", .uplinks = {"uplink0"}}));
  EXPECT_EQ(error.kind(), ErrorKind::invalid_state);
  EXPECT_THAT(switching_->switches(), IsEmpty());
}

TEST_F(OvsSwitchingTest, RefusesToRemoveWhatAGuestUses) {
  make_network();
  const Tap tap = attach(11);
  for (const auto& error : {refusal(switching_->remove_port_group(vm_network)),
                            refusal(switching_->remove_switch("vSwitch0"))}) {
    EXPECT_EQ(error.kind(), ErrorKind::busy);
    EXPECT_THAT(error.what(), HasSubstr("vm11"));
  }
  EXPECT_EQ(refusal(switching_->attach({"vm11", "vm11", 4000, mac_of(11), vm_network})).kind(),
            ErrorKind::already_exists);
  loop_.run(switching_->detach(port_of(11)));
  loop_.run(switching_->remove_switch("vSwitch0"));
  EXPECT_FALSE(ovs::device_exists(gateway_));
  EXPECT_THAT(run_checked({"nft", "list", "tables"}), IsEmpty());
}

TEST_F(OvsSwitchingTest, ANewGuestTakesTheNicOfOneThatDied) {
  make_network();
  const auto b = make_guest(12);
  make_guest(11).reset();  // ends without a detach
  EXPECT_FALSE(ovs::device_exists(port_of(11)));
  const auto again = make_guest(11);
  EXPECT_TRUE(again->reaches("10.77.0.12"));
}

TEST_F(OvsSwitchingTest, CountsWhatAGuestSendsAndReceives) {
  make_network();
  const auto a = make_guest(11), b = make_guest(12);
  EXPECT_TRUE(talk(a->socket(), b->socket(), "10.77.0.12", 5001).complete);
  const auto all = switching_->statistics();
  ASSERT_EQ(all.size(), 2u);
  const auto& sender = all.at(port_of(11));
  EXPECT_GE(sender.transmitted_bytes, 1u << 20);
  EXPECT_GE(sender.received_bytes, 1u << 20);
  EXPECT_GT(sender.transmitted_packets, 0u);
}

TEST_F(OvsSwitchingTest, TellsWhetherAPortIsConnected) {
  make_network();
  std::optional<Guest> guest(std::in_place, attach(11).fd, mac_of(11));
  loop_.run_until([this] { return port(11).connected; });
  guest.reset();
  loop_.run_until([this] { return !port(11).connected; });
}

TEST_F(OvsSwitchingTest, GuestsTalkOnWithoutTheHostAndAreFoundAgain) {
  make_network();
  const auto a = make_guest(11), b = make_guest(12);
  std::vector<int> pids;
  const std::vector<std::string> pid_files{"ovsdb-server.pid", "ovs-vswitchd.pid",
                                           "dhcp-" + gateway_ + ".pid"};
  for (const auto& file : pid_files) pids.push_back(machine_.pid_of(file));
  forget();
  EXPECT_TRUE(a->reaches("10.77.0.12"));
  EXPECT_TRUE(a->reaches("10.77.0.1"));

  open();
  for (std::size_t i = 0; i < pids.size(); ++i) EXPECT_EQ(machine_.pid_of(pid_files[i]), pids[i]);
  ASSERT_EQ(switching_->ports().size(), 2u);
  EXPECT_EQ(port(11).vm, "vm11");
  EXPECT_EQ(port(11).mac, mac_of(11));
  EXPECT_EQ(port(11).port_group, vm_network);
  EXPECT_TRUE(port(11).connected);
  EXPECT_EQ(switching_->port_groups().at(0).nat->subnet, "10.77.0.0/24");
  const auto c = make_guest(13);
  EXPECT_TRUE(a->reaches("10.77.0.13"));
  loop_.run(switching_->detach(port_of(11)));
  EXPECT_TRUE(b->misses("10.77.0.11"));
}

TEST_F(OvsSwitchingTest, RestartsWhatDiedWhileTheHostWasAway) {
  make_network();
  const auto a = make_guest(11), b = make_guest(12);
  auto lost = std::make_unique<Guest>(attach(13).fd, mac_of(13));
  forget();
  lost.reset();
  for (const auto* file : {"ovsdb-server.pid", "ovs-vswitchd.pid"})
    ASSERT_EQ(::kill(machine_.pid_of(file), SIGKILL), 0);
  open();
  EXPECT_EQ(switching_->ports().size(), 2u);
  EXPECT_TRUE(a->reaches("10.77.0.12"));
  EXPECT_TRUE(a->reaches("10.77.0.1"));
  EXPECT_TRUE(talk(a->socket(), b->socket(), "10.77.0.12", 5001).complete);
}

TEST_F(OvsSwitchingTest, BringsBackASwitchThatDied) {
  make_network();
  const auto a = make_guest(11), b = make_guest(12);
  EXPECT_TRUE(a->reaches("10.77.0.1"));
  kill_and_wait("ovs-vswitchd", "ovs-vswitchd.pid");
  EXPECT_TRUE(a->reaches("10.77.0.12"));
  // The guest still knows the gateway by the MAC address it had.
  EXPECT_TRUE(a->reaches("10.77.0.1"));
  EXPECT_TRUE(talk(a->socket(), tcp_socket(), "10.77.0.1", 5001).complete);
}

TEST_F(OvsSwitchingTest, BringsBackADatabaseThatDied) {
  make_network();
  const auto a = make_guest(11);
  kill_and_wait("ovsdb-server", "ovsdb-server.pid");
  const auto b = make_guest(12);
  EXPECT_TRUE(a->reaches("10.77.0.12"));
}

TEST_F(OvsSwitchingTest, AChangeWaitsForASwitchThatDied) {
  make_network();
  const auto a = make_guest(11);
  ASSERT_EQ(::kill(machine_.pid_of("ovs-vswitchd.pid"), SIGKILL), 0);
  const auto b = make_guest(12);
  EXPECT_TRUE(a->reaches("10.77.0.12"));
}

TEST_F(OvsSwitchingTest, BringsBackDhcpThatDied) {
  make_network();
  kill_and_wait("dnsmasq on " + gateway_, "dhcp-" + gateway_ + ".pid");
}

TEST_F(OvsSwitchingTest, IsNotTakenInByAPidFileOfSomethingElse) {
  make_network();
  forget();
  for (const auto* file : {"ovsdb-server.pid", "ovs-vswitchd.pid"}) {
    ASSERT_EQ(::kill(machine_.pid_of(file), SIGKILL), 0);
    write_file_atomically(machine_.run_dir() / file, std::to_string(::getppid()) + "\n");
  }
  open();
  EXPECT_NE(machine_.pid_of("ovs-vswitchd.pid"), ::getppid());
  EXPECT_TRUE(make_guest(11)->reaches("10.77.0.1"));
}

TEST_F(OvsSwitchingTest, RefusesDaemonsOfAnotherNetwork) {
  forget();
  const Machine elsewhere;
  Loop loop;
  const auto switching = make_ovs_switching(
      loop.executor(), loop.pool(), {"test-host", machine_.state_dir(), machine_.run_dir()});
  try {
    loop.run(switching->start());
    FAIL() << "took daemons of another machine for its own";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_state);
    EXPECT_THAT(e.what(), HasSubstr("ovsdb-server"));
  }
}

TEST_F(OvsSwitchingTest, AFailedChangeLeavesNothingBehind) {
  make_network();
  const Fd squatter = ovs::create_tap(bridge_name("test-host", "vSwitch1"), 1500);
  refusal(switching_->add_switch({.name = "vSwitch1"}));
  EXPECT_EQ(switching_->switches().size(), 1u);
  EXPECT_TRUE(make_guest(11)->reaches("10.77.0.1"));
}

TEST_F(OvsSwitchingTest, NatThatCannotBeServedLeavesNothingBehind) {
  loop_.run(switching_->add_switch({.name = "vSwitch0"}));
  const fs::path obstacle = machine_.state_dir() / ("dhcp-" + gateway_ + ".conf");
  fs::create_directories(obstacle);
  const PortGroup wanted{.name = vm_network, .virtual_switch = "vSwitch0", .nat = Nat{}};
  refusal(switching_->add_port_group(wanted));
  EXPECT_THAT(switching_->port_groups(), IsEmpty());
  EXPECT_FALSE(ovs::device_exists(gateway_));
  EXPECT_THAT(run_checked({"nft", "list", "tables"}), IsEmpty());
  fs::remove(obstacle);
  loop_.run(switching_->add_port_group(wanted));
  EXPECT_TRUE(make_guest(11)->reaches("10.77.0.1"));
}

TEST_F(OvsSwitchingTest, StopEndsEveryProcessAndTakesTheNetworkBack) {
  make_network();
  std::vector<int> pids;
  for (const std::string& file : {std::string("ovsdb-server.pid"), std::string("ovs-vswitchd.pid"),
                                  "dhcp-" + gateway_ + ".pid"})
    pids.push_back(machine_.pid_of(file));
  loop_.run(switching_->stop());
  for (const int pid : pids) EXPECT_FALSE(runs(pid));
  EXPECT_THAT(run_checked({"nft", "list", "tables"}), IsEmpty());
  EXPECT_THAT(run_checked({"ip", "-brief", "link"}), Not(HasSubstr("vg")));
  EXPECT_EQ(refusal(switching_->add_switch({.name = "vSwitch1"})).kind(), ErrorKind::invalid_state);

  open();
  EXPECT_EQ(switching_->port_groups().size(), 1u);
  EXPECT_TRUE(make_guest(11)->reaches("10.77.0.1"));
}

TEST_F(OvsSwitchingTest, ReleasedSwitchesLiveAsLongAsAGuestIsPluggedIn) {
  make_network();
  auto guest = make_guest(11);
  const int pid = machine_.pid_of("ovs-vswitchd.pid");
  loop_.run(switching_->release());
  EXPECT_TRUE(guest->reaches("10.77.0.1"));

  forget();
  open();
  EXPECT_EQ(machine_.pid_of("ovs-vswitchd.pid"), pid);
  guest.reset();
  loop_.run(switching_->release());
  EXPECT_FALSE(runs(pid));
  EXPECT_THAT(run_checked({"ip", "-brief", "link"}), Not(HasSubstr("vg")));
}

TEST_F(OvsSwitchingTest, AFailedStartLeavesNothingRunningThatDidNotRunBefore) {
  make_network();
  const int pid = machine_.pid_of("ovs-vswitchd.pid");
  const fs::path control = machine_.run_dir() / "ovs-vswitchd.ctl";
  const auto fails_to_start = [&] {
    Loop loop;
    const auto other = make_ovs_switching(loop.executor(), loop.pool(),
                                          {"test-host", machine_.state_dir(), machine_.run_dir()});
    EXPECT_THROW(loop.run(other->start()), Error);
  };
  const std::string configuration = machine_.state_dir() / "switching.json";
  const std::string sound = read_file(configuration);
  forget();
  write_file_atomically(configuration, "{");
  fails_to_start();
  EXPECT_TRUE(runs(pid));

  write_file_atomically(configuration, sound);
  open();
  loop_.run(switching_->stop());
  fs::remove(control);
  fs::create_directories(control / "occupied");  // ovs-vswitchd cannot start
  fails_to_start();
  EXPECT_FALSE(fs::exists(machine_.run_dir() / "ovsdb-server.pid"));
}

TEST(OvsSwitchingPaths, MayBeLongerThanASocketAddress) {
  Machine machine;
  Loop loop;
  const fs::path run = machine.run_dir() / std::string(120, 'x');
  const auto switching =
      make_ovs_switching(loop.executor(), loop.pool(), {"test-host", machine.state_dir(), run});
  loop.run(switching->start());
  loop.run(switching->add_switch({.name = "vSwitch0"}));
  loop.run(switching->stop());
}

}  // namespace
}  // namespace virga::switching
