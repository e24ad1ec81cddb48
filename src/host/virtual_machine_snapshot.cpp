#include "host/virtual_machine_snapshot.h"

namespace virga::host {

MoRef snapshot_reference(const MoRef& vm, int uid) {
  return {"VirtualMachineSnapshot", fmt::format("{}-snapshot-{}", vm.value, uid)};
}

VirtualMachineSnapshot::VirtualMachineSnapshot(const std::shared_ptr<VirtualMachine>& vm, int uid,
                                               Properties properties)
    : Implements(vm->inventory(), snapshot_reference(vm->self(), uid), std::move(properties)),
      vm_(vm->weak_from_this()),
      uid_(uid) {
  set_guard(vm->self());
}

std::shared_ptr<VirtualMachine> VirtualMachineSnapshot::vm() const {
  const auto vm = std::static_pointer_cast<VirtualMachine>(vm_.lock());
  if (!vm) throw kernel::managed_object_not_found(self());
  return vm;
}

Async<MoRef> VirtualMachineSnapshot::RevertToSnapshot_Task(
    model::Call& call, const vim::RevertToSnapshotRequestType& r) {
  co_return vm()->start_revert(call, "RevertToSnapshot_Task", "vm.Snapshot.revert", uid_, r.host,
                               r.suppressPowerOn.value_or(false));
}

Async<MoRef> VirtualMachineSnapshot::RemoveSnapshot_Task(model::Call& call,
                                                         const vim::RemoveSnapshotRequestType& r) {
  co_return vm()->start_removal(call, uid_, r.removeChildren, r.consolidate.value_or(true));
}

Async<void> VirtualMachineSnapshot::RenameSnapshot(model::Call& call,
                                                   const vim::RenameSnapshotRequestType& r) {
  co_await vm()->rename_snapshot(call, uid_, r.name, r.description);
}

}  // namespace virga::host
