#include "vmx/datastore_path.h"

#include <gtest/gtest.h>

#include "../expect_error.h"
#include "vmx/text.h"

namespace virga::vmx {
namespace {

TEST(DatastorePath, ReadsEveryFormClientsSend) {
  const DatastorePath file("datastore1", "web01/web01.vmx");
  for (const std::string_view text :
       {"[datastore1] web01/web01.vmx", "[datastore1]web01/web01.vmx",
        "[datastore1]  web01//web01.vmx", "[datastore1] ./web01/./web01.vmx"})
    EXPECT_EQ(DatastorePath::parse(text), file) << text;
  for (const std::string_view text : {"[datastore1]", "[datastore1] ", "[datastore1] ."})
    EXPECT_TRUE(DatastorePath::parse(text).is_root()) << text;
  EXPECT_EQ(DatastorePath::parse("[datastore1] web01/"), DatastorePath("datastore1", "web01"));
}

TEST(DatastorePath, WritesWhatItReads) {
  EXPECT_EQ(DatastorePath::parse("[a b] c d/e.vmdk").format(), "[a b] c d/e.vmdk");
  EXPECT_EQ(DatastorePath::parse("[a b]").format(), "[a b]");
  EXPECT_EQ(DatastorePath::parse("[a b] c/d/").format_folder(), "[a b] c/d/");
  EXPECT_EQ(DatastorePath::parse("[a b]").format_folder(), "[a b]");
}

TEST(DatastorePath, TakesItselfApart) {
  const DatastorePath path("ds", "web01/disks/Web01.2.VMDK");
  EXPECT_EQ(path.name(), "Web01.2.VMDK");
  EXPECT_EQ(path.stem(), "Web01.2");
  EXPECT_EQ(path.extension(), ".vmdk");
  EXPECT_EQ(path.parent().path(), "web01/disks");
  EXPECT_EQ(path.sibling("x.iso").path(), "web01/disks/x.iso");
  EXPECT_EQ(path.parent().parent().parent(), DatastorePath("ds", ""));
  EXPECT_TRUE(path.parent().parent().parent().parent().is_root());
  EXPECT_EQ(DatastorePath("ds", ".hidden").stem(), ".hidden");
  EXPECT_EQ(DatastorePath("ds", ".hidden").extension(), "");
  EXPECT_EQ((DatastorePath("ds", "") / "a/b").path(), "a/b");
}

TEST(DatastorePath, KnowsWhatLiesWithin) {
  const DatastorePath folder("ds", "web");
  EXPECT_TRUE(DatastorePath("ds", "web/a").is_within(folder));
  EXPECT_TRUE(folder.is_within(folder));
  EXPECT_FALSE(DatastorePath("ds", "web01/a").is_within(folder));
  EXPECT_FALSE(DatastorePath("other", "web/a").is_within(folder));
  EXPECT_TRUE(folder.is_within(DatastorePath("ds", "")));
}

TEST(DatastorePath, RefusesWhatCouldLeadOut) {
  const auto refuse = [](std::string_view text, const std::string& why) {
    expect_error(ErrorKind::invalid_argument, why, [&] { DatastorePath::parse(text); });
  };
  refuse("[ds] ../etc/passwd", "leads upwards");
  refuse("[ds] a/../../b", "leads upwards");
  refuse("[ds] a/..", "leads upwards");
  refuse("[ds] /etc/passwd", "absolute");
  refuse(std::string_view("[ds] a\0b", 8), "control character");
  refuse("[ds] a\nb", "control character");
  refuse("[ds] a\x7f", "control character");
  refuse("[ds] a\xff", "not UTF-8");
  refuse("", "in brackets");
  refuse("ds/a", "in brackets");
  refuse("[ds", "in brackets");
  refuse("[] a", "no name");
  refuse("[ ds] a", "no name");
  refuse("[a/b] a", "no datastore's name may");
  refuse("[ds] " + std::string(256, 'a'), "component that is too long");
  refuse("[" + std::string(81, 'a') + "] b", "too long");
  std::string deep = "[ds] ";
  for (int i = 0; i < 1100; ++i) deep += "a/";
  refuse(deep, "too long");
}

TEST(DatastorePath, RefusesToBeJoinedUpwards) {
  const DatastorePath folder("ds", "a");
  expect_error(ErrorKind::invalid_argument, "upwards", [&] { folder / "../b"; });
  expect_error(ErrorKind::invalid_argument, "absolute", [&] { folder / "/b"; });
}

TEST(Text, TellsUtf8) {
  EXPECT_TRUE(is_utf8("a\u00e9\u20ac\U0001f600"));
  for (const std::string_view bad :
       {"\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xf8\x88\x80\x80\x80"})
    EXPECT_FALSE(is_utf8(bad));
}

}  // namespace
}  // namespace virga::vmx
