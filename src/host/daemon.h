// The daemon virga-host: makes a Host from its state folder, serves it, and lets go of it again.
//
// State folder:
//   virga.db            inventory, accounts, roles, events
//   ca.pem              the certificate authority clients may trust
//   tls/                its key, and the server's certificate
//   root-password       root's password, made at first start (unless --password-file gave one)
//   datastore1/         the first datastore
//   network/            Open vSwitch's database, DHCP leases
//   simulated/          with --simulate, the guests that run
//   endpoint            where the daemon serves, for the command line
//   virga-host.pid      the daemon's process, while it runs
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace virga::host {

struct DaemonOptions {
  std::filesystem::path state = "./state";
  std::string address = "127.0.0.1";
  std::uint16_t port = 8444;              // 0 takes a free one
  std::filesystem::path password_file;    // empty: made at first start
  bool simulated = false;                 // guests and network exist only as state
  bool down = false;                      // instead of serving: end all guests and the network
};

// Runs until SIGINT or SIGTERM (guests and their network run on) or SIGUSR1 (guests are shut down
// and everything is stopped). Throws virga::Error when it cannot start.
void run_daemon(const DaemonOptions& options);

}  // namespace virga::host
