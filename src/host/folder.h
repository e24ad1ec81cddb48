// Folder: on a host there are five, and users make none of their own.
#pragma once

#include "host/entity.h"

namespace virga::host {

class Folder final : public Entity<vim::Folder> {
 public:
  Folder(Host& host, MoRef self, std::string name, std::optional<MoRef> parent,
         std::vector<std::string> child_types);

  Async<MoRef> CreateFolder(model::Call&, const vim::CreateFolderRequestType&) override;
  Async<MoRef> MoveIntoFolder_Task(model::Call&, const vim::MoveIntoFolderRequestType&) override;
  Async<MoRef> CreateVM_Task(model::Call&, const vim::CreateVMRequestType&) override;
  Async<MoRef> RegisterVM_Task(model::Call&, const vim::RegisterVMRequestType&) override;

  // Throws unless VMs may be put here, into `pool`, on `host`.
  void check_placement(const std::optional<MoRef>& pool, const std::optional<MoRef>& host) const;
};

}  // namespace virga::host
