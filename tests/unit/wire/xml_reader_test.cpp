#include "wire/xml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace virga::wire {
namespace {

using ::testing::HasSubstr;

std::string refusal(std::string text, const XmlLimits& limits = {}) {
  try {
    XmlDocument::parse(std::move(text), limits);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::invalid_argument);
    return e.what();
  }
  return "accepted";
}

TEST(XmlReader, ResolvesNamesAndTypes) {
  const auto document = XmlDocument::parse(R"(<?xml version="1.0"?>
    <s:Envelope xmlns:s="urn:soap" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
      <s:Body><Login xmlns="urn:vim25"><name xsi:type="x:string" xmlns:x="urn:xsd">root</name>
        <none xsi:nil="true"/><outer xmlns="" xsi:type="plain"/></Login></s:Body>
    </s:Envelope>)");
  const XmlElement root = document.root();
  EXPECT_EQ(root.name(), (XmlName{"urn:soap", "Envelope"}));
  const XmlElement login = root.first_child().first_child();
  EXPECT_EQ(login.name(), (XmlName{"urn:vim25", "Login"}));
  const XmlElement name = login.child("name");
  EXPECT_EQ(name.name(), (XmlName{"urn:vim25", "name"}));
  EXPECT_EQ(name.text(), "root");
  EXPECT_EQ(name.xsi_type(), (XmlName{"urn:xsd", "string"}));
  EXPECT_FALSE(name.xsi_nil());
  EXPECT_TRUE(login.child("none").xsi_nil());
  EXPECT_EQ(login.child("outer").name(), (XmlName{"", "outer"}));
  EXPECT_EQ(login.child("outer").xsi_type(), (XmlName{"", "plain"}));
  EXPECT_FALSE(login.child("absent"));
}

TEST(XmlReader, WalksChildElementsOnly) {
  const auto document = XmlDocument::parse("<a>x<b/><!-- c --><?p i?><d/>y</a>");
  std::string seen;
  for (const XmlElement& child : document.root().children()) seen += child.local_name();
  EXPECT_EQ(seen, "bd");
}

TEST(XmlReader, TextKeepsSpacesCdataAndReferences) {
  const auto document =
      XmlDocument::parse("<a><b> </b><c>1 &lt;&#x32;<![CDATA[ <&> ]]><!-- no -->3\r\n</c><d/></a>");
  EXPECT_EQ(document.root().child("b").text(), " ");
  EXPECT_EQ(document.root().child("c").text(), "1 <2 <&> 3\n");
  EXPECT_EQ(document.root().child("d").text(), "");
}

TEST(XmlReader, ElementsStayValidWhenTheDocumentMoves) {
  auto document = XmlDocument::parse("<a><b>text</b></a>");
  const XmlElement b = document.root().first_child();
  const XmlDocument moved = std::move(document);
  EXPECT_EQ(b.text(), "text");
  EXPECT_EQ(moved.root().first_child(), b);
}

TEST(XmlReader, RefusesDocumentTypesAndEntities) {
  EXPECT_THAT(refusal("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>"), HasSubstr("document type"));
  EXPECT_THAT(refusal("<a>\n&x;</a>"), HasSubstr("line 2, byte 5: an entity"));
  EXPECT_THAT(refusal("<a>a & b</a>"), HasSubstr("an entity"));
  EXPECT_THAT(refusal("<a>&#0;</a>"), HasSubstr("an entity"));
  EXPECT_THAT(refusal("<a>&#xD800;</a>"), HasSubstr("an entity"));
  EXPECT_EQ(refusal("<a>&amp;&lt;&gt;&quot;&apos;&#9;&#x10FFFF;</a>"), "accepted");
  EXPECT_EQ(refusal("<a><![CDATA[ & <!DOCTYPE ]]><!-- & --></a>"), "accepted");
}

TEST(XmlReader, RefusesWhatIsNotOneWellFormedDocument) {
  EXPECT_THAT(refusal(""), HasSubstr("one root"));
  EXPECT_THAT(refusal("<a/><b/>"), HasSubstr("one root"));
  EXPECT_THAT(refusal("<a/>text"), HasSubstr("outside the root"));
  EXPECT_NE(refusal("<a><b></a>"), "accepted");
  EXPECT_NE(refusal("<a"), "accepted");
  EXPECT_NE(refusal("<a b=1/>"), "accepted");
  EXPECT_THAT(refusal("<a><!-- </a>"), HasSubstr("unfinished comment"));
  EXPECT_THAT(refusal("<a>\xFF</a>"), HasSubstr("byte 4: not a character"));
  EXPECT_THAT(refusal(std::string("<a>\0</a>", 8)), HasSubstr("not a character"));
  EXPECT_EQ(refusal("\xEF\xBB\xBF<a>\xE2\x82\xAC</a>\n"), "accepted");
}

TEST(XmlReader, HoldsItsLimits) {
  const XmlLimits limits{.bytes = 100, .elements = 5, .depth = 3};
  EXPECT_EQ(refusal("<a><b><c>x</c></b></a>", limits), "accepted");
  EXPECT_THAT(refusal("<a><b><c><d/></c></b></a>", limits), HasSubstr("nested deeper than 3"));
  EXPECT_THAT(refusal("<a><b/><b/><b/><b/><b/></a>", limits), HasSubstr("more than 5 elements"));
  EXPECT_THAT(refusal("<a>" + std::string(100, 'x') + "</a>", limits), HasSubstr("limit of 100"));
}

TEST(XmlReader, SurvivesDeepNesting) {
  std::string text;
  for (int i = 0; i < 500'000; ++i) text += "<a>";
  for (int i = 0; i < 500'000; ++i) text += "</a>";
  EXPECT_THAT(refusal(std::move(text)), HasSubstr("nested deeper than 100"));
}

TEST(XmlReader, NamesTheElementItRefuses) {
  const auto document = XmlDocument::parse("<a>\n<b type='x:y'/></a>");
  const XmlElement b = document.root().first_child();
  try {
    b.resolve(*b.attribute("type"));
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "XML element b at byte 6: the namespace prefix x is not declared");
  }
}

}  // namespace
}  // namespace virga::wire
