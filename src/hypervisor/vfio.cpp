#include "hypervisor/vfio.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/process.h"
#include "base/sysfs.h"

namespace virga::hypervisor {
namespace {

fs::path pci_bus(const std::string& root) {
  return fs::path(root.empty() ? "/" : root) / "sys/bus/pci";
}

fs::path find_device(const fs::path& bus, const std::string& address) {
  const fs::path device = bus / "devices" / address;
  if (!fs::exists(device))
    throw error(ErrorKind::not_found, address, "this host has no PCI device {}", address);
  return device;
}

}  // namespace

// See the kernel's Documentation/ABI/testing/sysfs-bus-pci: an override names the one driver that
// may have a device, and an empty line lifts it.
void bind_to_vfio(const std::string& address, bool bound, const std::string& root) {
  const fs::path bus = pci_bus(root);
  const fs::path device = find_device(bus, address);
  write_attribute(device / "driver_override", bound ? std::string(vfio_driver) + "\n" : "\n");
  if (!link_target_name(device / "driver").empty())
    write_attribute(device / "driver/unbind", address + "\n");
  write_attribute(bus / "drivers_probe", address + "\n");
}

// See the kernel's Documentation/PCI/pci-iov-howto: the number goes from one to another by way of
// 0, and without autoprobe the host's own driver leaves the functions alone.
void divide_for_vfio(const std::string& address, int count, const std::string& root) {
  const fs::path device = find_device(pci_bus(root), address);
  write_attribute(device / "sriov_drivers_autoprobe", "0\n");
  write_attribute(device / "sriov_numvfs", "0\n");
  if (count == 0) return;
  write_attribute(device / "sriov_numvfs", fmt::format("{}\n", count));
  for (int index = 0; index < count; ++index) {
    const std::string function = link_target_name(device / fmt::format("virtfn{}", index));
    if (function.empty())
      throw error(ErrorKind::io, address, "{} made no virtual function {}", address, index);
    bind_to_vfio(function, true, root);
  }
}

std::vector<std::string> configuring_command(const NetworkFunction& function) {
  return {"ip",
          "link",
          "set",
          "dev",
          function.interface,
          "vf",
          std::to_string(function.index),
          "mac",
          function.mac,
          "vlan",
          std::to_string(function.vlan),
          "spoofchk",
          function.forged_transmits ? "off" : "on"};
}

void configure(const NetworkFunction& function) {
  run_checked(configuring_command(function));
}

std::string vfio_group_node(int iommu_group) {
  return fmt::format("/dev/vfio/{}", iommu_group);
}

}  // namespace virga::hypervisor
