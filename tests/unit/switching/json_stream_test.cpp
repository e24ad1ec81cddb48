#include "switching/ovs/json_stream.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace virga::switching::ovs {
namespace {

std::vector<std::string> feed(JsonStream& stream, std::string_view bytes) {
  std::vector<std::string> texts;
  for (const auto& value : stream.feed(bytes)) texts.push_back(json::serialize(value));
  return texts;
}

TEST(JsonStream, CutsConcatenatedMessages) {
  JsonStream stream;
  EXPECT_THAT(feed(stream, R"({"id":1}{"id":2} {"id":3})"),
              testing::ElementsAre(R"({"id":1})", R"({"id":2})", R"({"id":3})"));
}

TEST(JsonStream, JoinsMessagesFromPieces) {
  const std::string text = R"({"method":"echo","params":["}{\""],"id":"x"}{"id":2})";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    JsonStream stream;
    auto seen = feed(stream, std::string_view(text).substr(0, cut));
    for (auto& late : feed(stream, std::string_view(text).substr(cut)))
      seen.push_back(std::move(late));
    EXPECT_THAT(seen, testing::ElementsAre(R"({"method":"echo","params":["}{\""],"id":"x"})",
                                           R"({"id":2})"));
  }
}

TEST(JsonStream, TakesOneByteAtATime) {
  JsonStream stream;
  std::vector<std::string> seen;
  for (const char byte : std::string(" {\"a\":[1,2]}\n\n{\"b\":null}\n")) {
    for (auto& text : feed(stream, {&byte, 1})) seen.push_back(std::move(text));
  }
  EXPECT_THAT(seen, testing::ElementsAre(R"({"a":[1,2]})", R"({"b":null})"));
}

TEST(JsonStream, RefusesWhatIsNoJson) {
  JsonStream stream;
  EXPECT_THROW(stream.feed("{\"a\":}"), Error);
}

TEST(JsonStream, RefusesAMessageBeyondItsLimit) {
  JsonStream stream(100);
  const std::string half = R"({"a":")" + std::string(60, 'x');
  EXPECT_TRUE(stream.feed(half).empty());
  EXPECT_THROW(stream.feed(std::string(60, 'x')), Error);
  // The limit is a message's, not the stream's.
  JsonStream many(100);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(many.feed(R"({"a":"x"})").size(), 1u);
}

}  // namespace
}  // namespace virga::switching::ovs
