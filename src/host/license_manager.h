// LicenseManager: Virga needs no licence, and says so in the words clients read.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class LicenseManager final : public kernel::Implements<vim::LicenseManager> {
 public:
  explicit LicenseManager(Host& host);
};

}  // namespace virga::host
