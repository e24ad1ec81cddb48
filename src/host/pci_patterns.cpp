#include "host/pci_patterns.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "vmx/text.h"

namespace virga::host {
namespace {

// A word of up to five hexadecimal numbers; an empty one, or "*", is any.
std::optional<PciPattern> parse_pattern(const std::string& word) {
  std::vector<std::optional<std::uint16_t>> numbers;
  std::istringstream stream(word);
  for (std::string part; std::getline(stream, part, ':');) {
    const auto number = vmx::parse_unsigned(part, 16);
    if (part != "*" && (!number || *number > 0xffff)) return std::nullopt;
    numbers.push_back(part == "*" ? std::nullopt
                                  : std::optional(static_cast<std::uint16_t>(*number)));
  }
  if (numbers.size() < 2 || numbers.size() > 5 || !numbers[0] || !numbers[1]) return std::nullopt;
  numbers.resize(5);
  return PciPattern{*numbers[0], *numbers[1], numbers[2], numbers[3], numbers[4]};
}

std::string format_part(const std::optional<std::uint16_t>& number) {
  return number ? fmt::format(":{:04x}", *number) : ":*";
}

bool fits(const std::optional<std::uint16_t>& wanted, std::uint16_t present) {
  return !wanted || *wanted == present;
}

}  // namespace

std::vector<PciPattern> parse_pci_patterns(std::string_view text) {
  std::vector<PciPattern> patterns;
  std::istringstream stream{std::string(text)};
  for (std::string word; stream >> word;)
    if (const auto pattern = parse_pattern(word)) patterns.push_back(*pattern);
  return patterns;
}

std::string format_pci_patterns(const std::vector<PciPattern>& patterns) {
  std::string text;
  for (const PciPattern& pattern : patterns) {
    if (!text.empty()) text += ' ';
    text += fmt::format("{:04x}:{:04x}", pattern.vendor, pattern.device);
    if (pattern.subsystem_vendor || pattern.subsystem_device || pattern.revision)
      text += format_part(pattern.subsystem_vendor) + format_part(pattern.subsystem_device) +
              format_part(pattern.revision);
  }
  return text;
}

bool matches(const std::vector<PciPattern>& patterns, const hypervisor::PciDevice& device) {
  return std::ranges::any_of(patterns, [&](const PciPattern& pattern) {
    return pattern.vendor == device.vendor && pattern.device == device.device &&
           fits(pattern.subsystem_vendor, device.subsystem_vendor) &&
           fits(pattern.subsystem_device, device.subsystem_device) &&
           fits(pattern.revision, device.revision);
  });
}

}  // namespace virga::host
