// What tells the elements of an array of data objects apart in a property path: their key.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/metadata.h"

namespace virga::model {

// The field that identifies objects of the type in an array: a required `key`, an integer or a
// string. nullptr when there is none.
const FieldInfo* key_field(const TypeInfo& type);

// The key in an element, as a bracket holds it: 4000 or "name". nullopt when the text could not be
// told from the path around it.
std::optional<std::string> bracket(const FieldInfo& key, const DataObject& element);

// The element of an array whose key reads `key` (without quotes); none when there is none.
Any find_element(const Any& array, std::string_view key);
// The element at a position.
Any element_at(const Any& array, std::size_t i);

}  // namespace virga::model
