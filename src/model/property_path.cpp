#include "model/property_path.h"

#include <charconv>

#include "model/element_key.h"

namespace virga::model {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Takes the name at the front of the text; "" when there is none.
std::string_view take_name(std::string_view& text) {
  const auto end = std::ranges::find_if_not(text, is_name_character);
  const std::string_view name = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(name.size());
  return name;
}

// Takes ["key"] or [key] at the front of the text. A quoted key may hold anything but "].
std::optional<std::string> take_key(std::string_view& text) {
  const bool quoted = text.starts_with("[\"");
  const std::string_view closing = quoted ? "\"]" : "]";
  const std::size_t begin = quoted ? 2 : 1;
  const std::size_t end = text.find(closing, begin);
  if (end == text.npos) return std::nullopt;
  std::string key(text.substr(begin, end - begin));
  text.remove_prefix(end + closing.size());
  if (!quoted && key.empty()) return std::nullopt;
  return key;
}

// What a step leads to from `value`, an object or an anyType that holds one.
Any follow(const Any& value, const PathStep& step) {
  if (value.type()->kind != Kind::data) return {};
  const auto& object = *static_cast<const DataObject*>(value.value());
  const FieldInfo* field = object.type_info().field(step.name);
  if (!field) return {};
  const Any found = field->any(value.owner(), object);
  if (!step.key || !found) return found;
  return found.type()->kind == Kind::array ? find_element(found, *step.key) : Any();
}

using Steps = std::span<const PathStep>;

bool continues(const ValueType& type, bool keyed, Steps rest);

bool exists(const TypeInfo& type, Steps steps) {
  const PathStep& step = steps.front();
  const Steps rest = steps.subspan(1);
  if (const FieldInfo* field = type.field(step.name)) {
    return continues(*field->type, step.key.has_value(), rest);
  }
  return std::ranges::any_of(all_types(), [&](const TypeInfo* derived) {
    if (derived == &type || !is_a(*derived, type)) return false;
    const auto own = std::ranges::find(derived->own_fields, step.name, &FieldInfo::name);
    return own != derived->own_fields.end() && continues(*own->type, step.key.has_value(), rest);
  });
}

// Whether a step that leads to a value of `type` can be followed by the rest.
bool continues(const ValueType& type, bool keyed, Steps rest) {
  if (type.kind == Kind::any) return true;
  const bool array = type.kind == Kind::array;
  if (keyed && !(array && type.data && key_field(*type.data))) return false;
  if (rest.empty()) return true;
  return array == keyed && type.data && exists(*type.data, rest);
}

}  // namespace

std::optional<PropertyPath> parse_path(std::string_view text) {
  PropertyPath path;
  while (true) {
    PathStep& step = path.emplace_back();
    step.name = take_name(text);
    if (step.name.empty()) return std::nullopt;
    if (text.starts_with('[')) {
      step.key = take_key(text);
      if (!step.key) return std::nullopt;
    }
    if (text.empty()) return path;
    if (!text.starts_with('.')) return std::nullopt;
    text.remove_prefix(1);
  }
}

bool path_exists(const TypeInfo& type, const PropertyPath& path) {
  return !path.empty() && exists(type, path);
}

Any resolve(const DataPtr& object, const PropertyPath& path) {
  Any value = any(object);
  for (const PathStep& step : path) {
    if (!value) return {};
    value = follow(value, step);
  }
  return value;
}

}  // namespace virga::model
