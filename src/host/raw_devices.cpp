#include "host/raw_devices.h"

#include "base/error.h"
#include "host/host_storage_system.h"
#include "host/storage_info.h"
#include "host/virtual_machine.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

kernel::Fault inaccessible(const std::string& unit, const std::string& why) {
  vim::CannotAccessVmDevice detail;
  detail.device = detail.backing = unit;
  return kernel::Fault(std::move(detail), fmt::format("{} cannot be reached: {}.", unit, why));
}

RawDevice describe(const storage::LogicalUnit& unit) {
  return {unit.name, unit.uuid, unit.bytes, !unit.inquiry.empty()};
}

hypervisor::IscsiUnit login_of(const storage::IscsiAdapter::UnitAccess& access) {
  hypervisor::IscsiUnit unit;
  unit.portal = access.login.portal.text();
  unit.target = access.login.target;
  unit.lun = access.lun;
  unit.initiator = access.login.initiator;
  unit.header_digest = access.login.header_digest;
  const storage::ChapCredentials& own = access.login.authentication.initiator;
  if (own.use == storage::Chap::prohibited) return unit;
  unit.user = own.name;
  unit.password = own.secret;
  return unit;
}

void require_no_mutual_chap(const storage::IscsiLogin& login, const std::string& unit) {
  if (login.authentication.target.use != storage::Chap::prohibited)
    throw kernel::not_supported(fmt::format(
        "A disk on {}, whose target {} has to prove itself (mutual CHAP)", unit, login.target));
}

vim::VirtualMachineScsiDiskDeviceInfo candidate(const Host& host,
                                                const storage::LogicalUnit& unit) {
  vim::VirtualMachineScsiDiskDeviceInfo info;
  info.name = storage::device_folder + ("vml." + unit.uuid);
  info.capacity = static_cast<std::int64_t>(unit.bytes);
  for (const auto& [id, vm] : host.virtual_machines)
    if (!vm->raw_disk_on(unit.name).empty()) info.vm.push_back(vm->self());
  info.disk = model::share(describe_disk(unit));
  const auto paths = storage::paths_to(host.storage_system->devices(), unit);
  if (!paths.empty()) info.lunNumber = paths.front()->lun;
  return info;
}

}  // namespace

std::optional<RawDevice> find_raw_device(const Host& host, const std::string& name) {
  const auto* unit = storage::find_unit(host.storage_system->devices(), name);
  if (!unit || !unit->is_disk()) return std::nullopt;
  return describe(*unit);
}

std::string raw_device_obstacle(const Host& host, const std::string& name) {
  for (const auto& [id, vm] : host.virtual_machines)
    if (const std::string disk = vm->raw_disk_on(name); !disk.empty())
      return fmt::format("{} is the disk {} of {} already", name, disk, vm->properties().name);
  const auto* unit = storage::find_unit(host.storage_system->devices(), name);
  if (unit && !unit->device_path.empty() && !storage::is_unused(*unit))
    return fmt::format(
        "{} ({}) is in use by this host: a file system, a volume or a program has it", name,
        unit->device_path);
  return {};
}

hypervisor::DiskImage raw_device_image(const Host& host, const std::string& name) {
  const auto* unit = storage::find_unit(host.storage_system->devices(), name);
  if (!unit) throw inaccessible(name, "this host has no such device");
  hypervisor::DiskImage image;
  if (!unit->device_path.empty()) {
    image.path = unit->device_path;
    image.block_device = true;
    return image;
  }
  try {
    const auto access = host.storage_system->iscsi().login_to(name);
    require_no_mutual_chap(access.login, name);
    image.path = name;
    image.iscsi = login_of(access);
  } catch (const Error& failure) {
    throw inaccessible(name, failure.what());
  }
  return image;
}

Async<model::List<vim::VirtualMachineScsiDiskDeviceInfo>> raw_device_candidates(const Host& host) {
  const auto free = [units = host.storage_system->devices().units] {
    std::vector<storage::LogicalUnit> found;
    for (const storage::LogicalUnit& unit : units)
      if (unit.is_disk() && (unit.device_path.empty() || storage::is_unused(unit)))
        found.push_back(unit);
    return found;
  };
  const auto units = co_await offload(host.kernel.workers, free);
  model::List<vim::VirtualMachineScsiDiskDeviceInfo> candidates;
  for (const storage::LogicalUnit& unit : units) candidates.push_back(candidate(host, unit));
  co_return candidates;
}

}  // namespace virga::host
