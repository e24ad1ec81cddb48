// Virtual switches of one host: standard switches, their port groups, and the ports that guests'
// NICs are plugged into. The interface is neutral: ovs/ brings it about with Open vSwitch, sim/
// keeps the books and touches nothing.
//
// Everything here belongs to one executor. Operations are all or nothing: one that throws leaves
// configuration and network as they were. Errors name the switch, port group or port they are
// about:
//   already_exists   the name is taken
//   not_found        no switch, port group, port, or network device of that name
//   invalid_argument a name, VLAN, MTU, MAC or subnet that cannot be
//   busy             still in use; the message names the ports and their VMs
//   unsupported      understood, and not offered by this backend
//   timed_out, gone  the switch's daemons did not answer
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/async.h"
#include "base/file.h"

namespace virga::switching {

// Which uplink carries a frame where a switch has several.
enum class Teaming {
  source_mac,         // spread by the sender's MAC address, moved when an uplink fails
  explicit_failover,  // the first uplink of the list that works
};

struct VirtualSwitch {
  std::string name;  // 1 to 32 characters
  int mtu = 1500;    // bytes, 1280 to 9000
  // As configured, 1 to 4088. No limit on attached NICs: ESXi too gives out ports on demand (5.5+).
  int num_ports = 128;
  std::vector<std::string> uplinks;  // network devices of the machine, preferred first
  Teaming teaming = Teaming::source_mac;

  bool operator==(const VirtualSwitch&) const = default;
};

// VLANs in vSphere's counting.
inline constexpr int no_vlan = 0;       // frames travel untagged; tagged ones are dropped
inline constexpr int all_vlans = 4095;  // the guest tags its frames itself

// What the guests of a port group may do, with a standard switch's defaults.
struct SecurityPolicy {
  bool allow_promiscuous = false;  // see frames meant for others
  bool mac_changes = true;         // receive on another MAC address than the configured one
  bool forged_transmits = true;    // send from another MAC address than the configured one

  bool operator==(const SecurityPolicy&) const = default;
};

// Makes the machine the gateway of a port group: it gives addresses by DHCP, forwards DNS and lets
// guests out through its own address. From outside, guests cannot be reached.
struct Nat {
  // "10.77.0.0/24": the first address is the gateway's. Prefix 16 to 29. Empty in a request: chosen
  // so that it meets no route of the machine; never empty in an answer.
  std::string subnet;

  bool operator==(const Nat&) const = default;
};

struct PortGroup {
  std::string name;  // 1 to 80 characters, unique on the host
  std::string virtual_switch;
  int vlan = no_vlan;  // no_vlan, 1 to 4094, or all_vlans
  SecurityPolicy security;
  std::optional<Nat> nat;  // not together with all_vlans

  bool operator==(const PortGroup&) const = default;
};

// Plugs one NIC of one VM in.
struct PortRequest {
  std::string vm;       // identifies the VM on this host, for good
  std::string vm_name;  // for messages
  int nic_key = 0;      // the device's key within the VM: 4000, 4001, ...
  std::string mac;      // "00:50:56:01:02:03"
  std::string port_group;
};

struct Port {
  std::string id;  // the network device's name; stays the same for the same VM and NIC
  std::string vm;
  std::string vm_name;
  int nic_key = 0;
  std::string mac;
  std::string port_group;
  bool connected = false;  // a guest holds the other end and the switch forwards its frames
};

// The guest's end of a port. The device lives as long as a process holds `fd`: hand it to QEMU
// (-netdev tap,fd=N; no vnet header, one queue) and close it here.
struct Tap {
  std::string port;  // Port::id
  Fd fd;             // empty where the backend has no network (sim)
};

// Counted from the guest's side since it was attached.
struct PortStatistics {
  std::uint64_t received_bytes = 0;
  std::uint64_t received_packets = 0;
  std::uint64_t received_dropped = 0;
  std::uint64_t transmitted_bytes = 0;
  std::uint64_t transmitted_packets = 0;
  std::uint64_t transmitted_dropped = 0;

  bool operator==(const PortStatistics&) const = default;
};

// A daemon behind the switches came up or ended: "ovs-vswitchd", "dnsmasq on vg7k2m...".
struct ServiceChange {
  std::string service;
  bool running = false;
  std::string message;  // a sentence for the host's events
};

class Switching {
 public:
  virtual ~Switching() = default;

  // Brings the persisted configuration about: adopts what an earlier daemon left running, starts
  // what is missing, forgets ports whose guests are gone. To be called once, first. When it fails
  // nothing runs that did not run before.
  virtual Async<void> start() = 0;
  // Ends the switches' daemons, and with them the guests' network; devices, addresses and firewall
  // rules go too. The configuration stays for the next start(), which takes a new object.
  virtual Async<void> stop() = 0;
  // Leaves the switches to the guests: all runs on for the next start() while one is plugged in,
  // else as stop().
  virtual Async<void> release() = 0;

  virtual std::vector<VirtualSwitch> switches() const = 0;
  virtual std::vector<PortGroup> port_groups() const = 0;
  virtual std::vector<Port> ports() const = 0;
  // By Port::id.
  virtual std::map<std::string, PortStatistics> statistics() const = 0;

  virtual Async<void> add_switch(VirtualSwitch wanted) = 0;
  // Replaces the settings of the switch with that name.
  virtual Async<void> update_switch(VirtualSwitch wanted) = 0;
  // Takes its port groups along; busy while a port is attached to one of them.
  virtual Async<void> remove_switch(std::string name) = 0;

  // Returns the port group as it was made, its subnet chosen.
  virtual Async<PortGroup> add_port_group(PortGroup wanted) = 0;
  // Replaces the settings, the name included; attached ports follow. The switch and the subnet
  // change only while no port is attached.
  virtual Async<PortGroup> update_port_group(std::string name, PortGroup wanted) = 0;
  virtual Async<void> remove_port_group(std::string name) = 0;

  // already_exists while a guest holds the NIC's port.
  virtual Async<Tap> attach(PortRequest request) = 0;
  // Moves a live port to another port group.
  virtual Async<void> move(std::string port, std::string port_group) = 0;
  virtual Async<void> detach(std::string port) = 0;

  // Called on the executor; one listener, set before start().
  virtual void on_service_change(std::function<void(const ServiceChange&)> listener) = 0;
};

}  // namespace virga::switching
