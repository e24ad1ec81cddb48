#include "model/reading.h"

#include <charconv>
#include <limits>

#include "base/base64.h"
#include "model/lexical.h"
#include "model/value_ops.h"

namespace virga::model {
namespace {

constexpr std::size_t kLongestQuote = 200;

std::string_view shortened(std::string_view text) {
  return text.substr(0, kLongestQuote);
}

// XML Schema collapses white space around everything but strings.
std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

[[noreturn]] void refuse_text(const ValueType& type, std::string_view text, const Place& place) {
  refuse(place, "\"{}\" is not a value of type {}", shortened(text), type.name);
}

template <class T>
void read_number(const ValueType& type, std::string_view text, void* storage, const Place& place) {
  std::string_view digits = trim(text);
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.remove_prefix(1);
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error == std::errc::result_out_of_range) {
    refuse(place, "{} is out of the range of {}", shortened(text), type.name);
  }
  if (error != std::errc() || end != digits.data() + digits.size()) refuse_text(type, text, place);
  *static_cast<T*>(storage) = value;
}

template <class T>
void read_real(const ValueType& type, std::string_view text, void* storage, const Place& place) {
  using Limits = std::numeric_limits<T>;
  const std::string_view name = trim(text);
  auto& value = *static_cast<T*>(storage);
  if (name == "INF") {
    value = Limits::infinity();
  } else if (name == "-INF") {
    value = -Limits::infinity();
  } else if (name == "NaN") {
    value = Limits::quiet_NaN();
  } else {
    read_number<T>(type, text, storage, place);
  }
}

void read_boolean(const ValueType& type, std::string_view text, void* storage, const Place& place) {
  const std::string_view name = trim(text);
  const bool value = name == "true" || name == "1";
  if (!value && name != "false" && name != "0") refuse_text(type, text, place);
  *static_cast<bool*>(storage) = value;
}

void read_enum(const ValueType& type, std::string_view text, void* storage, const Place& place) {
  const auto& values = type.enumeration->values;
  const auto found = std::ranges::find(values, trim(text));
  if (found == values.end()) {
    refuse(place, "\"{}\" is not a {}; it is one of {}", shortened(text), type.name,
           fmt::join(values, ", "));
  }
  type.set_index(storage, static_cast<int>(found - values.begin()));
}

}  // namespace

std::string Place::path() const {
  std::string path = outer ? outer->path() : std::string();
  if (!name.empty()) {
    if (!path.empty()) path += '.';
    path += name;
  }
  if (index != kNoIndex) path += fmt::format("[{}]", index);
  return path;
}

void refuse(const Place& place, std::string_view message) {
  std::string path = place.path();
  throw error(ErrorKind::invalid_argument, path, "{}{}{}", path, path.empty() ? "" : ": ", message);
}

void read_text(const ValueType& type, std::string_view text, void* storage, const Place& place) {
  switch (type.kind) {
    case Kind::boolean:
      return read_boolean(type, text, storage, place);
    case Kind::byte:
      return read_number<std::int8_t>(type, text, storage, place);
    case Kind::short_:
      return read_number<std::int16_t>(type, text, storage, place);
    case Kind::int_:
      return read_number<std::int32_t>(type, text, storage, place);
    case Kind::long_:
      return read_number<std::int64_t>(type, text, storage, place);
    case Kind::float_:
      return read_real<float>(type, text, storage, place);
    case Kind::double_:
      return read_real<double>(type, text, storage, place);
    case Kind::string:
    case Kind::any_uri:
    case Kind::type_name:
    case Kind::property_path:
    case Kind::method_name:
      *static_cast<std::string*>(storage) = text;
      return;
    case Kind::date_time: {
      const auto time = parse_time(trim(text));
      if (!time) refuse_text(type, text, place);
      *static_cast<Time*>(storage) = *time;
      return;
    }
    case Kind::binary: {
      auto bytes = base64_decode(text);
      if (!bytes) refuse(place, "the value is not base64");
      static_cast<Binary*>(storage)->bytes = std::move(*bytes);
      return;
    }
    case Kind::enumeration:
      return read_enum(type, text, storage, place);
    case Kind::reference:
    case Kind::any:
    case Kind::data:
    case Kind::array:
      refuse(place, "a value of type {} is no plain text", type.name);
  }
}

const TypeInfo& dynamic_type(std::string_view name, const TypeInfo& declared, const Place& place) {
  if (name == declared.name) return declared;
  const TypeInfo* type = find_type(name);
  if (!type) refuse(place, "{} is not a known type", shortened(name));
  if (!is_a(*type, declared)) refuse(place, "{} is not a {}", name, declared.name);
  return *type;
}

const ValueType& any_type(std::string_view name, const Place& place) {
  const ValueType* type = find_value_type(name);
  if (type && type->kind != Kind::any) return *type;
  if (find_managed(name)) return builtin::reference;
  refuse(place, "{} is not a known type", shortened(name));
}

DataObject* create(const TypeInfo& type, const Place& place) {
  if (!type.create) refuse(place, "{} is abstract; name the type that is meant", type.name);
  return type.create();
}

FieldSearch::FieldSearch(const TypeInfo& type, Tolerance tolerance)
    : type_(type), tolerance_(tolerance) {
  type.for_each_field([this](const FieldInfo& field) { entries_.push_back({&field, false}); });
}

const FieldInfo* FieldSearch::find(std::string_view name, const Place& place) {
  for (std::size_t tried = 0; tried < entries_.size(); ++tried, ++next_) {
    if (next_ == entries_.size()) next_ = 0;
    Entry& entry = entries_[next_];
    if (entry.field->name != name) continue;
    if (entry.found && entry.field->holder != Holder::array) {
      refuse(place, "{} is given twice", name);
    }
    entry.found = true;
    return entry.field;
  }
  if (tolerance_ == Tolerance::lenient) return nullptr;
  refuse(place, "{} has no field {}", type_.name, shortened(name));
}

void FieldSearch::require_all(const Place& place) const {
  if (tolerance_ == Tolerance::lenient) return;
  for (const auto& [field, found] : entries_) {
    // What a type got later cannot be asked of clients older than it: libvirt's FileQueryFlags have
    // no fileOwner.
    const bool from_the_start = !(type_.since < field->since);
    if (field->required && from_the_start && !found && field->holder != Holder::array) {
      refuse(place, "the required {} is missing", field->name);
    }
  }
}

void* array_storage(const FieldInfo& field, DataObject& object) {
  return reinterpret_cast<std::byte*>(&object) + field.offset;
}

Fault plain_fault(std::string_view type, std::string message) {
  return Fault(DataPtr(find_type(type)->create()), std::move(message));
}

}  // namespace virga::model
