// HostPciPassthruSystem: the host's PCI devices that VMs can have to themselves.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostPciPassthruSystem final : public kernel::Implements<vim::HostPciPassthruSystem> {
 public:
  explicit HostPciPassthruSystem(Host& host);

  // Lists the devices, and takes those that VMs are to have, as the last daemon of this host did.
  Async<void> start();

  Async<void> Refresh(model::Call&, const vim::RefreshRequestType&) override;
  Async<void> UpdatePassthruConfig(model::Call&,
                                   const vim::UpdatePassthruConfigRequestType&) override;

 private:
  Async<void> probe();

  Host& host_;
};

// The label that the device was given; empty: none.
std::string pci_label(const Host& host, const std::string& address);
// Whether a VM that runs has the device.
bool pci_in_use(const Host& host, const std::string& address);

}  // namespace virga::host
