// Network: a port group as something that VMs are connected to.
#pragma once

#include "host/entity.h"

namespace virga::host {

class Network final : public Entity<vim::Network> {
 public:
  // Of the port group with this name.
  Network(Host& host, const std::string& port_group);
  // The port group was renamed.
  void rename(const std::string& port_group);
};

}  // namespace virga::host
