#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "model/soap.h"
#include "vim/types.h"

namespace virga::model::soap {
namespace {

using testing::HasSubstr;

// A request the way pyVmomi frames it.
std::string envelope(std::string_view body) {
  return std::string(
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
             "<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\" "
             "xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" "
             "xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" "
             "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n<soapenv:Body>")
      .append(body)
      .append("</soapenv:Body>\n</soapenv:Envelope>");
}

template <class T>
const T& parameters(const Request& request) {
  EXPECT_TRUE(is_a(request.parameters->type_info(), T::static_type()));
  return static_cast<const T&>(*request.parameters);
}

TEST(SoapRead, RequestOfPyvmomi) {
  const Request request = read_request(
      envelope("<RetrievePropertiesEx xmlns=\"urn:vim25\"><_this type=\"PropertyCollector\">"
               "ha-property-collector</_this><specSet><propSet><type>VirtualMachine</type>"
               "<pathSet>name</pathSet><pathSet>runtime.powerState</pathSet></propSet>"
               "<objectSet><obj type=\"ContainerView\">session[1]2</obj><skip>true</skip>"
               "<selectSet xsi:type=\"TraversalSpec\"><name>view</name><type>ContainerView</type>"
               "<path>view</path><skip>false</skip></selectSet></objectSet></specSet>"
               "<options><maxObjects>100</maxObjects></options></RetrievePropertiesEx>"));
  EXPECT_EQ(request.method->name, "RetrievePropertiesEx");
  EXPECT_EQ(request.object, (MoRef{"PropertyCollector", "ha-property-collector"}));
  const auto& spec = parameters<vim::RetrievePropertiesExRequestType>(request);
  ASSERT_EQ(spec.specSet.size(), 1u);
  EXPECT_EQ(spec.specSet[0]->propSet[0]->pathSet,
            (std::vector<std::string>{"name", "runtime.powerState"}));
  const auto& object = spec.specSet[0]->objectSet[0];
  EXPECT_EQ(object->obj, (MoRef{"ContainerView", "session[1]2"}));
  EXPECT_EQ(object->skip, true);
  const auto* traversal = object->selectSet[0].as<vim::TraversalSpec>();
  ASSERT_NE(traversal, nullptr);
  EXPECT_EQ(traversal->name, "view");
  EXPECT_EQ(traversal->path, "view");
}

TEST(SoapRead, RequestOfSudsWithPrefixesEverywhere) {
  const Request request = read_request(
      "<SOAP-ENV:Envelope xmlns:ns0=\"http://schemas.xmlsoap.org/soap/envelope/\" "
      "xmlns:ns1=\"urn:vim25\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
      "xmlns:SOAP-ENV=\"http://schemas.xmlsoap.org/soap/envelope/\"><SOAP-ENV:Header/><ns0:Body>"
      "<ns1:Login><ns1:_this type=\"SessionManager\">ha-sessionmgr</ns1:_this>"
      "<ns1:userName>root</ns1:userName><ns1:password>p&amp;w</ns1:password></ns1:Login>"
      "</ns0:Body></SOAP-ENV:Envelope>");
  const auto& login = parameters<vim::LoginRequestType>(request);
  EXPECT_EQ(login.userName, "root");
  EXPECT_EQ(login.password, "p&w");
  EXPECT_EQ(login.locale, std::nullopt);
}

TEST(SoapRead, TypeNamesWithAnyPrefix) {
  for (const char* type : {"xsd:string", "xs:string", "string", "undeclared:string"}) {
    const Request request = read_request(
        envelope(std::string("<ReconfigVM_Task xmlns=\"urn:vim25\" "
                             "xmlns:xs=\"http://www.w3.org/2001/XMLSchema\">"
                             "<_this type=\"VirtualMachine\">1</_this><spec><extraConfig>"
                             "<key>a</key><value xsi:type=\"") +
                 type + "\"> x </value></extraConfig></spec></ReconfigVM_Task>"));
    const auto& spec = parameters<vim::ReconfigVMRequestType>(request).spec;
    EXPECT_EQ(*spec.extraConfig[0]->value.get<std::string>(), " x ");
  }
}

TEST(SoapRead, OperationIdOfTheHeader) {
  const Request request = read_request(
      "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Header>"
      "<operationID>esxcli-42</operationID></e:Header><e:Body><CurrentTime xmlns=\"urn:vim25\">"
      "<_this>ServiceInstance</_this></CurrentTime></e:Body></e:Envelope>");
  EXPECT_EQ(request.operation_id, "esxcli-42");
  EXPECT_EQ(request.method->name, "CurrentTime");
}

TEST(SoapRead, FindsTheMethodWithoutTheTypeOfThis) {
  const Request request = read_request(
      envelope("<PowerOffVM_Task xmlns=\"urn:vim25\"><_this>1</_this></PowerOffVM_Task>"));
  EXPECT_EQ(request.method, find_managed("VirtualMachine")->method("PowerOffVM_Task"));
  EXPECT_EQ(request.object, (MoRef{"", "1"}));
}

TEST(SoapRead, FindsTheMethodOfADerivedType) {
  const Request request = read_request(
      envelope("<PowerOffVM_Task xmlns=\"urn:vim25\"><_this type=\"ManagedEntity\">1</_this>"
               "</PowerOffVM_Task>"));
  EXPECT_EQ(request.method, find_managed("VirtualMachine")->method("PowerOffVM_Task"));
}

TEST(SoapRead, TakesFieldsInAnyOrderAndSpacesAndNil) {
  const Request request = read_request(envelope(
      "<ReconfigVM_Task xmlns=\"urn:vim25\">\n <spec>\n  <memoryMB> 2048 </memoryMB>\n"
      "  <annotation xsi:nil=\"true\"/><numCPUs>\n2\n</numCPUs><name>web</name>\n"
      "  <cpuHotAddEnabled>1</cpuHotAddEnabled><cpuHotRemoveEnabled>0</cpuHotRemoveEnabled>\n"
      "  <createDate>2026-01-02T05:04:05.5+02:00</createDate></spec>\n"
      " <_this type=\"VirtualMachine\">1</_this></ReconfigVM_Task>"));
  const auto& spec = parameters<vim::ReconfigVMRequestType>(request).spec;
  EXPECT_EQ(spec.memoryMB, 2048);
  EXPECT_EQ(spec.numCPUs, 2);
  EXPECT_EQ(spec.name, "web");
  EXPECT_EQ(spec.annotation, std::nullopt);
  EXPECT_EQ(spec.cpuHotAddEnabled, true);
  EXPECT_EQ(spec.cpuHotRemoveEnabled, false);
  EXPECT_EQ(spec.createDate, Time(std::chrono::milliseconds(1767323045500)));
}

TEST(SoapRead, ArraysAndReferencesInAnAnyType) {
  const Request request = read_request(envelope(
      "<UpdateOptions xmlns=\"urn:vim25\"><_this type=\"OptionManager\">o</_this>"
      "<changedValue><key>a</key><value xsi:type=\"ArrayOfInt\"><int>1</int>"
      "<int xsi:type=\"xsd:int\">2</int></value></changedValue>"
      "<changedValue><key>b</key><value xsi:type=\"ManagedObjectReference\" type=\"Folder\">f"
      "</value></changedValue>"
      "<changedValue><key>c</key><value xsi:type=\"VirtualMachinePowerState\">suspended</value>"
      "</changedValue><changedValue><key>d</key><value xsi:type=\"ArrayOfVirtualDevice\">"
      "<VirtualDevice xsi:type=\"VirtualDisk\"><key>1</key><capacityInKB>5</capacityInKB>"
      "</VirtualDevice></value></changedValue></UpdateOptions>"));
  const auto& values = parameters<vim::UpdateOptionsRequestType>(request).changedValue;
  EXPECT_EQ(*values[0]->value.get<Array<std::int32_t>>(), (Array<std::int32_t>{1, 2}));
  EXPECT_EQ(*values[1]->value.get<MoRef>(), (MoRef{"Folder", "f"}));
  EXPECT_EQ(*values[2]->value.get<vim::VirtualMachinePowerState>(),
            vim::VirtualMachinePowerState::suspended);
  const auto* devices = values[3]->value.get<List<vim::VirtualDevice>>();
  ASSERT_NE(devices, nullptr);
  EXPECT_EQ((*devices)[0].as<vim::VirtualDisk>()->capacityInKB, 5);
}

// Malformed requests: what stands in the body, and what the message must name.
struct Bad {
  const char* name;
  std::string body;
  std::vector<const char*> named;
  const char* fault = "InvalidRequest";
};

std::string reconfigure(const std::string& spec) {
  return "<ReconfigVM_Task xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">1</_this><spec>" +
         spec + "</spec></ReconfigVM_Task>";
}
std::string device(const std::string& text) {
  return reconfigure("<deviceChange>" + text + "</deviceChange>");
}

class BadRequest : public testing::TestWithParam<Bad> {};

TEST_P(BadRequest, IsRefusedByName) {
  const Bad& bad = GetParam();
  try {
    read_request(envelope(bad.body));
    FAIL() << "accepted";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.detail()->type_info().name, bad.fault);
    for (const char* part : bad.named) EXPECT_THAT(fault.message(), HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadRequest,
    testing::Values(
        Bad{"empty_body", "", {"Body"}},
        Bad{"no_this", "<PowerOnVM_Task xmlns=\"urn:vim25\"/>", {"PowerOnVM_Task", "_this"}},
        Bad{"unknown_method",
            "<Fly xmlns=\"urn:vim25\"><_this type=\"Folder\">f</_this></Fly>",
            {"Fly", "Folder"}},
        Bad{"unknown_method_of_no_type",
            "<Fly xmlns=\"urn:vim25\"><_this>f</_this></Fly>",
            {"Fly"}},
        Bad{"method_not_served",
            "<MigrateVM_Task xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">1</_this>"
            "</MigrateVM_Task>",
            {"MigrateVM_Task", "VirtualMachine"},
            "NotSupported"},
        Bad{"unknown_managed_type",
            "<PowerOnVM_Task xmlns=\"urn:vim25\"><_this type=\"Robot\">1</_this></PowerOnVM_Task>",
            {"Robot"}},
        Bad{"unknown_parameter",
            "<PowerOnVM_Task xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">1</_this>"
            "<speed>9</speed></PowerOnVM_Task>",
            {"PowerOnVM_Task", "speed"}},
        Bad{"missing_parameter",
            "<ReconfigVM_Task xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">1</_this>"
            "</ReconfigVM_Task>",
            {"ReconfigVM_Task", "spec", "required"}},
        Bad{"nil_for_a_required_parameter",
            "<ReconfigVM_Task xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">1</_this>"
            "<spec xsi:nil=\"true\"/></ReconfigVM_Task>",
            {"spec", "required"}},
        Bad{"unknown_field", reconfigure("<colour>red</colour>"), {"spec", "colour"}},
        Bad{"field_twice", reconfigure("<name>a</name><name>b</name>"), {"spec", "name", "twice"}},
        Bad{"missing_field",
            reconfigure("<extraConfig><value xsi:type=\"xsd:int\">1</value>"
                        "</extraConfig>"),
            {"spec.extraConfig[0]", "key", "required"}},
        Bad{"number_of_letters", reconfigure("<numCPUs>two</numCPUs>"), {"numCPUs", "two", "int"}},
        Bad{"number_with_a_tail", reconfigure("<numCPUs>2x</numCPUs>"), {"numCPUs", "2x"}},
        Bad{"empty_number", reconfigure("<numCPUs/>"), {"numCPUs"}},
        Bad{"fraction_for_an_int", reconfigure("<numCPUs>1.5</numCPUs>"), {"numCPUs", "1.5"}},
        Bad{"int_overflow",
            reconfigure("<numCPUs>2147483648</numCPUs>"),
            {"numCPUs", "2147483648", "range of int"}},
        Bad{"short_overflow",
            reconfigure("<npivDesiredNodeWwns>-32769</npivDesiredNodeWwns>"),
            {"npivDesiredNodeWwns", "-32769", "range of short"}},
        Bad{"long_overflow",
            reconfigure("<memoryMB>9223372036854775808</memoryMB>"),
            {"memoryMB", "9223372036854775808", "range of long"}},
        Bad{"boolean",
            reconfigure("<cpuHotAddEnabled>yes</cpuHotAddEnabled>"),
            {"cpuHotAddEnabled", "yes", "boolean"}},
        Bad{"time",
            reconfigure("<createDate>tomorrow</createDate>"),
            {"createDate", "tomorrow", "dateTime"}},
        Bad{"enum",
            device("<operation>delete</operation><device xsi:type=\"VirtualDisk\">"
                   "<key>1</key><capacityInKB>5</capacityInKB></device>"),
            {"spec.deviceChange[0].operation", "delete", "add", "remove", "edit"}},
        Bad{"enum_of_other_case", device("<operation>Add</operation>"), {"operation", "\"Add\""}},
        Bad{"unknown_type",
            device("<device xsi:type=\"VirtualRobot\"><key>1</key></device>"),
            {"spec.deviceChange[0].device", "VirtualRobot"}},
        Bad{"type_of_another_family",
            device("<device xsi:type=\"Folder\"><key>1</key></device>"),
            {"device", "Folder"}},
        Bad{"type_not_derived",
            device("<device xsi:type=\"OptionValue\"><key>1</key></device>"),
            {"device", "OptionValue", "VirtualDevice"}},
        Bad{"text_instead_of_an_object", device("<device>4000</device>"), {"device", "key"}},
        Bad{"element_inside_a_number",
            reconfigure("<numCPUs><int>2</int></numCPUs>"),
            {"numCPUs", "int"}},
        Bad{"any_without_type",
            reconfigure("<extraConfig><key>a</key><value>1</value></extraConfig>"),
            {"spec.extraConfig[0].value", "xsi:type"}},
        Bad{"any_of_any_type",
            reconfigure("<extraConfig><key>a</key><value xsi:type=\"xsd:anyType\">1</value>"
                        "</extraConfig>"),
            {"value", "anyType"}},
        Bad{"any_of_unknown_type",
            reconfigure("<extraConfig><key>a</key><value xsi:type=\"xsd:duration\">1</value>"
                        "</extraConfig>"),
            {"value", "duration"}},
        Bad{"second_of_an_array",
            reconfigure("<extraConfig><key>a</key><value xsi:type=\"ArrayOfInt\"><int>1</int>"
                        "<int>x</int></value></extraConfig>"),
            {"spec.extraConfig[0].value[1]", "\"x\""}},
        Bad{"reference_without_type",
            "<PowerOnVM_Task xmlns=\"urn:vim25\"><_this type=\"VirtualMachine\">1</_this>"
            "<host>ha-host</host></PowerOnVM_Task>",
            {"PowerOnVM_Task.host", "type"}},
        Bad{"torn", "<PowerOnVM_Task", {"XML"}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(SoapRead, RefusesWhatIsNoEnvelope) {
  for (const char* text :
       {"", "{}", "<a/>", "<Envelope/>",
        "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Body/></e:Envelope>"}) {
    EXPECT_THROW(read_request(text), Fault) << text;
  }
}

TEST(SoapRead, RefusesDeepNesting) {
  std::string open, close;
  for (int i = 0; i < 2000; ++i) {
    open += "<cause xsi:type=\"LocalizedMethodFault\">";
    close += "</cause>";
  }
  EXPECT_THROW(read_request(envelope(open + close)), Fault);
}

std::string answer(const std::string& body) {
  return envelope(body);
}

TEST(SoapReadResponse, ThrowsTheServersFault) {
  const auto& method = *find_managed("VirtualMachine")->method("PowerOnVM_Task");
  vim::InvalidPowerState detail;
  detail.requestedState = vim::VirtualMachinePowerState::poweredOn;
  detail.existingState = vim::VirtualMachinePowerState::suspended;
  const std::string text = write_fault(Fault(detail, "web01 is suspended"), {{7, 0, 0, 0}});
  try {
    read_response(method, text);
    FAIL() << "no fault";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.message(), "web01 is suspended");
    const Ptr<DataObject> object(fault.detail());
    const auto* state = object.as<vim::InvalidPowerState>();
    ASSERT_NE(state, nullptr);
    EXPECT_EQ(state->existingState, vim::VirtualMachinePowerState::suspended);
  }
}

TEST(SoapReadResponse, PassesOverWhatANewerServerAdds) {
  const auto& method = *find_managed("ServiceInstance")->method("RetrieveServiceContent");
  const Any result = read_response(
      method, answer("<RetrieveServiceContentResponse xmlns=\"urn:vim25\"><returnval>"
                     "<rootFolder type=\"Folder\">f</rootFolder><teleporter>1</teleporter>"
                     "</returnval></RetrieveServiceContentResponse>"));
  ASSERT_NE(result.get<vim::ServiceContent>(), nullptr);
  EXPECT_EQ(result.get<vim::ServiceContent>()->rootFolder.value, "f");
}

TEST(SoapReadResponse, RefusesAnAnswerWithoutItsResult) {
  const auto& method = *find_managed("ServiceInstance")->method("CurrentTime");
  EXPECT_THROW(read_response(method, answer("<CurrentTimeResponse xmlns=\"urn:vim25\"/>")), Error);
}

}  // namespace
}  // namespace virga::model::soap
