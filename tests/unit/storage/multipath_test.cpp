// Path policies: the file multipathd reads, what it answers, and a program that plays it.
#include "storage/multipath.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <fstream>

#include "../expect_error.h"
#include "base/error.h"

namespace virga::storage {
namespace {

using testing::HasSubstr;

const PathRules rules = {{"360060160557135001a2b3c4d5e6f7080", {PathPolicy::fixed, "1:0:0:4"}},
                         {"360060160557135001a2b3c4d5e6f7081", {PathPolicy::most_recent, ""}},
                         {"360060160557135001a2b3c4d5e6f7082", {PathPolicy::round_robin, ""}}};

TEST(MultipathConfig, HasAnEntryForEachMap) {
  const std::string text = multipath_config(rules);
  EXPECT_THAT(text, HasSubstr("    wwid \"360060160557135001a2b3c4d5e6f7080\"\n"
                              "    path_grouping_policy failover\n"
                              "    prio weightedpath\n"
                              "    prio_args \"hbtl ^1:0:0:4$ 100 .* 1\"\n"
                              "    failback immediate\n"));
  EXPECT_THAT(text, HasSubstr("7081\"\n    path_grouping_policy failover\n    failback manual\n"));
  EXPECT_THAT(text, HasSubstr("path_selector \"round-robin 0\"\n"));
}

std::string map_of(const std::string& wwid, const std::string& failback,
                   const std::string& groups) {
  return R"({"name": "m", "uuid": ")" + wwid + R"(", "failback": ")" + failback +
         R"(", "path_groups": [)" + groups + "]}";
}
std::string group_of(const std::string& selector, const std::string& paths) {
  return R"({"selector": ")" + selector + R"( 0", "paths": [)" + paths + "]}";
}

TEST(MultipathMaps, TellTheirPolicies) {
  const std::string one = group_of("service-time", R"({"dev": "sda"})");
  const std::string both = group_of("service-time", R"({"dev": "sda"}, {"dev": "sdb"})");
  const std::string answer =
      R"({"major_version": 0, "maps": [)" + map_of("a", "immediate", one + "," + one) + "," +
      map_of("b", "-", one + "," + one) + "," + map_of("c", "-", both) + "," +
      map_of("d", "-", group_of("round-robin", R"({"dev": "sda"})")) + "]}";
  EXPECT_EQ(parse_multipath_maps(answer), (PathRules{{"a", {PathPolicy::fixed, ""}},
                                                     {"b", {PathPolicy::most_recent, ""}},
                                                     {"c", {PathPolicy::round_robin, ""}},
                                                     {"d", {PathPolicy::round_robin, ""}}}));
  for (const char* text : {"", "[]", "{}", R"({"maps": [{}]})", R"({"maps": [{"uuid": 7}]})"})
    EXPECT_EQ(failure_of([&] { parse_multipath_maps(text); }).kind(), ErrorKind::damaged) << text;
}

// A multipathd of our own, first in PATH.
struct Multipathd : testing::Test {
  Multipathd() : path_(::getenv("PATH")) {
    std::string pattern = "/tmp/virga-multipath-XXXXXX";
    root = ::mkdtemp(pattern.data());
    ::setenv("PATH", (root.string() + ":" + path_).c_str(), 1);
  }
  ~Multipathd() override {
    ::setenv("PATH", path_.c_str(), 1);
    fs::remove_all(root);
  }
  void answers(const std::string& text) {
    write_file_atomically(root / "multipathd",
                          "#!/bin/sh\necho \"$*\" >> " + (root / "asked").string() +
                              "\ncat <<'END'\n" + text + "\nEND\n",
                          0755);
  }
  fs::path file() const { return root / "conf.d/virga.conf"; }

  fs::path root;

 private:
  const std::string path_;
};

TEST_F(Multipathd, TakesNewRulesFromItsFile) {
  answers("ok");
  enforce(rules, file());
  EXPECT_EQ(read_file(file()), multipath_config(rules));
  EXPECT_EQ(read_file(root / "asked"), "reconfigure\n");
}

TEST_F(Multipathd, KeepsItsFileWhereItTakesNone) {
  answers("ok");
  enforce({}, file());
  answers("timeout");
  const Error failure = failure_of([&] { enforce(rules, file()); });
  EXPECT_THAT(failure.what(), HasSubstr("multipathd does not take new rules: timeout"));
  EXPECT_EQ(read_file(file()), multipath_config({}));
}

TEST_F(Multipathd, IsAskedForWhatIsInForce) {
  answers(R"({"maps": [)" + map_of("a", "-", group_of("round-robin", "")) + "]}");
  EXPECT_EQ(path_rules_in_force(), (PathRules{{"a", {PathPolicy::round_robin, ""}}}));
  EXPECT_EQ(read_file(root / "asked"), "show maps json\n");
  answers("no daemon");
  EXPECT_TRUE(path_rules_in_force().empty());
}

}  // namespace
}  // namespace virga::storage
