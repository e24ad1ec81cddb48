#include "hypervisor/guest/account.h"

#include <crypt.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <memory>

#include "hypervisor/guest/text.h"

namespace virga::hypervisor {
namespace {

constexpr std::size_t max_name = 32;
constexpr std::size_t passwd_fields = 7, shadow_fields = 9;

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// "$6$rounds=5000$salt$hash": 5,000 is the default, also for a hash that does not tell.
bool is_affordable_sha(std::string_view rest) {
  constexpr std::string_view rounds = "rounds=";
  constexpr unsigned most = 1'000'000;
  if (!rest.starts_with(rounds)) return true;
  rest.remove_prefix(rounds.size());
  const auto number = parse_number<unsigned>(rest.substr(0, rest.find('$')));
  return number && *number <= most;
}

// "$2b$12$…": each step doubles the cost.
bool is_affordable_bcrypt(std::string_view rest) {
  const auto cost = parse_number<unsigned>(rest.substr(0, rest.find('$')));
  return cost && *cost <= 14;
}

// "$y$j9T$…": flavour j, 2^(n-7+10) blocks of 32 for the letter or digit n, no more parameters. 9
// is the default, 16 MiB; C needs 128 MiB.
bool is_affordable_yescrypt(std::string_view rest) {
  const std::string_view parameters = rest.substr(0, rest.find('$'));
  return parameters.size() == 3 && parameters[0] == 'j' &&
         std::string_view("789ABC").find(parameters[1]) != std::string_view::npos &&
         parameters[2] == 'T';
}

bool is_affordable(std::string_view hash) {
  const auto parts = split(hash, '$');
  if (parts.size() < 4 || !parts[0].empty()) return false;
  const std::string_view method = parts[1];
  const std::string_view rest = hash.substr(method.size() + 2);
  if (method == "1") return true;  // MD5, always 1,000 rounds
  if (method == "5" || method == "6") return is_affordable_sha(rest);
  if (method == "2a" || method == "2b" || method == "2y") return is_affordable_bcrypt(rest);
  if (method == "y") return is_affordable_yescrypt(rest);
  return false;
}

}  // namespace

const char* const account_script =
    "exec awk -F: -v name=\"$1\" '$1 == name' /etc/passwd /etc/shadow";

bool is_guest_user_name(std::string_view name) {
  return !name.empty() && name.size() <= max_name && name.front() != '-' && name.front() != '.' &&
         std::ranges::all_of(
             name, [](char c) { return is_alphanumeric(c) || c == '_' || c == '-' || c == '.'; });
}

std::optional<GuestAccount> parse_account(std::string_view name, std::string_view output) {
  std::optional<GuestAccount> account;
  for (const std::string_view line : split(output, '\n')) {
    const auto fields = split(line, ':');
    if (fields.front() != name) continue;
    if (!account && fields.size() == passwd_fields) {
      const auto uid = parse_number<std::uint32_t>(fields[2]);
      const auto gid = parse_number<std::uint32_t>(fields[3]);
      if (!uid || !gid) return std::nullopt;
      account = {.name = std::string(name),
                 .uid = *uid,
                 .gid = *gid,
                 .home = std::string(fields[5]),
                 .shell = std::string(fields[6]),
                 .password = std::string(fields[1])};
    } else if (account && fields.size() == shadow_fields) {
      account->password = fields[1];
      if (const auto day = parse_number<std::int32_t>(fields[7]))
        account->expiry = std::chrono::sys_days(std::chrono::days(*day));
    }
  }
  return account;
}

bool is_password_of(const GuestAccount& account, const std::string& password) {
  if (!is_affordable(account.password)) return false;
  const auto work = std::make_unique<crypt_data>();
  const char* const hash = ::crypt_r(password.c_str(), account.password.c_str(), work.get());
  const std::string_view derived = hash ? hash : "*";
  const bool right = derived.size() == account.password.size() &&
                     ::CRYPTO_memcmp(derived.data(), account.password.data(), derived.size()) == 0;
  ::OPENSSL_cleanse(work.get(), sizeof *work);
  return right;
}

}  // namespace virga::hypervisor
