#include "storage/partitions.h"

#include <gtest/gtest.h>

#include "../expect_error.h"

namespace virga::storage {
namespace {

TEST(Partitions, OfADosTable) {
  const PartitionTable table = parse_partitions(R"({"partitiontable": {"label":"dos","id":"0x1",
      "device":"/dev/nvme0n1","unit":"sectors","sectorsize":512,"partitions":[
      {"node":"/dev/nvme0n1p1","start":2048,"size":4096,"type":"83","bootable":true},
      {"node":"/dev/nvme0n1p5","start":8192,"size":100,"type":"82"}]}})");
  EXPECT_EQ(table.label, "dos");
  ASSERT_EQ(table.partitions.size(), 2u);
  EXPECT_EQ(table.partitions[0].number, 1);
  EXPECT_EQ(table.partitions[0].start, 2048u);
  EXPECT_EQ(table.partitions[0].sectors, 4096u);
  EXPECT_TRUE(table.partitions[0].bootable);
  EXPECT_EQ(table.partitions[1].number, 5);
  EXPECT_EQ(table.partitions[1].type, "82");
  EXPECT_FALSE(table.partitions[1].bootable);
}

TEST(Partitions, OfAGptWithoutAny) {
  const PartitionTable table =
      parse_partitions(R"({"partitiontable": {"label":"gpt","sectorsize":4096}})");
  EXPECT_EQ(table.label, "gpt");
  EXPECT_EQ(table.sector_bytes, 4096u);
  EXPECT_TRUE(table.partitions.empty());
}

TEST(Partitions, NonsenseIsDamaged) {
  for (const char* text : {"", "[]", "{}", R"({"partitiontable":{"partitions":[{}]}})",
                           R"({"partitiontable":{"sectorsize":"x"}})"})
    expect_error(ErrorKind::damaged, "sfdisk", [&] { parse_partitions(text); });
}

}  // namespace
}  // namespace virga::storage
