#include "datastore/qcow2.h"

#include <gtest/gtest.h>

#include "../expect_error.h"

namespace virga::datastore {
namespace {

std::string beginning_of(const Qcow2Header& header) {
  return make_qcow2(header).pieces.at(0);
}

TEST(Qcow2, SaysWhatItWasMadeOf) {
  const Qcow2Header header{40ULL << 30, {"web-flat.vmdk", "raw"}};
  EXPECT_EQ(parse_qcow2(beginning_of(header), "a"), header);
  EXPECT_EQ(parse_qcow2(beginning_of({1 << 20, {}}), "a"), (Qcow2Header{1 << 20, {}}));
}

TEST(Qcow2, IsSmallForTheLargestDisk) {
  EXPECT_EQ(make_qcow2({1 << 20, {}}).size, 4u << 16);
  EXPECT_EQ(make_qcow2({62ULL << 40, {}}).size, (3u + 16) << 16);
}

TEST(Qcow2, TakesAnotherImageBelow) {
  const Qcow2Backing longer{std::string(255, 'x'), "qcow2"}, shorter{"b", "raw"};
  std::string beginning = beginning_of({1 << 20, {"a-flat.vmdk", "raw"}});
  for (const Qcow2Backing& backing : {longer, shorter, Qcow2Backing{}}) {
    beginning = with_backing(beginning, backing, "a");
    EXPECT_EQ(beginning.size(), qcow2_header_size);
    EXPECT_EQ(parse_qcow2(beginning, "a"), (Qcow2Header{1 << 20, backing}));
  }
  expect_error(ErrorKind::invalid_argument, "a", [&] {
    with_backing(beginning, {std::string(4000, 'x'), "raw"}, "a");
  });
}

TEST(Qcow2, KeepsOtherExtensionsOfTheHeader) {
  std::string beginning = beginning_of({1 << 20, {"a", "raw"}});
  // An extension of a type nobody knows, of 5 bytes, before all others.
  beginning.insert(112, std::string("\x12\x34\x56\x78\0\0\0\5hello\0\0\0", 16));
  beginning[15] = static_cast<char>(beginning[15] + 16);  // where the name lies
  beginning.resize(qcow2_header_size);
  EXPECT_EQ(parse_qcow2(beginning, "a").backing.file, "a");
  const std::string changed = with_backing(beginning, {"other", "qcow2"}, "a");
  EXPECT_EQ(changed.substr(112, 16), beginning.substr(112, 16));
  EXPECT_EQ(parse_qcow2(changed, "a").backing, (Qcow2Backing{"other", "qcow2"}));
}

TEST(Qcow2, RefusesWhatIsNone) {
  const std::string good = beginning_of({1 << 20, {"a", "raw"}});
  expect_error(ErrorKind::damaged, "x", [&] { parse_qcow2("", "x"); });
  expect_error(ErrorKind::damaged, "x", [&] { parse_qcow2(std::string(4096, '\0'), "x"); });
  expect_error(ErrorKind::damaged, "x", [&] { parse_qcow2(good.substr(0, 116), "x"); });
  std::string bad = good;
  bad[7] = 2;
  expect_error(ErrorKind::unsupported, "x", [&] { parse_qcow2(bad, "x"); });
  bad = good;
  bad[8] = '\x7f';  // the name lies beyond the file
  expect_error(ErrorKind::damaged, "x", [&] { parse_qcow2(bad, "x"); });
  bad = good;
  bad[102] = '\x10';  // the header is longer than its sector
  expect_error(ErrorKind::damaged, "x", [&] { parse_qcow2(bad, "x"); });
  bad = good;
  bad[116] = '\x7f';  // an extension without an end
  expect_error(ErrorKind::damaged, "x", [&] { parse_qcow2(bad, "x"); });
}

}  // namespace
}  // namespace virga::datastore
