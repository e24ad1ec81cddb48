#include "hypervisor/mediated_device.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/sysfs.h"

namespace virga::hypervisor {
namespace {

constexpr const char* devices = "sys/bus/mdev/devices";

fs::path top(const std::string& root) {
  return root.empty() ? "/" : root;
}

}  // namespace

// See the kernel's Documentation/driver-api/vfio-mediated-device.
int create_mediated_device(const std::string& address, const DeviceShare& share,
                           const std::string& root) {
  remove_mediated_device(share.uuid, root);
  const fs::path type =
      top(root) / "sys/bus/pci/devices" / address / "mdev_supported_types" / share.type;
  if (!fs::exists(type))
    throw error(ErrorKind::not_found, address, "{} cannot be shared as {}", address, share.type);
  write_attribute(type / "create", share.uuid + "\n");
  const std::string group = link_target_name(top(root) / devices / share.uuid / "iommu_group");
  if (group.empty())
    throw error(ErrorKind::io, address, "the share {} of {} has no IOMMU group", share.uuid,
                address);
  return std::stoi(group);
}

void remove_mediated_device(const std::string& uuid, const std::string& root) {
  const fs::path device = top(root) / devices / uuid;
  if (fs::exists(device)) write_attribute(device / "remove", "1\n");
}

std::string mediated_device_path(const std::string& uuid) {
  return fmt::format("/{}/{}", devices, uuid);
}

}  // namespace virga::hypervisor
