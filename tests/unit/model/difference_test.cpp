#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/property_path.h"
#include "vim/types.h"

namespace virga::model {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using vim::VirtualMachineProperties;
using Machine = VirtualMachineProperties;

Machine machine() {
  Machine vm;
  vm.name = "web01";
  vm.network = {{"Network", "net-1"}};
  vm.summary.edit().runtime.powerState = vim::VirtualMachinePowerState::poweredOff;
  vm.summary.edit().config.name = "web01";
  auto& config = vm.config.edit();
  config.annotation = "first";
  for (const int key : {2000, 4000}) {
    vim::VirtualE1000 nic;
    nic.key = key;
    nic.connectable.edit().connected = false;
    config.hardware.device.push_back(share(nic));
  }
  return vm;
}

vim::VirtualHardware& hardware(Machine& vm) {
  return vm.config.edit().hardware;
}

// Changes as "op path", in order.
std::vector<std::string> changes(const Machine& before, const Machine& after,
                                 std::string_view path = "") {
  static constexpr const char* kNames[] = {"add", "remove", "assign", "indirectRemove"};
  std::vector<std::string> lines;
  for (const Change& change : difference(share(before).data(), share(after).data(), path)) {
    lines.push_back(std::string(kNames[static_cast<int>(change.op)]) + " " + change.path);
  }
  return lines;
}

TEST(Difference, IsEmptyForEqualSnapshots) {
  const Machine before = machine();
  EXPECT_THAT(changes(before, before), IsEmpty());
  EXPECT_THAT(changes(before, machine()), IsEmpty());
}

TEST(Difference, NamesTheChangedLeaf) {
  Machine before = machine();
  Machine after = before;
  after.name = "web02";
  after.summary.edit().runtime.powerState = vim::VirtualMachinePowerState::poweredOn;
  EXPECT_THAT(changes(before, after),
              ElementsAre("assign name", "assign summary.runtime.powerState"));
  const auto list = difference(share(before).data(), share(after).data(), "name");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(*list[0].value.get<std::string>(), "web02");
}

TEST(Difference, SaysWhenAnOptionalAppearsAndGoes) {
  Machine before = machine();
  Machine after = before;
  after.guest.edit().hostName = "host";
  EXPECT_THAT(changes(before, after), ElementsAre("assign guest"));
  EXPECT_THAT(changes(after, before), ElementsAre("indirectRemove guest"));
  EXPECT_THAT(changes(after, before, "guest.hostName"),
              ElementsAre("indirectRemove guest.hostName"));

  after = before;
  after.config.edit().annotation.reset();
  EXPECT_THAT(changes(before, after), ElementsAre("indirectRemove config.annotation"));
}

TEST(Difference, AssignsAnObjectThatChangedItsType) {
  Machine before = machine();
  Machine after = before;
  vim::VirtualPCNet32 nic;
  nic.key = 4000;
  hardware(after).device.replace(1, share(nic));
  EXPECT_THAT(changes(before, after), ElementsAre("assign config.hardware.device[4000]"));
}

TEST(Difference, NamesElementsByKey) {
  Machine before = machine();
  Machine after = before;
  auto nic = hardware(after).device[1];
  nic.edit().connectable.edit().connected = true;
  hardware(after).device.replace(1, nic);
  EXPECT_THAT(changes(before, after),
              ElementsAre("assign config.hardware.device[4000].connectable.connected"));
}

TEST(Difference, AddsAndRemovesElements) {
  Machine before = machine();
  Machine after = before;
  hardware(after).device.erase_if([](const vim::VirtualDevice& d) { return d.key == 2000; });
  vim::VirtualDisk disk;
  disk.key = 2001;
  hardware(after).device.push_back(share(disk));
  EXPECT_THAT(changes(before, after), ElementsAre("remove config.hardware.device[2000]",
                                                  "add config.hardware.device[2001]"));
  const auto list = difference(share(before).data(), share(after).data(), "config.hardware");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_FALSE(list[0].value);
  EXPECT_NE(list[1].value.get<vim::VirtualDisk>(), nullptr);
}

TEST(Difference, QuotesStringKeys) {
  Machine before = machine();
  for (const char* key : {"a", "b"}) before.config.edit().extraConfig.emplace_back().key = key;
  Machine after = before;
  auto option = after.config->extraConfig[1];
  option.edit().value = any(std::string("new"));
  after.config.edit().extraConfig.replace(1, option);
  EXPECT_THAT(changes(before, after), ElementsAre("assign config.extraConfig[\"b\"].value"));
}

TEST(Difference, AssignsTheWholeArrayWhereKeysDoNotTellTheChange) {
  Machine before = machine();
  Machine swapped = before;
  hardware(swapped).device.replace(0, before.config->hardware.device[1]);
  hardware(swapped).device.replace(1, before.config->hardware.device[0]);
  EXPECT_THAT(changes(before, swapped), ElementsAre("assign config.hardware.device"));

  Machine inserted = machine();
  hardware(inserted).device.clear();
  for (const int key : {1, 2000, 4000}) {
    hardware(inserted).device.emplace_back().key = key;
  }
  EXPECT_THAT(changes(before, inserted), ElementsAre("assign config.hardware.device"));

  Machine twice = before;
  hardware(twice).device.push_back(before.config->hardware.device[0]);
  EXPECT_THAT(changes(before, twice), ElementsAre("assign config.hardware.device"));
}

TEST(Difference, AssignsArraysWithoutKeysWhole) {
  Machine before = machine();
  Machine after = before;
  after.network.push_back({"Network", "net-2"});
  EXPECT_THAT(changes(before, after), ElementsAre("assign network"));
  after.network.clear();
  const auto list = difference(share(before).data(), share(after).data(), "");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].op, Change::Op::assign);
  ASSERT_NE(list[0].value.get<Array<MoRef>>(), nullptr);
  EXPECT_TRUE(list[0].value.get<Array<MoRef>>()->empty());
}

TEST(Difference, AssignsAnArrayThatHadOrHasNoElements) {
  Machine before = machine();
  Machine after = before;
  hardware(after).device.clear();
  EXPECT_THAT(changes(before, after), ElementsAre("assign config.hardware.device"));
  EXPECT_THAT(changes(after, before), ElementsAre("assign config.hardware.device"));
}

TEST(Difference, LooksOnlyAtAndBelowThePath) {
  Machine before = machine();
  Machine after = before;
  after.name = "web02";
  after.summary.edit().config.name = "web02";
  after.summary.edit().runtime.powerState = vim::VirtualMachinePowerState::poweredOn;
  EXPECT_THAT(changes(before, after, "summary.runtime"),
              ElementsAre("assign summary.runtime.powerState"));
  EXPECT_THAT(changes(before, after, "summary.config.name"),
              ElementsAre("assign summary.config.name"));
  EXPECT_THAT(changes(before, after, "config"), IsEmpty());
  EXPECT_THAT(changes(before, after, "guest.hostName"), IsEmpty());
}

TEST(Difference, FollowsAnElementOfAnArray) {
  Machine before = machine();
  Machine after = before;
  hardware(after).device.erase_if([](const vim::VirtualDevice& d) { return d.key == 2000; });
  EXPECT_THAT(changes(before, after, "config.hardware.device[4000]"), IsEmpty());
  EXPECT_THAT(changes(before, after, "config.hardware.device[2000]"),
              ElementsAre("indirectRemove config.hardware.device[2000]"));
  EXPECT_THAT(changes(after, before, "config.hardware.device[2000].connectable"),
              ElementsAre("assign config.hardware.device[2000].connectable"));
}

}  // namespace
}  // namespace virga::model
