#include "model/property_path.h"

#include <gtest/gtest.h>

#include "vim/types.h"

namespace virga::model {
namespace {

using vim::VirtualMachineProperties;

TEST(ParsePath, ReadsNamesAndKeys) {
  const auto path = parse_path("config.hardware.device[4000].backing");
  ASSERT_TRUE(path);
  ASSERT_EQ(path->size(), 4u);
  EXPECT_EQ((*path)[0].name, "config");
  EXPECT_EQ((*path)[0].key, std::nullopt);
  EXPECT_EQ((*path)[2].name, "device");
  EXPECT_EQ((*path)[2].key, "4000");
  EXPECT_EQ((*path)[3].name, "backing");
}

TEST(ParsePath, ReadsQuotedKeys) {
  const auto path = parse_path("extraConfig[\"a.b[1] \\\"c\"].value");
  ASSERT_TRUE(path);
  EXPECT_EQ((*path)[0].key, "a.b[1] \\\"c");
  EXPECT_EQ((*path)[1].name, "value");
  EXPECT_EQ(parse_path("value[\"\"]")->front().key, "");
}

TEST(ParsePath, RefusesTheRest) {
  for (const char* text : {"", ".", "a.", ".a", "a..b", "a b", "a[", "a[]", "a[\"x]", "a[1]b",
                           "a[1][2]", "[1]", "a/b", "a[1].", "ä"}) {
    EXPECT_EQ(parse_path(text).has_value(), false) << text;
  }
}

bool exists(std::string_view path) {
  return path_exists(VirtualMachineProperties::static_type(), *parse_path(path));
}

TEST(PathExists, FollowsFieldsOfObjects) {
  EXPECT_TRUE(exists("name"));
  EXPECT_TRUE(exists("config"));
  EXPECT_TRUE(exists("summary.runtime.powerState"));
  EXPECT_TRUE(exists("config.hardware.device"));
  EXPECT_TRUE(exists("config.hardware.device[4000]"));
  EXPECT_TRUE(exists("config.hardware.device[4000].connectable.connected"));
  EXPECT_FALSE(exists("nonsense"));
  EXPECT_FALSE(exists("config.nonsense"));
  EXPECT_FALSE(exists("name.length"));
  EXPECT_FALSE(exists("resourcePool.owner"));
}

TEST(PathExists, CountsFieldsOfDerivedTypes) {
  EXPECT_TRUE(exists("config.hardware.device[2000].capacityInKB"));
  EXPECT_TRUE(exists("config.hardware.device[4000].backing.deviceName"));
  EXPECT_FALSE(exists("config.hardware.device[4000].backing.nonsense"));
  EXPECT_FALSE(path_exists(vim::ManagedEntityProperties::static_type(), *parse_path("runtime")));
}

TEST(PathExists, WantsABracketOnArraysOnly) {
  EXPECT_FALSE(exists("config.hardware.device.key"));
  EXPECT_FALSE(exists("config[1].name"));
  EXPECT_FALSE(exists("network[1]"));
  EXPECT_FALSE(exists("disabledMethod[1]"));
}

TEST(PathExists, CannotTellBeyondAnAnyType) {
  EXPECT_TRUE(exists("config.extraConfig[\"a\"].value"));
  EXPECT_TRUE(exists("config.extraConfig[\"a\"].value.anything"));
}

DataPtr virtual_machine() {
  VirtualMachineProperties vm;
  vm.name = "web01";
  vm.network = {{"Network", "net-1"}, {"Network", "net-2"}};
  vm.runtime.edit().powerState = vim::VirtualMachinePowerState::poweredOn;
  auto& config = vm.config.edit();
  vim::VirtualE1000 nic;
  nic.key = 4000;
  nic.connectable.edit().connected = true;
  vim::VirtualDisk disk;
  disk.key = 2000;
  disk.capacityInKB = 1024;
  config.hardware.device.push_back(share(disk));
  config.hardware.device.push_back(share(nic));
  auto& option = config.extraConfig.emplace_back();
  option.key = "guestinfo.a";
  option.value = any(std::string("b"));
  return share(vm).data();
}

Any at(std::string_view path) {
  return resolve(virtual_machine(), *parse_path(path));
}

TEST(Resolve, FindsValuesAtAnyDepth) {
  EXPECT_EQ(*at("name").get<std::string>(), "web01");
  EXPECT_EQ(*at("runtime.powerState").get<vim::VirtualMachinePowerState>(),
            vim::VirtualMachinePowerState::poweredOn);
  EXPECT_EQ(at("network").get<Array<MoRef>>()->size(), 2u);
  EXPECT_EQ(at("config.hardware.device").get<List<vim::VirtualDevice>>()->size(), 2u);
  EXPECT_EQ(at("config.hardware.device[4000]").get<vim::VirtualE1000>()->key, 4000);
  EXPECT_EQ(*at("config.hardware.device[4000].connectable.connected").get<bool>(), true);
  EXPECT_EQ(*at("config.hardware.device[2000].capacityInKB").get<std::int64_t>(), 1024);
  EXPECT_EQ(*at("config.extraConfig[\"guestinfo.a\"].value").get<std::string>(), "b");
}

TEST(Resolve, HasNothingWhereNothingIsSet) {
  EXPECT_FALSE(at("guest"));
  EXPECT_FALSE(at("guest.hostName"));
  EXPECT_FALSE(at("parent"));
  EXPECT_FALSE(at("datastore"));
  EXPECT_FALSE(at("nonsense"));
  EXPECT_FALSE(at("config.hardware.device[5]"));
  EXPECT_FALSE(at("config.hardware.device[4000].capacityInKB"));
  EXPECT_FALSE(at("config.hardware.device.key"));
  EXPECT_FALSE(at("network[0]"));
  EXPECT_FALSE(resolve({}, *parse_path("name")));
}

TEST(Resolve, KeepsTheObjectAlive) {
  const Any connected = at("config.hardware.device[4000].connectable.connected");
  EXPECT_TRUE(*connected.get<bool>());  // the machine itself is gone by now
}

}  // namespace
}  // namespace virga::model
