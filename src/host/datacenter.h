// Datacenter: on a host the one that holds its four folders.
#pragma once

#include "host/entity.h"

namespace virga::host {

class Datacenter final : public Entity<vim::Datacenter> {
 public:
  explicit Datacenter(Host& host);
};

}  // namespace virga::host
