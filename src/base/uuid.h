// Random identifiers, from the system's generator.
#pragma once

#include <string>
#include <string_view>

namespace virga {

// A version 4 UUID (RFC 9562): 8-4-4-4-12 lower-case hex digits.
std::string make_uuid();
// The form a UUID must have, any version, any case.
bool is_uuid(std::string_view text);
// `bytes` random bytes as lower-case hex: session ids, tickets, passwords.
std::string random_hex(std::size_t bytes);

}  // namespace virga
