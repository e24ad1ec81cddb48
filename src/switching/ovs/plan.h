// From what the books say to what the Open vSwitch database must hold, and the transaction that
// gets it there from what it holds now. Every change of the network takes this way, a restart
// included: there is no second description of it. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "switching/books.h"
#include "switching/ovs/replica.h"

namespace virga::switching::ovs {

struct Interface {
  std::string name;
  std::string type;  // "" a device of the system, "internal" one that Open vSwitch makes
  std::string mac;   // "" as the device has it
  int mtu = 0;
  std::map<std::string, std::string> external_ids;

  bool operator==(const Interface&) const = default;
};

// Internal ports and guests' NICs have one interface, a switch's uplinks are one port altogether.
struct BridgePort {
  std::string name;
  int vlan = 0;           // as PortGroup::vlan
  std::string bond_mode;  // "" unless there are several interfaces
  std::string bond_primary;
  std::map<std::string, Interface> interfaces;  // by name

  bool operator==(const BridgePort&) const = default;
};

struct Bridge {
  std::string name;
  std::string datapath_type;
  std::string virtual_switch;
  std::map<std::string, BridgePort> ports;  // by name

  bool operator==(const Bridge&) const = default;
};

using Bridges = std::map<std::string, Bridge>;  // by name

Bridges wanted_bridges(const Books& books, const std::string& instance,
                       const std::string& datapath_type);

// The tables and columns that plan() and the switch's state need, as a <monitor-requests>.
json::object monitored_columns();

// OVSDB operations that turn the bridges of `replica` into `wanted`; none where they agree. Bridges
// without a mark of ours stay untouched.
json::array plan(const Bridges& wanted, const Replica& replica);

// The guests' ports that `replica` holds, by the names of their interfaces.
std::map<std::string, PortRequest> recorded_ports(const Replica& replica);

}  // namespace virga::switching::ovs
