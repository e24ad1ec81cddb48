// A copy of the rows of an OVSDB database that a monitor reports (RFC 7047, 4.1.5 and 4.1.6), and
// readers for OVSDB's notation of values (5.1). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace virga::switching::ovs {

using Rows = std::map<std::string, json::object>;  // by UUID

class Replica {
 public:
  void clear() { tables_.clear(); }
  // `updates` is a <table-updates>: table → UUID → {"old", "new"}. Throws damaged if it is not.
  void apply(const json::value& updates);
  // Empty where the table has no rows.
  const Rows& rows(std::string_view table) const;

 private:
  std::map<std::string, Rows, std::less<>> tables_;
};

// A column's value as its atoms: a set's members, or the one atom a set of one may be written as.
// A <uuid> counts as its text. Empty where the column is missing.
std::vector<json::value> atoms(const json::object& row, std::string_view column);
// The first atom of a string column; empty without one.
std::string text(const json::object& row, std::string_view column);
std::vector<std::string> texts(const json::object& row, std::string_view column);
// The first atom of an integer column, or `missing`.
std::int64_t integer(const json::object& row, std::string_view column, std::int64_t missing);
std::map<std::string, std::string> text_map(const json::object& row, std::string_view column);

// The other way: values in OVSDB's notation.
json::value to_uuid(std::string_view uuid);
json::value to_named_uuid(std::string_view name);
json::value to_set(json::array atoms);
// [ value ]: Boost.JSON's brace lists leave open whether {x} is x or an array of it.
json::array array_of(json::value value);
json::value to_map(const std::map<std::string, std::string>& map);

}  // namespace virga::switching::ovs
