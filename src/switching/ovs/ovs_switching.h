// Switching on Open vSwitch: an OVS bridge per virtual switch, made by an ovsdb-server and an
// ovs-vswitchd of the host's own. They, and with them the guests' network, outlive this process;
// the next start() adopts them. Works in the network namespace of the thread that calls it.
#pragma once

#include "switching/switching.h"

namespace virga::switching {

struct OvsOptions {
  // What a network device's name and the nftables table are derived from; unique among the hosts of
  // a machine, and the same for good (a host's UUID).
  std::string instance;
  fs::path state_dir;  // configuration, OVS database, DHCP leases, logs: survives a reboot
  fs::path run_dir;    // sockets and pid files
};

// Operations run on `executor`; `pool` takes what blocks. Both must outlive the result.
std::shared_ptr<Switching> make_ovs_switching(asio::any_io_executor executor,
                                              asio::thread_pool& pool, OvsOptions options);

}  // namespace virga::switching
