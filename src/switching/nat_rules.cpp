#include "switching/nat_rules.h"

#include <fmt/format.h>

namespace virga::switching {

std::string nft_removal(const std::string& table) {
  // A table has to be there to be deleted; declaring it makes sure of that.
  return fmt::format("table ip {0}\ndelete table ip {0}\n", table);
}

std::string nft_ruleset(const std::string& table, const std::vector<NatNetwork>& networks) {
  std::string outgoing, incoming;
  for (const auto& network : networks) {
    const std::string subnet = to_text(network.subnet);
    outgoing += fmt::format("    ip saddr {0} ip daddr != {0} masquerade\n", subnet);
    incoming += fmt::format(
        "    oifname \"{0}\" ct state established,related accept\n"
        "    oifname \"{0}\" drop\n",
        network.device);
  }
  return nft_removal(table) + fmt::format(
                                  "table ip {} {{\n"
                                  "  chain postrouting {{\n"
                                  "    type nat hook postrouting priority srcnat;\n"
                                  "{}"
                                  "  }}\n"
                                  "  chain forward {{\n"
                                  "    type filter hook forward priority filter;\n"
                                  "{}"
                                  "  }}\n"
                                  "}}\n",
                                  table, outgoing, incoming);
}

std::string dnsmasq_configuration(const NatNetwork& network, const DhcpFiles& files,
                                  const std::string& user) {
  const Subnet& subnet = network.subnet;
  std::string text = fmt::format(
      "interface={}\n"
      "bind-interfaces\n"
      "except-interface=lo\n"
      "user={}\n"
      "pid-file={}\n"
      "log-facility={}\n"
      "no-hosts\n"
      "domain-needed\n"
      "bogus-priv\n"
      "dhcp-range={},{},{},12h\n"
      "dhcp-authoritative\n"
      "dhcp-leasefile={}\n"
      "dhcp-lease-max={}\n"
      // Nobody else gives addresses here: probing each for 3 s before offering it is lost time.
      "no-ping\n",
      network.device, user, files.pid_file, files.log_file, to_text(subnet.first_lease()),
      to_text(subnet.last_lease()), to_text(subnet.netmask()), files.lease_file,
      subnet.last_lease() - subnet.first_lease() + 1);
  if (network.mtu != 1500) text += fmt::format("dhcp-option=option:mtu,{}\n", network.mtu);
  return text;
}

}  // namespace virga::switching
