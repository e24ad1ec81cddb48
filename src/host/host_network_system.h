// HostNetworkSystem: the host's standard switches and port groups.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostNetworkSystem final : public kernel::Implements<vim::HostNetworkSystem> {
 public:
  explicit HostNetworkSystem(Host& host);

  // Makes the first switch and port group where there is none, and a Network of each port group.
  Async<void> start();

  Async<void> AddVirtualSwitch(model::Call&, const vim::AddVirtualSwitchRequestType&) override;
  Async<void> RemoveVirtualSwitch(model::Call&,
                                  const vim::RemoveVirtualSwitchRequestType&) override;
  Async<void> UpdateVirtualSwitch(model::Call&,
                                  const vim::UpdateVirtualSwitchRequestType&) override;
  Async<void> AddPortGroup(model::Call&, const vim::AddPortGroupRequestType&) override;
  Async<void> RemovePortGroup(model::Call&, const vim::RemovePortGroupRequestType&) override;
  Async<void> UpdatePortGroup(model::Call&, const vim::UpdatePortGroupRequestType&) override;
  Async<void> RefreshNetworkSystem(model::Call&,
                                   const vim::RefreshNetworkSystemRequestType&) override;

 private:
  // Brings networkInfo and the Network objects in step with the switches.
  void publish();

  Host& host_;
};

}  // namespace virga::host
