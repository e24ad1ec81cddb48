// The guest operating systems the API knows by name, and what a .vmx calls them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace virga::host {

enum class GuestFamily { windows, linux, netware, solaris, darwin, other };

// The word of VirtualMachineGuestOsFamily: "linuxGuest", "darwinGuestFamily".
std::string_view to_string(GuestFamily family);

struct GuestOs {
  std::string_view id;          // VirtualMachineGuestOsIdentifier: "debian11_64Guest"
  std::string_view short_name;  // guestOS of a .vmx: "debian11-64"
  std::string_view full_name;   // "Debian GNU/Linux 11 (64-bit)"
  GuestFamily family;

  bool is_64_bit() const { return short_name.ends_with("-64"); }
};

// What its kernel can take while it runs.
bool supports_cpu_hot_add(const GuestOs& guest);
bool supports_memory_hot_add(const GuestOs& guest);

// All of them, in the order of the API's enumeration.
std::span<const GuestOs> guest_operating_systems();

// nullptr when there is none of that id or short name.
const GuestOs* find_guest_os(std::string_view id);
// .vmx files spell the names in any case.
const GuestOs* find_guest_os_by_short_name(std::string_view short_name);

}  // namespace virga::host
