// The operations of a ValueType, for the C++ types that stand for API types: what the generated
// metadata is built of.
//
//   constinit const ValueType state = enum_value_type<PowerState>("PowerState", state_info);
//   constinit const ValueType states = enum_array_type<PowerState>("ArrayOfPowerState", state);
//   constinit const ValueType device = data_value_type("VirtualDevice", device_info);
//   constinit const ValueType devices = data_array_type("ArrayOfVirtualDevice", device);
//
// The generated code specialises value_type<>() for each enum E and for Array<E>. Data objects and
// lists of them need no code of their own: every List<T> has the same storage, and the type is
// found through T::static_type(). A field of Holder::optional takes &optional_access<T>.
#pragma once

#include <type_traits>

#include "model/metadata.h"

namespace virga::model {

// The built-in types and their arrays. string, any_uri, type_name, property_path and method_name
// are all std::string and differ in name; reference is a MoRef, whatever managed object it names.
namespace builtin {
extern const ValueType boolean, byte, short_, int_, long_, float_, double_;
extern const ValueType string, any_uri, type_name, property_path, method_name;
extern const ValueType date_time, binary, reference, any;
extern const ValueType array_of_boolean, array_of_byte, array_of_short, array_of_int, array_of_long,
    array_of_float, array_of_double;
extern const ValueType array_of_string, array_of_any_uri, array_of_type_name,
    array_of_property_path, array_of_method_name;
extern const ValueType array_of_date_time, array_of_binary, array_of_reference, array_of_any;
}  // namespace builtin

namespace ops {

template <class T>
bool equal(const void* a, const void* b) {
  return *static_cast<const T*>(a) == *static_cast<const T*>(b);
}
template <class T>
Any copy(const ValueType& type, const void* value) {
  auto* box = new Boxed<T>(value ? *static_cast<const T*>(value) : T{});
  return Any(type, Counted<RefCounted>(box), &box->value);
}
template <class T>
void reset(void* value) {
  *static_cast<T*>(value) = T{};
}

template <class E>
int index(const void* value) {
  return static_cast<int>(*static_cast<const E*>(value));
}
template <class E>
void set_index(void* value, int index) {
  *static_cast<E*>(value) = static_cast<E>(index);
}

template <class A>
std::size_t size(const void* array) {
  return static_cast<const A*>(array)->size();
}
template <class A>
const void* at(const void* array, std::size_t i) {
  return &(*static_cast<const A*>(array))[i];
}
template <class A>
void* append(void* array) {
  return &static_cast<A*>(array)->emplace_back();
}

// Data objects, and lists of them: the storage of any List<T> is a std::vector<DataPtr>.
bool equal_data(const void* a, const void* b);
Any copy_data(const ValueType& type, const void* object);
void reset_data(void* object);
bool equal_list(const void* a, const void* b);
Any copy_list(const ValueType& type, const void* list);
void reset_list(void* list);
std::size_t list_size(const void* list);
const void* list_at(const void* list, std::size_t i);
void append_data(void* list, DataPtr object);

}  // namespace ops

template <class T>
constexpr ValueType builtin_type(Kind kind, std::string_view name, std::string_view xsd_name) {
  return {.kind = kind,
          .name = name,
          .xsd_name = xsd_name,
          .equal = ops::equal<T>,
          .copy = ops::copy<T>,
          .reset = ops::reset<T>};
}

template <class E>
constexpr ValueType enum_value_type(std::string_view name, const EnumInfo& info) {
  return {.kind = Kind::enumeration,
          .name = name,
          .xsd_name = name,
          .enumeration = &info,
          .equal = ops::equal<E>,
          .copy = ops::copy<E>,
          .reset = ops::reset<E>,
          .index = ops::index<E>,
          .set_index = ops::set_index<E>};
}

// An array of built-in values.
template <class T>
constexpr ValueType array_type(std::string_view name, const ValueType& element) {
  using A = Array<T>;
  return {.kind = Kind::array,
          .name = name,
          .xsd_name = name,
          .element = &element,
          .equal = ops::equal<A>,
          .copy = ops::copy<A>,
          .reset = ops::reset<A>,
          .size = ops::size<A>,
          .at = ops::at<A>,
          .append = ops::append<A>};
}

template <class E>
constexpr ValueType enum_array_type(std::string_view name, const ValueType& element,
                                    const EnumInfo& info) {
  ValueType type = array_type<E>(name, element);
  type.enumeration = &info;
  return type;
}

constexpr ValueType data_value_type(std::string_view name, const TypeInfo& info) {
  return {.kind = Kind::data,
          .name = name,
          .xsd_name = name,
          .data = &info,
          .equal = ops::equal_data,
          .copy = ops::copy_data,
          .reset = ops::reset_data};
}

constexpr ValueType data_array_type(std::string_view name, const ValueType& element,
                                    const TypeInfo& info) {
  return {.kind = Kind::array,
          .name = name,
          .xsd_name = name,
          .data = &info,
          .element = &element,
          .equal = ops::equal_list,
          .copy = ops::copy_list,
          .reset = ops::reset_list,
          .size = ops::list_size,
          .at = ops::list_at,
          .append_data = ops::append_data};
}

// TypeInfo::create and TypeInfo::copy of a T that is not abstract.
template <class T>
DataObject* create_data() {
  return new T();
}
template <class T>
DataObject* copy_data(const DataObject& object) {
  return new T(static_cast<const T&>(object));
}

namespace ops {
template <class T>
const void* optional_get(const void* field) {
  const auto& value = *static_cast<const std::optional<T>*>(field);
  return value ? &*value : nullptr;
}
template <class T>
void* optional_emplace(void* field) {
  return &static_cast<std::optional<T>*>(field)->emplace();
}
template <class T>
void optional_reset(void* field) {
  static_cast<std::optional<T>*>(field)->reset();
}
}  // namespace ops

template <class T>
inline constexpr FieldInfo::OptionalAccess optional_access{
    ops::optional_get<T>, ops::optional_emplace<T>, ops::optional_reset<T>};

}  // namespace virga::model
