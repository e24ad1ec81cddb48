// A change track that is accepted says the same after a round trip.
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "vmx/change_track.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga::vmx;
  std::optional<ChangeTrack> track;
  try {
    track = ChangeTrack::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const virga::Error&) {
    return 0;
  }
  if (ChangeTrack::parse(track->serialise(), "again") != *track) std::abort();
  return 0;
}
