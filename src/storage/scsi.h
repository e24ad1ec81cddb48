// What SCSI units answer about themselves (SPC-4, SBC-3). Pure: bytes in, facts out. Answers are
// foreign input: what is short or torn gives less, never an error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace virga::storage {

struct Inquiry {
  bool connected = false;  // a unit is there to talk to
  int type = 0;            // peripheral device type
  int version = 0;         // of the standard the unit claims
  std::string vendor, model, revision;
};
Inquiry parse_inquiry(std::string_view data);

// The unit serial number page, 0x80.
std::string parse_serial_number(std::string_view page);

// The best of the unit's own identifiers in the device identification page, 0x83, as Linux and
// vSphere write them: "naa.…", "eui.…" or "t10.…". Empty: it has none.
std::string parse_unit_name(std::string_view page);

// REPORT LUNS: numbers of units, by peripheral and flat addressing; other methods are left out.
std::vector<int> parse_report_luns(std::string_view data);

struct Capacity {
  std::uint64_t blocks = 0;
  std::uint32_t block_bytes = 0, physical_block_bytes = 0;
};
std::optional<Capacity> parse_read_capacity_16(std::string_view data);

}  // namespace virga::storage
