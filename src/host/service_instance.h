// ServiceInstance: where every client begins.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class ServiceInstance final : public kernel::Implements<vim::ServiceInstance> {
 public:
  explicit ServiceInstance(Host& host);

  Async<model::Ptr<vim::ServiceContent>> RetrieveServiceContent(
      model::Call&, const vim::RetrieveServiceContentRequestType&) override;
  Async<model::Time> CurrentTime(model::Call&, const vim::CurrentTimeRequestType&) override;
};

// Product facts, as ServiceInstance and HostSystem tell them.
vim::AboutInfo about(const Host& host);

}  // namespace virga::host
