#include "host/virtual_disk_manager.h"

#include "datastore/virtual_disk.h"
#include "host/disk_types.h"
#include "host/file_manager.h"
#include "host/names.h"
#include "host/raw_devices.h"
#include "host/virtual_machine.h"
#include "host/vm_config_planning.h"

namespace virga::host {

VirtualDiskManager::VirtualDiskManager(Host& host)
    : Implements(host.kernel.inventory, names::virtual_disk_manager), host_(host) {}

datastore::Location VirtualDiskManager::place(model::Call& call, const std::string& name) const {
  const auto found = authorized_place(host_, call, name, "Datastore.FileManagement");
  if (vmx::DatastorePath::parse(found.display()).extension() != ".vmdk")
    throw kernel::invalid_argument("name", found.display() + " is no .vmdk");
  return found;
}

namespace {

// What a file holds is no fault of a virtual machine's configuration here.
void run_on_disk(const VirtualDiskManager::Operation& operation,
                 const datastore::Progress& progress, std::stop_token stop) {
  try {
    operation(progress, std::move(stop));
  } catch (const Error& failure) {
    if (failure.kind() != ErrorKind::damaged) throw;
    throw kernel::Fault(vim::InvalidDiskFormat{}, failure.what());
  }
}

// A copy has the size of its source, whatever else is asked for.
void require_capacity(const datastore::Location& disk, std::int64_t kib) {
  const std::uint64_t present = datastore::query_disk(disk).capacity;
  if (static_cast<std::uint64_t>(kib) != present >> 10)
    throw kernel::invalid_argument(
        "destSpec.capacityKb",
        fmt::format("{} has {} KiB, and so will its copy", disk.display(), present >> 10));
}

// Refuses the specs and fields that mean another disk than one in files.
const vim::FileBackedVirtualDiskSpec* file_backed(const vim::VirtualDiskSpec& spec) {
  const auto& type = spec.type_info();
  if (&type == &vim::VirtualDiskSpec::static_type()) return nullptr;
  if (&type != &vim::FileBackedVirtualDiskSpec::static_type())
    throw kernel::not_supported("A disk by " + std::string(type.name));
  const auto& file = static_cast<const vim::FileBackedVirtualDiskSpec&>(spec);
  refuse_profiles(file.profile, "A storage profile of a disk");
  if (file.crypto) throw kernel::not_supported("Encrypting a disk");
  return &file;
}

}  // namespace

MoRef VirtualDiskManager::run(model::Call& call, const char* method, const char* description_id,
                              std::string about, std::string result, Operation operation) {
  return host_.kernel.tasks.run(
      call, {method, description_id, {}, std::move(about), true},
      [&host = host_, result = std::move(result),
       operation = std::move(operation)](kernel::TaskHandle& handle) -> Async<Any> {
        const auto progress = [&](std::uint64_t done, std::uint64_t total) {
          if (total > 0) handle.report(static_cast<int>(done * 100 / total));
        };
        const auto work = [&] { run_on_disk(operation, progress, handle.stop_token()); };
        co_await offload(host.kernel.workers, work);
        Any answer;
        if (!result.empty()) answer = model::any(result);
        co_return answer;
      });
}

namespace {

// What a new disk is to be that is a logical unit (RDM).
datastore::DiskSpec raw_disk(const Host& host, const vim::DeviceBackedVirtualDiskSpec& asked) {
  if (asked.diskType != "rdm" && asked.diskType != "rdmp")
    throw kernel::invalid_argument(
        "spec.diskType", fmt::format("a disk on a device is rdm or rdmp, not {}", asked.diskType));
  const auto device = find_raw_device(host, asked.device);
  if (!device)
    throw kernel::invalid_argument("spec.device",
                                   fmt::format("there is no disk {} on this host", asked.device));
  if (const std::string obstacle = raw_device_obstacle(host, device->unit); !obstacle.empty())
    throw kernel::invalid_argument("spec.device", obstacle);
  datastore::DiskSpec spec;
  spec.capacity = device->bytes;
  spec.adapter = adapter_of(asked.adapterType);
  spec.mapping = {asked.diskType == "rdmp", device->unit, device->uuid};
  return spec;
}

datastore::DiskSpec disk_in_files(const vim::VirtualDiskSpec& asked) {
  const auto* file = file_backed(asked);
  if (!file) throw kernel::not_supported("A new disk by " + std::string(asked.type_info().name));
  if (file->capacityKb <= 0)
    throw kernel::invalid_argument("spec.capacityKb",
                                   fmt::format("a disk of {} KiB", file->capacityKb));
  const DiskType type = disk_type_of(file->diskType);
  datastore::DiskSpec spec;
  spec.capacity = static_cast<std::uint64_t>(file->capacityKb) << 10;
  spec.provisioning = type.provisioning;
  spec.layout = type.layout;
  spec.adapter = adapter_of(file->adapterType);
  return spec;
}

}  // namespace

Async<MoRef> VirtualDiskManager::CreateVirtualDisk_Task(
    model::Call& call, const vim::CreateVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  const auto* raw = r.spec.as<vim::DeviceBackedVirtualDiskSpec>();
  const datastore::DiskSpec spec = raw ? raw_disk(host_, *raw) : disk_in_files(*r.spec);
  co_return run(call, "CreateVirtualDisk_Task", "VirtualDiskManager.createVirtualDisk",
                disk.display(), disk.display(),
                [disk, spec](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::create_disk(disk, spec, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::DeleteVirtualDisk_Task(
    model::Call& call, const vim::DeleteVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  require_not_in_use(host_, disk);
  co_return run(
      call, "DeleteVirtualDisk_Task", "VirtualDiskManager.deleteVirtualDisk", disk.display(), "",
      [disk](const datastore::Progress&, std::stop_token) { datastore::delete_disk(disk); });
}

Async<MoRef> VirtualDiskManager::MoveVirtualDisk_Task(model::Call& call,
                                                      const vim::MoveVirtualDiskRequestType& r) {
  const auto from = place(call, r.sourceName), to = place(call, r.destName);
  require_not_in_use(host_, from);
  require_not_in_use(host_, to);
  const auto if_exists =
      r.force.value_or(false) ? datastore::IfExists::replace : datastore::IfExists::fail;
  refuse_profiles(r.profile, "A storage profile of a disk");
  co_return run(call, "MoveVirtualDisk_Task", "VirtualDiskManager.moveVirtualDisk", from.display(),
                to.display(), [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::move_disk(from, to, if_exists, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::CopyVirtualDisk_Task(model::Call& call,
                                                      const vim::CopyVirtualDiskRequestType& r) {
  const auto from = place(call, r.sourceName), to = place(call, r.destName);
  datastore::CopySpec spec;
  std::int64_t capacity_kib = 0;
  if (r.force.value_or(false)) spec.if_exists = datastore::IfExists::replace;
  if (r.destSpec) {
    const DiskType type = disk_type_of(r.destSpec->diskType);
    spec.layout = type.layout;
    spec.provisioning = type.provisioning;
    spec.adapter = adapter_of(r.destSpec->adapterType);
    if (const auto* file = file_backed(*r.destSpec)) capacity_kib = file->capacityKb;
  }
  co_return run(call, "CopyVirtualDisk_Task", "VirtualDiskManager.copyVirtualDisk", from.display(),
                to.display(), [=](const datastore::Progress& progress, std::stop_token stop) {
                  if (capacity_kib != 0) require_capacity(from, capacity_kib);
                  datastore::copy_disk(from, to, spec, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::ExtendVirtualDisk_Task(
    model::Call& call, const vim::ExtendVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  require_not_in_use(host_, disk);
  if (r.newCapacityKb <= 0)
    throw kernel::invalid_argument("newCapacityKb",
                                   fmt::format("a disk of {} KiB", r.newCapacityKb));
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
  require_not_in_use(host_, disk);
  co_return run(call, "ZeroFillVirtualDisk_Task", "VirtualDiskManager.zeroFillVirtualDisk",
                disk.display(), "", [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::zero_fill_disk(disk, progress, stop);
                });
}

// A thin disk shrinks in its place whatever is asked for; a sparse one only by a copy.
Async<MoRef> VirtualDiskManager::ShrinkVirtualDisk_Task(
    model::Call& call, const vim::ShrinkVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  const bool in_place = !r.copy.value_or(true);
  co_return run(call, "ShrinkVirtualDisk_Task", "VirtualDiskManager.shrinkVirtualDisk",
                disk.display(), "", [=](const datastore::Progress& progress, std::stop_token stop) {
                  if (in_place && is_sparse(datastore::query_disk(disk)))
                    throw kernel::not_supported("Shrinking a sparse disk in place");
                  datastore::shrink_disk(disk, progress, stop);
                });
}

Async<MoRef> VirtualDiskManager::DefragmentVirtualDisk_Task(
    model::Call& call, const vim::DefragmentVirtualDiskRequestType& r) {
  const auto disk = place(call, r.name);
  co_return run(call, "DefragmentVirtualDisk_Task", "VirtualDiskManager.defragmentVirtualDisk",
                disk.display(), "", [=](const datastore::Progress& progress, std::stop_token stop) {
                  datastore::defragment_disk(disk, progress, stop);
                });
}

Async<std::int32_t> VirtualDiskManager::QueryVirtualDiskFragmentation(
    model::Call& call, const vim::QueryVirtualDiskFragmentationRequestType& r) {
  const auto disk = place(call, r.name);
  const auto work = [=] { return datastore::query_fragmentation(disk); };
  co_return co_await offload(host_.kernel.workers, work);
}

Async<std::string> VirtualDiskManager::QueryVirtualDiskUuid(
    model::Call& call, const vim::QueryVirtualDiskUuidRequestType& r) {
  const auto disk = place(call, r.name);
  const auto work = [=] { return datastore::disk_uuid(disk); };
  co_return co_await offload(host_.kernel.workers, work);
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
