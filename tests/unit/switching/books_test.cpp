#include "switching/books.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace virga::switching {
namespace {

using testing::HasSubstr;

template <class Act>
Error refusal(Act act) {
  try {
    act();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "was not refused";
  return Error(ErrorKind::io, "", "");
}

PortRequest nic(const std::string& vm, const std::string& port_group) {
  return {vm + "-id", vm, 4000, "00:50:56:00:00:01", port_group};
}

class BooksTest : public testing::Test {
 protected:
  BooksTest() {
    books_.add_switch({.name = "vSwitch0"});
    books_.add_port_group({.name = "VM Network", .virtual_switch = "vSwitch0"}, {});
  }
  Books books_;
};

TEST_F(BooksTest, RefusesASecondThingOfTheSameName) {
  auto error = refusal([&] { books_.add_switch({.name = "vSwitch0"}); });
  EXPECT_EQ(error.kind(), ErrorKind::already_exists);
  EXPECT_THAT(error.what(), HasSubstr("vSwitch0"));
  error = refusal(
      [&] { books_.add_port_group({.name = "VM Network", .virtual_switch = "vSwitch0"}, {}); });
  EXPECT_EQ(error.kind(), ErrorKind::already_exists);
  EXPECT_EQ(error.subject(), "VM Network");
}

TEST_F(BooksTest, NamesTheSwitchThatIsMissing) {
  const auto error =
      refusal([&] { books_.add_port_group({.name = "Lab", .virtual_switch = "vSwitch7"}, {}); });
  EXPECT_EQ(error.kind(), ErrorKind::not_found);
  EXPECT_EQ(error.subject(), "vSwitch7");
  EXPECT_EQ(refusal([&] { books_.update_switch({.name = "vSwitch7"}); }).kind(),
            ErrorKind::not_found);
  EXPECT_EQ(refusal([&] { books_.remove_port_group("Lab"); }).kind(), ErrorKind::not_found);
}

TEST_F(BooksTest, RefusesSettingsThatCannotBe) {
  const auto kind_of_group = [&](int vlan) {
    PortGroup group{.name = "Lab", .virtual_switch = "vSwitch0", .vlan = vlan};
    return refusal([&] { books_.add_port_group(group, {}); }).kind();
  };
  EXPECT_EQ(kind_of_group(-1), ErrorKind::invalid_argument);
  EXPECT_EQ(kind_of_group(4096), ErrorKind::invalid_argument);
  for (const VirtualSwitch& bad :
       {VirtualSwitch{.name = ""}, VirtualSwitch{.name = std::string(33, 'x')},
        VirtualSwitch{.name = "a\nb"}, VirtualSwitch{.name = "s", .mtu = 1279},
        VirtualSwitch{.name = "s", .mtu = 9001}, VirtualSwitch{.name = "s", .num_ports = 0},
        VirtualSwitch{.name = "s", .uplinks = {"eth1", "eth1"}}}) {
    EXPECT_EQ(refusal([&] { books_.add_switch(bad); }).kind(), ErrorKind::invalid_argument);
  }
  PortGroup promiscuous{.name = "Lab", .virtual_switch = "vSwitch0"};
  promiscuous.security.allow_promiscuous = true;
  EXPECT_EQ(refusal([&] { books_.add_port_group(promiscuous, {}); }).kind(),
            ErrorKind::unsupported);
  EXPECT_EQ(books_.switches().size(), 1u);
  EXPECT_EQ(books_.port_groups().size(), 1u);
}

TEST_F(BooksTest, GivesAnUplinkToOneSwitchOnly) {
  books_.add_switch({.name = "vSwitch1", .uplinks = {"eth1"}});
  const auto error = refusal([&] {
    books_.update_switch({.name = "vSwitch0", .uplinks = {"eth2", "eth1"}});
  });
  EXPECT_EQ(error.kind(), ErrorKind::busy);
  EXPECT_THAT(error.what(), HasSubstr("vSwitch1"));
  books_.update_switch({.name = "vSwitch1", .uplinks = {"eth1", "eth2"}});
}

TEST_F(BooksTest, KeepsWhatIsInUseAndNamesTheUser) {
  books_.plug("port1", nic("web01", "VM Network"));
  for (const auto& error : {refusal([&] { books_.remove_switch("vSwitch0"); }),
                            refusal([&] { books_.remove_port_group("VM Network"); })}) {
    EXPECT_EQ(error.kind(), ErrorKind::busy);
    EXPECT_THAT(error.what(), HasSubstr("NIC 4000 of web01"));
  }
  books_.unplug("port1");
  books_.remove_switch("vSwitch0");
  EXPECT_TRUE(books_.port_groups().empty());
}

TEST_F(BooksTest, AttachesANicOnce) {
  books_.plug("port1", nic("web01", "VM Network"));
  EXPECT_EQ(refusal([&] { books_.plug("port1", nic("web01", "VM Network")); }).kind(),
            ErrorKind::already_exists);
  EXPECT_EQ(refusal([&] { books_.plug("port2", nic("web02", "Lab")); }).subject(), "Lab");
  for (const auto* mac :
       {"", "00:50:56:00:00", "01:50:56:00:00:01", "00-50-56-00-00-01", "00:50:56:00:00:0g"}) {
    PortRequest request = nic("web02", "VM Network");
    request.mac = mac;
    EXPECT_EQ(refusal([&] { books_.plug("port2", request); }).kind(), ErrorKind::invalid_argument);
  }
}

TEST_F(BooksTest, RenamesAPortGroupUnderItsPorts) {
  books_.plug("port1", nic("web01", "VM Network"));
  books_.update_port_group("VM Network", {.name = "Prod", .virtual_switch = "vSwitch0", .vlan = 20},
                           {});
  EXPECT_EQ(books_.port("port1").port_group, "Prod");
  EXPECT_EQ(books_.port_group("Prod").vlan, 20);
  EXPECT_EQ(refusal([&] { books_.port_group("VM Network"); }).kind(), ErrorKind::not_found);
}

TEST_F(BooksTest, MovesNoPortGroupToAnotherSwitchUnderItsPorts) {
  books_.add_switch({.name = "vSwitch1"});
  books_.plug("port1", nic("web01", "VM Network"));
  const PortGroup elsewhere{.name = "VM Network", .virtual_switch = "vSwitch1"};
  EXPECT_EQ(refusal([&] { books_.update_port_group("VM Network", elsewhere, {}); }).kind(),
            ErrorKind::busy);
  books_.unplug("port1");
  books_.update_port_group("VM Network", elsewhere, {});
}

TEST_F(BooksTest, ChoosesASubnetThatMeetsNoRouteAndNoOther) {
  const PortGroup wanted{.name = "NAT", .virtual_switch = "vSwitch0", .nat = Nat{}};
  EXPECT_EQ(books_.add_port_group(wanted, {parse_nat_subnet("10.77.0.0/24")}).nat->subnet,
            "10.77.1.0/24");
  PortGroup second = wanted;
  second.name = "NAT 2";
  EXPECT_EQ(books_.add_port_group(second, {}).nat->subnet, "10.77.0.0/24");
  second.name = "NAT 3";
  second.nat->subnet = "10.77.0.0/16";
  EXPECT_EQ(refusal([&] { books_.add_port_group(second, {}); }).kind(), ErrorKind::busy);
  second.nat->subnet = "somewhere";
  EXPECT_EQ(refusal([&] { books_.add_port_group(second, {}); }).kind(),
            ErrorKind::invalid_argument);
  second.nat->subnet = "10.99.0.0/24";
  second.vlan = all_vlans;
  EXPECT_EQ(refusal([&] { books_.add_port_group(second, {}); }).kind(),
            ErrorKind::invalid_argument);
}

TEST_F(BooksTest, KeepsTheSubnetWhenOtherSettingsChange) {
  PortGroup group{.name = "NAT", .virtual_switch = "vSwitch0", .nat = Nat{"10.99.0.0/24"}};
  books_.add_port_group(group, {});
  group.vlan = 30;
  group.nat->subnet.clear();
  // Its own subnet is a route of the machine by now.
  const auto& updated = books_.update_port_group("NAT", group, {parse_nat_subnet("10.99.0.0/24")});
  EXPECT_EQ(updated.nat->subnet, "10.99.0.0/24");
}

TEST_F(BooksTest, SurvivesARoundTripThroughItsFile) {
  books_.add_switch({.name = "vSwitch1",
                     .mtu = 9000,
                     .num_ports = 64,
                     .uplinks = {"eth1", "eth2"},
                     .teaming = Teaming::explicit_failover});
  books_.add_port_group(
      {.name = "NAT \"é\"", .virtual_switch = "vSwitch1", .vlan = 7, .nat = Nat{}}, {});
  const Books copy = Books::from_configuration(books_.configuration(), "switching.json");
  EXPECT_EQ(copy.switches(), books_.switches());
  EXPECT_EQ(copy.port_groups(), books_.port_groups());
}

TEST(BooksFile, IsRefusedByNameWhenDamaged) {
  for (const auto* text :
       {"", "{", "{}", "[]", R"({"switches":[{"name":"a"}],"portGroups":[]})",
        R"({"switches":[],"portGroups":[{"name":"a","switch":"b","vlan":0}]})"}) {
    const auto error = refusal([&] { Books::from_configuration(text, "/state/switching.json"); });
    EXPECT_EQ(error.kind(), ErrorKind::damaged) << text;
    EXPECT_EQ(error.subject(), "/state/switching.json");
  }
}

}  // namespace
}  // namespace virga::switching
