#include <algorithm>

#include "host/storage_info.h"

namespace virga::host {
namespace {

constexpr std::uint64_t alignment = 1 << 20;  // bytes: where partitions begin

// Types by the numbers of the DOS table and the GUIDs of the GPT.
std::string_view partition_type(std::string type) {
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::toupper(c); });
  if (type == "83" || type == "0FC63DAF-8483-4772-8E79-3D69D8477DE4") return "linuxNative";
  if (type == "82" || type == "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F") return "linuxSwap";
  if (type == "5" || type == "F" || type == "85") return "extended";
  if (type == "7" || type == "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7") return "ntfs";
  if (type == "FB" || type == "AA31E02A-400F-11DB-9590-000C2911D1B8") return "vmfs";
  if (type == "FC" || type == "9D275380-40AD-11DB-BF97-000C2911D1B8") return "vmkDiagnostic";
  return "none";
}

void add_range(vim::HostDiskPartitionLayout& layout, const storage::Partition& partition,
               std::uint32_t sector_bytes) {
  auto& range = layout.partition.emplace_back();
  range.partition = partition.number;
  range.type = partition_type(partition.type);
  range.start.blockSize = range.end.blockSize = static_cast<std::int32_t>(sector_bytes);
  range.start.block = static_cast<std::int64_t>(partition.start);
  range.end.block = static_cast<std::int64_t>(partition.start + partition.sectors - 1);
}

}  // namespace

vim::HostDiskPartitionInfo partition_info(const std::string& device,
                                          const storage::PartitionTable& table,
                                          std::uint64_t device_bytes) {
  vim::HostDiskPartitionInfo info;
  info.deviceName = device;
  const bool is_gpt = table.label == "gpt";
  info.spec.partitionFormat = is_gpt ? "gpt" : table.label == "dos" ? "mbr" : "unknown";
  info.spec.totalSectors = static_cast<std::int64_t>(device_bytes / table.sector_bytes);
  vim::HostDiskDimensionsLba total;
  total.blockSize = static_cast<std::int32_t>(table.sector_bytes);
  total.block = *info.spec.totalSectors;
  info.layout.total = model::share(std::move(total));
  for (const auto& partition : table.partitions) {
    auto& attributes = info.spec.partition.emplace_back();
    attributes.partition = partition.number;
    attributes.startSector = static_cast<std::int64_t>(partition.start);
    attributes.endSector = static_cast<std::int64_t>(partition.start + partition.sectors - 1);
    attributes.type = partition_type(partition.type);
    if (is_gpt) attributes.guid = partition.type;
    attributes.logical = !is_gpt && partition.number > 4;
    attributes.attributes = static_cast<std::int8_t>(partition.bootable ? 0x80 : 0);
    add_range(info.layout, partition, table.sector_bytes);
  }
  return info;
}

vim::HostDiskPartitionSpec partition_spec(const vim::HostDiskPartitionLayout& layout,
                                          const std::string& format) {
  vim::HostDiskPartitionSpec spec;
  spec.partitionFormat = format;
  if (layout.total) spec.totalSectors = layout.total->block;
  int number = 0;
  for (const auto& range : layout.partition) {
    auto& attributes = spec.partition.emplace_back();
    number = range->partition.value_or(number + 1);
    attributes.partition = number;
    attributes.startSector = range->start.block;
    attributes.endSector = range->end.block;
    attributes.type = range->type;
    attributes.logical = format == "mbr" && number > 4;
    const auto block = static_cast<std::uint64_t>(std::max(range->start.blockSize, 1));
    attributes.partitionAlignment = static_cast<std::int64_t>(alignment / block);
  }
  return spec;
}

}  // namespace virga::host
