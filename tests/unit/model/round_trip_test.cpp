// Every type of the schema, with a value in every field, through every codec and back.
#include <gtest/gtest.h>

#include "model/json.h"
#include "model/soap.h"
#include "model/value_ops.h"
#include "sample.h"
#include "wire/xml_reader.h"

namespace virga::model {
namespace {

constexpr Version kNewest{{255, 255, 255, 255}};

std::vector<const TypeInfo*> types_with_objects() {
  std::vector<const TypeInfo*> types;
  for (const TypeInfo* type : all_types()) {
    if (type->create) types.push_back(type);
  }
  return types;
}

MethodInfo method_answering(const TypeInfo& type) {
  MethodInfo method{};
  method.name = "Fetch";
  method.result = type.value;
  return method;
}

TEST(RoundTrip, SoapAnswersKeepEveryFieldOfEveryType) {
  for (const TypeInfo* type : types_with_objects()) {
    const DataPtr object = sample::object(*type, sample::Secrets::leave_out);
    const MethodInfo method = method_answering(*type);
    const std::string text = soap::write_response(method, any(object), kNewest);
    const Any read = soap::read_response(method, text);
    EXPECT_TRUE(read == any(object)) << type->name << "\n" << text;
  }
}

TEST(RoundTrip, SoapRequestsKeepEveryParameterOfEveryMethod) {
  int methods = 0;
  for (const ManagedInfo* managed : all_managed()) {
    for (const MethodInfo& method : managed->own_methods) {
      const MoRef object{std::string(managed->name), "object-1"};
      const DataPtr parameters = sample::object(*method.request);
      const std::string text = soap::write_request(method, object, *parameters, kNewest);
      const soap::Request read = soap::read_request(text);
      EXPECT_EQ(read.method, &method) << method.name;
      EXPECT_EQ(read.object, object);
      EXPECT_TRUE(equal(*read.parameters, *parameters)) << text;
      ++methods;
    }
  }
  EXPECT_GT(methods, 50);
}

TEST(RoundTrip, JsonTextKeepsEveryFieldOfEveryType) {
  for (const TypeInfo* type : types_with_objects()) {
    const DataPtr object = sample::object(*type);
    const std::string text = json_binding::write_object(*object);
    EXPECT_TRUE(equal(*json_binding::read_object(text), *object)) << type->name << "\n" << text;
  }
}

TEST(RoundTrip, JsonRequestsKeepEveryParameterOfEveryMethod) {
  for (const ManagedInfo* managed : all_managed()) {
    for (const MethodInfo& method : managed->own_methods) {
      const DataPtr parameters = sample::object(*method.request);
      const std::string text = json_binding::write_object(*parameters);
      EXPECT_TRUE(equal(*json_binding::read_request(method, text), *parameters)) << text;
    }
  }
}

TEST(RoundTrip, CopiesAreEqualAndIndependent) {
  for (const TypeInfo* type : types_with_objects()) {
    const DataPtr object = sample::object(*type);
    const DataPtr copy = clone(*object);
    ASSERT_TRUE(equal(*copy, *object)) << type->name;
    DataObject& changed = const_cast<DataObject&>(*copy);
    bool cleared = false;
    type->for_each_field([&](const FieldInfo& field) {
      if (field.holder != Holder::optional && field.holder != Holder::pointer) return;
      if (!field.get(changed)) return;
      field.clear(changed);
      cleared = true;
    });
    EXPECT_EQ(equal(*copy, *object), !cleared) << type->name;
    EXPECT_TRUE(equal(*object, *sample::object(*type))) << type->name;
  }
}

// Looks at what is written, element by element, with the client's eyes: everything in it must be as
// old as the client.
class Inspector {
 public:
  explicit Inspector(Version client) : client_(client) {}

  void value(const wire::XmlElement& element, const ValueType* type) {
    if (const auto xsi = element.xsi_type()) {
      type = find_value_type(xsi->local);
      ASSERT_NE(type, nullptr) << xsi->local;
      EXPECT_FALSE(type->enumeration && type->enumeration->since > client_) << type->name;
    }
    if (!type->data) return;
    EXPECT_LE(type->data->since, client_) << type->name;
    for (const wire::XmlElement& child : element.children()) {
      if (type->kind == Kind::array) {
        value(child, type->element);
      } else {
        field(child, *type->data);
      }
    }
  }

  int fields() const { return fields_; }

 private:
  void field(const wire::XmlElement& element, const TypeInfo& owner) {
    const FieldInfo* info = owner.field(element.local_name());
    ASSERT_NE(info, nullptr) << owner.name << " has no " << element.local_name();
    EXPECT_LE(info->since, client_) << owner.name << "." << info->name;
    ++fields_;
    value(element, info->holder == Holder::array ? info->type->element : info->type);
  }

  const Version client_;
  int fields_ = 0;
};

class VersionFilter : public testing::TestWithParam<std::string> {};

TEST_P(VersionFilter, NoAnswerShowsWhatIsNewerThanTheClient) {
  MethodInfo method{};
  method.name = "Fetch";
  method.result = &builtin::any;
  const auto fields_written = [&](const Any& value, Version client) {
    const auto document =
        wire::XmlDocument::parse(soap::write_response(method, any(value), client));
    Inspector inspector(client);
    inspector.value(document.root().child("Body").first_child().child("returnval"), nullptr);
    return inspector.fields();
  };
  const Version client = *parse_version(GetParam());
  bool left_out = false;
  for (const TypeInfo* type : types_with_objects()) {
    const Any value = any(sample::object(*type, sample::Secrets::leave_out));
    left_out |= fields_written(value, client) < fields_written(value, kNewest);
  }
  EXPECT_TRUE(left_out);
}

INSTANTIATE_TEST_SUITE_P(Versions, VersionFilter,
                         testing::Values("2.5", "5.5", "6.0", "6.5", "6.7", "7.0.0.0"));

}  // namespace
}  // namespace virga::model
