#include "wire/http_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace virga::wire {
namespace {

using ::testing::ElementsAre;

std::string path_of(std::string_view target) {
  const auto parsed = parse_target(target);
  return parsed ? parsed->path : "refused";
}

TEST(Headers, CompareWithoutCaseAndKeepTheirOrder) {
  Headers headers{{"Accept", "a"}, {"ACCEPT", "b"}, {"Host", "h"}};
  EXPECT_EQ(headers.get("accept"), "a");
  EXPECT_EQ(headers.find("Absent"), nullptr);
  EXPECT_EQ(headers.get("Absent"), "");
  headers.set("accept", "c");
  EXPECT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers.get("Accept"), "c");
  headers.remove("HOST");
  EXPECT_FALSE(headers.contains("Host"));
}

TEST(Headers, ListsFindTheirTokens) {
  const Headers headers{{"Connection", "keep-alive, Upgrade ;x=1"}, {"connection", "TE"}};
  EXPECT_TRUE(headers.lists("Connection", "upgrade"));
  EXPECT_TRUE(headers.lists("Connection", "te"));
  EXPECT_FALSE(headers.lists("Connection", "close"));
  EXPECT_FALSE(headers.lists("Connection", "keep"));
}

TEST(Target, IsDecoded) {
  const auto target = parse_target("/folder/a%20b/c.vmx?dcPath=ha%2Ddatacenter&dsName=my+store&x");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/folder/a b/c.vmx");
  EXPECT_EQ(target->query.get("dcPath"), "ha-datacenter");
  EXPECT_EQ(target->query.get("dsName"), "my store");
  ASSERT_NE(target->query.find("x"), nullptr);
  EXPECT_EQ(target->query.get("x"), "");
  EXPECT_EQ(target->query.find("y"), nullptr);
}

TEST(Target, KeepsRepeatedParameters) {
  const auto target = parse_target("/api?n=1&n=2&&m=3=4");
  ASSERT_TRUE(target);
  EXPECT_THAT(target->query.all("n"), ElementsAre("1", "2"));
  EXPECT_EQ(target->query.get("m"), "3=4");
}

TEST(Target, FoldsEmptySegments) {
  EXPECT_EQ(path_of("/"), "/");
  EXPECT_EQ(path_of("//a///b/"), "/a/b/");
  EXPECT_EQ(path_of("https://host:8444/sdk"), "/sdk");
  EXPECT_EQ(path_of("https://host"), "/");
}

TEST(Target, RefusesWhatCouldMeanAnotherPath) {
  for (const char* target :
       {"", "sdk", "*", "/a/../b", "/a/%2e%2E/b", "/..", "/./a", "/a/%2e", "/%", "/%2", "/%zz",
        "/%00", "/a#b", "/a?x=%", "ftp://host/", "/a%2f..%2fb"})
    EXPECT_EQ(path_of(target), "refused") << target;
  EXPECT_EQ(path_of("/...a/..b"), "/...a/..b");
}

TEST(PercentCoding, GoesThereAndBack) {
  std::string all;
  for (int c = 1; c < 256; ++c) all += static_cast<char>(c);
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
  EXPECT_EQ(percent_encode("a-Z_0.~/ \xC3"), "a-Z_0.~%2F%20%C3");
}

TEST(Range, FindsThePart) {
  using Kind = RangeRequest::Kind;
  const auto part = [](std::string_view header, std::uint64_t size) {
    const RangeRequest request = parse_range(header, size);
    EXPECT_EQ(request.kind, Kind::part) << header;
    return request.range;
  };
  EXPECT_EQ(part("bytes=0-0", 10), (ByteRange{0, 1}));
  EXPECT_EQ(part("bytes=2-5", 10), (ByteRange{2, 4}));
  EXPECT_EQ(part("bytes=2-", 10), (ByteRange{2, 8}));
  EXPECT_EQ(part("Bytes= 2 - 99 ", 10), (ByteRange{2, 8}));
  EXPECT_EQ(part("bytes=-3", 10), (ByteRange{7, 3}));
  EXPECT_EQ(part("bytes=-30", 10), (ByteRange{0, 10}));
  EXPECT_EQ(part("bytes=5000000000-", 6000000000), (ByteRange{5000000000, 1000000000}));
}

TEST(Range, TellsTheUnsatisfiableFromTheMalformed) {
  using Kind = RangeRequest::Kind;
  for (const char* header : {"bytes=10-", "bytes=10-20", "bytes=-0"})
    EXPECT_EQ(parse_range(header, 10).kind, Kind::unsatisfiable) << header;
  EXPECT_EQ(parse_range("bytes=0-", 0).kind, Kind::unsatisfiable);
  EXPECT_EQ(parse_range("bytes=-1", 0).kind, Kind::unsatisfiable);
  for (const char* header :
       {"", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=1-2,4-5", "lines=0-1",
        "bytes=1", "bytes=99999999999999999999-", "bytes=+1-2"})
    EXPECT_EQ(parse_range(header, 10).kind, Kind::whole) << header;
}

TEST(HttpDate, IsInTheFormOfTheStandard) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

}  // namespace
}  // namespace virga::wire
