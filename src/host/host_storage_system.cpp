#include "host/host_storage_system.h"

#include "host/names.h"

namespace virga::host {
namespace {

vim::HostScsiDisk describe(const hypervisor::BlockDevice& device) {
  vim::HostScsiDisk disk;
  disk.key = "key-vim.host.ScsiDisk-" + device.name;
  disk.uuid = device.name;
  disk.deviceName = disk.devicePath = "/dev/" + device.name;
  disk.canonicalName = device.name;
  disk.deviceType = "disk";
  disk.lunType = "disk";
  disk.displayName = device.model.empty() ? device.name : device.model;
  if (!device.vendor.empty()) disk.vendor = device.vendor;
  if (!device.model.empty()) disk.model = device.model;
  if (!device.serial.empty()) disk.serialNumber = device.serial;
  disk.operationalState = {"ok"};
  disk.capacity.blockSize = static_cast<std::int32_t>(device.sector_bytes);
  disk.capacity.block = static_cast<std::int64_t>(device.bytes / device.sector_bytes);
  disk.ssd = !device.rotational;
  disk.localDisk = true;
  return disk;
}

}  // namespace

HostStorageSystem::HostStorageSystem(Host& host)
    : Implements(host.kernel.inventory, names::storage_system, [] {
        Properties properties;
        properties.fileSystemVolumeInfo.edit().volumeTypeList = {"OTHER"};
        return properties;
      }()), host_(host) {
  set_guard(names::host_system);
  publish(host.facts.disks);
}

void HostStorageSystem::publish(const std::vector<hypervisor::BlockDevice>& disks) {
  update([&](Properties& p) {
    vim::HostStorageDeviceInfo info;
    for (const auto& disk : disks)
      info.scsiLun.push_back(model::Ptr<vim::ScsiLun>(model::share(describe(disk)).data()));
    p.storageDeviceInfo = model::share(std::move(info));
  });
}

Async<void> HostStorageSystem::rescan() {
  const auto facts = co_await offload(host_.kernel.workers, [] { return hypervisor::probe_host(); });
  publish(facts.disks);
}

Async<void> HostStorageSystem::RescanVmfs(model::Call&, const vim::RescanVmfsRequestType&) {
  co_await rescan();
}

Async<void> HostStorageSystem::RescanAllHba(model::Call&, const vim::RescanAllHbaRequestType&) {
  co_await rescan();
}

Async<void> HostStorageSystem::RefreshStorageSystem(model::Call&,
                                                    const vim::RefreshStorageSystemRequestType&) {
  co_await rescan();
}

}  // namespace virga::host
