// Who somebody is to a Linux guest: its /etc/passwd and /etc/shadow, read through the agent. The
// guest is not trusted: its hashes may not cost the host more than what guests usually choose.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace virga::hypervisor {

struct GuestAccount {
  std::string name;
  std::uint32_t uid = 0, gid = 0;
  std::string home, shell;
  std::string password;  // its hash, crypt(5); empty or not a hash: no password fits
  std::optional<std::chrono::sys_days> expiry;  // the first day on which nobody may log in any more
};

// Whether a text can be a user's name at all (useradd(8), and a dot within).
bool is_guest_user_name(std::string_view name);

// For /bin/sh, as root: prints the lines of the user $1.
extern const char* const account_script;
// What it printed; none when there is no such user.
std::optional<GuestAccount> parse_account(std::string_view name, std::string_view output);

// Takes as long as the guest chose its hashes to, some ten milliseconds. False for a hash of a
// method or cost beyond what distributions use.
bool is_password_of(const GuestAccount& account, const std::string& password);

}  // namespace virga::hypervisor
