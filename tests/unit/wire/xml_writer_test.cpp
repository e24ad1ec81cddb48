#include "wire/xml_writer.h"

#include <gtest/gtest.h>

#include <limits>

#include "wire/xml_reader.h"

namespace virga::wire {
namespace {

std::string text_of(std::string_view value) {
  XmlWriter xml;
  xml.element("a", value);
  return std::move(xml).take();
}

TEST(XmlWriter, WritesElementsAttributesAndEmptyElements) {
  XmlWriter xml(1);
  xml.declaration();
  xml.start("a");
  xml.attribute("xsi:type", "B");
  xml.attribute("c", "");
  xml.start("d");
  xml.end("d");
  xml.element("e", "text");
  xml.start("f");
  xml.raw("<g/>");
  xml.end("f");
  xml.end("a");
  EXPECT_EQ(std::move(xml).take(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<a xsi:type=\"B\" c=\"\"><d/><e>text</e><f><g/></f></a>");
}

TEST(XmlWriter, AnEmptyTextLeavesAnElementWithoutContent) {
  EXPECT_EQ(text_of(""), "<a></a>");
}

TEST(XmlWriter, EscapesMarkupInTextAndWhiteSpaceInAttributes) {
  EXPECT_EQ(text_of("a<b>&\"c'\r\n\t"), "<a>a&lt;b&gt;&amp;\"c'&#13;\n\t</a>");
  XmlWriter xml;
  xml.start("a");
  xml.attribute("b", "<\"&\r\n\t'>");
  xml.end("a");
  EXPECT_EQ(std::move(xml).take(), "<a b=\"&lt;&quot;&amp;&#13;&#10;&#9;'&gt;\"/>");
}

TEST(XmlWriter, ReplacesWhatXmlForbids) {
  EXPECT_EQ(text_of(std::string_view("\0\x01\x1f\x7f", 4)),
            "<a>\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\x7f</a>");
  EXPECT_EQ(text_of("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"),
            "<a>\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80</a>");
  EXPECT_EQ(text_of("\xC3"), "<a>\xEF\xBF\xBD</a>");                  // cut off
  EXPECT_EQ(text_of("\xC0\xAF"), "<a>\xEF\xBF\xBD\xEF\xBF\xBD</a>");  // overlong
  EXPECT_EQ(text_of("\xEF\xBF\xBF"
                    "b")
                .find("\xEF\xBF\xBF"),
            std::string::npos);                                            // U+FFFF
  EXPECT_EQ(text_of("\xED\xA0\x80").find('\xED'), std::string::npos);      // a surrogate
  EXPECT_EQ(text_of("\xF4\x90\x80\x80").find('\xF4'), std::string::npos);  // beyond Unicode
}

TEST(XmlWriter, WhateverItWritesReadsBackTheSame) {
  std::string all;
  for (int round = 0; round < 300; ++round)
    all += "plain text & <markup> \xE2\x82\xAC \"quoted\"\n";
  XmlWriter xml(8);
  xml.start("root");
  xml.attribute("value", all);
  xml.text(all);
  xml.end("root");
  const auto document = XmlDocument::parse(std::move(xml).take());
  EXPECT_EQ(document.root().text(), all);
  EXPECT_EQ(document.root().attribute("value"), all);
}

TEST(XmlWriter, WritesTheLexicalFormsOfNumbers) {
  XmlWriter xml(1);
  const auto space = [&] { xml.raw(" "); };
  xml.integer(std::numeric_limits<std::int64_t>::min()), space();
  xml.unsigned_integer(std::numeric_limits<std::uint64_t>::max()), space();
  xml.boolean(true), space();
  xml.boolean(false), space();
  xml.real(0.1), space();
  xml.real(0.1f), space();
  xml.real(1e300), space();
  xml.real(std::numeric_limits<double>::infinity()), space();
  xml.real(-std::numeric_limits<double>::infinity()), space();
  xml.real(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(std::move(xml).take(),
            "-9223372036854775808 18446744073709551615 true false 0.1 0.1 1e+300 INF -INF NaN");
}

}  // namespace
}  // namespace virga::wire
