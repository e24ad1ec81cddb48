// HostGraphicsManager: the host's GPUs, and which of them are divided among VMs.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostGraphicsManager final : public kernel::Implements<vim::HostGraphicsManager> {
 public:
  explicit HostGraphicsManager(Host& host);

  // Lists the GPUs. To be called when the VMs that run are known: what others had of the GPUs is
  // given back.
  Async<void> start();
  // The VMs that run, or what they have of the GPUs, changed.
  Async<void> refresh();

  Async<model::List<vim::VirtualMachineVgpuDeviceInfo>> RetrieveVgpuDeviceInfo(
      model::Call&, const vim::RetrieveVgpuDeviceInfoRequestType&) override;
  Async<model::List<vim::VirtualMachineVgpuProfileInfo>> RetrieveVgpuProfileInfo(
      model::Call&, const vim::RetrieveVgpuProfileInfoRequestType&) override;
  Async<void> RefreshGraphicsManager(model::Call&,
                                     const vim::RefreshGraphicsManagerRequestType&) override;
  Async<bool> IsSharedGraphicsActive(model::Call&,
                                     const vim::IsSharedGraphicsActiveRequestType&) override;
  Async<void> UpdateGraphicsConfig(model::Call&,
                                   const vim::UpdateGraphicsConfigRequestType&) override;

 private:
  Host& host_;
};

}  // namespace virga::host
