// What the schema compiler knows, for code that works on any type: codecs, property paths, privilege
// checks, documents. All of it is constant and lives as long as the program.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/async.h"
#include "model/values.h"

namespace virga::model {

// An API version: "2.5u2" is 2.5.0.2's order, "7.0.3.0" its own. Later versions compare greater.
struct Version {
  std::array<std::uint8_t, 4> parts{};
  auto operator<=>(const Version&) const = default;
};
// Of "6.7.3" or "urn:vim25/6.7.3"; nullopt when it is neither.
std::optional<Version> parse_version(std::string_view text);

enum class Kind : std::uint8_t {
  boolean, byte, short_, int_, long_, float_, double_,
  string, any_uri, type_name, property_path, method_name,
  date_time, binary, reference, any, enumeration, data, array,
};

struct ValueType;

struct EnumInfo {
  std::string_view name;
  Version since;
  std::span<const std::string_view> values;    // on the wire, in the order of the C++ enumerators
  const ValueType* value;                      // the enum as a value, and as an array's element
  const ValueType* array;
};

// How a C++ type that stands for an API type is read and written through a void pointer. For data
// objects the pointer is the DataObject itself, for everything else the value's own storage.
struct ValueType {
  Kind kind;
  std::string_view name;                       // wire name: "int", "VirtualDevice", "ArrayOfInt"
  std::string_view xsd_name;                   // with its prefix: "xsd:int", "VirtualDevice"
  const TypeInfo* data = nullptr;              // Kind::data; Kind::array of data
  const EnumInfo* enumeration = nullptr;       // Kind::enumeration; Kind::array of one
  const ValueType* element = nullptr;          // Kind::array

  bool (*equal)(const void*, const void*) = nullptr;
  // An Any of `type` that owns a copy; of the default value when the pointer is null.
  Any (*copy)(const ValueType& type, const void*) = nullptr;
  void (*reset)(void*) = nullptr;              // to the default: 0, "", empty

  // Kind::enumeration: the index into EnumInfo::values.
  int (*index)(const void*) = nullptr;
  void (*set_index)(void*, int) = nullptr;

  // Kind::array. An element of data objects is the DataObject; append() of those takes it instead.
  std::size_t (*size)(const void*) = nullptr;
  const void* (*at)(const void*, std::size_t) = nullptr;
  void* (*append)(void*) = nullptr;            // adds a default element and returns its storage
  void (*append_data)(void*, DataPtr) = nullptr;
};

// How a field holds its value.
enum class Holder : std::uint8_t {
  plain,       // T
  optional,    // std::optional<T>
  embedded,    // a data object in place: required, of exactly this type
  pointer,     // Ptr<T>
  array,       // Array<T> or List<T>; empty is unset
};

struct FieldInfo {
  std::string_view name;
  const ValueType* type;
  Version since;
  std::uint32_t offset;                        // bytes from the DataObject
  Holder holder;
  bool required;
  bool secret;                                 // never logged, never in an answer to a reader
  std::string_view privilege;                  // of a managed object's property; "" otherwise

  // The value's storage (see ValueType), or nullptr when the field is unset.
  const void* get(const DataObject& object) const;
  // The storage to write into, the field set to a default first. Not for Holder::pointer.
  void* emplace(DataObject& object) const;
  // For Holder::pointer: sets the field.
  void set_data(DataObject& object, DataPtr value) const;
  // Unsets (or resets to the default) whatever the holder.
  void clear(DataObject& object) const;
  // The value as an Any that shares `object`; none when unset.
  Any any(const DataPtr& object) const;
  // The same for an object that lives inside `owner`.
  Any any(const Counted<RefCounted>& owner, const DataObject& object) const;

  // Per C++ type of an optional<T>: set by the generator for Holder::optional.
  struct OptionalAccess {
    const void* (*get)(const void*);
    void* (*emplace)(void*);
    void (*reset)(void*);
  };
  const OptionalAccess* optional = nullptr;
};

struct TypeInfo {
  std::string_view name;                       // wire name
  const TypeInfo* base;                        // nullptr for DynamicData's own root
  Version since;
  std::span<const FieldInfo> own_fields;       // in wire order, after the base's
  DataObject* (*create)();
  DataObject* (*copy)(const DataObject&);
  bool extensible;                             // other types of the schema may derive from it
  bool internal;                               // Virga's own, not part of the vSphere API
  const ValueType* value;                      // the type as a value, and as an array's element
  const ValueType* array;

  // By name, the base's included; nullptr when there is none.
  const FieldInfo* field(std::string_view name) const;
  // Calls f(const FieldInfo&) for every field in wire order, the base's first.
  template <class F>
  void for_each_field(F&& f) const {
    if (base) base->for_each_field(f);
    for (const FieldInfo& field : own_fields) f(field);
  }
};

class ManagedObject;
class Call;

struct MethodInfo {
  std::string_view name;                       // wire name: "PowerOnVM_Task"
  std::string_view request_name;               // its JSON and WSDL request: "PowerOnVMRequestType"
  Version since;
  std::string_view privilege;                  // "" when any session may call it
  const TypeInfo* request;                     // its parameters as a data object's fields
  const ValueType* result;                     // nullptr for void; a task method's is a MoRef
  const ValueType* task_result;                // of a task method: what info.result holds; or nullptr
  bool result_optional;
  std::span<const std::string_view> faults;
  // Calls the method of the server interface the object implements.
  Async<Any> (*invoke)(ManagedObject&, Call&, const DataObject& request);
};

struct ManagedInfo {
  std::string_view name;
  const ManagedInfo* base;
  Version since;
  const TypeInfo* properties;                  // the properties as a data object's fields
  std::span<const MethodInfo> own_methods;
  std::span<const std::string_view> own_unserved;   // methods of the API that Virga does not serve
  bool internal;
  bool absent;                                 // of the API, but Virga has none: known by name only

  const MethodInfo* method(std::string_view name) const;
  bool unserved(std::string_view name) const;
  bool is_a(const ManagedInfo& other) const;
};

// The whole schema. Lookups are by wire name; nullptr when Virga does not know it.
const TypeInfo* find_type(std::string_view name);
const EnumInfo* find_enum(std::string_view name);
const ManagedInfo* find_managed(std::string_view name);
// Of a built-in ("int", "string"), an enum, a data object, "ManagedObjectReference" or "ArrayOf…".
const ValueType* find_value_type(std::string_view name);
std::span<const TypeInfo* const> all_types();
std::span<const EnumInfo* const> all_enums();
std::span<const ManagedInfo* const> all_managed();

// Deep equality of two data objects, by dynamic type and fields. Shared parts cost nothing.
bool equal(const DataObject& a, const DataObject& b);

// The ValueType of the C++ type T. Specialised here for the built-in types and their arrays (a
// std::string is xsd:string) and in the generated code for enums and their arrays.
template <class T>
const ValueType& value_type();

// Of a data object.
template <class T>
  requires std::is_base_of_v<DataObject, T>
const ValueType& value_type() {
  return *T::static_type().value;
}
// Of a List<T>.
template <class L>
  requires std::is_base_of_v<DataObject, typename L::Object>
const ValueType& value_type() {
  return *L::Object::static_type().array;
}

template <>
const ValueType& value_type<bool>();
template <>
const ValueType& value_type<std::int8_t>();
template <>
const ValueType& value_type<std::int16_t>();
template <>
const ValueType& value_type<std::int32_t>();
template <>
const ValueType& value_type<std::int64_t>();
template <>
const ValueType& value_type<float>();
template <>
const ValueType& value_type<double>();
template <>
const ValueType& value_type<std::string>();
template <>
const ValueType& value_type<Time>();
template <>
const ValueType& value_type<Binary>();
template <>
const ValueType& value_type<MoRef>();
template <>
const ValueType& value_type<Any>();
template <>
const ValueType& value_type<Array<bool>>();
template <>
const ValueType& value_type<Array<std::int8_t>>();
template <>
const ValueType& value_type<Array<std::int16_t>>();
template <>
const ValueType& value_type<Array<std::int32_t>>();
template <>
const ValueType& value_type<Array<std::int64_t>>();
template <>
const ValueType& value_type<Array<float>>();
template <>
const ValueType& value_type<Array<double>>();
template <>
const ValueType& value_type<Array<std::string>>();
template <>
const ValueType& value_type<Array<Time>>();
template <>
const ValueType& value_type<Array<Binary>>();
template <>
const ValueType& value_type<Array<MoRef>>();
template <>
const ValueType& value_type<Array<Any>>();

// An enumerator's name on the wire: what the API's many string fields with the values of an enum hold.
template <class E>
  requires std::is_enum_v<E>
std::string wire_name(E value) {
  return std::string(value_type<E>().enumeration->values[static_cast<std::size_t>(value)]);
}
// The enumerator of that name; nullopt when the enum has none.
template <class E>
  requires std::is_enum_v<E>
std::optional<E> enumerator(std::string_view wire_name) {
  const auto& values = value_type<E>().enumeration->values;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == wire_name) return static_cast<E>(i);
  }
  return std::nullopt;
}

// A value on the heap, for an Any to own.
template <class T>
struct Boxed : RefCounted {
  explicit Boxed(T v) : value(std::move(v)) {}
  T value;
};

// Whether a value of `type` can be read as one of `wanted`: the same type, a data object (or a list)
// of a derived one, or another of the types that are all a std::string.
bool readable_as(const ValueType& type, const ValueType& wanted);

template <class T>
const T* Any::get() const {
  if (!type_ || !readable_as(*type_, value_type<T>())) return nullptr;
  if constexpr (std::is_base_of_v<DataObject, T>) {
    return static_cast<const T*>(static_cast<const DataObject*>(value_));
  } else {
    return static_cast<const T*>(value_);
  }
}

template <class T>
Any any(T value) {
  if constexpr (std::is_base_of_v<DataObject, T>) {
    return any(share(std::move(value)).data());
  } else {
    const ValueType& type = value_type<T>();
    auto* box = new Boxed<T>(std::move(value));
    return Any(type, Counted<RefCounted>(box), &box->value);
  }
}

}  // namespace virga::model
