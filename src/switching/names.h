// Names for what a host adds to its network namespace. Linux allows a device 15 characters, too few
// for the names users give, so they are derived: a letter pair for the kind and a hash of the host
// and the thing. The same thing has the same name after every restart.
#pragma once

#include <string>

namespace virga::switching {

std::string bridge_name(const std::string& instance, const std::string& virtual_switch);
// The OVS port that joins several uplinks of a switch.
std::string bond_name(const std::string& instance, const std::string& virtual_switch);
std::string tap_name(const std::string& instance, const std::string& vm, int nic_key);
// The machine's own device in a NAT network, and its MAC address (locally administered): fixed, so
// that guests find their gateway again after the switch was restarted. The subnet stands for the
// network: it survives a new name of the port group.
std::string gateway_name(const std::string& instance, const std::string& subnet);
std::string gateway_mac(const std::string& instance, const std::string& subnet);
std::string nft_table_name(const std::string& instance);

}  // namespace virga::switching
