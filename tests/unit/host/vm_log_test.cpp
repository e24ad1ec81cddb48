#include "host/vm_log.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/uuid.h"
#include "datastore/browse.h"

namespace virga::host {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct VmLogTest : testing::Test {
  fs::path root = fs::path(testing::TempDir()) / ("log-" + make_uuid());
  datastore::Location config_file;
  LogPolicy policy;

  VmLogTest() {
    fs::create_directories(root / "web");
    config_file = {std::make_shared<const datastore::Datastore>("ds", root), "web/web.vmx"};
  }
  ~VmLogTest() override { fs::remove_all(root); }

  std::vector<std::string> logs() const { return datastore::file_names(config_file.parent()); }
  std::string text(const std::string& name) const {
    return read_file(root / "web" / name, 1 << 20);
  }
};

TEST_F(VmLogTest, NumbersAreReadAsTheyAreWritten) {
  EXPECT_EQ(log_number("vmware-1.log"), 1);
  EXPECT_EQ(log_number("vmware-210.log"), 210);
  for (const char* other : {"vmware.log", "vmware-.log", "vmware-01.log", "vmware-1.log.gz",
                            "vmware--1.log", "vmware-99999999999.log", "VMWARE-1.LOG"})
    EXPECT_EQ(log_number(other), std::nullopt) << other;
}

TEST_F(VmLogTest, KeepsTheLogsOfEarlierRuns) {
  policy.keep_old = 2;
  for (int run = 1; run <= 4; ++run) {
    rotate_log(config_file, policy);
    append_log(config_file, policy, fmt::format("run {}", run));
  }
  EXPECT_THAT(logs(), ElementsAre("vmware-2.log", "vmware-3.log", "vmware.log"));
  EXPECT_THAT(text("vmware-2.log"), HasSubstr("run 2"));
  EXPECT_THAT(text("vmware-3.log"), HasSubstr("run 3"));
  EXPECT_THAT(text("vmware.log"), HasSubstr("run 4"));
}

TEST_F(VmLogTest, BeginsANewOneWhenItIsLarge) {
  policy.rotate_size = 100;
  append_log(config_file, policy, std::string(100, 'x'));
  append_log(config_file, policy, "short");
  EXPECT_THAT(logs(), ElementsAre("vmware-1.log", "vmware.log"));
  EXPECT_THAT(text("vmware.log"), HasSubstr("short"));
}

TEST_F(VmLogTest, KeepsNoneAndWritesNoneWhenSoAsked) {
  append_log(config_file, policy, "old");
  policy.keep_old = 0;
  rotate_log(config_file, policy);
  EXPECT_THAT(logs(), ElementsAre());
  policy.enabled = false;
  append_log(config_file, policy, "new");
  EXPECT_THAT(logs(), ElementsAre());
}

TEST_F(VmLogTest, TheConfigurationSaysHowMany) {
  vmx::MachineConfig config;
  EXPECT_EQ(log_policy(config).keep_old, 6);
  EXPECT_EQ(log_policy(config).rotate_size, 0u);
  EXPECT_TRUE(log_policy(config).enabled);
  config.extra = {{"vmx.log.keepOld", "10"}, {"log.rotateSize", "2048000"}, {"logging", "false"}};
  EXPECT_EQ(log_policy(config).keep_old, 10);
  EXPECT_EQ(log_policy(config).rotate_size, 2'048'000u);
  EXPECT_FALSE(log_policy(config).enabled);
  config.extra = {{"log.keepOld", "many"}, {"log.rotateSize", "-1"}};
  EXPECT_EQ(log_policy(config).keep_old, 6);
  EXPECT_EQ(log_policy(config).rotate_size, 0u);
}

}  // namespace
}  // namespace virga::host
