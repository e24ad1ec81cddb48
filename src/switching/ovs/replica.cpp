#include "switching/ovs/replica.h"

#include "base/error.h"

namespace virga::switching::ovs {
namespace {

// The second element of ["set", X], ["map", X] or ["uuid", X]; null for anything else.
const json::value* tagged(const json::value& value, std::string_view tag) {
  const auto* pair = value.if_array();
  if (!pair || pair->size() != 2) return nullptr;
  const auto* name = (*pair)[0].if_string();
  return name && *name == tag ? &(*pair)[1] : nullptr;
}

json::value atom(const json::value& value) {
  const auto* uuid = tagged(value, "uuid");
  return uuid ? *uuid : value;
}

std::string plain(const json::value& atom) {
  const auto* string = atom.if_string();
  return string ? std::string(*string) : json::serialize(atom);
}

}  // namespace

void Replica::apply(const json::value& updates) {
  try {
    for (const auto& [table, rows] : updates.as_object()) {
      auto& stored = tables_[table];
      for (const auto& [uuid, change] : rows.as_object()) {
        const auto* row = change.as_object().if_contains("new");
        if (row) {
          stored[uuid] = row->as_object();
        } else {
          stored.erase(uuid);
        }
      }
    }
  } catch (const std::exception& e) {
    throw error(ErrorKind::damaged, "OVSDB", "OVSDB reported a change that is none: {}", e.what());
  }
}

const Rows& Replica::rows(std::string_view table) const {
  static const Rows none;
  const auto found = tables_.find(table);
  return found == tables_.end() ? none : found->second;
}

std::vector<json::value> atoms(const json::object& row, std::string_view column) {
  const auto* value = row.if_contains(column);
  if (!value) return {};
  const auto* set = tagged(*value, "set");
  if (!set || !set->is_array()) return {atom(*value)};
  std::vector<json::value> members;
  for (const auto& member : set->get_array()) members.push_back(atom(member));
  return members;
}

std::vector<std::string> texts(const json::object& row, std::string_view column) {
  std::vector<std::string> all;
  for (const auto& member : atoms(row, column)) all.push_back(plain(member));
  return all;
}

std::string text(const json::object& row, std::string_view column) {
  auto all = texts(row, column);
  return all.empty() ? std::string() : std::move(all.front());
}

std::int64_t integer(const json::object& row, std::string_view column, std::int64_t missing) {
  const auto all = atoms(row, column);
  return all.empty() || !all.front().is_int64() ? missing : all.front().get_int64();
}

std::map<std::string, std::string> text_map(const json::object& row, std::string_view column) {
  std::map<std::string, std::string> map;
  const auto* value = row.if_contains(column);
  const auto* pairs = value ? tagged(*value, "map") : nullptr;
  if (!pairs || !pairs->is_array()) return map;
  for (const auto& pair : pairs->get_array()) {
    const auto* entry = pair.if_array();
    if (entry && entry->size() == 2) map[plain((*entry)[0])] = plain((*entry)[1]);
  }
  return map;
}

json::value to_uuid(std::string_view uuid) {
  return json::array{"uuid", uuid};
}
json::value to_named_uuid(std::string_view name) {
  return json::array{"named-uuid", name};
}
json::value to_set(json::array atoms) {
  return json::array{"set", std::move(atoms)};
}

json::array array_of(json::value value) {
  return json::array(1, value);
}

json::value to_map(const std::map<std::string, std::string>& map) {
  json::array pairs;
  for (const auto& [key, value] : map) pairs.push_back(json::array{key, value});
  return json::array{"map", std::move(pairs)};
}

}  // namespace virga::switching::ovs
