#include "datastore/lease_timing.h"

#include "base/error.h"
#include "base/json.h"

namespace virga::datastore {
namespace {

using std::chrono::milliseconds;

// A day: far from what overflows.
constexpr std::int64_t longest = 86'400'000;

milliseconds read_time(const json::value& timing, const char* name) {
  const auto time = timing.at(name).to_number<std::int64_t>();
  if (time < 1 || time > longest) throw std::out_of_range(name);
  return milliseconds(time);
}

}  // namespace

LeaseTiming parse_lease_timing(std::string_view text, const std::string& subject) {
  LeaseTiming timing;
  try {
    const json::value value = json::parse(text);
    timing.interval = read_time(value, "interval");
    timing.owner_stops = read_time(value, "owner_stops");
    timing.others_take = read_time(value, "others_take");
  } catch (const std::exception& failure) {
    throw error(ErrorKind::damaged, subject, "the times of the leases on {} cannot be read: {}",
                subject, failure.what());
  }
  if (timing.owner_stops < 2 * timing.interval || timing.others_take <= timing.owner_stops)
    throw error(ErrorKind::damaged, subject,
                "the leases on {} keep nobody apart: a guest has to stop after two heartbeats at "
                "the least, and before others may take its lock",
                subject);
  return timing;
}

std::string serialise(const LeaseTiming& timing) {
  return json::serialize(json::object{{"interval", timing.interval.count()},
                                      {"owner_stops", timing.owner_stops.count()},
                                      {"others_take", timing.others_take.count()}}) +
         "\n";
}

}  // namespace virga::datastore
