// HostDatastoreSystem: which folders of the machine are datastores.
#pragma once

#include "host/host.h"
#include "vim/interfaces.h"

namespace virga::host {

class HostDatastoreSystem final : public kernel::Implements<vim::HostDatastoreSystem> {
 public:
  explicit HostDatastoreSystem(Host& host);

  Async<MoRef> CreateLocalDatastore(model::Call&,
                                    const vim::CreateLocalDatastoreRequestType&) override;
  Async<MoRef> CreateNasDatastore(model::Call&,
                                  const vim::CreateNasDatastoreRequestType&) override;
  Async<void> RemoveDatastore(model::Call&, const vim::RemoveDatastoreRequestType&) override;
  Async<model::List<vim::HostScsiDisk>> QueryAvailableDisksForVmfs(
      model::Call&, const vim::QueryAvailableDisksForVmfsRequestType&) override;

  // Brings the list of datastores up to date.
  void refresh();

 private:
  Host& host_;
};

}  // namespace virga::host
