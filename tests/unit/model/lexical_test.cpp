#include "model/lexical.h"

#include <gtest/gtest.h>

namespace virga::model {
namespace {

using namespace std::chrono;

Time utc(int y, unsigned m, unsigned d, microseconds of_day = {}) {
  return sys_days(year(y) / month(m) / day(d)) + of_day;
}

TEST(LexicalTime, WritesUtcWithAFractionOnlyWhereThereIsOne) {
  EXPECT_EQ(format_time(utc(2026, 1, 2, 3h + 4min + 5s)), "2026-01-02T03:04:05Z");
  EXPECT_EQ(format_time(utc(2026, 1, 2, 678901us)), "2026-01-02T00:00:00.678901Z");
  EXPECT_EQ(format_time(utc(2026, 1, 2, 1us)), "2026-01-02T00:00:00.000001Z");
  EXPECT_EQ(format_time(utc(1969, 12, 31, 23h + 59min + 59s)), "1969-12-31T23:59:59Z");
}

TEST(LexicalTime, ReadsFractionsAndZones) {
  EXPECT_EQ(parse_time("2026-01-02T03:04:05Z"), utc(2026, 1, 2, 3h + 4min + 5s));
  EXPECT_EQ(parse_time("2026-01-02T03:04:05"), utc(2026, 1, 2, 3h + 4min + 5s));
  EXPECT_EQ(parse_time("2026-01-02T01:00:00+02:00"), utc(2026, 1, 1, 23h));
  EXPECT_EQ(parse_time("2026-01-01T23:30:00-05:30"), utc(2026, 1, 2, 5h));
  EXPECT_EQ(parse_time("2026-01-02T00:00:00.5Z"), utc(2026, 1, 2, 500ms));
  EXPECT_EQ(parse_time("2026-01-02T00:00:00.1234567890Z"), utc(2026, 1, 2, 123456us));
  EXPECT_EQ(parse_time("2026-01-02T24:00:00Z"), utc(2026, 1, 3));
  EXPECT_EQ(parse_time("2024-02-29T00:00:00Z"), utc(2024, 2, 29));
}

TEST(LexicalTime, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "now", "2026-01-02", "2026-13-02T00:00:00Z", "2026-02-29T00:00:00Z",
        "2026-01-02T25:00:00Z", "2026-01-02T24:00:01Z", "2026-01-02T00:60:00Z",
        "2026-01-02T00:00:00.Z", "2026-01-02T00:00:00+15:00", "2026-01-02T00:00:00+0200",
        "2026-01-02T00:00:00Zx", "0000-01-01T00:00:00Z", "-2026-01-02T00:00:00Z",
        "2026-1-2T00:00:00Z", "2026-01-02 00:00:00Z"}) {
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace virga::model
