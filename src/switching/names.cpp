#include "switching/names.h"

#include <fmt/format.h>
#include <openssl/sha.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace virga::switching {
namespace {

// The NUL between the parts keeps ("a", "bc") apart from ("ab", "c").
std::uint64_t hash_of(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const auto part : parts) text.append(part).push_back('\0');
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::uint64_t hash = 0;
  for (int i = 0; i < 8; ++i) hash = hash << 8 | digest[static_cast<std::size_t>(i)];
  return hash;
}

// 60 bits of the hash as 12 characters.
std::string derive(std::string_view kind, std::initializer_list<std::string_view> parts) {
  static constexpr std::string_view digits = "abcdefghijklmnopqrstuvwxyz234567";
  std::string name(kind);
  std::uint64_t hash = hash_of(parts);
  for (int i = 0; i < 12; ++i, hash >>= 5) name.push_back(digits[hash & 31]);
  return name;
}

}  // namespace

std::string bridge_name(const std::string& instance, const std::string& virtual_switch) {
  return derive("vb", {instance, "bridge", virtual_switch});
}

std::string bond_name(const std::string& instance, const std::string& virtual_switch) {
  return derive("vu", {instance, "bond", virtual_switch});
}

std::string tap_name(const std::string& instance, const std::string& vm, int nic_key) {
  return derive("vt", {instance, "tap", vm, std::to_string(nic_key)});
}

std::string gateway_name(const std::string& instance, const std::string& subnet) {
  return derive("vg", {instance, "gateway", subnet});
}

std::string gateway_mac(const std::string& instance, const std::string& subnet) {
  const std::uint64_t hash = hash_of({instance, "mac", subnet});
  std::string mac = "02";
  for (int shift = 32; shift >= 0; shift -= 8) mac += fmt::format(":{:02x}", hash >> shift & 0xff);
  return mac;
}

std::string nft_table_name(const std::string& instance) {
  return derive("virga_", {instance, "nft"});
}

}  // namespace virga::switching
