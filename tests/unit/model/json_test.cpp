#include "model/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/json.h"
#include "vim/types.h"

namespace virga::model::json_binding {
namespace {

using testing::HasSubstr;

constexpr Version kNewest{{255, 255, 255, 255}};

std::string result(const Any& value, const ValueType& declared) {
  return write_result(declared, value, kNewest);
}
// In a place that may hold anything.
std::string boxed(const Any& value) {
  return result(value, value_type<Any>());
}
const MethodInfo& method(std::string_view type, std::string_view name) {
  return *find_managed(type)->method(name);
}

TEST(JsonWrite, DeclaredValuesAreBare) {
  EXPECT_EQ(result(any(std::int32_t{5}), value_type<std::int32_t>()), "5");
  EXPECT_EQ(result(any(std::string("a\"\\\n\x01\xff")), value_type<std::string>()),
            "\"a\\\"\\\\\\n\xEF\xBF\xBD\xEF\xBF\xBD\"");
  EXPECT_EQ(result(any(Array<std::string>{"a", "ü"}), value_type<Array<std::string>>()),
            "[\"a\",\"ü\"]");
  EXPECT_EQ(result(any(MoRef{"Task", "t-1"}), value_type<MoRef>()),
            "{\"_typeName\":\"ManagedObjectReference\",\"type\":\"Task\",\"value\":\"t-1\"}");
  EXPECT_EQ(result(any(Time(std::chrono::seconds(1767323045))), value_type<Time>()),
            "\"2026-01-02T03:04:05Z\"");
  EXPECT_EQ(result({}, value_type<MoRef>()), "");
}

TEST(JsonWrite, ValuesOfAnyTypeAreBoxed) {
  EXPECT_EQ(boxed(any(std::int64_t{1} << 60)),
            "{\"_typeName\":\"long\",\"_value\":1152921504606846976}");
  EXPECT_EQ(boxed(any(true)), "{\"_typeName\":\"boolean\",\"_value\":true}");
  EXPECT_EQ(boxed(any(vim::ManagedEntityStatus::green)),
            "{\"_typeName\":\"ManagedEntityStatus\",\"_value\":\"green\"}");
  EXPECT_EQ(boxed(any(Array<std::int32_t>{1, 2})),
            "{\"_typeName\":\"ArrayOfInt\",\"_value\":[1,2]}");
  EXPECT_EQ(boxed(any(MoRef{"Folder", "f"})),
            "{\"_typeName\":\"ManagedObjectReference\",\"type\":\"Folder\",\"value\":\"f\"}");
  EXPECT_EQ(boxed(any(std::numeric_limits<double>::infinity())),
            "{\"_typeName\":\"double\",\"_value\":\"INF\"}");
}

TEST(JsonWrite, ObjectsSayTheirType) {
  vim::OptionValue option;
  option.key = "a";
  option.value = any(std::string("b"));
  List<vim::OptionValue> options;
  options.push_back(option);
  const std::string text =
      "{\"_typeName\":\"OptionValue\",\"key\":\"a\","
      "\"value\":{\"_typeName\":\"string\",\"_value\":\"b\"}}";
  EXPECT_EQ(boxed(any(option)), text);
  EXPECT_EQ(result(any(options), value_type<List<vim::OptionValue>>()), "[" + text + "]");
  EXPECT_EQ(boxed(any(options)),
            "{\"_typeName\":\"ArrayOfOptionValue\",\"_value\":[" + text + "]}");
}

TEST(JsonWrite, HidesPasswordsAndWhatIsNewer) {
  vim::HostAccountSpec account;
  account.id = "user";
  account.password = "secret!";
  EXPECT_EQ(boxed(any(account)), "{\"_typeName\":\"HostAccountSpec\",\"id\":\"user\"}");
  EXPECT_THAT(write_object(account), HasSubstr("secret!"));

  vim::VirtualNVMEController controller;
  controller.key = 5;
  EXPECT_EQ(write_result(value_type<vim::VirtualDevice>(), any(controller), *parse_version("6.0")),
            "{\"_typeName\":\"VirtualController\",\"key\":5,\"busNumber\":0}");
}

TEST(JsonWrite, FaultsCarryTheirMessage) {
  vim::FileNotFound detail;
  detail.file = "[local] a";
  EXPECT_EQ(write_fault(Fault(detail, "a is missing"), kNewest),
            "{\"_typeName\":\"FileNotFound\",\"faultstring\":\"a is missing\","
            "\"file\":\"[local] a\"}");
}

TEST(JsonRead, RequestOfTheBinding) {
  const DataPtr read = read_request(method("VirtualMachine", "ReconfigVM_Task"), R"({
    "spec": {
      "_typeName": "VirtualMachineConfigSpec", "name": "web01", "numCPUs": 2,
      "memoryMB": 2048, "annotation": null, "cpuHotAddEnabled": true,
      "createDate": "2026-01-02T05:04:05+02:00",
      "deviceChange": [{"operation": "add", "device": {
          "_typeName": "VirtualE1000", "key": -1,
          "backing": {"_typeName": "VirtualEthernetCardNetworkBackingInfo",
                      "deviceName": "VM Network",
                      "network": {"type": "Network", "value": "net-1"}}}}],
      "extraConfig": [
          {"key": "a", "value": {"_typeName": "string", "_value": "1"}},
          {"key": "b", "value": {"_typeName": "ArrayOfInt", "_value": [1, 2]}}]}})");
  const auto& spec = static_cast<const vim::ReconfigVMRequestType&>(*read).spec;
  EXPECT_EQ(spec.name, "web01");
  EXPECT_EQ(spec.numCPUs, 2);
  EXPECT_EQ(spec.annotation, std::nullopt);
  EXPECT_EQ(spec.createDate, Time(std::chrono::seconds(1767323045)));
  const auto nic = spec.deviceChange[0]->device;
  ASSERT_NE(nic.as<vim::VirtualE1000>(), nullptr);
  const auto* backing = nic->backing.as<vim::VirtualEthernetCardNetworkBackingInfo>();
  ASSERT_NE(backing, nullptr);
  EXPECT_EQ(backing->network, (MoRef{"Network", "net-1"}));
  EXPECT_EQ(*spec.extraConfig[0]->value.get<std::string>(), "1");
  EXPECT_EQ(*spec.extraConfig[1]->value.get<Array<std::int32_t>>(), (Array<std::int32_t>{1, 2}));
}

TEST(JsonRead, AnEmptyBodyIsARequestWithoutParameters) {
  const DataPtr read = read_request(method("VirtualMachine", "PowerOnVM_Task"), "");
  EXPECT_EQ(static_cast<const vim::PowerOnVMRequestType&>(*read).host, std::nullopt);
}

struct Bad {
  const char* name;
  const char* body;
  std::vector<const char*> named;
};

class BadJson : public testing::TestWithParam<Bad> {};

TEST_P(BadJson, IsRefusedByName) {
  const Bad& bad = GetParam();
  try {
    read_request(method("VirtualMachine", "ReconfigVM_Task"), bad.body);
    FAIL() << "accepted";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.detail()->type_info().name, "InvalidRequest");
    for (const char* part : bad.named) EXPECT_THAT(fault.message(), HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadJson,
    testing::Values(
        Bad{"torn", "{\"spec\":", {"JSON"}}, Bad{"not_an_object", "[]", {"object", "array"}},
        Bad{"missing", "{}", {"ReconfigVM_Task", "spec", "required"}},
        Bad{"null_for_required", R"({"spec": null})", {"spec", "required"}},
        Bad{"unknown_member", R"({"spec": {}, "speed": 1})", {"speed"}},
        Bad{"unknown_field", R"({"spec": {"colour": 1}})", {"ReconfigVM_Task.spec", "colour"}},
        Bad{"string_for_int", R"({"spec": {"numCPUs": "2"}})", {"spec.numCPUs", "string"}},
        Bad{"fraction_for_int", R"({"spec": {"numCPUs": 1.5}})", {"spec.numCPUs"}},
        Bad{"int_overflow",
            R"({"spec": {"numCPUs": 2147483648}})",
            {"spec.numCPUs", "2147483648", "range of int"}},
        Bad{"long_overflow",
            R"({"spec": {"memoryMB": 9223372036854775808}})",
            {"spec.memoryMB", "9223372036854775808", "range of long"}},
        Bad{"number_for_boolean", R"({"spec": {"cpuHotAddEnabled": 1}})", {"cpuHotAddEnabled"}},
        Bad{"array_for_object", R"({"spec": []})", {"spec", "array"}},
        Bad{"object_for_array", R"({"spec": {"extraConfig": {}}})", {"extraConfig", "array"}},
        Bad{"enum",
            R"({"spec": {"deviceChange": [{"operation": "delete"}]}})",
            {"spec.deviceChange[0].operation", "delete", "add, remove, edit"}},
        Bad{"unknown_type", R"({"spec": {"_typeName": "Robot"}})", {"spec", "Robot"}},
        Bad{"type_not_derived",
            R"({"spec": {"deviceChange": [{"device": {"_typeName": "OptionValue"}}]}})",
            {"device", "OptionValue", "VirtualDevice"}},
        Bad{"type_name_of_another_kind", R"({"spec": {"_typeName": 5}})", {"spec._typeName"}},
        Bad{"any_without_type",
            R"({"spec": {"extraConfig": [{"key": "a", "value": {}}]}})",
            {"spec.extraConfig[0].value", "_typeName"}},
        Bad{"any_without_value",
            R"({"spec": {"extraConfig": [{"key": "a", "value": {"_typeName": "int"}}]}})",
            {"spec.extraConfig[0].value", "_value"}},
        Bad{"reference_with_more",
            R"({"spec": {"extraConfig": [{"key": "a", "value":
                {"_typeName": "ManagedObjectReference", "type": "F", "value": "f", "x": "y"}}]}})",
            {"value", "x"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(JsonRead, RefusesDeepNesting) {
  const std::string body = std::string(100'000, '[');
  EXPECT_THROW(read_request(method("VirtualMachine", "PowerOnVM_Task"), body), Fault);
}

TEST(JsonRead, ObjectsOfAnotherVersionReadAsFarAsTheyAreKnown) {
  const DataPtr object = read_object(R"({"_typeName": "OptionValue", "future": [1]})");
  EXPECT_EQ(object->type_info().name, "OptionValue");
  EXPECT_EQ(static_cast<const vim::OptionValue&>(*object).key, "");
  EXPECT_THROW(read_object(R"({"_typeName": "FutureOption"})"), Fault);
  EXPECT_THROW(read_object("{}"), Fault);
}

}  // namespace
}  // namespace virga::model::json_binding
