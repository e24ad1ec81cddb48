#include "storage/scsi.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace virga::storage {
namespace {

constexpr std::size_t page_header = 4;

std::uint64_t big_endian(std::string_view data, std::size_t offset, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i)
    value = value << 8 | static_cast<unsigned char>(data[offset + i]);
  return value;
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

// ASCII padded with blanks; anything that does not print is left out.
std::string text_field(std::string_view field) {
  std::string text;
  for (const char c : field)
    if (c >= ' ' && c <= '~') text.push_back(c);
  const auto first = text.find_first_not_of(' ');
  return first == std::string::npos ? ""
                                    : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::string_view field(std::string_view data, std::size_t offset, std::size_t size) {
  return offset >= data.size() ? std::string_view() : data.substr(offset, size);
}

// The page's content, as long as its header says and as much as is there.
std::string_view page_body(std::string_view page, int code) {
  if (page.size() < page_header || static_cast<unsigned char>(page[1]) != code) return {};
  return page.substr(page_header, big_endian(page, 2, 2));
}

struct Designator {
  int rank = 0;  // the higher, the better a name
  std::string name;
};

enum DesignatorType { t10_vendor = 1, eui64 = 2, naa = 3 };

Designator name_of(int type, std::string_view value) {
  switch (type) {
    case naa:  // a 16-byte name (NAA 6) is unique to the unit; 8-byte ones may be the port's
      return {value.size() == 16 ? 4 : 3, "naa." + hex(value)};
    case eui64:
      return {2, "eui." + hex(value)};
    case t10_vendor: {
      std::string text = text_field(value);
      std::ranges::replace(text, ' ', '_');
      return {1, "t10." + text};
    }
    default:
      return {};
  }
}

}  // namespace

Inquiry parse_inquiry(std::string_view data) {
  Inquiry inquiry;
  if (data.size() < 3) return inquiry;
  const auto first = static_cast<unsigned char>(data[0]);
  inquiry.connected = first >> 5 == 0;
  inquiry.type = first & 0x1f;
  inquiry.version = static_cast<unsigned char>(data[2]);
  inquiry.vendor = text_field(field(data, 8, 8));
  inquiry.model = text_field(field(data, 16, 16));
  inquiry.revision = text_field(field(data, 32, 4));
  return inquiry;
}

std::string parse_serial_number(std::string_view page) {
  return text_field(page_body(page, 0x80));
}

std::string parse_unit_name(std::string_view page) {
  constexpr std::size_t designator_header = 4;
  std::string_view rest = page_body(page, 0x83);
  Designator best;
  while (rest.size() >= designator_header) {
    const std::size_t size = static_cast<unsigned char>(rest[3]);
    const int association = static_cast<unsigned char>(rest[1]) >> 4 & 3;
    const std::string_view value = field(rest, designator_header, size);
    if (association == 0 && !value.empty() && value.size() == size) {
      Designator found = name_of(static_cast<unsigned char>(rest[1]) & 0xf, value);
      if (found.rank > best.rank) best = std::move(found);
    }
    rest.remove_prefix(std::min(rest.size(), designator_header + size));
  }
  return best.name;
}

std::vector<int> parse_report_luns(std::string_view data) {
  constexpr std::size_t header = 8, entry = 8;
  std::vector<int> units;
  if (data.size() < header) return units;
  const std::size_t end = std::min<std::uint64_t>(data.size(), header + big_endian(data, 0, 4));
  for (std::size_t at = header; at + entry <= end; at += entry) {
    const auto address = static_cast<int>(big_endian(data, at, 2));
    const int method = address >> 14;
    if (method == 0 && address >> 8 == 0) units.push_back(address & 0xff);
    if (method == 1) units.push_back(address & 0x3fff);
  }
  return units;
}

std::optional<Capacity> parse_read_capacity_16(std::string_view data) {
  if (data.size() < 12) return std::nullopt;
  const std::uint64_t last = big_endian(data, 0, 8);
  Capacity capacity;
  capacity.block_bytes = static_cast<std::uint32_t>(big_endian(data, 8, 4));
  const bool is_sane = capacity.block_bytes >= 512 && capacity.block_bytes <= 65536 &&
                       last < std::numeric_limits<std::uint64_t>::max() / 65536 - 1;
  if (!is_sane) return std::nullopt;
  capacity.blocks = last + 1;
  const int exponent = data.size() > 13 ? static_cast<unsigned char>(data[13]) & 0xf : 0;
  capacity.physical_block_bytes = capacity.block_bytes << std::min(exponent, 12);
  return capacity;
}

}  // namespace virga::storage
