// GuestOperationsManager: leads to what can be done inside guests.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class GuestOperationsManager final : public kernel::Implements<vim::GuestOperationsManager> {
 public:
  explicit GuestOperationsManager(Host& host);
};

}  // namespace virga::host
