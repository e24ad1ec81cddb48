// The programs of a host's switches: where their files are and how they are started.
#pragma once

#include "switching/nat_rules.h"
#include "switching/ovs/daemon.h"

namespace virga::switching::ovs {

struct Files {
  fs::path state;  // absolute
  fs::path run;    // absolute

  fs::path configuration() const { return state / "switching.json"; }
  fs::path database() const { return state / "conf.db"; }
  fs::path database_socket() const { return run / "db.sock"; }
  fs::path switch_control() const { return run / "ovs-vswitchd.ctl"; }

  // Of the NAT network behind the gateway `device`.
  fs::path dhcp_configuration(const std::string& device) const;
  DhcpFiles dhcp(const std::string& device) const;
  void remove_dhcp(const std::string& device) const;
  // The gateway devices that have a pid file of dnsmasq.
  std::vector<std::string> dhcp_devices() const;
};

DaemonProgram database_program(const Files& files);
DaemonProgram switch_program(const Files& files);
DaemonProgram dhcp_program(const Files& files, const std::string& device);

// Makes the database, or brings an older one to the installed schema. Blocks; only while no
// ovsdb-server runs.
void prepare_database(const Files& files);

// Asks the switch to take back what it made in the kernel and to end. Blocks.
void ask_switch_to_end(const Files& files);

// The kernel's module if it can be had, else Open vSwitch's userspace datapath. Blocks.
std::string choose_datapath_type();

// An unprivileged account for dnsmasq.
std::string dhcp_user();

}  // namespace virga::switching::ovs
