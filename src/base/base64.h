// Bytes as text (RFC 4648).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace virga {

std::string base64_encode(std::string_view bytes);
// White space is skipped, as XML Schema wants it; nullopt when the text is not base64.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace virga
