// A mapping file that is accepted names the same unit after a round trip.
#include "datastore/raw_mapping.h"

#include <cstdlib>

#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga::datastore;
  RawMapping mapping;
  try {
    mapping = parse_mapping({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const virga::Error&) {
    return 0;
  }
  if (parse_mapping(to_text(mapping), "again") != mapping) std::abort();
  return 0;
}
