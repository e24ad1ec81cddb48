#include "model/value_ops.h"

namespace virga::model {

namespace {
bool is_string(Kind kind) {
  return kind >= Kind::string && kind <= Kind::method_name;
}
}  // namespace

bool readable_as(const ValueType& type, const ValueType& wanted) {
  if (&type == &wanted) return true;
  if (type.kind == Kind::array && wanted.kind == Kind::array) {
    return readable_as(*type.element, *wanted.element);
  }
  if (type.kind == Kind::data && wanted.kind == Kind::data) return is_a(*type.data, *wanted.data);
  return is_string(type.kind) && is_string(wanted.kind);
}

bool Any::operator==(const Any& other) const {
  if (!type_ || !other.type_) return type_ == other.type_;
  if (!readable_as(*type_, *other.type_)) return false;
  return value_ == other.value_ || type_->equal(value_, other.value_);
}

Any any(DataPtr object) {
  if (!object) return {};
  const DataObject* value = object.get();
  return Any(*value->type_info().value, Counted<RefCounted>(value), value);
}

namespace ops {
namespace {
const std::vector<DataPtr>& items(const void* list) {
  return *static_cast<const std::vector<DataPtr>*>(list);
}
}  // namespace

bool equal_data(const void* a, const void* b) {
  return model::equal(*static_cast<const DataObject*>(a), *static_cast<const DataObject*>(b));
}

Any copy_data(const ValueType& type, const void* object) {
  return any(object ? clone(*static_cast<const DataObject*>(object))
                    : DataPtr(type.data->create()));
}

void reset_data(void* object) {
  auto& data = *static_cast<DataObject*>(object);
  data.type_info().for_each_field([&](const FieldInfo& field) { field.clear(data); });
}

bool equal_list(const void* a, const void* b) {
  return std::equal(
      items(a).begin(), items(a).end(), items(b).begin(), items(b).end(),
      [](const DataPtr& x, const DataPtr& y) { return equal_data(x.get(), y.get()); });
}

Any copy_list(const ValueType& type, const void* list) {
  return copy<std::vector<DataPtr>>(type, list);
}

void reset_list(void* list) {
  static_cast<std::vector<DataPtr>*>(list)->clear();
}

std::size_t list_size(const void* list) {
  return items(list).size();
}

const void* list_at(const void* list, std::size_t i) {
  return items(list)[i].get();
}

void append_data(void* list, DataPtr object) {
  static_cast<std::vector<DataPtr>*>(list)->push_back(std::move(object));
}
}  // namespace ops

namespace builtin {
constinit const ValueType boolean = builtin_type<bool>(Kind::boolean, "boolean", "xsd:boolean");
constinit const ValueType byte = builtin_type<std::int8_t>(Kind::byte, "byte", "xsd:byte");
constinit const ValueType short_ = builtin_type<std::int16_t>(Kind::short_, "short", "xsd:short");
constinit const ValueType int_ = builtin_type<std::int32_t>(Kind::int_, "int", "xsd:int");
constinit const ValueType long_ = builtin_type<std::int64_t>(Kind::long_, "long", "xsd:long");
constinit const ValueType float_ = builtin_type<float>(Kind::float_, "float", "xsd:float");
constinit const ValueType double_ = builtin_type<double>(Kind::double_, "double", "xsd:double");
constinit const ValueType string = builtin_type<std::string>(Kind::string, "string", "xsd:string");
constinit const ValueType any_uri =
    builtin_type<std::string>(Kind::any_uri, "anyURI", "xsd:anyURI");
constinit const ValueType date_time =
    builtin_type<Time>(Kind::date_time, "dateTime", "xsd:dateTime");
constinit const ValueType binary =
    builtin_type<Binary>(Kind::binary, "base64Binary", "xsd:base64Binary");
constinit const ValueType any = builtin_type<Any>(Kind::any, "anyType", "xsd:anyType");
constinit const ValueType reference =
    builtin_type<MoRef>(Kind::reference, "ManagedObjectReference", "ManagedObjectReference");

// These exist in the API's own language only: on the wire they are strings.
constinit const ValueType type_name =
    builtin_type<std::string>(Kind::type_name, "TypeName", "xsd:string");
constinit const ValueType property_path =
    builtin_type<std::string>(Kind::property_path, "PropertyPath", "xsd:string");
constinit const ValueType method_name =
    builtin_type<std::string>(Kind::method_name, "MethodName", "xsd:string");

constinit const ValueType array_of_boolean = array_type<bool>("ArrayOfBoolean", boolean);
constinit const ValueType array_of_byte = array_type<std::int8_t>("ArrayOfByte", byte);
constinit const ValueType array_of_short = array_type<std::int16_t>("ArrayOfShort", short_);
constinit const ValueType array_of_int = array_type<std::int32_t>("ArrayOfInt", int_);
constinit const ValueType array_of_long = array_type<std::int64_t>("ArrayOfLong", long_);
constinit const ValueType array_of_float = array_type<float>("ArrayOfFloat", float_);
constinit const ValueType array_of_double = array_type<double>("ArrayOfDouble", double_);
constinit const ValueType array_of_string = array_type<std::string>("ArrayOfString", string);
constinit const ValueType array_of_any_uri = array_type<std::string>("ArrayOfAnyURI", any_uri);
constinit const ValueType array_of_type_name = array_type<std::string>("ArrayOfString", type_name);
constinit const ValueType array_of_property_path =
    array_type<std::string>("ArrayOfString", property_path);
constinit const ValueType array_of_method_name =
    array_type<std::string>("ArrayOfString", method_name);
constinit const ValueType array_of_date_time = array_type<Time>("ArrayOfDateTime", date_time);
constinit const ValueType array_of_binary = array_type<Binary>("ArrayOfBase64Binary", binary);
constinit const ValueType array_of_reference =
    array_type<MoRef>("ArrayOfManagedObjectReference", reference);
constinit const ValueType array_of_any = array_type<Any>("ArrayOfAnyType", any);
}  // namespace builtin

// clang-format off
template <> const ValueType& value_type<bool>() { return builtin::boolean; }
template <> const ValueType& value_type<std::int8_t>() { return builtin::byte; }
template <> const ValueType& value_type<std::int16_t>() { return builtin::short_; }
template <> const ValueType& value_type<std::int32_t>() { return builtin::int_; }
template <> const ValueType& value_type<std::int64_t>() { return builtin::long_; }
template <> const ValueType& value_type<float>() { return builtin::float_; }
template <> const ValueType& value_type<double>() { return builtin::double_; }
template <> const ValueType& value_type<std::string>() { return builtin::string; }
template <> const ValueType& value_type<Time>() { return builtin::date_time; }
template <> const ValueType& value_type<Binary>() { return builtin::binary; }
template <> const ValueType& value_type<MoRef>() { return builtin::reference; }
template <> const ValueType& value_type<Any>() { return builtin::any; }
template <> const ValueType& value_type<Array<bool>>() { return builtin::array_of_boolean; }
template <> const ValueType& value_type<Array<std::int8_t>>() { return builtin::array_of_byte; }
template <> const ValueType& value_type<Array<std::int16_t>>() { return builtin::array_of_short; }
template <> const ValueType& value_type<Array<std::int32_t>>() { return builtin::array_of_int; }
template <> const ValueType& value_type<Array<std::int64_t>>() { return builtin::array_of_long; }
template <> const ValueType& value_type<Array<float>>() { return builtin::array_of_float; }
template <> const ValueType& value_type<Array<double>>() { return builtin::array_of_double; }
template <> const ValueType& value_type<Array<std::string>>() { return builtin::array_of_string; }
template <> const ValueType& value_type<Array<Time>>() { return builtin::array_of_date_time; }
template <> const ValueType& value_type<Array<Binary>>() { return builtin::array_of_binary; }
template <> const ValueType& value_type<Array<MoRef>>() { return builtin::array_of_reference; }
template <> const ValueType& value_type<Array<Any>>() { return builtin::array_of_any; }
// clang-format on

}  // namespace virga::model
