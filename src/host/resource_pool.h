// ResourcePool: the host's root pool, which has all that the machine has, and the pools below it.
#pragma once

#include "host/entity.h"

namespace virga::host {

class ResourcePool final : public Entity<vim::ResourcePool> {
 public:
  // The root pool: everything the machine has is reserved for it.
  explicit ResourcePool(Host& host);

  Async<void> UpdateConfig(model::Call&, const vim::UpdateConfigRequestType&) override;
  Async<MoRef> CreateResourcePool(model::Call&, const vim::CreateResourcePoolRequestType&) override;
  Async<MoRef> ImportVApp(model::Call&, const vim::ImportVAppRequestType&) override;
  Async<void> RefreshRuntime(model::Call&, const vim::RefreshRuntimeRequestType&) override;
};

}  // namespace virga::host
