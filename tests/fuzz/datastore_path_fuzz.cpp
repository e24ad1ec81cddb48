// A path that is accepted is normal, stays beneath the root, and reads back as itself.
#include <cstdlib>

#include "base/error.h"
#include "vmx/datastore_path.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using virga::vmx::DatastorePath;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const DatastorePath path = DatastorePath::parse(text);
    const std::string& inner = path.path();
    const std::string framed = "/" + inner + "/";
    if (DatastorePath::parse(path.format()) != path) std::abort();
    if (DatastorePath::parse(path.format_folder()) != path) std::abort();
    if (inner.starts_with('/') || inner.ends_with('/')) std::abort();
    if (framed.find("/../") != std::string::npos || framed.find("/./") != std::string::npos)
      std::abort();
    if (!inner.empty() && framed.find("//") != std::string::npos) std::abort();
    if (inner.find('\0') != std::string::npos) std::abort();
    if (!path.is_root() && !path.is_within(path.parent())) std::abort();
  } catch (const virga::Error&) {
  }
  return 0;
}
