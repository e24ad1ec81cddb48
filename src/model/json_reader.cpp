// The reading half of json.h.
#include "base/json.h"
#include "model/json.h"
#include "model/reading.h"
#include "model/value_ops.h"

namespace virga::model::json_binding {
namespace {

constexpr std::size_t kMaxBytes = 16 << 20;
constexpr std::size_t kMaxDepth = 100;

constexpr std::string_view kTypeName = "_typeName";
constexpr std::string_view kValue = "_value";

json::value parse(std::string_view text) {
  if (text.size() > kMaxBytes) {
    throw error(ErrorKind::invalid_argument, "JSON", "JSON of {} bytes is over the limit of {}",
                text.size(), kMaxBytes);
  }
  json::parse_options options;
  options.max_depth = kMaxDepth;
  json::error_code code;
  json::value value = json::parse(text, code, {}, options);
  if (code) throw error(ErrorKind::invalid_argument, "JSON", "not JSON: {}", code.message());
  return value;
}

const json::object& require_object(const json::value& value, const Place& place) {
  if (!value.is_object())
    refuse(place, "an object is needed, not {}", json::to_string(value.kind()));
  return value.get_object();
}

std::string_view require_string(const json::value& value, const Place& place) {
  if (!value.is_string())
    refuse(place, "a string is needed, not {}", json::to_string(value.kind()));
  return value.get_string();
}

// The object's _typeName; "" when it has none.
std::string_view named_type(const json::object& object, const Place& place) {
  const json::value* name = object.if_contains(kTypeName);
  return name ? require_string(*name, Place{&place, kTypeName}) : std::string_view();
}

DataPtr read_data(const json::value& value, const TypeInfo& declared, const Place& place);
Any read_any(const json::value& value, const Place& place);
void read_array(const json::value& value, const ValueType& type, void* storage, const Place& place);

MoRef read_reference(const json::value& value, const Place& place) {
  MoRef ref;
  for (const auto& [name, member] : require_object(value, place)) {
    const std::string_view text = require_string(member, Place{&place, name});
    if (name == "type") {
      ref.type = text;
    } else if (name == "value") {
      ref.value = text;
    } else if (name != kTypeName) {
      refuse(place, "a reference has no member {}", std::string_view(name));
    } else if (text != builtin::reference.name) {
      refuse(place, "{} is not {}", text, builtin::reference.name);
    }
  }
  if (ref.type.empty()) refuse(place, "the reference needs its type");
  return ref;
}

// Numbers are checked by the rules of their text.
void read_number(const json::value& value, const ValueType& type, void* storage,
                 const Place& place) {
  const bool integral = type.kind != Kind::float_ && type.kind != Kind::double_;
  if (value.is_double() && !integral) {
    if (type.kind == Kind::float_) {
      *static_cast<float*>(storage) = static_cast<float>(value.get_double());
    } else {
      *static_cast<double*>(storage) = value.get_double();
    }
  } else if (value.is_number()) {
    read_text(type, json::serialize(value), storage, place);
  } else if (value.is_string() && !integral) {
    read_text(type, std::string_view(value.get_string()), storage, place);  // "INF"
  } else {
    refuse(place, "a number is needed, not {}", json::to_string(value.kind()));
  }
}

// Reads anything but a data object, which is no storage but an object of its own.
void read_value(const json::value& value, const ValueType& type, void* storage,
                const Place& place) {
  switch (type.kind) {
    case Kind::boolean:
      if (!value.is_bool()) refuse(place, "true or false is needed");
      *static_cast<bool*>(storage) = value.get_bool();
      return;
    case Kind::byte:
    case Kind::short_:
    case Kind::int_:
    case Kind::long_:
    case Kind::float_:
    case Kind::double_:
      return read_number(value, type, storage, place);
    case Kind::reference:
      *static_cast<MoRef*>(storage) = read_reference(value, place);
      return;
    case Kind::any:
      *static_cast<Any*>(storage) = read_any(value, place);
      return;
    case Kind::array:
      return read_array(value, type, storage, place);
    default:
      return read_text(type, require_string(value, place), storage, place);
  }
}

void read_array(const json::value& value, const ValueType& type, void* storage,
                const Place& place) {
  if (!value.is_array()) refuse(place, "an array is needed, not {}", json::to_string(value.kind()));
  for (const json::value& element : value.get_array()) {
    const Place at{&place, {}, type.size(storage)};
    if (type.append_data) {
      type.append_data(storage, read_data(element, *type.data, at));
    } else {
      read_value(element, *type.element, type.append(storage), at);
    }
  }
}

Any read_any(const json::value& value, const Place& place) {
  const json::object& object = require_object(value, place);
  const std::string_view name = named_type(object, place);
  if (name.empty()) refuse(place, "a value of any type needs its {}", kTypeName);
  const ValueType& type = any_type(name, place);
  if (type.kind == Kind::data) return any(read_data(value, *type.data, place));
  Any result = type.copy(type, nullptr);
  void* storage = const_cast<void*>(result.value());
  if (type.kind == Kind::reference) {
    read_value(value, type, storage, place);
  } else if (const json::value* content = object.if_contains(kValue)) {
    read_value(*content, type, storage, Place{&place, kValue});
  } else {
    refuse(place, "a {} needs its {}", name, kValue);
  }
  return result;
}

void read_field(const json::value& value, const FieldInfo& field, DataObject& object,
                const Place& place);

void read_fields(const json::object& members, DataObject& object, const Place& place) {
  FieldSearch fields(object.type_info());
  for (const auto& [name, member] : members) {
    if (name == kTypeName) continue;
    const FieldInfo& field = fields.find(name, place);
    if (member.is_null()) {
      if (field.required) refuse(place, "the required {} is null", field.name);
      continue;
    }
    read_field(member, field, object, Place{&place, field.name});
  }
  fields.require_all(place);
}

void read_field(const json::value& value, const FieldInfo& field, DataObject& object,
                const Place& place) {
  switch (field.holder) {
    case Holder::pointer:
      return field.set_data(object, read_data(value, *field.type->data, place));
    case Holder::embedded: {
      const json::object& members = require_object(value, place);
      if (const auto name = named_type(members, place); !name.empty() && name != field.type->name) {
        refuse(place, "{} is not {}, the type that belongs here", name, field.type->name);
      }
      return read_fields(members, *static_cast<DataObject*>(field.emplace(object)), place);
    }
    case Holder::array:
    case Holder::plain:
    case Holder::optional:
      return read_value(value, *field.type, field.emplace(object), place);
  }
}

DataPtr read_data(const json::value& value, const TypeInfo& declared, const Place& place) {
  const json::object& members = require_object(value, place);
  const std::string_view name = named_type(members, place);
  const TypeInfo& type = name.empty() ? declared : dynamic_type(name, declared, place);
  DataObject* object = create(type, place);
  DataPtr owner(object);
  read_fields(members, *object, place);
  return owner;
}

}  // namespace

DataPtr read_request(const MethodInfo& method, std::string_view body) {
  return refusing_by_fault([&] {
    const json::value value = body.empty() ? json::value(json::object()) : parse(body);
    return read_data(value, *method.request, Place{nullptr, method.name});
  });
}

DataPtr read_object(std::string_view text) {
  return refusing_by_fault([&] {
    const json::value value = parse(text);
    const Place place{nullptr, {}};
    const std::string_view name = named_type(require_object(value, place), place);
    const TypeInfo* type = find_type(name);
    if (!type) refuse(place, "\"{}\" is not a known type", name);
    return read_data(value, *type, place);
  });
}

}  // namespace virga::model::json_binding
