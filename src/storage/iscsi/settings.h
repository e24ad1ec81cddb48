// What a software iSCSI adapter is told: who it is, where it looks for targets, how it proves who
// it is. Pure: values, their rules, and their text in the daemon's records.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace virga::storage {

// How far a handshake is wanted. A target decides whether to ask an initiator for CHAP: preferred
// and required both offer it first, discouraged only to a target that refuses to go without.
// Mutual CHAP that is not prohibited is always required of the target.
enum class Chap { prohibited, discouraged, preferred, required };

struct ChapCredentials {
  Chap use = Chap::prohibited;
  std::string name, secret;
  bool operator==(const ChapCredentials&) const = default;
};

struct IscsiAuthentication {
  ChapCredentials initiator;  // what we prove to the target
  ChapCredentials target;     // what the target proves to us: mutual CHAP
  bool operator==(const IscsiAuthentication&) const = default;
};

// Of what is set on a target itself; the rest it inherits from where it was found, or the adapter.
struct IscsiOverrides {
  std::optional<ChapCredentials> initiator, target;
  std::optional<bool> header_digest;
  bool operator==(const IscsiOverrides&) const = default;
};

struct IscsiPortal {
  std::string address;  // an IP address or host name
  std::uint16_t port = 3260;
  std::string text() const;  // "10.0.0.5:3260", "[fd00::5]:3260"
  auto operator<=>(const IscsiPortal&) const = default;
};

struct SendTargets {  // a portal asked for all targets behind it
  IscsiPortal portal;
  IscsiOverrides overrides;
  bool operator==(const SendTargets&) const = default;
};

struct StaticTarget {
  IscsiPortal portal;
  std::string target;
  IscsiOverrides overrides;
  bool operator==(const StaticTarget&) const = default;
};

struct IscsiSettings {
  bool enabled = false;
  std::string name, alias;  // iqn.1998-01.org.virga:host-5f3a2b1c
  IscsiAuthentication authentication;
  bool header_digest = false;
  bool send_targets = true;  // discovery by it is on
  int login_timeout = 5;     // seconds, 1 to 60
  int check_interval = 15;   // seconds between looks at idle sessions, 1 to 60
  std::vector<SendTargets> portals;
  std::vector<StaticTarget> targets;
  std::vector<std::string> disabled_paths;  // "TARGET PORTAL"

  void set_path_enabled(const std::string& target, const std::string& portal, bool enabled);
  bool is_path_enabled(const std::string& target, const std::string& portal) const;
  bool operator==(const IscsiSettings&) const = default;
};

// Throws invalid_argument naming what is wrong: names by RFC 3720 (iqn., eui., naa.), portals, CHAP
// names and secrets (1 to 255 bytes; one that is used has both), ranges.
void check(const IscsiSettings& settings);
void check_iscsi_name(const std::string& name);

// With all secrets: for records nobody else may read. Throws damaged.
std::string to_text(const IscsiSettings& settings);
IscsiSettings parse_iscsi_settings(std::string_view text);

// What a login to a target needs, after inheritance.
struct IscsiLogin {
  std::string initiator, alias;
  IscsiPortal portal;
  std::string target;
  IscsiAuthentication authentication;
  bool header_digest = false;
  int timeout = 5;  // seconds, for each step
  bool operator==(const IscsiLogin&) const = default;
};

// To a portal for discovery (`target` empty), or to a target that has overrides of its own and was
// found through a portal that has some.
IscsiLogin login_for(const IscsiSettings& settings, const IscsiPortal& portal,
                     const std::string& target, const IscsiOverrides& own,
                     const IscsiOverrides& found_by = {});

}  // namespace virga::storage
