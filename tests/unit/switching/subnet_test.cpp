#include "switching/subnet.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace virga::switching {
namespace {

TEST(Subnet, IsReadAndWritten) {
  const Subnet subnet = parse_nat_subnet("192.168.64.0/20");
  EXPECT_EQ(to_text(subnet), "192.168.64.0/20");
  EXPECT_EQ(to_text(subnet.netmask()), "255.255.240.0");
  EXPECT_EQ(to_text(subnet.broadcast()), "192.168.79.255");
  EXPECT_EQ(to_text(subnet.gateway()), "192.168.64.1");
}

TEST(Subnet, LeavesAddressesBeforeItsLeases) {
  const Subnet wide = parse_nat_subnet("10.77.0.0/24");
  EXPECT_EQ(to_text(wide.first_lease()), "10.77.0.10");
  EXPECT_EQ(to_text(wide.last_lease()), "10.77.0.254");
  const Subnet narrow = parse_nat_subnet("10.77.0.8/29");
  EXPECT_EQ(to_text(narrow.gateway()), "10.77.0.9");
  EXPECT_EQ(to_text(narrow.first_lease()), "10.77.0.10");
  EXPECT_EQ(to_text(narrow.last_lease()), "10.77.0.14");
}

TEST(Subnet, RefusesWhatNoNatNetworkCanHave) {
  for (const auto* text :
       {"", "10.77.0.0", "10.77.0.0/", "10.77.0/24", "10.77.0.0/24 ", "10.77.0.0/15",
        "10.77.0.0/30", "10.77.0.1/24", "10.77.256.0/24", "224.0.0.0/24", "127.0.0.0/24",
        "0.1.0.0/24", "-1.0.0.0/24", "10.77.0.0/x"}) {
    try {
      parse_nat_subnet(text);
      ADD_FAILURE() << "took " << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::invalid_argument);
      EXPECT_EQ(e.subject(), text);
    }
  }
}

TEST(Subnet, OverlapsWhereOneHoldsTheOther) {
  const Subnet subnet = parse_nat_subnet("10.77.1.0/24");
  EXPECT_TRUE(subnet.overlaps(parse_nat_subnet("10.77.0.0/16")));
  EXPECT_TRUE(parse_nat_subnet("10.77.0.0/16").overlaps(subnet));
  EXPECT_TRUE(subnet.overlaps({0, 0}));
  EXPECT_FALSE(subnet.overlaps(parse_nat_subnet("10.77.2.0/24")));
}

TEST(Routes, AreReadWithoutTheDefault) {
  const auto routes = parse_routes(
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
      "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
      "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
      "tun0\t00004D0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
      "broken line\n");
  ASSERT_EQ(routes.size(), 2u);
  EXPECT_EQ(to_text(routes[0].destination), "192.0.2.0/24");
  EXPECT_EQ(routes[1].device, "tun0");
  EXPECT_EQ(to_text(routes[1].destination), "10.77.0.0/16");
}

TEST(ChooseSubnet, TakesTheFirstThatMeetsNothing) {
  EXPECT_EQ(to_text(choose_subnet({})), "10.77.0.0/24");
  EXPECT_EQ(to_text(choose_subnet(
                {parse_nat_subnet("10.77.0.0/23"), parse_nat_subnet("10.77.2.128/25")})),
            "10.77.3.0/24");
}

TEST(ChooseSubnet, SaysWhenNothingIsLeft) {
  EXPECT_THROW(choose_subnet({{10u << 24, 8}}), Error);
}

}  // namespace
}  // namespace virga::switching
