#include "base/base64.h"

#include <gtest/gtest.h>

namespace virga {
namespace {

TEST(Base64, AgreesWithTheExamplesOfRfc4648) {
  const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
}

TEST(Base64, SkipsWhiteSpaceAndRefusesTheRest) {
  EXPECT_EQ(base64_decode(" Zm9v\n YmFy\t"), "foobar");
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zg===", "Zg=a", "Zm9v=", "Zm9v!", "====", "Zg==Zg=="}) {
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace virga
