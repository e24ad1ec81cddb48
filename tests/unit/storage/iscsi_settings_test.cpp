#include "storage/iscsi/settings.h"

#include <gtest/gtest.h>

#include "../expect_error.h"

namespace virga::storage {
namespace {

IscsiSettings sample() {
  IscsiSettings settings;
  settings.enabled = true;
  settings.name = "iqn.1993-08.org.debian:01:0123456789ab";
  settings.alias = "host";
  settings.authentication.initiator = {Chap::preferred, "alice", "alicesecret12"};
  settings.authentication.target = {Chap::required, "target", "targetsecret1"};
  settings.header_digest = true;
  settings.login_timeout = 9;
  IscsiOverrides overrides;
  overrides.initiator = {Chap::required, "bob", "bobsecret1234"};
  overrides.target = ChapCredentials{};
  overrides.header_digest = false;
  settings.portals = {{{"10.0.0.5", 3260}, {}}};
  settings.targets = {{{"fd00::5", 3261}, "iqn.2003-01.org.example:one", overrides}};
  settings.set_path_enabled("iqn.2003-01.org.example:one", "[fd00::5]:3261", false);
  return settings;
}

void refuse(const std::string& part, IscsiSettings settings) {
  expect_error(ErrorKind::invalid_argument, part, [&] { check(settings); });
}

TEST(IscsiSettings, SurviveTheirText) {
  EXPECT_NO_THROW(check(sample()));
  EXPECT_EQ(parse_iscsi_settings(to_text(sample())), sample());
  expect_error(ErrorKind::damaged, "iSCSI settings", [] { parse_iscsi_settings("{}"); });
}

TEST(IscsiSettings, NamesFollowTheStandard) {
  for (const char* good : {"iqn.2003-01.org.example", "iqn.2003-01.org.example:a.b-c:d",
                           "eui.02004567A425678D", "naa.52004567BA64678D"})
    EXPECT_NO_THROW(check_iscsi_name(good)) << good;
  for (const char* bad : {"", "host", "iqn.2003.org.example", "iqn.2003-01.:x", "eui.0200",
                          "iqn.2003-01.org.example:a b", "naa.5200456xBA64678D"})
    expect_error(ErrorKind::invalid_argument, bad, [&] { check_iscsi_name(bad); });
  expect_error(ErrorKind::invalid_argument, "iqn.",
               [] { check_iscsi_name("iqn.2003-01.org.example:" + std::string(220, 'x')); });
}

TEST(IscsiSettings, CredentialsAreWhole) {
  IscsiSettings settings = sample();
  settings.authentication.initiator.secret.clear();
  refuse("'alice' has no secret", settings);
  settings = sample();
  settings.authentication.initiator.use = Chap::prohibited;
  refuse("mutual CHAP needs CHAP", settings);
  settings = sample();
  settings.authentication.target.secret = settings.authentication.initiator.secret;
  refuse("two different secrets", settings);
  settings = sample();
  settings.targets[0].overrides.initiator->name = std::string(256, 'x');
  refuse("longer than 255", settings);
}

TEST(IscsiSettings, PortalsAndTimesAreInRange) {
  IscsiSettings settings = sample();
  settings.portals[0].portal.address = "10.0.0.5/24";
  refuse("10.0.0.5/24", settings);
  settings = sample();
  settings.portals[0].portal.port = 0;
  refuse("port 0", settings);
  settings = sample();
  settings.login_timeout = 61;
  refuse("LoginTimeout 61", settings);
}

TEST(IscsiSettings, TargetsInheritWhatTheyDoNotSet) {
  const IscsiSettings settings = sample();
  const IscsiPortal portal{"10.0.0.5", 3260};
  const IscsiLogin plain = login_for(settings, portal, "iqn.x", {});
  EXPECT_EQ(plain.initiator, settings.name);
  EXPECT_EQ(plain.authentication, settings.authentication);
  EXPECT_TRUE(plain.header_digest);
  EXPECT_EQ(plain.timeout, 9);
  const IscsiLogin own = login_for(settings, portal, "iqn.x", settings.targets[0].overrides);
  EXPECT_EQ(own.authentication.initiator.name, "bob");
  EXPECT_EQ(own.authentication.target.use, Chap::prohibited);
  EXPECT_FALSE(own.header_digest);
  IscsiOverrides found_by;
  found_by.initiator = ChapCredentials{Chap::required, "carol", "carolsecret12"};
  const IscsiLogin both = login_for(settings, portal, "iqn.x", {}, found_by);
  EXPECT_EQ(both.authentication.initiator.name, "carol");
  EXPECT_EQ(both.authentication.target.name, "target");
}

TEST(IscsiSettings, PortalsAsText) {
  EXPECT_EQ((IscsiPortal{"10.0.0.5", 3260}).text(), "10.0.0.5:3260");
  EXPECT_EQ((IscsiPortal{"fd00::5", 860}).text(), "[fd00::5]:860");
}

}  // namespace
}  // namespace virga::storage
