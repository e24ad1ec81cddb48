// The generations of virtual hardware and what a VM of each may have, as VMware's Configuration
// Maximums and its list of hardware features by compatibility setting give it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace virga::host {

struct HardwareVersion {
  int number;
  int max_vcpus;
  std::int64_t max_memory_mib;
  std::string_view release;  // of vSphere that brought it: "ESXi 7.0 U2"
};

// Oldest first.
std::span<const HardwareVersion> hardware_versions();
// The limits of a version; of the next older known one when it is not listed.
const HardwareVersion& hardware_version(int number);

std::optional<int> parse_hardware_version(std::string_view text);  // of "vmx-19"
std::string format_hardware_version(int number);

}  // namespace virga::host
