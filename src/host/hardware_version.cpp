#include "host/hardware_version.h"

#include <fmt/format.h>

#include "vmx/text.h"

namespace virga::host {
namespace {

constexpr std::int64_t gib = 1024;

constexpr HardwareVersion kVersions[] = {
    {4, 4, 65'532, "ESX 3.x"},
    {7, 8, 255 * gib, "ESX/ESXi 4.x"},
    {8, 32, 1011 * gib, "ESXi 5.0"},
    {9, 64, 1011 * gib, "ESXi 5.1"},
    {10, 64, 1011 * gib, "ESXi 5.5"},
    {11, 128, 4080 * gib, "ESXi 6.0"},
    {13, 128, 6128 * gib, "ESXi 6.5"},
    {14, 128, 6128 * gib, "ESXi 6.7"},
    {15, 256, 6128 * gib, "ESXi 6.7 U2"},
    {17, 256, 6128 * gib, "ESXi 7.0"},
    {18, 768, 24'560 * gib, "ESXi 7.0 U1"},
    {19, 768, 24'560 * gib, "ESXi 7.0 U2"},
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

std::optional<int> parse_hardware_version(std::string_view text) {
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + 2) return std::nullopt;
  const auto number = vmx::parse_unsigned(text.substr(kPrefix.size()));
  return number ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

std::string format_hardware_version(int number) {
  return fmt::format("{}{:02}", kPrefix, number);
}

}  // namespace virga::host
