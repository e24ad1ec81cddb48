#include "host/virtual_disk_manager.h"

#include "datastore/virtual_disk.h"
#include "host/disk_types.h"
#include "host/file_manager.h"
#include "host/names.h"

namespace virga::host {

VirtualDiskManager::VirtualDiskManager(Host& host)
    : Implements(host.kernel.inventory, names::virtual_disk_manager), host_(host) {}

datastore::Location VirtualDiskManager::place(model::Call& call, const std::string& name) const {
  const auto found = authorized_place(host_, call, name, "Datastore.FileManagement");
  if (vmx::DatastorePath::parse(found.display()).extension() != ".vmdk")
    throw kernel::invalid_argument("name", found.display() + " is no .vmdk");
  return found;
}

MoRef VirtualDiskManager::run(model::Call& call, const char* method, const char* description_id,
                              std::string about, std::string result, Operation operation) {
  return host_.kernel.tasks.run(
      call, {method, description_id, {}, std::move(about), true},
      [&host = host_, result = std::move(result), operation = std::move(operation)](
          kernel::TaskHandle& handle) -> Async<Any> {
        co_await offload(host.kernel.workers, [&] {
          operation([&](std::uint64_t done, std::uint64_t total) {
            if (total > 0) handle.report(static_cast<int>(done * 100 / total));
          }, handle.stop_token());
        });
        Any answer;
        if (!result.empty()) answer = model::any(result);
        co_return answer;
      });
}

Async<MoRef> VirtualDiskManager::CreateVirtualDisk_Task(
    model::Call& call, const vim::CreateVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  const auto* file = r.spec.as<vim::FileBackedVirtualDiskSpec>();
  if (!file) throw kernel::not_supported("A disk by " + std::string(r.spec->type_info().name));
  if (!file->profile.empty()) throw kernel::not_supported("A storage profile of a disk");
  if (file->crypto) throw kernel::not_supported("Encrypting a disk");
  if (file->capacityKb <= 0)
    throw kernel::invalid_argument("spec.capacityKb", fmt::format("a disk of {} KiB", file->capacityKb));
  datastore::DiskSpec spec;
  spec.capacity = static_cast<std::uint64_t>(file->capacityKb) << 10;
  spec.provisioning = provisioning_of(file->diskType);
  spec.adapter = adapter_of(file->adapterType);
  co_return run(call, "CreateVirtualDisk_Task", "VirtualDiskManager.createVirtualDisk",
                disk.display(), disk.display(),
                [disk, spec](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::create_disk(disk, spec, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::DeleteVirtualDisk_Task(
    model::Call& call, const vim::DeleteVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  co_return run(call, "DeleteVirtualDisk_Task", "VirtualDiskManager.deleteVirtualDisk",
                disk.display(), "", [disk](const datastore::Progress&, std::stop_token) {
                  datastore::delete_disk(disk);
                });
}

Async<MoRef> VirtualDiskManager::MoveVirtualDisk_Task(model::Call& call,
                                                      const vim::MoveVirtualDiskRequestType& r) {
  const auto from = place(call, r.sourceName), to = place(call, r.destName);
  const auto if_exists = r.force.value_or(false) ? datastore::IfExists::replace
                                                 : datastore::IfExists::fail;
  if (!r.profile.empty()) throw kernel::not_supported("A storage profile of a disk");
  co_return run(call, "MoveVirtualDisk_Task", "VirtualDiskManager.moveVirtualDisk", from.display(),
                to.display(), [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::move_disk(from, to, if_exists, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::CopyVirtualDisk_Task(model::Call& call,
                                                      const vim::CopyVirtualDiskRequestType& r) {
  const auto from = place(call, r.sourceName), to = place(call, r.destName);
  datastore::CopySpec spec;
  if (r.force.value_or(false)) spec.if_exists = datastore::IfExists::replace;
  if (r.destSpec) {
    spec.provisioning = provisioning_of(r.destSpec->diskType);
    spec.adapter = adapter_of(r.destSpec->adapterType);
  }
  co_return run(call, "CopyVirtualDisk_Task", "VirtualDiskManager.copyVirtualDisk", from.display(),
                to.display(), [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::copy_disk(from, to, spec, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::ExtendVirtualDisk_Task(
    model::Call& call, const vim::ExtendVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  if (r.newCapacityKb <= 0)
    throw kernel::invalid_argument("newCapacityKb", fmt::format("a disk of {} KiB", r.newCapacityKb));
  const auto capacity = static_cast<std::uint64_t>(r.newCapacityKb) << 10;
  const bool eager_zero = r.eagerZero.value_or(false);
  co_return run(call, "ExtendVirtualDisk_Task", "VirtualDiskManager.extendVirtualDisk",
                disk.display(), "", [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::extend_disk(disk, capacity, eager_zero, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::InflateVirtualDisk_Task(
    model::Call& call, const vim::InflateVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  co_return run(call, "InflateVirtualDisk_Task", "VirtualDiskManager.inflateVirtualDisk",
                disk.display(), "", [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::inflate_disk(disk, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::EagerZeroVirtualDisk_Task(
    model::Call& call, const vim::EagerZeroVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  co_return run(call, "EagerZeroVirtualDisk_Task", "VirtualDiskManager.eagerZeroVirtualDisk",
                disk.display(), "", [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::inflate_disk(disk, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::ZeroFillVirtualDisk_Task(
    model::Call& call, const vim::ZeroFillVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  co_return run(call, "ZeroFillVirtualDisk_Task", "VirtualDiskManager.zeroFillVirtualDisk",
                disk.display(), "", [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::zero_fill_disk(disk, progress, stop);
                });
}

Async<std::string> VirtualDiskManager::QueryVirtualDiskUuid(
    model::Call& call, const vim::QueryVirtualDiskUuidRequestType& r) {
  const auto disk = place(call, r.name);
  const auto work = [=] { return datastore::query_disk(disk); };
  const auto info = co_await offload(host_.kernel.workers, work);
  co_return info.uuid;
}

Async<void> VirtualDiskManager::SetVirtualDiskUuid(model::Call& call,
                                                   const vim::SetVirtualDiskUuidRequestType& r) {
  const auto disk = place(call, r.name);
  const std::string uuid = r.uuid;
  const auto work = [=] { datastore::set_disk_uuid(disk, uuid); };
  co_await offload(host_.kernel.workers, work);
}

Async<model::Ptr<vim::HostDiskDimensionsChs>> VirtualDiskManager::QueryVirtualDiskGeometry(
    model::Call& call, const vim::QueryVirtualDiskGeometryRequestType& r) {
  const auto disk = place(call, r.name);
  const auto work = [=] { return datastore::query_disk(disk); };
  const auto info = co_await offload(host_.kernel.workers, work);
  vim::HostDiskDimensionsChs geometry;
  geometry.cylinder = static_cast<std::int64_t>(info.geometry.cylinders);
  geometry.head = static_cast<std::int32_t>(info.geometry.heads);
  geometry.sector = static_cast<std::int32_t>(info.geometry.sectors);
  co_return model::share(std::move(geometry));
}

}  // namespace virga::host
