// The software iSCSI adapter of HostStorageSystem. A change is recorded and shown at once; sessions
// follow it at the next rescan, as vSphere has it.
#include <algorithm>

#include "host/host_storage_system.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

using storage::Chap;
using storage::ChapCredentials;
using storage::IscsiAdapter;
using storage::IscsiOverrides;
using storage::IscsiSettings;

constexpr const char* kTable = "iscsi";
constexpr const char* kAdapter = "adapter";

storage::IscsiPortal portal(const std::string& address, const std::optional<std::int32_t>& port) {
  if (port && (*port < 1 || *port > 65535))
    throw kernel::invalid_argument("port", fmt::format("{} is no port", *port));
  return {address, static_cast<std::uint16_t>(port.value_or(3260))};
}

Chap chap_use(bool enabled, const std::optional<std::string>& type) {
  if (!type) return enabled ? Chap::preferred : Chap::prohibited;
  if (*type == "chapProhibited") return Chap::prohibited;
  if (*type == "chapDiscouraged") return Chap::discouraged;
  if (*type == "chapPreferred") return Chap::preferred;
  if (*type == "chapRequired") return Chap::required;
  throw kernel::invalid_argument("chapAuthenticationType",
                                 fmt::format("'{}' is no way to use CHAP", *type));
}

// A secret that is left out stays as it was, as long as the name does.
ChapCredentials credentials(Chap use, const std::optional<std::string>& name,
                            const std::optional<std::string>& secret,
                            const ChapCredentials& before) {
  ChapCredentials chap;
  chap.use = use;
  chap.name = name.value_or(before.name);
  chap.secret = secret.value_or(chap.name == before.name ? before.secret : "");
  return chap;
}

struct Credentials {
  ChapCredentials initiator, target;
};

Credentials credentials(const vim::HostInternetScsiHbaAuthenticationProperties& p,
                        const Credentials& before) {
  const bool mutual = p.mutualChapName || p.mutualChapAuthenticationType;
  return {credentials(chap_use(p.chapAuthEnabled, p.chapAuthenticationType), p.chapName,
                      p.chapSecret, before.initiator),
          credentials(mutual ? chap_use(true, p.mutualChapAuthenticationType) : Chap::prohibited,
                      p.mutualChapName, p.mutualChapSecret, before.target)};
}

void set_overrides(IscsiOverrides& overrides,
                   const vim::HostInternetScsiHbaAuthenticationProperties& p) {
  const Credentials before{overrides.initiator.value_or(ChapCredentials()),
                           overrides.target.value_or(ChapCredentials())};
  const Credentials wanted = credentials(p, before);
  overrides.initiator.reset();
  overrides.target.reset();
  if (!p.chapInherited.value_or(false)) overrides.initiator = wanted.initiator;
  if (!p.mutualChapInherited.value_or(false)) overrides.target = wanted.target;
}

bool header_digest(const vim::HostInternetScsiHbaDigestProperties& p) {
  if (p.dataDigestType && *p.dataDigestType != "digestProhibited")
    throw kernel::not_supported("A data digest of the software iSCSI adapter");
  if (!p.headerDigestType || *p.headerDigestType == "digestProhibited") return false;
  if (*p.headerDigestType == "digestPreferred" || *p.headerDigestType == "digestRequired")
    return true;
  if (*p.headerDigestType == "digestDiscouraged") return false;
  throw kernel::invalid_argument("headerDigestType",
                                 fmt::format("'{}' is no way to use a digest", *p.headerDigestType));
}

template <class Target>
IscsiOverrides overrides_of(const Target& target) {
  IscsiOverrides overrides;
  if (target.authenticationProperties) set_overrides(overrides, *target.authenticationProperties);
  if (target.digestProperties && !target.digestProperties->headerDigestInherited.value_or(false))
    overrides.header_digest = header_digest(*target.digestProperties);
  return overrides;
}

storage::SendTargets send_targets(const vim::HostInternetScsiHbaSendTarget& target) {
  return {portal(target.address, target.port), overrides_of(target)};
}

storage::StaticTarget static_target(const vim::HostInternetScsiHbaStaticTarget& target) {
  return {portal(target.address, target.port), target.iScsiName, overrides_of(target)};
}

auto find_portal(std::vector<storage::SendTargets>& all, const storage::IscsiPortal& portal) {
  return std::ranges::find(all, portal, &storage::SendTargets::portal);
}

auto find_target(std::vector<storage::StaticTarget>& all, const storage::StaticTarget& wanted) {
  return std::ranges::find_if(all, [&](const storage::StaticTarget& target) {
    return target.portal == wanted.portal && target.target == wanted.target;
  });
}

// Calls `change` with the overrides of each target the set names. One that SendTargets found
// becomes a static one: what is set on it must outlive a discovery.
template <class Change>
void change_targets(IscsiSettings& settings, const vim::HostInternetScsiHbaTargetSet& set,
                    const std::vector<IscsiAdapter::Discovered>& discovered, Change change) {
  for (const auto& named : set.sendTargets) {
    const auto found = find_portal(settings.portals, portal(named->address, named->port));
    if (found == settings.portals.end())
      throw kernel::not_found(fmt::format("iSCSI portal {}", named->address));
    change(found->overrides);
  }
  for (const auto& named : set.staticTargets) {
    const storage::StaticTarget wanted{portal(named->address, named->port), named->iScsiName, {}};
    auto found = find_target(settings.targets, wanted);
    if (found == settings.targets.end()) {
      const bool is_known = std::ranges::any_of(discovered, [&](const auto& d) {
        return d.target.portal == wanted.portal && d.target.target == wanted.target;
      });
      if (!is_known)
        throw kernel::not_found(
            fmt::format("iSCSI target {} at {}", wanted.target, wanted.portal.text()));
      found = settings.targets.insert(settings.targets.end(), wanted);
    }
    change(found->overrides);
  }
}

std::string default_name(const std::string& host_uuid) {
  std::string digits = host_uuid;
  std::erase(digits, '-');
  return "iqn.1993-08.org.debian:01:" + digits.substr(0, 12);
}

}  // namespace

IscsiSettings HostStorageSystem::recorded_iscsi_settings() const {
  if (const auto text = host_.kernel.database->get(kTable, kAdapter))
    return storage::parse_iscsi_settings(*text);
  IscsiSettings settings;
  settings.name = default_name(host_.identity.uuid);
  return settings;
}

IscsiSettings HostStorageSystem::iscsi_settings(const std::string& device) const {
  const auto* found = find_adapter(devices_, device);
  if (!found) throw kernel::not_found(fmt::format("adapter '{}'", device));
  if (found->name != IscsiAdapter::name)
    throw kernel::not_supported(fmt::format("Setting up adapter {} ({})", device, found->driver));
  return iscsi_->settings();
}

void HostStorageSystem::apply(IscsiSettings settings) {
  try {
    storage::check(settings);
  } catch (const Error& refused) {
    throw kernel::from_error(refused);
  }
  host_.kernel.database->put(kTable, kAdapter, storage::to_text(settings));
  iscsi_->set_settings(std::move(settings));
  publish();
}

Async<void> HostStorageSystem::UpdateSoftwareInternetScsiEnabled(
    model::Call&, const vim::UpdateSoftwareInternetScsiEnabledRequestType& r) {
  IscsiSettings settings = iscsi_->settings();
  settings.enabled = r.enabled;
  apply(std::move(settings));
  co_await iscsi_->rescan();
  publish();
}

Async<void> HostStorageSystem::UpdateInternetScsiDiscoveryProperties(
    model::Call&, const vim::UpdateInternetScsiDiscoveryPropertiesRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  const auto& wanted = r.discoveryProperties;
  if (wanted.iSnsDiscoveryEnabled) throw kernel::not_supported("Discovery by iSNS");
  if (wanted.slpDiscoveryEnabled) throw kernel::not_supported("Discovery by SLP");
  if (!wanted.staticTargetDiscoveryEnabled)
    throw kernel::not_supported("An iSCSI adapter without static targets");
  settings.send_targets = wanted.sendTargetsDiscoveryEnabled;
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::UpdateInternetScsiAuthenticationProperties(
    model::Call&, const vim::UpdateInternetScsiAuthenticationPropertiesRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  const auto& wanted = r.authenticationProperties;
  if (r.targetSet) {
    change_targets(settings, *r.targetSet, iscsi_->discovered(),
                   [&](IscsiOverrides& overrides) { set_overrides(overrides, wanted); });
  } else {
    const auto& [initiator, target] = settings.authentication;
    const Credentials made = credentials(wanted, {initiator, target});
    settings.authentication = {made.initiator, made.target};
  }
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::UpdateInternetScsiDigestProperties(
    model::Call&, const vim::UpdateInternetScsiDigestPropertiesRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  const bool wanted = header_digest(r.digestProperties);
  const bool inherited = r.digestProperties.headerDigestInherited.value_or(false);
  if (r.targetSet) {
    change_targets(settings, *r.targetSet, iscsi_->discovered(), [&](IscsiOverrides& overrides) {
      overrides.header_digest = inherited ? std::nullopt : std::optional(wanted);
    });
  } else {
    settings.header_digest = wanted;
  }
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::UpdateInternetScsiAdvancedOptions(
    model::Call&, const vim::UpdateInternetScsiAdvancedOptionsRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  if (r.targetSet) throw kernel::not_supported("Options of single iSCSI targets");
  for (const auto& option : r.options) {
    const auto* value = option->value.get<std::int32_t>();
    if (!value) throw kernel::invalid_argument(option->key, option->key + " takes a number");
    if (option->key == "LoginTimeout") {
      settings.login_timeout = *value;
    } else if (option->key == "NoopOutInterval") {
      settings.check_interval = *value;
    } else {
      throw kernel::not_supported(fmt::format("iSCSI option {}", option->key));
    }
  }
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::UpdateInternetScsiName(
    model::Call&, const vim::UpdateInternetScsiNameRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  settings.name = r.iScsiName;
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::UpdateInternetScsiAlias(
    model::Call&, const vim::UpdateInternetScsiAliasRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  settings.alias = r.iScsiAlias;
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::AddInternetScsiSendTargets(
    model::Call&, const vim::AddInternetScsiSendTargetsRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  for (const auto& named : r.targets) {
    const storage::SendTargets added = send_targets(*named);
    const auto found = find_portal(settings.portals, added.portal);
    if (found == settings.portals.end()) {
      settings.portals.push_back(added);
    } else {
      *found = added;
    }
  }
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::RemoveInternetScsiSendTargets(
    model::Call&, const vim::RemoveInternetScsiSendTargetsRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  for (const auto& named : r.targets) {
    const auto found = find_portal(settings.portals, portal(named->address, named->port));
    if (found == settings.portals.end())
      throw kernel::not_found(fmt::format("iSCSI portal {}", named->address));
    settings.portals.erase(found);
  }
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::AddInternetScsiStaticTargets(
    model::Call&, const vim::AddInternetScsiStaticTargetsRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  for (const auto& named : r.targets) {
    const storage::StaticTarget added = static_target(*named);
    const auto found = find_target(settings.targets, added);
    if (found == settings.targets.end()) {
      settings.targets.push_back(added);
    } else {
      *found = added;
    }
  }
  apply(std::move(settings));
  co_return;
}

Async<void> HostStorageSystem::RemoveInternetScsiStaticTargets(
    model::Call&, const vim::RemoveInternetScsiStaticTargetsRequestType& r) {
  IscsiSettings settings = iscsi_settings(r.iScsiHbaDevice);
  for (const auto& named : r.targets) {
    const storage::StaticTarget wanted{portal(named->address, named->port), named->iScsiName, {}};
    const auto found = find_target(settings.targets, wanted);
    if (found == settings.targets.end())
      throw kernel::not_found(
          fmt::format("iSCSI target {} at {}", wanted.target, wanted.portal.text()));
    settings.targets.erase(found);
  }
  apply(std::move(settings));
  co_return;
}

}  // namespace virga::host
