#include "host/device_shares.h"

#include "base/json.h"
#include "host/host_graphics_manager.h"
#include "hypervisor/mediated_device.h"

namespace virga::host {
namespace {

constexpr const char* kTable = "device_shares";

}  // namespace

Async<void> make_device_shares(Host& host, hypervisor::MachineSpec& spec) {
  for (hypervisor::PassthroughDevice& device : spec.passthrough) {
    if (!device.share) continue;
    const json::value machine(spec.id);
    host.kernel.database->put(kTable, device.share->uuid, json::serialize(machine));
    const auto make = [address = device.address, share = *device.share] {
      return hypervisor::create_mediated_device(address, share);
    };
    device.iommu_group = co_await offload(host.kernel.workers, make);
    co_await host.graphics_manager->refresh();
  }
}

std::map<std::string, std::string> device_shares(const Host& host) {
  std::map<std::string, std::string> machines;
  for (const auto& [uuid, text] : host.kernel.database->all(kTable))
    machines[uuid] = json::parse(text).as_string();
  return machines;
}

Async<void> remove_device_share(Host& host, std::string uuid) {
  const auto remove = [uuid] { hypervisor::remove_mediated_device(uuid); };
  co_await offload(host.kernel.workers, remove);
  host.kernel.database->erase(kTable, uuid);
}

}  // namespace virga::host
