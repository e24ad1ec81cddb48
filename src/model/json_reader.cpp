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

std::string_view kind_name(const json::value& value) {
  return json::to_string(value.kind());
}

const json::object& require_object(const json::value& value, const Place& place) {
  if (!value.is_object()) refuse(place, "an object is needed, not {}", kind_name(value));
  return value.get_object();
}

std::string_view require_string(const json::value& value, const Place& place) {
  if (!value.is_string()) refuse(place, "a string is needed, not {}", kind_name(value));
  return value.get_string();
}

// The object's _typeName; "" when it has none.
std::string_view named_type(const json::object& object, const Place& place) {
  const json::value* name = object.if_contains(kTypeName);
  return name ? require_string(*name, Place{&place, kTypeName}) : std::string_view();
}

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

// Integers are checked by the rules of their text, which has no decimal point.
void read_integer(const json::value& value, const ValueType& type, void* storage,
                  const Place& place) {
  if (!value.is_number()) refuse(place, "a number is needed, not {}", kind_name(value));
  read_text(type, json::serialize(value), storage, place);
}

template <class T>
void read_real(const json::value& value, const ValueType& type, void* storage, const Place& place) {
  if (value.is_number()) {
    *static_cast<T*>(storage) = value.to_number<T>();
  } else {
    read_text(type, require_string(value, place), storage, place);  // "INF"
  }
}

class ValueReader {
 public:
  explicit ValueReader(Tolerance tolerance) : tolerance_(tolerance) {}

  DataPtr data(const json::value& value, const TypeInfo& declared, const Place& place) const {
    const json::object& members = require_object(value, place);
    const std::string_view name = named_type(members, place);
    const TypeInfo& type = name.empty() ? declared : dynamic_type(name, declared, place);
    DataObject* object = create(type, place);
    DataPtr owner(object);
    fields(members, *object, place);
    return owner;
  }

 private:
  void fields(const json::object& members, DataObject& object, const Place& place) const {
    FieldSearch fields(object.type_info(), tolerance_);
    for (const auto& [name, member] : members) {
      if (name == kTypeName) continue;
      const FieldInfo* info = fields.find(name, place);
      if (!info) continue;
      if (member.is_null()) {
        if (info->required) refuse(place, "the required {} is null", info->name);
        continue;
      }
      field(member, *info, object, Place{&place, info->name});
    }
    fields.require_all(place);
  }

  void field(const json::value& value, const FieldInfo& info, DataObject& object,
             const Place& place) const {
    switch (info.holder) {
      case Holder::pointer:
        return info.set_data(object, data(value, *info.type->data, place));
      case Holder::embedded:
        return embedded(value, info, object, place);
      case Holder::array:
      case Holder::plain:
      case Holder::optional:
        return into(value, *info.type, info.emplace(object), place);
    }
  }

  void embedded(const json::value& value, const FieldInfo& info, DataObject& object,
                const Place& place) const {
    const json::object& members = require_object(value, place);
    const std::string_view name = named_type(members, place);
    if (!name.empty() && name != info.type->name) {
      refuse(place, "{} is not {}, the type that belongs here", name, info.type->name);
    }
    fields(members, *static_cast<DataObject*>(info.emplace(object)), place);
  }

  // Anything but a data object, which is no storage but an object of its own.
  void into(const json::value& value, const ValueType& type, void* storage,
            const Place& place) const {
    switch (type.kind) {
      case Kind::boolean:
        if (!value.is_bool()) refuse(place, "true or false is needed, not {}", kind_name(value));
        *static_cast<bool*>(storage) = value.get_bool();
        return;
      case Kind::byte:
      case Kind::short_:
      case Kind::int_:
      case Kind::long_:
        return read_integer(value, type, storage, place);
      case Kind::float_:
        return read_real<float>(value, type, storage, place);
      case Kind::double_:
        return read_real<double>(value, type, storage, place);
      case Kind::reference:
        *static_cast<MoRef*>(storage) = read_reference(value, place);
        return;
      case Kind::any:
        *static_cast<Any*>(storage) = any_value(value, place);
        return;
      case Kind::array:
        return elements(value, type, storage, place);
      default:
        return read_text(type, require_string(value, place), storage, place);
    }
  }

  void elements(const json::value& value, const ValueType& type, void* storage,
                const Place& place) const {
    if (!value.is_array()) refuse(place, "an array is needed, not {}", kind_name(value));
    for (const json::value& element : value.get_array()) {
      const Place at{&place, {}, type.size(storage)};
      if (type.append_data) {
        type.append_data(storage, data(element, *type.data, at));
      } else {
        into(element, *type.element, type.append(storage), at);
      }
    }
  }

  Any any_value(const json::value& value, const Place& place) const {
    const json::object& object = require_object(value, place);
    const std::string_view name = named_type(object, place);
    if (name.empty()) refuse(place, "a value of any type needs its {}", kTypeName);
    const ValueType& type = any_type(name, place);
    if (type.kind == Kind::data) return any(data(value, *type.data, place));
    Any result = type.copy(type, nullptr);
    void* storage = const_cast<void*>(result.value());
    if (type.kind == Kind::reference) {
      into(value, type, storage, place);
    } else if (const json::value* content = object.if_contains(kValue)) {
      into(*content, type, storage, Place{&place, kValue});
    } else {
      refuse(place, "a {} needs its {}", name, kValue);
    }
    return result;
  }

  const Tolerance tolerance_;
};

}  // namespace

DataPtr read_request(const MethodInfo& method, std::string_view body) {
  return refusing_by_fault([&] {
    const json::value value = body.empty() ? json::value(json::object()) : parse(body);
    const Place place{nullptr, method.name};
    return ValueReader(Tolerance::exact).data(value, *method.request, place);
  });
}

DataPtr read_object(std::string_view text) {
  return refusing_by_fault([&] {
    const json::value value = parse(text);
    const Place place{nullptr, {}};
    const std::string_view name = named_type(require_object(value, place), place);
    const TypeInfo* type = find_type(name);
    if (!type) refuse(place, "\"{}\" is not a known type", name);
    return ValueReader(Tolerance::lenient).data(value, *type, place);
  });
}

}  // namespace virga::model::json_binding
