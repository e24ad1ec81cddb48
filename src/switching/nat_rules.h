// What NAT networks need of other programs, as their text: the nftables ruleset of a host and the
// configuration of one network's dnsmasq. Pure.
#pragma once

#include <string>
#include <vector>

#include "switching/subnet.h"

namespace virga::switching {

struct NatNetwork {
  std::string device;  // the gateway's
  Subnet subnet;
  int mtu = 1500;

  bool operator==(const NatNetwork&) const = default;
};

// Replaces the table as a whole: guests go out under the machine's address, nothing comes in to
// them but answers, and NAT networks do not reach each other.
std::string nft_ruleset(const std::string& table, const std::vector<NatNetwork>& networks);
// Takes the table away, whether it is there or not.
std::string nft_removal(const std::string& table);

struct DhcpFiles {
  std::string pid_file;
  std::string lease_file;
  std::string log_file;
};

// `user`: whom dnsmasq becomes once it holds its sockets and files.
std::string dnsmasq_configuration(const NatNetwork& network, const DhcpFiles& files,
                                  const std::string& user);

}  // namespace virga::switching
