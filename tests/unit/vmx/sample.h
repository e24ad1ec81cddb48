#pragma once

#include <string>

#include "base/file.h"
#include "vmx/vmx_file.h"

namespace virga::vmx {

inline std::string sample(const std::string& name) {
  return read_file(fs::path(VIRGA_SOURCE_DIR) / "tests/unit/vmx/samples" / name);
}

inline VmxFile sample_vmx(const std::string& name) {
  return VmxFile::parse(sample(name), name);
}

}  // namespace virga::vmx
