// HostStorageSystem: the machine's disks and what is mounted from them.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostStorageSystem final : public kernel::Implements<vim::HostStorageSystem> {
 public:
  explicit HostStorageSystem(Host& host);

  Async<void> RescanVmfs(model::Call&, const vim::RescanVmfsRequestType&) override;
  Async<void> RescanAllHba(model::Call&, const vim::RescanAllHbaRequestType&) override;
  Async<void> RefreshStorageSystem(model::Call&,
                                   const vim::RefreshStorageSystemRequestType&) override;

 private:
  Async<void> rescan();
  void publish(const std::vector<hypervisor::BlockDevice>& disks);

  Host& host_;
};

}  // namespace virga::host
