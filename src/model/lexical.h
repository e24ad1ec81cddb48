// The text form of times, the same in XML (XML Schema, part 2) and in JSON (RFC 3339).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/values.h"

namespace virga::model {

// "2026-01-02T03:04:05.678901Z"; no fraction when it is zero.
std::string format_time(Time time);
// Also with any number of decimals, a time zone ("+02:00"), or none, which is taken as UTC.
// nullopt when it is not a time of the years 1 to 9999.
std::optional<Time> parse_time(std::string_view text);

}  // namespace virga::model
