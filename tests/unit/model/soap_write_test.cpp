// What goes to clients, letter by letter. The forms are those of vSphere's own answers, which stock
// clients (pyVmomi, libvirt, rbvmomi) take for granted.
#include <gtest/gtest.h>

#include "model/soap.h"
#include "vim/types.h"

namespace virga::model::soap {
namespace {

constexpr Version kNewest{{255, 255, 255, 255}};

const std::string kOpen =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\""
    " xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\""
    " xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\""
    " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>";
const std::string kClose = "</soapenv:Body></soapenv:Envelope>";

const MethodInfo& method(std::string_view type, std::string_view name) {
  return *find_managed(type)->method(name);
}

// What stands between the envelope's tags.
std::string body(const std::string& envelope) {
  EXPECT_TRUE(envelope.starts_with(kOpen)) << envelope;
  EXPECT_TRUE(envelope.ends_with(kClose)) << envelope;
  return envelope.substr(kOpen.size(), envelope.size() - kOpen.size() - kClose.size());
}

// The answer's returnval elements, of a method that answers anything.
std::string returnval(const Any& value, Version client = kNewest) {
  MethodInfo any_method{};
  any_method.name = "M";
  any_method.result = &value_type<Any>();
  const std::string text = body(write_response(any_method, any(value), client));
  const std::string open = "<MResponse xmlns=\"urn:vim25\">";
  const std::string close = "</MResponse>";
  EXPECT_TRUE(text.starts_with(open) && text.ends_with(close)) << text;
  return text.substr(open.size(), text.size() - open.size() - close.size());
}

TEST(SoapWrite, VoidAnswerIsAnEmptyResponse) {
  EXPECT_EQ(body(write_response(method("SessionManager", "Logout"), {}, kNewest)),
            "<LogoutResponse xmlns=\"urn:vim25\"/>");
}

TEST(SoapWrite, ReferenceCarriesItsType) {
  const Any task = any(MoRef{"Task", "haTask-1"});
  EXPECT_EQ(body(write_response(method("VirtualMachine", "PowerOnVM_Task"), task, kNewest)),
            "<PowerOnVM_TaskResponse xmlns=\"urn:vim25\">"
            "<returnval type=\"Task\">haTask-1</returnval></PowerOnVM_TaskResponse>");
}

TEST(SoapWrite, ArrayIsRepeatedReturnvals) {
  List<vim::ObjectContent> contents;
  for (const char* name : {"web01", "web02"}) {
    vim::ObjectContent& content = contents.emplace_back();
    content.obj = {"VirtualMachine", std::string("vm-") + name};
    vim::DynamicProperty& property = content.propSet.emplace_back();
    property.name = "name";
    property.val = any(std::string(name));
  }
  const auto& retrieve = method("PropertyCollector", "RetrieveProperties");
  EXPECT_EQ(body(write_response(retrieve, any(contents), kNewest)),
            "<RetrievePropertiesResponse xmlns=\"urn:vim25\">"
            "<returnval><obj type=\"VirtualMachine\">vm-web01</obj><propSet><name>name</name>"
            "<val xsi:type=\"xsd:string\">web01</val></propSet></returnval>"
            "<returnval><obj type=\"VirtualMachine\">vm-web02</obj><propSet><name>name</name>"
            "<val xsi:type=\"xsd:string\">web02</val></propSet></returnval>"
            "</RetrievePropertiesResponse>");
}

TEST(SoapWrite, AnyTypeSaysWhatItHolds) {
  EXPECT_EQ(returnval(any(std::int32_t{-5})), "<returnval xsi:type=\"xsd:int\">-5</returnval>");
  EXPECT_EQ(returnval(any(std::int64_t{1} << 40)),
            "<returnval xsi:type=\"xsd:long\">1099511627776</returnval>");
  EXPECT_EQ(returnval(any(true)), "<returnval xsi:type=\"xsd:boolean\">true</returnval>");
  EXPECT_EQ(returnval(any(0.1)), "<returnval xsi:type=\"xsd:double\">0.1</returnval>");
  EXPECT_EQ(returnval(any(std::string("a<b>&\"c\""))),
            "<returnval xsi:type=\"xsd:string\">a&lt;b&gt;&amp;\"c\"</returnval>");
  EXPECT_EQ(returnval(any(Binary{"foobar"})),
            "<returnval xsi:type=\"xsd:base64Binary\">Zm9vYmFy</returnval>");
  EXPECT_EQ(returnval(any(Time(std::chrono::seconds(1767323045)))),
            "<returnval xsi:type=\"xsd:dateTime\">2026-01-02T03:04:05Z</returnval>");
  EXPECT_EQ(returnval(any(vim::VirtualMachinePowerState::poweredOn)),
            "<returnval xsi:type=\"VirtualMachinePowerState\">poweredOn</returnval>");
  EXPECT_EQ(returnval(any(MoRef{"Folder", "ha-folder-vm"})),
            "<returnval type=\"Folder\" xsi:type=\"ManagedObjectReference\">ha-folder-vm"
            "</returnval>");
}

TEST(SoapWrite, EveryElementOfAnArrayInAnAnyTypeSaysWhatItIs) {
  EXPECT_EQ(returnval(any(Array<std::string>{"a", "b"})),
            "<returnval xsi:type=\"ArrayOfString\"><string xsi:type=\"xsd:string\">a</string>"
            "<string xsi:type=\"xsd:string\">b</string></returnval>");
  EXPECT_EQ(returnval(any(Array<MoRef>{{"VirtualMachine", "1"}})),
            "<returnval xsi:type=\"ArrayOfManagedObjectReference\"><ManagedObjectReference"
            " type=\"VirtualMachine\" xsi:type=\"ManagedObjectReference\">1"
            "</ManagedObjectReference></returnval>");
  EXPECT_EQ(returnval(any(Array<vim::ManagedEntityStatus>{vim::ManagedEntityStatus::green})),
            "<returnval xsi:type=\"ArrayOfManagedEntityStatus\"><ManagedEntityStatus"
            " xsi:type=\"ManagedEntityStatus\">green</ManagedEntityStatus></returnval>");
  EXPECT_EQ(returnval(any(Array<Any>{any(std::int16_t{3})})),
            "<returnval xsi:type=\"ArrayOfAnyType\"><anyType xsi:type=\"xsd:short\">3</anyType>"
            "</returnval>");

  vim::VirtualE1000 nic;
  nic.key = 4000;
  List<vim::VirtualDevice> devices;
  devices.push_back(share(nic));
  EXPECT_EQ(returnval(any(devices)),
            "<returnval xsi:type=\"ArrayOfVirtualDevice\">"
            "<VirtualDevice xsi:type=\"VirtualE1000\"><key>4000</key></VirtualDevice></returnval>");
  EXPECT_EQ(returnval(any(Array<std::string>{})), "<returnval xsi:type=\"ArrayOfString\"/>");
}

TEST(SoapWrite, NamesTheTypeOfPolymorphicFields) {
  vim::VirtualDeviceConfigSpec spec;
  vim::VirtualPCNet32 nic;
  nic.key = 7;
  vim::VirtualEthernetCardNetworkBackingInfo backing;
  backing.deviceName = "VM Network";
  nic.backing = share(backing);
  nic.connectable.edit().connected = true;
  spec.device = share(nic);
  EXPECT_EQ(returnval(any(spec)),
            "<returnval xsi:type=\"VirtualDeviceConfigSpec\">"
            "<device xsi:type=\"VirtualPCNet32\"><key>7</key>"
            "<backing xsi:type=\"VirtualEthernetCardNetworkBackingInfo\">"
            "<deviceName>VM Network</deviceName></backing>"
            "<connectable><startConnected>false</startConnected>"
            "<allowGuestControl>false</allowGuestControl><connected>true</connected></connectable>"
            "</device></returnval>");
}

TEST(SoapWrite, LeavesOutFieldsNewerThanTheClient) {
  vim::VirtualMachineRuntimeInfo runtime;
  runtime.powerState = vim::VirtualMachinePowerState::poweredOn;
  runtime.vmFailoverInProgress = true;  // since 7.0.2.0
  const std::string new_text = returnval(any(runtime), *parse_version("7.0.2.0"));
  EXPECT_NE(new_text.find("<vmFailoverInProgress>true<"), std::string::npos) << new_text;
  const std::string old_text = returnval(any(runtime), *parse_version("7.0.1.0"));
  EXPECT_EQ(old_text.find("vmFailoverInProgress"), std::string::npos) << old_text;
  EXPECT_NE(old_text.find("<powerState>poweredOn</powerState>"), std::string::npos) << old_text;
}

TEST(SoapWrite, ShowsAnOldClientTheNearestBaseItKnows) {
  vim::VirtualDeviceOption option;
  option.type = "VirtualNVMEController";
  EXPECT_NE(returnval(any(option), *parse_version("6.0")).find("<type>VirtualController</type>"),
            std::string::npos);
  EXPECT_NE(returnval(any(option)).find("<type>VirtualNVMEController</type>"), std::string::npos);
  vim::VirtualNVMEController controller;  // since 6.5, a VirtualController
  controller.key = 31000;
  controller.busNumber = 0;
  List<vim::VirtualDevice> devices;
  devices.push_back(share(controller));
  EXPECT_EQ(returnval(any(devices), *parse_version("6.0")),
            "<returnval xsi:type=\"ArrayOfVirtualDevice\">"
            "<VirtualDevice xsi:type=\"VirtualController\"><key>31000</key>"
            "<busNumber>0</busNumber></VirtualDevice></returnval>");
}

TEST(SoapWrite, FaultHoldsItsObject) {
  const Fault fault(vim::InvalidLogin{}, "Cannot log in as <root>.");
  EXPECT_EQ(body(write_fault(fault, kNewest)),
            "<soapenv:Fault><faultcode>ServerFaultCode</faultcode>"
            "<faultstring>Cannot log in as &lt;root&gt;.</faultstring><detail>"
            "<InvalidLoginFault xmlns=\"urn:vim25\" xsi:type=\"InvalidLogin\"/>"
            "</detail></soapenv:Fault>");
}

TEST(SoapWrite, FaultKeepsItsFields) {
  vim::InvalidPowerState detail;
  detail.requestedState = vim::VirtualMachinePowerState::poweredOn;
  detail.existingState = vim::VirtualMachinePowerState::poweredOff;
  const std::string text = body(write_fault(Fault(detail, "off"), kNewest));
  EXPECT_NE(text.find("<InvalidPowerStateFault xmlns=\"urn:vim25\" xsi:type=\"InvalidPowerState\">"
                      "<requestedState>poweredOn</requestedState>"
                      "<existingState>poweredOff</existingState></InvalidPowerStateFault>"),
            std::string::npos)
      << text;
}

TEST(SoapWrite, AnErrorInATaskIsALocalizedMethodFault) {
  vim::TaskInfo info;
  info.key = "haTask-1";
  auto& error = info.error.edit();
  vim::FileNotFound detail;
  detail.file = "[local] a.vmdk";
  error.fault = share(detail);
  error.localizedMessage = "a.vmdk is missing";
  const std::string text = returnval(any(info));
  EXPECT_NE(text.find("<error><fault xsi:type=\"FileNotFound\"><file>[local] a.vmdk</file></fault>"
                      "<localizedMessage>a.vmdk is missing</localizedMessage></error>"),
            std::string::npos)
      << text;
}

TEST(SoapWrite, PasswordsStayOutOfAnswersAndTicketsDoNot) {
  vim::HostAccountSpec account;
  account.id = "user";
  account.password = "secret!";
  EXPECT_EQ(returnval(any(account)).find("secret!"), std::string::npos);
  vim::VirtualMachineTicket ticket;
  ticket.ticket = "52ab";
  EXPECT_NE(returnval(any(ticket)).find("<ticket>52ab</ticket>"), std::string::npos);
}

TEST(SoapWrite, RequestCarriesPasswordsAndThis) {
  vim::LoginRequestType login;
  login.userName = "root";
  login.password = "secret!";
  const auto text = write_request(method("SessionManager", "Login"),
                                  {"SessionManager", "ha-sessionmgr"}, login, kNewest);
  EXPECT_EQ(body(text),
            "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">ha-sessionmgr</_this>"
            "<userName>root</userName><password>secret!</password></Login>");
}

}  // namespace
}  // namespace virga::model::soap
