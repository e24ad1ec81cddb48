// What multipathd tells of its maps: any bytes. What is understood makes a file for it.
#include <string>

#include "base/error.h"
#include "storage/multipath.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  try {
    const std::string answer(reinterpret_cast<const char*>(data), size);
    virga::storage::multipath_config(virga::storage::parse_multipath_maps(answer));
  } catch (const virga::Error&) {
  }
  return 0;
}
