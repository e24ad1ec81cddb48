// HostAutoStartManager: which VMs start with the host. None do yet: the defaults say so.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostAutoStartManager final : public kernel::Implements<vim::HostAutoStartManager> {
 public:
  explicit HostAutoStartManager(Host& host);
};

}  // namespace virga::host
