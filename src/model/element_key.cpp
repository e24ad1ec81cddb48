#include "model/element_key.h"

#include "model/value_ops.h"

namespace virga::model {
namespace {

bool is_string(const FieldInfo& key) {
  return key.type->kind == Kind::string;
}

// The key's text without quotes.
std::string key_text(const FieldInfo& key, const DataObject& element) {
  const void* value = key.get(element);
  if (is_string(key)) return *static_cast<const std::string*>(value);
  if (key.type->kind == Kind::long_)
    return std::to_string(*static_cast<const std::int64_t*>(value));
  return std::to_string(*static_cast<const std::int32_t*>(value));
}

}  // namespace

const FieldInfo* key_field(const TypeInfo& type) {
  const FieldInfo* key = type.field("key");
  if (!key || key->holder != Holder::plain) return nullptr;
  const Kind kind = key->type->kind;
  return kind == Kind::int_ || kind == Kind::long_ || kind == Kind::string ? key : nullptr;
}

std::optional<std::string> bracket(const FieldInfo& key, const DataObject& element) {
  const std::string text = key_text(key, element);
  if (!is_string(key)) return "[" + text + "]";
  if (text.find("\"]") != text.npos) return std::nullopt;
  return "[\"" + text + "\"]";
}

Any element_at(const Any& array, std::size_t i) {
  const ValueType& type = *array.type();
  const void* element = type.at(array.value(), i);
  if (!type.data) return Any(*type.element, array.owner(), element);
  return any(DataPtr(static_cast<const DataObject*>(element)));
}

Any find_element(const Any& array, std::string_view key) {
  const ValueType& type = *array.type();
  const FieldInfo* field = type.data ? key_field(*type.data) : nullptr;
  if (!field) return {};
  const std::size_t size = type.size(array.value());
  for (std::size_t i = 0; i < size; ++i) {
    const auto& element = *static_cast<const DataObject*>(type.at(array.value(), i));
    if (key_text(*field, element) == key) return element_at(array, i);
  }
  return {};
}

}  // namespace virga::model
