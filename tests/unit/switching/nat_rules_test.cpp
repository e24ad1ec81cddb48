#include "switching/nat_rules.h"

#include <gmock/gmock.h>

namespace virga::switching {
namespace {

using testing::HasSubstr;
using testing::Not;

NatNetwork network(const std::string& device, const std::string& subnet) {
  return {device, parse_nat_subnet(subnet), 1500};
}

TEST(NftRuleset, ReplacesItsTableAndOnlyThat) {
  EXPECT_EQ(nft_ruleset("virga_a", {network("vg1", "10.77.0.0/24")}),
            "table ip virga_a\n"
            "delete table ip virga_a\n"
            "table ip virga_a {\n"
            "  chain postrouting {\n"
            "    type nat hook postrouting priority srcnat;\n"
            "    ip saddr 10.77.0.0/24 ip daddr != 10.77.0.0/24 masquerade\n"
            "  }\n"
            "  chain forward {\n"
            "    type filter hook forward priority filter;\n"
            "    oifname \"vg1\" ct state established,related accept\n"
            "    oifname \"vg1\" drop\n"
            "  }\n"
            "}\n");
}

TEST(NftRuleset, HasEveryNetwork) {
  const std::string rules =
      nft_ruleset("t", {network("vg1", "10.77.0.0/24"), network("vg2", "10.78.0.0/16")});
  EXPECT_THAT(rules, HasSubstr("ip saddr 10.77.0.0/24 ip daddr != 10.77.0.0/24 masquerade"));
  EXPECT_THAT(rules, HasSubstr("ip saddr 10.78.0.0/16 ip daddr != 10.78.0.0/16 masquerade"));
  EXPECT_THAT(rules, HasSubstr("oifname \"vg2\" drop"));
}

TEST(DnsmasqConfiguration, ServesTheNetworkAlone) {
  const std::string text = dnsmasq_configuration(network("vg1", "10.77.0.0/24"),
                                                 {"/run/p.pid", "/state/l", "/state/g"}, "nobody");
  for (const auto* line :
       {"interface=vg1\n", "bind-interfaces\n", "except-interface=lo\n", "user=nobody\n",
        "dhcp-range=10.77.0.10,10.77.0.254,255.255.255.0,12h\n", "dhcp-leasefile=/state/l\n",
        "pid-file=/run/p.pid\n", "dhcp-lease-max=245\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text, Not(HasSubstr("option:mtu")));
}

TEST(DnsmasqConfiguration, TellsGuestsOfAnUnusualMtu) {
  NatNetwork jumbo = network("vg1", "10.77.0.0/24");
  jumbo.mtu = 9000;
  EXPECT_THAT(dnsmasq_configuration(jumbo, {}, "nobody"),
              HasSubstr("dhcp-option=option:mtu,9000\n"));
}

}  // namespace
}  // namespace virga::switching
