#include "model/metadata.h"

#include <charconv>

#include "model/value_ops.h"

namespace virga::model {
namespace {

template <class T>
const T* storage(const FieldInfo& field, const DataObject& object) {
  return reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(&object) + field.offset);
}
template <class T>
T* storage(const FieldInfo& field, DataObject& object) {
  return reinterpret_cast<T*>(reinterpret_cast<std::byte*>(&object) + field.offset);
}

}  // namespace

DataPtr clone(const DataObject& object) {
  return DataPtr(object.type_info().copy(object));
}

bool is_a(const TypeInfo& type, const TypeInfo& base) {
  for (const TypeInfo* at = &type; at; at = at->base) {
    if (at == &base) return true;
  }
  return false;
}

bool equal(const DataObject& a, const DataObject& b) {
  if (&a == &b) return true;
  const TypeInfo& type = a.type_info();
  if (&type != &b.type_info()) return false;
  bool same = true;
  type.for_each_field([&](const FieldInfo& field) {
    if (!same) return;
    const void* left = field.get(a);
    const void* right = field.get(b);
    if (!left || !right) {
      same = left == right;
    } else {
      same = left == right || field.type->equal(left, right);
    }
  });
  return same;
}

const void* FieldInfo::get(const DataObject& object) const {
  const void* value = storage<void>(*this, object);
  switch (holder) {
    case Holder::optional:
      return optional->get(value);
    case Holder::pointer:
      return static_cast<const DataPtr*>(value)->get();
    case Holder::array:
      return type->size(value) ? value : nullptr;
    case Holder::plain:
      return type->kind == Kind::any && !*static_cast<const Any*>(value) ? nullptr : value;
    case Holder::embedded:
      break;
  }
  return value;
}

void* FieldInfo::emplace(DataObject& object) const {
  void* value = storage<void>(*this, object);
  if (holder == Holder::optional) return optional->emplace(value);
  type->reset(value);
  return value;
}

void FieldInfo::set_data(DataObject& object, DataPtr value) const {
  *storage<DataPtr>(*this, object) = std::move(value);
}

void FieldInfo::clear(DataObject& object) const {
  void* value = storage<void>(*this, object);
  switch (holder) {
    case Holder::optional:
      return optional->reset(value);
    case Holder::pointer:
      return set_data(object, {});
    case Holder::plain:
    case Holder::embedded:
    case Holder::array:
      return type->reset(value);
  }
}

Any FieldInfo::any(const DataPtr& object) const {
  return any(Counted<RefCounted>(object.get()), *object);
}

Any FieldInfo::any(const Counted<RefCounted>& owner, const DataObject& object) const {
  const void* value = get(object);
  if (!value) return {};
  if (type->kind == Kind::any) return *static_cast<const Any*>(value);
  if (holder == Holder::pointer) return model::any(*storage<DataPtr>(*this, object));
  return Any(*type, owner, value);
}

const FieldInfo* TypeInfo::field(std::string_view wanted) const {
  for (const TypeInfo* type = this; type; type = type->base) {
    for (const FieldInfo& field : type->own_fields) {
      if (field.name == wanted) return &field;
    }
  }
  return nullptr;
}

const MethodInfo* ManagedInfo::method(std::string_view wanted) const {
  for (const ManagedInfo* type = this; type; type = type->base) {
    for (const MethodInfo& method : type->own_methods) {
      if (method.name == wanted) return &method;
    }
  }
  return nullptr;
}

bool ManagedInfo::unserved(std::string_view wanted) const {
  for (const ManagedInfo* type = this; type; type = type->base) {
    if (std::ranges::find(type->own_unserved, wanted) != type->own_unserved.end()) return true;
  }
  return false;
}

bool ManagedInfo::is_a(const ManagedInfo& other) const {
  for (const ManagedInfo* type = this; type; type = type->base) {
    if (type == &other) return true;
  }
  return false;
}

std::optional<Version> parse_version(std::string_view text) {
  constexpr std::string_view kNamespace = "urn:vim25/";
  if (text.starts_with(kNamespace)) text.remove_prefix(kNamespace.size());
  Version version;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (std::size_t part = 0; part < version.parts.size(); ++part) {
    auto [next, error] = std::from_chars(at, end, version.parts[part]);
    if (error != std::errc()) return std::nullopt;
    at = next;
    if (at == end) return version;
    if (*at == 'u') break;
    if (*at++ != '.') return std::nullopt;
  }
  // "2.5u2" and, after it, "2.5u2server": the only versions with an update of their own.
  if (at == end || *at != 'u') return std::nullopt;
  auto [next, error] = std::from_chars(at + 1, end, version.parts[3]);
  if (error != std::errc()) return std::nullopt;
  std::string_view rest(next, end);
  if (rest == "server") ++version.parts[3];
  return rest.empty() || rest == "server" ? std::optional(version) : std::nullopt;
}

const ValueType* find_value_type(std::string_view name) {
  static const auto builtins = [] {
    using namespace builtin;
    std::unordered_map<std::string_view, const ValueType*> types;
    for (const ValueType* type : {&boolean,
                                  &byte,
                                  &short_,
                                  &int_,
                                  &long_,
                                  &float_,
                                  &double_,
                                  &string,
                                  &any_uri,
                                  &type_name,
                                  &property_path,
                                  &method_name,
                                  &date_time,
                                  &binary,
                                  &reference,
                                  &builtin::any,
                                  &array_of_boolean,
                                  &array_of_byte,
                                  &array_of_short,
                                  &array_of_int,
                                  &array_of_long,
                                  &array_of_float,
                                  &array_of_double,
                                  &array_of_string,
                                  &array_of_any_uri,
                                  &array_of_date_time,
                                  &array_of_binary,
                                  &array_of_reference,
                                  &array_of_any}) {
      types.emplace(type->name, type);
    }
    return types;
  }();
  if (name.starts_with("xsd:")) name.remove_prefix(4);
  if (auto found = builtins.find(name); found != builtins.end()) return found->second;
  if (const TypeInfo* type = find_type(name)) return type->value;
  if (const EnumInfo* info = find_enum(name)) return info->value;
  constexpr std::string_view kArray = "ArrayOf";
  if (!name.starts_with(kArray)) return nullptr;
  name.remove_prefix(kArray.size());
  if (const TypeInfo* type = find_type(name)) return type->array;
  if (const EnumInfo* info = find_enum(name)) return info->array;
  return nullptr;
}

}  // namespace virga::model
