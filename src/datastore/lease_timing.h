// The times of the leases on a datastore, and their text: a JSON object of milliseconds.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace virga::datastore {

struct LeaseTiming {
  std::chrono::milliseconds interval{3'000};     // from one heartbeat to the next
  std::chrono::milliseconds owner_stops{9'000};  // after its last heartbeat: its guests stand still
  std::chrono::milliseconds others_take{16'000};  // an unchanged heartbeat's owner is dead to them

  bool operator==(const LeaseTiming&) const = default;
};

// Throws ErrorKind::damaged naming `subject` for what is none, and for times that do not follow one
// upon the other: twice the interval, owner_stops, others_take.
LeaseTiming parse_lease_timing(std::string_view text, const std::string& subject);
std::string serialise(const LeaseTiming& timing);

}  // namespace virga::datastore
