#include "nfs/export.h"

#include "nfs/v3/export.h"
#include "nfs/v4/export.h"

namespace virga::nfs {

std::unique_ptr<Export> make_export(const Source& source, Told told) {
  if (source.version == Version::v41) return std::make_unique<v4::Export>(source, std::move(told));
  return std::make_unique<v3::Export>(source, std::move(told));
}

}  // namespace virga::nfs
