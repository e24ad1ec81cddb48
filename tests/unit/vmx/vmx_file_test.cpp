#include "vmx/vmx_file.h"

#include <gtest/gtest.h>

#include "../expect_error.h"
#include "sample.h"

namespace virga::vmx {
namespace {

using testing::ElementsAre;

std::vector<std::string> keys(const VmxFile& file, std::string_view prefix = {}) {
  std::vector<std::string> found;
  for (const auto& entry : file.entries(prefix)) found.push_back(entry.key);
  return found;
}

class VmxSample : public testing::TestWithParam<std::string> {};

TEST_P(VmxSample, GoesOutByteForByteAsItCameIn) {
  EXPECT_EQ(sample_vmx(GetParam()).serialise(), sample(GetParam()));
}

TEST_P(VmxSample, ChangesOnlyTheLineThatIsSet) {
  VmxFile file = sample_vmx(GetParam());
  std::string expected = sample(GetParam());
  const std::string old = "displayName = \"" + file.get_or("displayname", "") + "\"";
  expected.replace(expected.find(old), old.size(), "displayName = \"renamed\"");
  file.set("DISPLAYNAME", "renamed");
  EXPECT_EQ(file.serialise(), expected);
}

INSTANTIATE_TEST_SUITE_P(Esxi, VmxSample,
                         testing::Values("esxi55.vmx", "esxi67.vmx", "esxi70.vmx"));

TEST(VmxFile, ReadsKeysOfAnyCaseAndTheLastOfDuplicates) {
  VmxFile file = sample_vmx("workstation16.vmx");
  EXPECT_EQ(file.get("MEMSIZE"), "1536");
  file.set("memsize", "2048");
  EXPECT_EQ(file.get_int("memsize"), 2048);
  EXPECT_NE(file.serialise().find("memsize = \"1024\"\r\nmemsize = \"2048\"\r\n"),
            std::string::npos);
  EXPECT_TRUE(file.erase("MemSize"));
  EXPECT_EQ(file.serialise().find("memsize"), std::string::npos);
  EXPECT_FALSE(file.erase("memsize"));
}

TEST(VmxFile, KeepsCommentsBlankLinesAndLineEnds) {
  VmxFile file = sample_vmx("workstation16.vmx");
  file.set("annotation", "new");
  const std::string text = file.serialise();
  EXPECT_TRUE(text.starts_with("#!/usr/bin/vmware\r\n"));
  EXPECT_NE(text.find("\r\n\r\n# Network of the test lab\r\n"), std::string::npos);
  EXPECT_TRUE(text.ends_with(
      "cleanShutdown = \"TRUE\"   # written at the last power-off\r\nannotation = \"new\"\r\n"));
}

TEST(VmxFile, TurnsWindows1252IntoUtf8) {
  const VmxFile file = sample_vmx("workstation16.vmx");
  EXPECT_EQ(file.get("displayName"), "B\u00fcro-PC \u2013 Test");
  EXPECT_EQ(file.get(".encoding"), "UTF-8");
  EXPECT_EQ(VmxFile::parse(file.serialise(), "again").get("displayName"), file.get("displayName"));
}

TEST(VmxFile, RefusesOtherEncodingsOnlyWhereTheyMatter) {
  const std::string head = ".encoding = \"GBK\"\n";
  EXPECT_EQ(VmxFile::parse(head + "a = \"b\"\n", "x").get("a"), "b");
  expect_error(ErrorKind::unsupported, "GBK",
               [&] { VmxFile::parse(head + "a = \"\xd6\xd0\"\n", "x"); });
  expect_error(ErrorKind::damaged, "UTF-8",
               [&] { VmxFile::parse(".encoding = \"UTF-8\"\na = \"\xd6\xd0\"\n", "x"); });
}

TEST(VmxFile, SaysItsEncodingOnceTextIsNotAscii) {
  VmxFile file = VmxFile::parse(
      "\xef\xbb\xbf"
      "a = \"1\"\n",
      "x");
  EXPECT_EQ(file.get("a"), "1");
  file.set("b", "\u00e9");
  EXPECT_EQ(file.serialise(), ".encoding = \"UTF-8\"\na = \"1\"\nb = \"\u00e9\"\n");
}

TEST(VmxFile, EscapesWhatAValueCannotHold) {
  VmxFile file;
  const std::string note = "say \"hi\" | #1\nline\ttwo \u00fc";
  file.set("annotation", note);
  EXPECT_NE(file.serialise().find("annotation = \"say |22hi|22 |7C |231|0Aline|09two \u00fc\"\n"),
            std::string::npos);
  EXPECT_EQ(VmxFile::parse(file.serialise(), "x").get("annotation"), note);
}

TEST(VmxFile, LeavesABarThatEscapesNothingAlone) {
  EXPECT_EQ(unescape_value("a|b |2 |zz |"), "a|b |2 |zz |");
  EXPECT_EQ(unescape_value("|7c|7C22"), "||22");
}

TEST(VmxFile, ReadsLooseForms) {
  const VmxFile file =
      VmxFile::parse("a=1\n  b  =  two words  # note\nc = \"#\"# note\nd=\n\t\n", "x");
  EXPECT_EQ(file.get("a"), "1");
  EXPECT_EQ(file.get("b"), "two words");
  EXPECT_EQ(file.get("c"), "#");
  EXPECT_EQ(file.get("d"), "");
}

TEST(VmxFile, NamesTheDamagedLine) {
  const auto damaged = [](const std::string& line, const std::string& why) {
    expect_error(ErrorKind::damaged, why, [&] { VmxFile::parse("a = \"1\"\n" + line, "web.vmx"); });
  };
  damaged("scsi0:0.fileName = \"we", "web.vmx, line 2: the value's quotes");
  damaged("scsi0:0.fileN", "web.vmx, line 2: no '='");
  damaged(" = \"x\"", "line 2: what stands before");
  damaged("a = \"1\" \"2\"", "line 2: the value's quotes");
  damaged("a = b\"c", "line 2: the value's quotes");
  damaged("a = \"|00\"", "line 2: a zero byte");
  damaged("a = \"|C3\"", "line 2: the value is not UTF-8");
  damaged(std::string("a = \"\0\"", 7), "line 2: a zero byte");
  damaged(std::string(2000, 'k') + " = \"1\"", "line 2: what stands before");
}

TEST(VmxFile, BoundsItsSize) {
  expect_error(ErrorKind::damaged, "larger", [] {
    VmxFile::parse("a = \"" + std::string(VmxFile::max_size, 'x') + "\"\n", "x");
  });
  std::string many;
  for (std::size_t i = 0; i <= VmxFile::max_entries; ++i) many += "k" + std::to_string(i) + "=1\n";
  expect_error(ErrorKind::damaged, "too many entries", [&] { VmxFile::parse(many, "x"); });
  VmxFile file;
  expect_error(ErrorKind::invalid_argument, "guestinfo.big",
               [&] { file.set("guestinfo.big", std::string(VmxFile::max_size, 'x')); });
  EXPECT_FALSE(file.contains("guestinfo.big"));
}

TEST(VmxFile, RefusesToSetWhatNoFileCanHold) {
  VmxFile file;
  for (const std::string key : {"", " a", "a ", "a=b", "a\"b", "a#b", "a\nb"})
    expect_error(ErrorKind::invalid_argument, "cannot be a key", [&] { file.set(key, "1"); });
  expect_error(ErrorKind::invalid_argument, "not text", [&] { file.set("a", "\xff"); });
  expect_error(ErrorKind::invalid_argument, "not text",
               [&] { file.set("a", std::string(1, '\0')); });
}

TEST(VmxFile, ReadsTypes) {
  const VmxFile file = VmxFile::parse(
      "t = \"TRUE\"\nf = \"false\"\ny = \"Yes\"\ne = \"\"\nn = \" -12 \"\nbad = \"maybe\"\n",
      "x.vmx");
  EXPECT_EQ(file.get_bool("t"), true);
  EXPECT_EQ(file.get_bool("f"), false);
  EXPECT_EQ(file.get_bool("y"), true);
  EXPECT_EQ(file.get_bool("e"), std::nullopt);
  EXPECT_EQ(file.get_bool("none"), std::nullopt);
  EXPECT_EQ(file.get_int("n"), -12);
  expect_error(ErrorKind::damaged, "x.vmx: bad = \"maybe\"", [&] { file.get_bool("bad"); });
  expect_error(ErrorKind::damaged, "bad", [&] { file.get_int("bad"); });
}

TEST(VmxFile, FindsAndErasesByPrefix) {
  VmxFile file = sample_vmx("esxi70.vmx");
  EXPECT_THAT(keys(file, "NVME0"),
              ElementsAre("nvme0.present", "nvme0:0.fileName", "nvme0:0.present"));
  EXPECT_EQ(file.erase_prefix("ethernet1."), 6u);
  EXPECT_THAT(keys(file, "ethernet1"), ElementsAre());
  EXPECT_EQ(file.get("ethernet0.virtualDev"), "e1000e");
}

TEST(VmxFile, StartsWithItsEncoding) {
  EXPECT_EQ(VmxFile().serialise(), ".encoding = \"UTF-8\"\n");
}

}  // namespace
}  // namespace virga::vmx
