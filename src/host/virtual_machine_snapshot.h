// VirtualMachineSnapshot: a state of a VM to go back to. The VM keeps its snapshots and does the
// work; see virtual_machine_snapshots.cpp.
#pragma once

#include "host/virtual_machine.h"

namespace virga::host {

// "3-snapshot-7": the seventh snapshot of the VM "3".
MoRef snapshot_reference(const MoRef& vm, int uid);

class VirtualMachineSnapshot final : public kernel::Implements<vim::VirtualMachineSnapshot> {
 public:
  VirtualMachineSnapshot(const std::shared_ptr<VirtualMachine>& vm, int uid, Properties properties);

  Async<MoRef> RevertToSnapshot_Task(model::Call&,
                                     const vim::RevertToSnapshotRequestType&) override;
  Async<MoRef> RemoveSnapshot_Task(model::Call&, const vim::RemoveSnapshotRequestType&) override;
  Async<void> RenameSnapshot(model::Call&, const vim::RenameSnapshotRequestType&) override;

 private:
  // Throws ManagedObjectNotFound when the VM is gone.
  std::shared_ptr<VirtualMachine> vm() const;

  std::weak_ptr<Object> vm_;
  const int uid_;
};

}  // namespace virga::host
