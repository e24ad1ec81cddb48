// The generations of virtual hardware and what a VM of each may have, as VMware's documentation
// "Hardware Features Available with Virtual Machine Compatibility Settings" gives it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace virga::host {

struct HardwareVersion {
  int number;
  std::string_view release;  // of vSphere that brought it: "ESXi 7.0 U2"
  int max_vcpus;
  int max_cores_per_socket;
  std::int64_t max_memory_mib;
  int max_network_adapters;
  int max_passthrough_devices;  // of the PCI bus
};

// Oldest first: those that a release of ESX brought or runs. 5 and 6 are none.
std::span<const HardwareVersion> hardware_versions();
// The limits of a version; of the next older known one when it is not listed.
const HardwareVersion& hardware_version(int number);
bool is_hardware_version(int number);

std::optional<int> parse_hardware_version(std::string_view text);  // of "vmx-19"
std::string format_hardware_version(int number);

// The first version with a device of that API type ("VirtualNVMEController"), or of a kind of ours
// below; the oldest for one that was always there.
int first_version_with(std::string_view feature);

namespace features {
constexpr std::string_view ide_disk = "IDE disk";
constexpr std::string_view change_tracking = "changed block tracking";
constexpr std::string_view efi = "EFI";
constexpr std::string_view secure_boot = "Secure Boot";
constexpr std::string_view nested_virtualization = "hardware virtualization in the guest";
constexpr std::string_view cpu_counters = "CPU performance counters";
constexpr std::string_view hot_add = "hot add of processors and memory";
constexpr std::string_view vgpu = "virtual GPU";
constexpr std::string_view dynamic_passthrough = "dynamic DirectPath I/O";
}  // namespace features

}  // namespace virga::host
