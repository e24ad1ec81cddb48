// VirtualDiskManager: virtual disks apart from virtual machines.
#pragma once

#include "host/host.h"
#include "kernel/task.h"
#include "vim/interfaces.h"

namespace virga::host {

class VirtualDiskManager final : public kernel::Implements<vim::VirtualDiskManager> {
 public:
  using Operation = std::function<void(const datastore::Progress&, std::stop_token)>;

  explicit VirtualDiskManager(Host& host);

  Async<MoRef> CreateVirtualDisk_Task(model::Call&,
                                      const vim::CreateVirtualDiskRequestType&) override;
  Async<MoRef> DeleteVirtualDisk_Task(model::Call&,
                                      const vim::DeleteVirtualDiskRequestType&) override;
  Async<MoRef> MoveVirtualDisk_Task(model::Call&, const vim::MoveVirtualDiskRequestType&) override;
  Async<MoRef> CopyVirtualDisk_Task(model::Call&, const vim::CopyVirtualDiskRequestType&) override;
  Async<MoRef> ExtendVirtualDisk_Task(model::Call&,
                                      const vim::ExtendVirtualDiskRequestType&) override;
  Async<MoRef> InflateVirtualDisk_Task(model::Call&,
                                       const vim::InflateVirtualDiskRequestType&) override;
  Async<MoRef> EagerZeroVirtualDisk_Task(model::Call&,
                                         const vim::EagerZeroVirtualDiskRequestType&) override;
  Async<MoRef> ZeroFillVirtualDisk_Task(model::Call&,
                                        const vim::ZeroFillVirtualDiskRequestType&) override;
  Async<MoRef> ShrinkVirtualDisk_Task(model::Call&,
                                      const vim::ShrinkVirtualDiskRequestType&) override;
  Async<MoRef> DefragmentVirtualDisk_Task(model::Call&,
                                          const vim::DefragmentVirtualDiskRequestType&) override;
  Async<std::int32_t> QueryVirtualDiskFragmentation(
      model::Call&, const vim::QueryVirtualDiskFragmentationRequestType&) override;
  Async<std::string> QueryVirtualDiskUuid(model::Call&,
                                          const vim::QueryVirtualDiskUuidRequestType&) override;
  Async<void> SetVirtualDiskUuid(model::Call&, const vim::SetVirtualDiskUuidRequestType&) override;
  Async<model::Ptr<vim::HostDiskDimensionsChs>> QueryVirtualDiskGeometry(
      model::Call&, const vim::QueryVirtualDiskGeometryRequestType&) override;

 private:
  datastore::Location place(model::Call& call, const std::string& name) const;
  // Runs `operation` on a worker as a task; `result`: the path the task answers, "" for none.
  MoRef run(model::Call& call, const char* method, const char* description_id, std::string about,
            std::string result, Operation operation);

  Host& host_;
};

}  // namespace virga::host
