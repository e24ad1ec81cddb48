// The machine as gateway of NAT networks: addresses of the gateway devices, a dnsmasq for each, and
// one nftables table for all. The devices themselves are ports of the switches and come from there.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "switching/ovs/programs.h"

namespace virga::switching::ovs {

class NatService {
 public:
  using Started = std::function<void(std::shared_ptr<Daemon>)>;

  // `started` is told of every dnsmasq that was started or adopted, to keep an eye on it.
  NatService(asio::any_io_executor executor, asio::thread_pool& pool, std::string table,
             Files files, Started started);

  // Finds the dnsmasqs that still run from earlier.
  void adopt();
  // Makes exactly the `wanted` networks work; does nothing where they do. Their devices must exist.
  // With `devices_are_new`, all is done anew: addresses went with the old devices, and the
  // dnsmasqs' sockets are bound to them.
  Async<void> apply(std::vector<NatNetwork> wanted, bool devices_are_new);
  // Ends the dnsmasqs and takes the table away. IPv4 forwarding stays on: by now others may count
  // on it.
  Async<void> stop();
  // Leaves everything running, unwatched.
  void abandon();

  bool is_gateway(const std::string& device) const { return dhcp_.contains(device); }

 private:
  bool serves(const std::vector<NatNetwork>& wanted) const;
  Async<void> end_unwanted(const std::vector<NatNetwork>& wanted);
  Async<void> serve_dhcp(NatNetwork wanted, bool device_is_new);
  Async<void> load_rules(std::string rules);

  asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  std::string table_;
  Files files_;
  Started started_;
  std::map<std::string, std::shared_ptr<Daemon>> dhcp_;  // by gateway device
  // What the last apply() brought about; empty until one did, and after one failed.
  std::optional<std::vector<NatNetwork>> served_;
};

}  // namespace virga::switching::ovs
