// EnvironmentBrowser: what VMs of this host can be made of and connected to.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class EnvironmentBrowser final : public kernel::Implements<vim::EnvironmentBrowser> {
 public:
  explicit EnvironmentBrowser(Host& host);

  Async<model::List<vim::VirtualMachineConfigOptionDescriptor>> QueryConfigOptionDescriptor(
      model::Call&, const vim::QueryConfigOptionDescriptorRequestType&) override;
  // For a version this host does not know, InvalidArgument naming it.
  Async<model::Ptr<vim::VirtualMachineConfigOption>> QueryConfigOption(
      model::Call&, const vim::QueryConfigOptionRequestType&) override;
  Async<model::Ptr<vim::VirtualMachineConfigOption>> QueryConfigOptionEx(
      model::Call&, const vim::QueryConfigOptionExRequestType&) override;
  Async<model::Ptr<vim::ConfigTarget>> QueryConfigTarget(
      model::Call&, const vim::QueryConfigTargetRequestType&) override;
  Async<model::Ptr<vim::HostCapability>> QueryTargetCapabilities(
      model::Call&, const vim::QueryTargetCapabilitiesRequestType&) override;

 private:
  model::Ptr<vim::VirtualMachineConfigOption> option(const std::optional<std::string>& version,
                                                     const std::vector<std::string>& guests) const;

  Host& host_;
};

}  // namespace virga::host
