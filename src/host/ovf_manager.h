// OvfManager: OVF descriptors, read (ovf/reader.h) for an import and written for an export.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class OvfManager final : public kernel::Implements<vim::OvfManager> {
 public:
  explicit OvfManager(Host& host);

  Async<model::Ptr<vim::OvfValidateHostResult>> ValidateHost(
      model::Call&, const vim::ValidateHostRequestType&) override;
  Async<model::Ptr<vim::OvfParseDescriptorResult>> ParseDescriptor(
      model::Call&, const vim::ParseDescriptorRequestType&) override;
  Async<model::Ptr<vim::OvfCreateImportSpecResult>> CreateImportSpec(
      model::Call&, const vim::CreateImportSpecRequestType&) override;
  Async<model::Ptr<vim::OvfCreateDescriptorResult>> CreateDescriptor(
      model::Call&, const vim::CreateDescriptorRequestType&) override;

 private:
  std::vector<std::string> port_groups() const;

  Host& host_;
};

}  // namespace virga::host
