#include "storage/scsi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace virga::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string bytes(std::string_view hex) {
  std::string binary;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    binary.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return binary;
}

TEST(Scsi, InquiryTellsTypeAndMake) {
  std::string data = bytes("0000060212000002");
  data += "IET     VIRTUAL-DISK    0001";
  const Inquiry inquiry = parse_inquiry(data);
  EXPECT_TRUE(inquiry.connected);
  EXPECT_EQ(inquiry.type, 0);
  EXPECT_EQ(inquiry.version, 6);
  EXPECT_EQ(inquiry.vendor, "IET");
  EXPECT_EQ(inquiry.model, "VIRTUAL-DISK");
  EXPECT_EQ(inquiry.revision, "0001");
  EXPECT_FALSE(parse_inquiry(bytes("7f0005")).connected);  // no unit at that number
  EXPECT_EQ(parse_inquiry(data.substr(0, 20)).model, "VIRT");
  EXPECT_FALSE(parse_inquiry("").connected);
}

TEST(Scsi, SerialNumberIsWhatPrints) {
  EXPECT_EQ(parse_serial_number(bytes("00800009") + "  beaf11\n"), "beaf11");
  EXPECT_EQ(parse_serial_number(bytes("00830002") + "ab"), "");
  EXPECT_EQ(parse_serial_number(bytes("0080ffff") + "ab"), "ab");
}

// Code set, then association and type, a reserved byte, the length, the identifier.
const std::string t10 = bytes("02010009") + "IET  0001";
const std::string eui = bytes("01020008") + bytes("0025385b71b0a1c3");
const std::string naa8 = bytes("01030008") + bytes("5000c50083a1b2c3");
const std::string naa16 = bytes("01030010") + bytes("600140512345678901234567890abcde");
const std::string port = bytes("01130008") + bytes("5001405aaaaaaaaa");

std::string page(const std::string& body) {
  return bytes("0083") + static_cast<char>(body.size() >> 8) + static_cast<char>(body.size()) +
         body;
}

TEST(Scsi, BestOfTheUnitsNames) {
  EXPECT_EQ(parse_unit_name(page(t10)), "t10.IET__0001");
  EXPECT_EQ(parse_unit_name(page(t10 + eui)), "eui.0025385b71b0a1c3");
  EXPECT_EQ(parse_unit_name(page(naa8 + t10 + eui)), "naa.5000c50083a1b2c3");
  EXPECT_EQ(parse_unit_name(page(naa8 + naa16)), "naa.600140512345678901234567890abcde");
  EXPECT_EQ(parse_unit_name(page(port)), "");  // the port's, not the unit's
  EXPECT_EQ(parse_unit_name(page(naa16).substr(0, 20)), "");
  EXPECT_EQ(parse_unit_name(page("")), "");
}

TEST(Scsi, ReportedUnits) {
  const std::string list = bytes("0000001800000000") + bytes("0000000000000000") +
                           bytes("0007000000000000") + bytes("4123000000000000");
  EXPECT_THAT(parse_report_luns(list), ElementsAre(0, 7, 0x123));
  EXPECT_THAT(parse_report_luns(list.substr(0, 20)), ElementsAre(0));
  EXPECT_THAT(parse_report_luns(bytes("0000000800000000") + bytes("c101000000000000")), IsEmpty());
  EXPECT_THAT(parse_report_luns("abc"), IsEmpty());
}

TEST(Scsi, Capacity) {
  const auto capacity = parse_read_capacity_16(bytes("000000000001ffff000002000003"));
  ASSERT_TRUE(capacity);
  EXPECT_EQ(capacity->blocks, 131072u);
  EXPECT_EQ(capacity->block_bytes, 512u);
  EXPECT_EQ(capacity->physical_block_bytes, 4096u);
  EXPECT_FALSE(parse_read_capacity_16(bytes("ffffffffffffffff00000200")));
  EXPECT_FALSE(parse_read_capacity_16(bytes("000000000001ffff00000000")));
  EXPECT_FALSE(parse_read_capacity_16(""));
}

}  // namespace
}  // namespace virga::storage
