// The partition table of a block device, as sfdisk(8) reads it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace virga::storage {

struct Partition {
  int number = 0;
  std::uint64_t start = 0, sectors = 0;
  std::string type;  // dos: hexadecimal, "83"; gpt: the type's GUID
  std::string uuid;  // gpt
  bool bootable = false;
};

struct PartitionTable {
  std::string label;  // dos, gpt; empty: the device has no table
  std::uint32_t sector_bytes = 512;
  std::vector<Partition> partitions;
};

// Blocks. Throws not_found, io.
PartitionTable read_partitions(const std::string& device);
// Of what "sfdisk --json" prints. Throws damaged.
PartitionTable parse_partitions(std::string_view json);

}  // namespace virga::storage
