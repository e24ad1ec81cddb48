#include "host/hardware_version.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "vmx/text.h"

namespace virga::host {
namespace {

constexpr std::int64_t gib = 1024;

// Workstation and Fusion brought 12 and 16; ESXi runs them from the release beside them on.
constexpr HardwareVersion kVersions[] = {
    {4, "ESX 3.x", 4, 1, 65'532, 4, 0},
    {7, "ESX/ESXi 4.x", 8, 8, 255 * gib, 10, 6},
    {8, "ESXi 5.0", 32, 32, 1011 * gib, 10, 6},
    {9, "ESXi 5.1", 64, 64, 1011 * gib, 10, 6},
    {10, "ESXi 5.5", 64, 64, 1011 * gib, 10, 6},
    {11, "ESXi 6.0", 128, 64, 4080 * gib, 10, 16},
    {12, "ESXi 6.5", 128, 64, 4080 * gib, 10, 16},
    {13, "ESXi 6.5", 128, 64, 6128 * gib, 10, 16},
    {14, "ESXi 6.7", 128, 64, 6128 * gib, 10, 16},
    {15, "ESXi 6.7 U2", 256, 64, 6128 * gib, 10, 16},
    {16, "ESXi 6.7 U2", 256, 64, 6128 * gib, 10, 16},
    {17, "ESXi 7.0", 256, 64, 6128 * gib, 10, 16},
    {18, "ESXi 7.0 U1", 768, 64, 24'560 * gib, 10, 16},
    {19, "ESXi 7.0 U2", 768, 64, 24'560 * gib, 10, 16},
};

struct Novelty {
  std::string_view feature;
  int version;
};
constexpr Novelty kNovelties[] = {
    {"ParaVirtualSCSIController", 7},
    {"VirtualLsiLogicSASController", 7},
    {"VirtualMachineVMCIDevice", 7},
    {"VirtualPCIPassthrough", 7},
    {"VirtualUSB", 7},
    {"VirtualUSBController", 7},
    {"VirtualVmxnet3", 7},
    {features::ide_disk, 7},
    {features::change_tracking, 7},
    {"VirtualE1000e", 8},
    {"VirtualHdAudioCard", 8},
    {"VirtualUSBXHCIController", 8},
    {features::efi, 8},
    {features::cpu_counters, 9},
    {features::nested_virtualization, 9},
    {"VirtualAHCIController", 10},
    {"VirtualSriovEthernetCard", 10},
    {features::hot_add, 11},
    {features::vgpu, 11},
    {"VirtualNVMEController", 13},
    {"VirtualVmxnet3Vrdma", 13},
    {features::secure_boot, 13},
    {"VirtualNVDIMM", 14},
    {"VirtualNVDIMMController", 14},
    {"VirtualTPM", 14},
    {"VirtualPrecisionClock", 17},
    {"VirtualWDT", 17},
    {features::dynamic_passthrough, 17},
};

constexpr std::string_view kPrefix = "vmx-";

}  // namespace

std::span<const HardwareVersion> hardware_versions() {
  return kVersions;
}

const HardwareVersion& hardware_version(int number) {
  const HardwareVersion* best = &kVersions[0];
  for (const HardwareVersion& version : kVersions)
    if (version.number <= number) best = &version;
  return *best;
}

bool is_hardware_version(int number) {
  return hardware_version(number).number == number;
}

std::optional<int> parse_hardware_version(std::string_view text) {
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + 2) return std::nullopt;
  const auto number = vmx::parse_unsigned(text.substr(kPrefix.size()));
  return number ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

std::string format_hardware_version(int number) {
  return fmt::format("{}{:02}", kPrefix, number);
}

int first_version_with(std::string_view feature) {
  const auto found = std::ranges::find(kNovelties, feature, &Novelty::feature);
  return found == std::end(kNovelties) ? kVersions[0].number : found->version;
}

}  // namespace virga::host
