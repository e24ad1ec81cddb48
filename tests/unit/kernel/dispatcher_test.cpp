#include "kernel/dispatcher.h"

#include <gtest/gtest.h>

#include "kernel/property_collector.h"
#include "lab.h"

namespace virga::kernel {
namespace {

class ReadingAProperty : public testing::Test {
 protected:
  // The fault that each way of reading ends in; "" for none.
  std::string asked_alone(const std::string& property) {
    return fault_of([&] {
      lab.run(dispatcher.read_property(std::make_shared<Call>(lab.call), web->self(), property));
    });
  }
  std::string asked_of_the_collector(const std::string& property) {
    vim::RetrievePropertiesRequestType request;
    request.specSet.push_back(spec_of({web->self()}, "VirtualMachine", {property}));
    const auto contents = lab.run(collector->RetrieveProperties(lab.call, request));
    if (contents.empty() || contents[0]->missingSet.empty()) return "";
    return std::string(contents[0]->missingSet[0]->fault.fault->type_info().name);
  }

  Lab lab;
  std::shared_ptr<MachineExhibit> web = lab.add_machine("1", "web");
  std::shared_ptr<vim::PropertyCollector> collector =
      lab.service<vim::PropertyCollector>({"PropertyCollector", "collector"});
  Dispatcher dispatcher{lab.kernel};
};

TEST_F(ReadingAProperty, AsksForTheSamePrivilegeEitherWay) {
  for (const SessionPtr& session : {lab.call.session, lab.log_in("viewer"), SessionPtr()}) {
    lab.call.session = session;
    MachineExhibit::Properties::static_type().for_each_field([&](const model::FieldInfo& field) {
      const std::string property(field.name);
      EXPECT_EQ(asked_alone(property), asked_of_the_collector(property))
          << property << ", for " << lab.call.user();
    });
  }
}

TEST_F(ReadingAProperty, NeedsMoreThanViewingForWhatNamesNoPrivilege) {
  lab.call.session = lab.log_in("viewer");
  EXPECT_EQ(asked_alone("name"), "");
  EXPECT_EQ(asked_alone("runtime"), "NoPermission");
  EXPECT_EQ(asked_alone("no-such-property"), "InvalidProperty");
}

}  // namespace
}  // namespace virga::kernel
