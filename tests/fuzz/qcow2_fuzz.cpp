// The header of an image that is accepted takes another image below it, and keeps all else.
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "datastore/qcow2.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga::datastore;
  const std::string_view beginning(reinterpret_cast<const char*>(data), size);
  const Qcow2Backing below{"base-flat.vmdk", "raw"};
  Qcow2Header header;
  std::string moved;
  try {
    header = parse_qcow2(beginning, "fuzz");
    moved = with_backing(beginning, below, "fuzz");
  } catch (const virga::Error&) {
    return 0;
  }
  header.backing = below;
  if (parse_qcow2(moved, "again") != header) std::abort();
  return 0;
}
