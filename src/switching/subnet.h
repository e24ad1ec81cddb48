// IPv4 subnets of NAT networks. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace virga::switching {

std::string to_text(std::uint32_t address);  // host byte order; "10.77.0.1"

struct Subnet {
  std::uint32_t network = 0;  // host byte order, host bits zero
  int prefix = 0;             // 0 to 32

  std::uint32_t netmask() const { return prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix); }
  std::uint32_t broadcast() const { return network | ~netmask(); }
  std::uint32_t gateway() const { return network + 1; }
  // The addresses DHCP gives away; those between the gateway and the first are for fixed ones.
  std::uint32_t first_lease() const;
  std::uint32_t last_lease() const { return broadcast() - 1; }

  bool overlaps(const Subnet& other) const;
  bool operator==(const Subnet&) const = default;
};

std::string to_text(const Subnet& subnet);  // "10.77.0.0/24"

// A subnet a NAT network can have: unicast, host bits zero, prefix 16 to 29. Throws
// invalid_argument.
Subnet parse_nat_subnet(const std::string& text);

// A route of the machine: its destination and the device it leaves by.
struct Route {
  Subnet destination;
  std::string device;
};

// The text of /proc/net/route, without default routes; lines that make no sense are left out.
std::vector<Route> parse_routes(std::string_view text);

// The first of 10.77.0.0/24, 10.77.1.0/24, ... that overlaps none of `taken`. Throws no_space.
Subnet choose_subnet(const std::vector<Subnet>& taken);

}  // namespace virga::switching
