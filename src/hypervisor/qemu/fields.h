// JSON objects for commands, without braces: g++ 12 cannot compile an initializer list inside a
// co_await expression.
//   co_await qmp->execute("getfd", fields("fdname", name), fd);
#pragma once

#include <string_view>
#include <utility>

#include "base/json.h"

namespace virga::hypervisor {

inline void set_fields(json::object&) {}

template <class Value, class... Rest>
void set_fields(json::object& object, std::string_view name, Value&& value, Rest&&... rest) {
  object[name] = json::value(std::forward<Value>(value));
  set_fields(object, std::forward<Rest>(rest)...);
}

// Names and values in turn.
template <class... NamesAndValues>
json::object fields(NamesAndValues&&... all) {
  json::object object;
  set_fields(object, std::forward<NamesAndValues>(all)...);
  return object;
}

}  // namespace virga::hypervisor
