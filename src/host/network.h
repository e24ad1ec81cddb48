// Network: a port group as something that VMs are connected to.
#pragma once

#include "host/entity.h"
#include "host/vm_config.h"

namespace virga::host {

class Network final : public Entity<vim::Network> {
 public:
  // Of the port group with this name.
  Network(Host& host, const std::string& port_group);
  // The port group was renamed.
  void rename(const std::string& port_group);
};

// How the port group's network is reached past its switch; nullopt: there is no such port group.
std::optional<UplinkPolicy> uplink_policy(const switching::Switching& switching,
                                          const std::string& port_group);

}  // namespace virga::host
