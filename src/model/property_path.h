// Property paths: "config.hardware.device[4000].backing", as PropertyCollector and PropertyChange use
// them. A bracket holds the key of an array's element: the value of its `key` field (or, where the
// type names another identifying field, that one), quoted when it is a string: value["name"].
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/metadata.h"

namespace virga::model {

struct PathStep {
  std::string name;
  std::optional<std::string> key;    // the bracket's text, without quotes
};
using PropertyPath = std::vector<PathStep>;

// nullopt when the text is not a path.
std::optional<PropertyPath> parse_path(std::string_view text);

// Whether the path can exist on the type (fields of derived types count). For InvalidProperty.
bool path_exists(const TypeInfo& type, const PropertyPath& path);

// The value at the path; none when unset. A path through an array without a bracket has no value.
Any resolve(const DataPtr& object, const PropertyPath& path);

// A difference between two snapshots of one type, in the terms of PropertyChange:
// assign PATH value; indirectRemove PATH (an optional that became unset); add and remove of an array
// element, PATH["key"]; nested changes are reported at the deepest embedded or same-typed object that
// changed, the way vSphere does: a changed leaf as `assign` of its full path.
struct Change {
  enum class Op { add, remove, assign, indirect_remove };
  Op op;
  std::string path;
  Any value;                         // none for remove and indirect_remove
};

// What changed from `before` to `after` at and below `path` ("" is everything: one entry a changed
// property or nested field). Costs nothing where both share the same object.
std::vector<Change> difference(const DataPtr& before, const DataPtr& after, std::string_view path);

}  // namespace virga::model
