// What a SCSI unit answers, and the JSON of sfdisk: any bytes.
#include <string_view>

#include "base/error.h"
#include "storage/partitions.h"
#include "storage/scsi.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  virga::storage::parse_inquiry(bytes);
  virga::storage::parse_serial_number(bytes);
  virga::storage::parse_unit_name(bytes);
  for (const int lun : virga::storage::parse_report_luns(bytes))
    if (lun < 0) __builtin_trap();
  if (const auto capacity = virga::storage::parse_read_capacity_16(bytes))
    if (capacity->blocks > ~0ull / capacity->block_bytes) __builtin_trap();
  try {
    virga::storage::parse_partitions(bytes);
  } catch (const virga::Error&) {
  }
  return 0;
}
