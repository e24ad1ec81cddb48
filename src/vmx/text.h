// What every one of these text formats needs: UTF-8, ASCII case and numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace virga::vmx {

// Well-formed UTF-8 (RFC 3629): no overlong forms, surrogates or code points past U+10FFFF.
bool is_utf8(std::string_view text);
bool is_ascii(std::string_view text);

// windows-1252 to UTF-8. The five bytes the code page leaves open become U+FFFD.
std::string utf8_from_windows_1252(std::string_view bytes);

// ASCII only: VMware's keys know no other letters.
std::string to_lower(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b);
bool starts_with_ignoring_case(std::string_view text, std::string_view prefix);

std::string_view trim(std::string_view text);

// The whole text as a number: nothing before, nothing after, no overflow; else nullopt.
std::optional<std::int64_t> parse_int(std::string_view text);
std::optional<std::uint64_t> parse_unsigned(std::string_view text, int base = 10);

}  // namespace virga::vmx
