#include "switching/subnet.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <sstream>

#include "base/error.h"

namespace virga::switching {
namespace {

// Reads a number up to `limit` off the front of `text`, and the `delimiter` after it, if there is
// one.
bool take_number(std::string_view& text, unsigned limit, char delimiter, unsigned& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || value > limit) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (delimiter == '\0') return true;
  if (text.empty() || text.front() != delimiter) return false;
  text.remove_prefix(1);
  return true;
}

bool read_subnet(std::string_view text, Subnet& subnet) {
  unsigned value = 0;
  for (const char delimiter : {'.', '.', '.', '/'}) {
    if (!take_number(text, 255, delimiter, value)) return false;
    subnet.network = subnet.network << 8 | value;
  }
  if (!take_number(text, 32, '\0', value) || !text.empty()) return false;
  subnet.prefix = static_cast<int>(value);
  return true;
}

}  // namespace

std::string to_text(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 0xff, address >> 8 & 0xff,
                     address & 0xff);
}

std::string to_text(const Subnet& subnet) {
  return fmt::format("{}/{}", to_text(subnet.network), subnet.prefix);
}

std::uint32_t Subnet::first_lease() const {
  const std::uint32_t size = broadcast() - network + 1;
  return network + std::min<std::uint32_t>(10, size / 4);
}

bool Subnet::overlaps(const Subnet& other) const {
  const std::uint32_t common = netmask() & other.netmask();
  return (network & common) == (other.network & common);
}

Subnet parse_nat_subnet(const std::string& text) {
  const auto refuse = [&text](const char* why) {
    return error(ErrorKind::invalid_argument, text, "{} is no subnet for NAT: {}", text, why);
  };
  Subnet subnet;
  if (!read_subnet(text, subnet)) throw refuse("it must read like 10.77.0.0/24");
  if (subnet.prefix < 16 || subnet.prefix > 29) throw refuse("the prefix must be 16 to 29");
  if (subnet.network & ~subnet.netmask()) throw refuse("address bits are set beyond the prefix");
  const unsigned first = subnet.network >> 24;
  if (first == 0 || first == 127 || first >= 224) throw refuse("it holds no guest addresses");
  return subnet;
}

std::vector<Route> parse_routes(std::string_view text) {
  std::vector<Route> routes;
  std::istringstream lines{std::string(text)};
  std::string line;
  std::getline(lines, line);  // the heading
  while (std::getline(lines, line)) {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask ...; addresses as the machine's own
    // hex form of the bytes in network order.
    std::istringstream fields(line);
    Route route;
    std::string skipped;
    std::uint32_t destination = 0, mask = 0;
    fields >> route.device >> std::hex >> destination;
    for (int i = 0; i < 5; ++i) fields >> skipped;
    fields >> mask;
    if (!fields || mask == 0) continue;
    if constexpr (std::endian::native == std::endian::little) {
      destination = __builtin_bswap32(destination);
      mask = __builtin_bswap32(mask);
    }
    route.destination = {destination & mask, std::popcount(mask)};
    routes.push_back(std::move(route));
  }
  return routes;
}

Subnet choose_subnet(const std::vector<Subnet>& taken) {
  for (std::uint32_t third = 0; third < 256; ++third) {
    const Subnet candidate{10u << 24 | 77u << 16 | third << 8, 24};
    const auto meets = [&](const Subnet& other) { return candidate.overlaps(other); };
    if (std::none_of(taken.begin(), taken.end(), meets)) return candidate;
  }
  throw error(ErrorKind::no_space, "10.77.0.0/16",
              "every /24 of 10.77.0.0/16 meets a route of the machine; name a subnet for NAT");
}

}  // namespace virga::switching
