// ComputeResource: the host as a place to run virtual machines.
#pragma once

#include "host/entity.h"

namespace virga::host {

class ComputeResource final : public Entity<vim::ComputeResource> {
 public:
  explicit ComputeResource(Host& host);
};

}  // namespace virga::host
