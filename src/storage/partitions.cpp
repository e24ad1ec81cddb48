#include "storage/partitions.h"

#include "base/error.h"
#include "base/json.h"
#include "base/process.h"

namespace virga::storage {
namespace {

std::string text_of(const json::object& object, const char* key) {
  const json::value* found = object.if_contains(key);
  return found && found->is_string() ? std::string(found->as_string()) : std::string();
}

// "/dev/sda3", "/dev/nvme0n1p3".
int number_of(const std::string& node) {
  const std::size_t before = node.find_last_not_of("0123456789");
  return before == node.npos ? 0 : std::atoi(node.c_str() + before + 1);
}

}  // namespace

PartitionTable parse_partitions(std::string_view text) {
  try {
    const json::value document = json::parse(text);
    const json::object& table = document.at("partitiontable").as_object();
    PartitionTable result;
    result.label = text_of(table, "label");
    if (const json::value* size = table.if_contains("sectorsize"))
      result.sector_bytes = size->to_number<std::uint32_t>();
    const json::value* partitions = table.if_contains("partitions");
    if (!partitions) return result;
    for (const json::value& value : partitions->as_array()) {
      const json::object& object = value.as_object();
      Partition partition;
      partition.number = number_of(text_of(object, "node"));
      partition.start = object.at("start").to_number<std::uint64_t>();
      partition.sectors = object.at("size").to_number<std::uint64_t>();
      partition.type = text_of(object, "type");
      partition.uuid = text_of(object, "uuid");
      partition.bootable = object.if_contains("bootable") && object.at("bootable").as_bool();
      result.partitions.push_back(std::move(partition));
    }
    return result;
  } catch (const std::exception& failure) {
    throw error(ErrorKind::damaged, "sfdisk", "sfdisk's answer is damaged: {}", failure.what());
  }
}

PartitionTable read_partitions(const std::string& device) {
  const ProcessResult result = run_process({"sfdisk", "--json", device});
  if (result.exit_code == 0) return parse_partitions(result.output);
  if (result.errors.find("recognized partition table") != std::string::npos) return {};
  throw error(ErrorKind::io, device, "cannot read the partitions of {}: {}", device, result.errors);
}

}  // namespace virga::storage
