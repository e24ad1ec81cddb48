#include "hypervisor/vfio.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sysfs.h"

namespace virga::hypervisor {
namespace {

void write_attribute(const fs::path& path, const std::string& text) {
  const Fd fd = open_file(path, O_WRONLY);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw system_error(path.string(), "cannot write to");
}

}  // namespace

// See the kernel's Documentation/ABI/testing/sysfs-bus-pci: an override names the one driver that
// may have a device, and an empty line lifts it.
void bind_to_vfio(const std::string& address, bool bound, const std::string& root) {
  const fs::path bus = fs::path(root.empty() ? "/" : root) / "sys/bus/pci";
  const fs::path device = bus / "devices" / address;
  if (!fs::exists(device))
    throw error(ErrorKind::not_found, address, "this host has no PCI device {}", address);
  write_attribute(device / "driver_override", bound ? std::string(vfio_driver) + "\n" : "\n");
  if (!link_target_name(device / "driver").empty())
    write_attribute(device / "driver/unbind", address + "\n");
  write_attribute(bus / "drivers_probe", address + "\n");
}

std::string vfio_group_node(int iommu_group) {
  return fmt::format("/dev/vfio/{}", iommu_group);
}

}  // namespace virga::hypervisor
