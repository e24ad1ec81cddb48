// What the schema compiler made, taken as a whole: its metadata and its C++ say the same.
#include <gtest/gtest.h>
#include <boost/asio/use_future.hpp>

#include <set>

#include "model/fault.h"
#include "model/invoke.h"
#include "vim/client.h"
#include "vim/documents.h"
#include "vim/interfaces.h"

namespace virga::model {
namespace {

TEST(Generated, FindsEveryTypeByItsName) {
  ASSERT_GT(all_types().size(), 1000U);
  for (const TypeInfo* type : all_types()) {
    EXPECT_EQ(find_type(type->name), type);
    EXPECT_EQ(find_value_type(type->name), type->value);
    EXPECT_EQ(find_value_type("ArrayOf" + std::string(type->name)), type->array);
    EXPECT_EQ(type->value->data, type);
    EXPECT_EQ(type->array->element, type->value);
  }
  for (const EnumInfo* info : all_enums()) {
    EXPECT_EQ(find_enum(info->name), info);
    EXPECT_EQ(find_value_type(info->name), info->value);
  }
  for (const ManagedInfo* info : all_managed()) EXPECT_EQ(find_managed(info->name), info);
  EXPECT_EQ(find_type("VirtualDevic"), nullptr);
  EXPECT_EQ(find_type(""), nullptr);
  EXPECT_EQ(find_type("zzz"), nullptr);
}

TEST(Generated, CreatesAndCopiesEveryTypeAsItself) {
  for (const TypeInfo* type : all_types()) {
    DataPtr object(type->create());
    EXPECT_EQ(&object->type_info(), type) << type->name;
    DataPtr copy(type->copy(*object));
    EXPECT_EQ(&copy->type_info(), type) << type->name;
    EXPECT_TRUE(equal(*object, *copy)) << type->name;
  }
}

// A field's offset and holder are right when what is written there through the metadata is read
// back, is what makes a copy differ, and is gone again after clear().
TEST(Generated, ReachesEveryFieldThroughTheMetadata) {
  auto check = [](const TypeInfo& type) {
    type.for_each_field([&](const FieldInfo& field) {
      DataPtr fresh(type.create());
      DataPtr object(type.create());
      auto& writable = const_cast<DataObject&>(*object);
      if (field.holder == Holder::pointer) {
        field.set_data(writable, DataPtr(field.type->data->create()));
      } else {
        void* storage = field.emplace(writable);
        if (field.holder == Holder::array && field.type->append) field.type->append(storage);
        if (field.type->append_data) {
          field.type->append_data(storage, DataPtr(field.type->data->create()));
        }
      }
      bool changed = field.holder == Holder::pointer || field.holder == Holder::optional ||
                     field.holder == Holder::array;
      EXPECT_EQ(equal(*fresh, *object), !changed) << type.name << "." << field.name;
      field.clear(writable);
      EXPECT_TRUE(equal(*fresh, *object)) << type.name << "." << field.name;
      EXPECT_EQ(type.field(field.name), &field) << type.name << "." << field.name;
    });
  };
  for (const TypeInfo* type : all_types()) check(*type);
  for (const ManagedInfo* managed : all_managed()) {
    check(*managed->properties);
    for (const MethodInfo& method : managed->own_methods) check(*method.request);
  }
}

TEST(Generated, FieldsOfOneObjectDoNotOverlap) {
  for (const TypeInfo* type : all_types()) {
    std::set<std::uint32_t> offsets;
    std::size_t fields = 0;
    type->for_each_field([&](const FieldInfo& field) {
      offsets.insert(field.offset);
      ++fields;
    });
    EXPECT_EQ(offsets.size(), fields) << type->name;
  }
}

TEST(Generated, MetadataAndMembersAreTheSameStorage) {
  vim::VirtualMachineConfigInfo config;
  config.name = "web01";
  config.hardware.numCPU = 4;
  config.template_ = true;
  config.hardware.device.push_back(share(vim::VirtualVmxnet3{}));

  auto read = [&](std::string_view name) {
    return vim::VirtualMachineConfigInfo::static_type().field(name)->get(config);
  };
  EXPECT_EQ(*static_cast<const std::string*>(read("name")), "web01");
  EXPECT_TRUE(*static_cast<const bool*>(read("template")));
  EXPECT_EQ(read("firmware"), nullptr);
  const auto& hardware =
      *static_cast<const vim::VirtualHardware*>(static_cast<const DataObject*>(read("hardware")));
  EXPECT_EQ(hardware.numCPU, 4);
  EXPECT_EQ(hardware.device[0].as<vim::VirtualVmxnet>(), hardware.device[0].get());
  EXPECT_EQ(hardware.device[0].as<vim::VirtualE1000>(), nullptr);
}

TEST(Generated, EnumeratorsAreTheWireNamesInOrder) {
  EXPECT_EQ(wire_name(vim::VirtualMachinePowerState::poweredOff), "poweredOff");
  EXPECT_EQ(wire_name(vim::VirtualMachinePowerState::suspended), "suspended");
  EXPECT_EQ(wire_name(vim::TaskInfoState::error), "error");
  EXPECT_EQ(enumerator<vim::TaskInfoState>("running"), vim::TaskInfoState::running);
  EXPECT_EQ(enumerator<vim::TaskInfoState>("Running"), std::nullopt);
}

TEST(Generated, KnowsTheBasesOfManagedObjects) {
  const ManagedInfo& machine = vim::VirtualMachine::static_info();
  EXPECT_TRUE(machine.is_a(vim::ManagedEntity::static_info()));
  EXPECT_FALSE(machine.is_a(vim::Network::static_info()));
  EXPECT_EQ(machine.properties, &vim::VirtualMachineProperties::static_type());
  ASSERT_NE(machine.method("Rename_Task"), nullptr);
  EXPECT_EQ(machine.method("Rename_Task")->request, &vim::RenameRequestType::static_type());
  EXPECT_EQ(machine.method("MigrateVM_Task"), nullptr);
  EXPECT_TRUE(machine.unserved("MigrateVM_Task"));
  EXPECT_FALSE(machine.unserved("Levitate"));
  const ManagedInfo* cluster = find_managed("ClusterComputeResource");
  ASSERT_NE(cluster, nullptr);
  EXPECT_TRUE(cluster->absent);
  EXPECT_TRUE(cluster->is_a(vim::ComputeResource::static_info()));
}

TEST(Generated, MethodsKeepWhatTheSchemaSays) {
  const MethodInfo& login = *vim::SessionManager::static_info().method("Login");
  EXPECT_EQ(login.request_name, "LoginRequestType");
  EXPECT_EQ(login.privilege, "System.Anonymous");
  EXPECT_TRUE(login.request->field("password")->secret);
  EXPECT_FALSE(login.request->field("userName")->secret);
  EXPECT_EQ(login.result->data, &vim::UserSession::static_type());
  EXPECT_EQ(login.faults.size(), 2U);

  const MethodInfo& screenshot =
      *vim::VirtualMachine::static_info().method("CreateScreenshot_Task");
  EXPECT_EQ(screenshot.result->kind, Kind::reference);
  EXPECT_EQ(screenshot.task_result->kind, Kind::string);
  EXPECT_EQ(screenshot.since, (Version{{4, 0, 0, 0}}));
  EXPECT_EQ(vim::SessionManager::static_info().method("Logout")->result, nullptr);
}

TEST(Generated, HandsOutTheDocuments) {
  EXPECT_TRUE(vim::document("vimService.wsdl").starts_with("<?xml"));
  EXPECT_TRUE(vim::document("vim-types.xsd").ends_with("</schema>\n"));
  EXPECT_TRUE(vim::document("openapi.json").starts_with("{\"openapi\":\"3.0"));
  EXPECT_EQ(vim::document("passwd"), "");
}

// A client stub, a channel that invokes at once, and a server object: what one end gives, the other
// gets.
class Lights : public vim::ListView {
 public:
  explicit Lights(MoRef self) : self_(std::move(self)) {}
  const MoRef& ref() const override { return self_; }
  Async<void> DestroyView(Call&, const vim::DestroyViewRequestType&) override {
    destroyed = true;
    co_return;
  }
  Async<Array<MoRef>> ModifyListView(Call&,
                                     const vim::ModifyListViewRequestType& request) override {
    co_return request.remove;
  }
  Async<Array<MoRef>> ResetListView(Call&, const vim::ResetListViewRequestType&) override {
    co_return Array<MoRef>();
  }
  Async<void> ResetListViewFromView(Call&, const vim::ResetListViewFromViewRequestType&) override {
    throw Fault(vim::NotSupported(), "not with these lights");
    co_return;
  }

  bool destroyed = false;

 private:
  MoRef self_;
};

class DirectChannel : public Channel {
 public:
  explicit DirectChannel(ManagedObject& target) : target_(target) {}
  Async<Any> invoke(const MethodInfo& method, MoRef, DataPtr request) override {
    Call call;
    Any answer = co_await method.invoke(target_, call, *request);
    co_return answer;
  }

 private:
  ManagedObject& target_;
};

template <class T>
T run(Async<T> coroutine) {
  asio::io_context context;
  auto future = asio::co_spawn(context, std::move(coroutine), asio::use_future);
  context.run();
  return future.get();
}

TEST(Generated, CarriesACallFromStubToObject) {
  Lights lights({"ListView", "view-1"});
  DirectChannel channel(lights);
  vim::client::ListView stub(channel, lights.ref());
  EXPECT_EQ(&lights.info(), &vim::ListView::static_info());

  vim::ModifyListViewRequestType request;
  request.remove = {{"Folder", "group-1"}, {"Folder", "group-2"}};
  EXPECT_EQ(run(stub.ModifyListView(request)), request.remove);
  EXPECT_TRUE(run(stub.ResetListView({})).empty());
  run(stub.DestroyView());
  EXPECT_TRUE(lights.destroyed);
  EXPECT_THROW(run(stub.ResetListViewFromView({})), Fault);
}

}  // namespace
}  // namespace virga::model
