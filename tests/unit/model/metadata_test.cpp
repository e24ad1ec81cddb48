#include "model/metadata.h"

#include <gtest/gtest.h>

#include "model/value_ops.h"
#include "vim/types.h"

namespace virga::model {
namespace {

TEST(Version, ReadsWhatClientsSend) {
  EXPECT_EQ(parse_version("6.7"), (Version{{6, 7, 0, 0}}));
  EXPECT_EQ(parse_version("6.9.1"), (Version{{6, 9, 1, 0}}));
  EXPECT_EQ(parse_version("7.0.3.0"), (Version{{7, 0, 3, 0}}));
  EXPECT_EQ(parse_version("urn:vim25/6.7.3"), (Version{{6, 7, 3, 0}}));
  EXPECT_EQ(parse_version("2.5u2"), (Version{{2, 5, 0, 2}}));
}

TEST(Version, OrdersAsTheApiGrew) {
  const std::vector<std::string_view> history = {
      "2.0",   "2.5",   "2.5u2", "2.5u2server", "4.0",     "4.1",     "6.7",
      "6.7.1", "6.8.7", "6.9.1", "7.0.0.0",     "7.0.0.2", "7.0.3.0", "8.0"};
  for (std::size_t i = 1; i < history.size(); ++i) {
    EXPECT_LT(*parse_version(history[i - 1]), *parse_version(history[i])) << history[i];
  }
}

TEST(Version, RefusesEverythingElse) {
  for (const char* text :
       {"", "x", "6.", ".7", "6..7", "6.7x", "1.2.3.4.5", "256.0", "-1", "6.7 ", "urn:vim25",
        "urn:vim25/", "2.5u", "2.5u2s", "2.5u2serverx", "6.7.", "u2"}) {
    EXPECT_EQ(parse_version(text), std::nullopt) << text;
  }
}

TEST(FindValueType, KnowsBuiltInsEnumsObjectsAndTheirArrays) {
  EXPECT_EQ(find_value_type("int"), &builtin::int_);
  EXPECT_EQ(find_value_type("xsd:int"), &builtin::int_);
  EXPECT_EQ(find_value_type("xsd:base64Binary"), &builtin::binary);
  EXPECT_EQ(find_value_type("ManagedObjectReference"), &builtin::reference);
  EXPECT_EQ(find_value_type("ArrayOfString"), &builtin::array_of_string);
  EXPECT_EQ(find_value_type("ArrayOfManagedObjectReference"), &builtin::array_of_reference);
  EXPECT_EQ(find_value_type("VirtualMachinePowerState"),
            &value_type<vim::VirtualMachinePowerState>());
  EXPECT_EQ(find_value_type("ArrayOfVirtualMachinePowerState"),
            &value_type<Array<vim::VirtualMachinePowerState>>());
  EXPECT_EQ(find_value_type("VirtualDisk"), &value_type<vim::VirtualDisk>());
  EXPECT_EQ(find_value_type("ArrayOfVirtualDevice"), &value_type<List<vim::VirtualDevice>>());
  EXPECT_EQ(find_value_type("ArrayOfNothing"), nullptr);
  EXPECT_EQ(find_value_type("xsd:VirtualDisks"), nullptr);
  EXPECT_EQ(find_value_type(""), nullptr);
}

TEST(Any, ReadsOnlyAsWhatItHolds) {
  const Any number = any(std::int32_t{5});
  ASSERT_NE(number.get<std::int32_t>(), nullptr);
  EXPECT_EQ(*number.get<std::int32_t>(), 5);
  EXPECT_EQ(number.get<std::int64_t>(), nullptr);
  EXPECT_EQ(number.get<std::string>(), nullptr);
  EXPECT_EQ(Any().get<bool>(), nullptr);
}

TEST(Any, ReadsDataObjectsAsTheirBasesToo) {
  vim::VirtualDisk disk;
  disk.key = 2000;
  const Any value = any(disk);
  EXPECT_EQ(value.type()->name, "VirtualDisk");
  ASSERT_NE(value.get<vim::VirtualDevice>(), nullptr);
  EXPECT_EQ(value.get<vim::VirtualDevice>()->key, 2000);
  EXPECT_EQ(value.get<vim::VirtualCdrom>(), nullptr);
}

TEST(Any, HoldsEnumsAndLists) {
  const Any state = any(vim::VirtualMachinePowerState::poweredOn);
  EXPECT_EQ(*state.get<vim::VirtualMachinePowerState>(), vim::VirtualMachinePowerState::poweredOn);
  List<vim::VirtualDevice> devices;
  devices.push_back(share(vim::VirtualDisk{}));
  EXPECT_EQ(any(devices).get<List<vim::VirtualDevice>>()->size(), 1u);
}

TEST(Any, ComparesByValue) {
  EXPECT_EQ(any(std::string("a")), any(std::string("a")));
  EXPECT_FALSE(any(std::string("a")) == any(std::string("b")));
  EXPECT_FALSE(any(std::int32_t{1}) == any(std::int64_t{1}));
  EXPECT_FALSE(any(std::int32_t{1}) == Any());
  EXPECT_EQ(Any(), Any());
}

TEST(Any, OfAFieldSharesTheObject) {
  vim::VirtualMachineSummary summary;
  summary.config.name = "web01";
  const DataPtr object = share(summary).data();
  const Any config = summary.static_type().field("config")->any(object);
  EXPECT_TRUE(object->shared());
  EXPECT_EQ(config.get<vim::VirtualMachineConfigSummary>()->name, "web01");
  EXPECT_FALSE(summary.static_type().field("vm")->any(object));
}

TEST(FieldInfo, SetsAndUnsetsWhateverTheHolder) {
  vim::VirtualMachineSummary summary;
  const auto field = [&](std::string_view name) { return summary.static_type().field(name); };

  *static_cast<MoRef*>(field("vm")->emplace(summary)) = {"VirtualMachine", "vm-1"};
  EXPECT_EQ(summary.vm->value, "vm-1");
  field("vm")->clear(summary);
  EXPECT_FALSE(summary.vm);

  summary.config.name = "web01";
  field("config")->clear(summary);
  EXPECT_EQ(summary.config.name, "");

  summary.guest.edit().hostName = "web01.example";
  EXPECT_NE(field("guest")->get(summary), nullptr);
  field("guest")->clear(summary);
  EXPECT_EQ(field("guest")->get(summary), nullptr);

  EXPECT_EQ(field("customValue")->get(summary), nullptr);
  summary.customValue.push_back(vim::CustomFieldStringValue{});
  EXPECT_NE(field("customValue")->get(summary), nullptr);
  field("customValue")->clear(summary);
  EXPECT_TRUE(summary.customValue.empty());
}

TEST(Ptr, CopiesBeforeTheFirstChangeOfSharedObjects) {
  Ptr<vim::GuestInfo> mine;
  mine.edit().hostName = "before";
  const Ptr<vim::GuestInfo> snapshot = mine;
  mine.edit().hostName = "after";
  EXPECT_EQ(snapshot->hostName, "before");
  EXPECT_EQ(mine->hostName, "after");
  const vim::GuestInfo* own = mine.get();
  mine.edit().hostName = "again";
  EXPECT_EQ(mine.get(), own);
}

TEST(ManagedInfo, FindsMethodsOfBasesAndThoseNotServed) {
  const ManagedInfo* vm = find_managed("VirtualMachine");
  ASSERT_NE(vm, nullptr);
  EXPECT_EQ(vm->method("PowerOnVM_Task")->name, "PowerOnVM_Task");
  EXPECT_NE(vm->method("Destroy_Task"), nullptr);
  EXPECT_EQ(vm->method("Login"), nullptr);
  EXPECT_TRUE(vm->unserved("EnableChangedBlockTracking") || vm->unserved("MigrateVM_Task"));
  EXPECT_FALSE(vm->unserved("PowerOnVM_Task"));
  EXPECT_TRUE(vm->is_a(*find_managed("ManagedEntity")));
  EXPECT_FALSE(vm->is_a(*find_managed("HostSystem")));
}

}  // namespace
}  // namespace virga::model
