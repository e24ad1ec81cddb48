#include "switching/names.h"

#include <gmock/gmock.h>

#include <set>

namespace virga::switching {
namespace {

TEST(Names, FitIntoALinuxDeviceName) {
  for (const auto& name : {bridge_name("host", std::string(32, 'x')), bond_name("host", "vSwitch0"),
                           tap_name("host", "vm", 4000), gateway_name("host", "10.77.0.0/24")}) {
    EXPECT_LE(name.size(), 15u);
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567"), std::string::npos);
  }
}

TEST(Names, DifferWhereTheHostTheThingOrItsKindDiffers) {
  const std::set<std::string> names{
      tap_name("a", "vm", 4000), tap_name("b", "vm", 4000), tap_name("a", "vm", 4001),
      tap_name("a", "vm4", 0),   tap_name("a", "vm", 40),   tap_name("av", "m", 4000),
      bridge_name("a", "vm"),    bond_name("a", "vm"),      gateway_name("a", "vm"),
      nft_table_name("a"),       nft_table_name("b")};
  EXPECT_EQ(names.size(), 11u);
}

// Ports, leases and rules of a running host are found again by name: the derivation must not
// change.
TEST(Names, StayTheSame) {
  EXPECT_EQ(tap_name("host", "vm", 4000), tap_name("host", "vm", 4000));
  EXPECT_EQ(tap_name("host", "vm", 4000), "vtyidp2i76ujk5");
  EXPECT_EQ(nft_table_name("host"), "virga_3yv5hld4h4ct");
}

TEST(Names, GatewaysHaveLocallyAdministeredUnicastAddresses) {
  EXPECT_THAT(gateway_mac("host", "10.77.0.0/24"),
              testing::MatchesRegex("02(:[0-9a-f][0-9a-f]){5}"));
  EXPECT_NE(gateway_mac("host", "10.77.0.0/24"), gateway_mac("host", "10.77.1.0/24"));
}

}  // namespace
}  // namespace virga::switching
