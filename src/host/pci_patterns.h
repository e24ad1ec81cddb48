// Which PCI devices a VM takes, as its .vmx says it: "10de:1bb3 8086:1572:8086:0001:02". Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/host_probe.h"

namespace virga::host {

struct PciPattern {
  std::uint16_t vendor = 0, device = 0;
  std::optional<std::uint16_t> subsystem_vendor, subsystem_device, revision;  // none: any

  bool operator==(const PciPattern&) const = default;
};

// Leaves out what is no pattern.
std::vector<PciPattern> parse_pci_patterns(std::string_view text);
std::string format_pci_patterns(const std::vector<PciPattern>& patterns);
// Whether one of them means the device.
bool matches(const std::vector<PciPattern>& patterns, const hypervisor::PciDevice& device);

}  // namespace virga::host
