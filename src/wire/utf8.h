// UTF-8 as XML 1.0 sees it (section 2.2, production Char).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace virga::wire {

// The length in bytes of the character at the front of `text`, 0 when what stands there is not the
// shortest UTF-8 form of a character XML 1.0 allows. `text` is not empty.
inline std::size_t xml_character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) -> std::uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 || lead == '\t' || lead == '\n' || lead == '\r' ? 1 : 0;
  if (lead < 0xE0) return lead >= 0xC2 && continues(1) ? 2 : 0;
  if (!continues(1) || !continues(2)) return 0;
  if (lead < 0xF0) {
    const std::uint32_t code = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    return code >= 0x800 && !surrogate && code < 0xFFFE ? 3 : 0;
  }
  const std::uint32_t top = (lead & 0x07) << 2 | (byte(1) & 0x3F) >> 4;  // code point >> 16
  return lead < 0xF8 && continues(3) && top >= 1 && top <= 16 ? 4 : 0;
}

}  // namespace virga::wire
