// Times that are accepted keep hosts apart, and are the same after a round trip.
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "datastore/lease_timing.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga::datastore;
  std::optional<LeaseTiming> timing;
  try {
    timing = parse_lease_timing({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const virga::Error&) {
    return 0;
  }
  if (timing->interval.count() <= 0 || timing->owner_stops >= timing->others_take) std::abort();
  if (parse_lease_timing(serialise(*timing), "again") != *timing) std::abort();
  return 0;
}
