#include "storage/iscsi/settings.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace virga::storage {
namespace {

constexpr std::size_t max_name = 223;    // RFC 3720, 3.2.6.1
constexpr std::size_t max_secret = 255;  // libiscsi's room for CHAP names and secrets

template <class... Args>
Error refused(const std::string& subject, fmt::format_string<Args...> format, Args&&... args) {
  return Error(ErrorKind::invalid_argument, subject,
               fmt::format(format, std::forward<Args>(args)...));
}

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c); });
}

// iqn.YYYY-MM.reversed-domain[:anything]
bool is_qualified_name(const std::string& name) {
  const auto digit = [&](std::size_t i) {
    return std::isdigit(static_cast<unsigned char>(name[i]));
  };
  return name.size() > 12 && name.starts_with("iqn.") && digit(4) && digit(5) && digit(6) &&
         digit(7) && name[8] == '-' && digit(9) && digit(10) && name[11] == '.' && name[12] != ':';
}

void check_portal(const IscsiPortal& portal) {
  const bool good = !portal.address.empty() && portal.address.size() <= 255 &&
                    std::ranges::all_of(portal.address, [](unsigned char c) {
                      return std::isalnum(c) || c == '.' || c == '-' || c == ':' || c == '_';
                    });
  if (!good) throw refused(portal.address, "'{}' is no address of a portal", portal.address);
  if (portal.port == 0) throw refused(portal.address, "portal {} has port 0", portal.address);
}

// `whose` names the side in messages; a secret is never part of one.
void check_credentials(const ChapCredentials& chap, const std::string& whose) {
  if (chap.name.size() > max_secret || chap.secret.size() > max_secret)
    throw refused(chap.name, "the {} CHAP name or secret is longer than {} bytes", whose,
                  max_secret);
  if (chap.use == Chap::prohibited) return;
  if (chap.name.empty()) throw refused(whose, "{} CHAP is used and has no name", whose);
  if (chap.secret.empty())
    throw refused(chap.name, "{} CHAP is used and '{}' has no secret", whose, chap.name);
}

void check_pair(const ChapCredentials& initiator, const ChapCredentials& target) {
  check_credentials(initiator, "the initiator's");
  check_credentials(target, "the target's");
  if (target.use == Chap::prohibited) return;
  if (initiator.use == Chap::prohibited)
    throw refused(target.name, "mutual CHAP needs CHAP of the initiator too");
  // RFC 3720, 8.2.1: a target could send our own challenge back to us.
  if (initiator.secret == target.secret)
    throw refused(target.name, "mutual CHAP needs two different secrets");
}

void check_overrides(const IscsiSettings& settings, const IscsiOverrides& overrides) {
  check_pair(overrides.initiator.value_or(settings.authentication.initiator),
             overrides.target.value_or(settings.authentication.target));
}

// --- Text --------------------------------------------------------------------------------------

json::object to_json(const ChapCredentials& chap) {
  return {{"use", static_cast<int>(chap.use)}, {"name", chap.name}, {"secret", chap.secret}};
}

ChapCredentials credentials_from(const json::value& value) {
  const int use = value.at("use").to_number<int>();
  if (use < 0 || use > static_cast<int>(Chap::required)) throw std::out_of_range("use");
  return {static_cast<Chap>(use), value.at("name").as_string().c_str(),
          value.at("secret").as_string().c_str()};
}

json::object to_json(const IscsiPortal& portal, const IscsiOverrides& overrides) {
  json::object object{{"address", portal.address}, {"port", portal.port}};
  if (overrides.initiator) object["initiator"] = to_json(*overrides.initiator);
  if (overrides.target) object["mutual"] = to_json(*overrides.target);
  if (overrides.header_digest) object["header_digest"] = *overrides.header_digest;
  return object;
}

IscsiPortal portal_from(const json::value& value) {
  return {value.at("address").as_string().c_str(), value.at("port").to_number<std::uint16_t>()};
}

IscsiOverrides overrides_from(const json::value& value) {
  const json::object& object = value.as_object();
  IscsiOverrides overrides;
  if (const auto* found = object.if_contains("initiator"))
    overrides.initiator = credentials_from(*found);
  if (const auto* found = object.if_contains("mutual")) overrides.target = credentials_from(*found);
  if (const auto* found = object.if_contains("header_digest"))
    overrides.header_digest = found->as_bool();
  return overrides;
}

IscsiSettings settings_from(const json::value& value) {
  IscsiSettings settings;
  settings.enabled = value.at("enabled").as_bool();
  settings.name = value.at("name").as_string();
  settings.alias = value.at("alias").as_string();
  settings.authentication = {credentials_from(value.at("initiator")),
                             credentials_from(value.at("mutual"))};
  settings.header_digest = value.at("header_digest").as_bool();
  settings.send_targets = value.at("send_targets").as_bool();
  settings.login_timeout = value.at("login_timeout").to_number<int>();
  settings.check_interval = value.at("check_interval").to_number<int>();
  for (const json::value& portal : value.at("portals").as_array())
    settings.portals.push_back({portal_from(portal), overrides_from(portal)});
  for (const json::value& target : value.at("targets").as_array())
    settings.targets.push_back(
        {portal_from(target), target.at("target").as_string().c_str(), overrides_from(target)});
  for (const json::value& path : value.at("disabled_paths").as_array())
    settings.disabled_paths.emplace_back(path.as_string());
  return settings;
}

}  // namespace

std::string IscsiPortal::text() const {
  const bool is_v6 = address.find(':') != std::string::npos;
  return is_v6 ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
}

bool IscsiSettings::is_path_enabled(const std::string& target, const std::string& portal) const {
  return std::ranges::count(disabled_paths, target + " " + portal) == 0;
}

void IscsiSettings::set_path_enabled(const std::string& target, const std::string& portal,
                                     bool enabled) {
  std::erase(disabled_paths, target + " " + portal);
  if (!enabled) disabled_paths.push_back(target + " " + portal);
}

void check_iscsi_name(const std::string& name) {
  const bool is_eui = name.starts_with("eui.") && name.size() == 20 && is_hex(name.substr(4));
  const bool is_naa = name.starts_with("naa.") && (name.size() == 20 || name.size() == 36) &&
                      is_hex(name.substr(4));
  const bool characters = std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == ':' || c == '_' || c >= 0x80;
  });
  if (name.size() > max_name || !characters || !(is_eui || is_naa || is_qualified_name(name)))
    throw refused(name, "'{}' is no iSCSI name (iqn.YYYY-MM.domain:name, eui. or naa.)", name);
}

void check(const IscsiSettings& settings) {
  check_iscsi_name(settings.name);
  if (settings.alias.size() > max_secret)
    throw refused(settings.alias, "the alias is longer than {} bytes", max_secret);
  check_pair(settings.authentication.initiator, settings.authentication.target);
  if (settings.login_timeout < 1 || settings.login_timeout > 60)
    throw refused("LoginTimeout", "LoginTimeout {} is not in 1 to 60", settings.login_timeout);
  if (settings.check_interval < 1 || settings.check_interval > 60)
    throw refused("NoopOutInterval", "NoopOutInterval {} is not in 1 to 60",
                  settings.check_interval);
  for (const SendTargets& portal : settings.portals) {
    check_portal(portal.portal);
    check_overrides(settings, portal.overrides);
  }
  for (const StaticTarget& target : settings.targets) {
    check_portal(target.portal);
    check_iscsi_name(target.target);
    check_overrides(settings, target.overrides);
  }
}

std::string to_text(const IscsiSettings& settings) {
  json::array portals, targets, paths;
  for (const SendTargets& portal : settings.portals)
    portals.push_back(to_json(portal.portal, portal.overrides));
  for (const StaticTarget& target : settings.targets) {
    json::object object = to_json(target.portal, target.overrides);
    object["target"] = target.target;
    targets.push_back(std::move(object));
  }
  for (const std::string& path : settings.disabled_paths) paths.emplace_back(path);
  return json::serialize(json::object{{"enabled", settings.enabled},
                                      {"name", settings.name},
                                      {"alias", settings.alias},
                                      {"initiator", to_json(settings.authentication.initiator)},
                                      {"mutual", to_json(settings.authentication.target)},
                                      {"header_digest", settings.header_digest},
                                      {"send_targets", settings.send_targets},
                                      {"login_timeout", settings.login_timeout},
                                      {"check_interval", settings.check_interval},
                                      {"portals", std::move(portals)},
                                      {"targets", std::move(targets)},
                                      {"disabled_paths", std::move(paths)}});
}

IscsiSettings parse_iscsi_settings(std::string_view text) {
  try {
    return settings_from(json::parse(text));
  } catch (const std::exception& failure) {
    throw error(ErrorKind::damaged, "iSCSI settings", "the iSCSI settings are damaged: {}",
                failure.what());
  }
}

IscsiLogin login_for(const IscsiSettings& settings, const IscsiPortal& portal,
                     const std::string& target, const IscsiOverrides& own,
                     const IscsiOverrides& found_by) {
  const IscsiAuthentication& adapter = settings.authentication;
  IscsiLogin login;
  login.initiator = settings.name;
  login.alias = settings.alias;
  login.portal = portal;
  login.target = target;
  login.authentication.initiator =
      own.initiator.value_or(found_by.initiator.value_or(adapter.initiator));
  login.authentication.target = own.target.value_or(found_by.target.value_or(adapter.target));
  login.header_digest =
      own.header_digest.value_or(found_by.header_digest.value_or(settings.header_digest));
  login.timeout = settings.login_timeout;
  return login;
}

}  // namespace virga::storage
