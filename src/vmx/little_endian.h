// Internal to the module: numbers in binary formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace virga::vmx {

// `bytes` must reach that far.
template <class Number>
Number get_little_endian(std::string_view bytes, std::size_t at) {
  Number number = 0;
  for (std::size_t i = sizeof(Number); i-- > 0;)
    number = static_cast<Number>(static_cast<std::uint64_t>(number) << 8 |
                                 static_cast<unsigned char>(bytes[at + i]));
  return number;
}

template <class Number>
void put_little_endian(std::string& bytes, std::size_t at, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i)
    bytes[at + i] = static_cast<char>(static_cast<std::uint64_t>(number) >> 8 * i);
}

}  // namespace virga::vmx
