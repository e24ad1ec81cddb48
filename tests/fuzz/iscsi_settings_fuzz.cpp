// Any bytes as an iSCSI name. Records of an adapter that are accepted are the same after a round
// trip.
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "storage/iscsi/settings.h"

namespace {

using namespace virga::storage;

void check_name(const std::string& name) {
  try {
    check_iscsi_name(name);
  } catch (const virga::Error&) {
    return;
  }
  // What would end the name in a key of a login, or in a URL.
  if (name.find_first_of(std::string_view("\0\n /?&%=", 8)) != name.npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check_name(text);
  std::optional<IscsiSettings> settings;
  try {
    settings = parse_iscsi_settings(text);
    check(*settings);
  } catch (const virga::Error&) {
  }
  if (settings && parse_iscsi_settings(to_text(*settings)) != *settings) std::abort();
  return 0;
}
