// Images that a guest's QEMU wrote: whatever they say, areas are in order and within the image.
#include <cstdlib>

#include "base/error.h"
#include "datastore/qcow2.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace virga;
  const std::string_view image(reinterpret_cast<const char*>(data), size);
  const datastore::ReadImage read = [image](std::uint64_t offset, std::uint64_t length) {
    return offset < image.size() ? std::string(image.substr(offset, length)) : std::string();
  };
  for (const auto areas_of : {datastore::allocated_areas, datastore::bitmap_areas}) {
    try {
      std::uint64_t reached = 0;
      for (const vmx::Area& area : areas_of(read, "fuzz")) {
        if (area.length == 0 || (reached != 0 && area.offset <= reached)) std::abort();
        reached = area.end();
      }
    } catch (const Error&) {
    }
  }
  return 0;
}
