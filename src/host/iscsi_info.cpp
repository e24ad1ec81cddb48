#include "host/storage_info.h"

namespace virga::host {
namespace {

std::string chap_type(storage::Chap use) {
  switch (use) {
    case storage::Chap::prohibited: return "chapProhibited";
    case storage::Chap::discouraged: return "chapDiscouraged";
    case storage::Chap::preferred: return "chapPreferred";
    case storage::Chap::required: break;
  }
  return "chapRequired";
}

model::Ptr<vim::HostInternetScsiHbaAuthenticationProperties> authentication(
    const storage::ChapCredentials& initiator, const storage::ChapCredentials& target,
    std::optional<bool> initiator_inherited, std::optional<bool> target_inherited) {
  vim::HostInternetScsiHbaAuthenticationProperties properties;
  properties.chapAuthEnabled = initiator.use != storage::Chap::prohibited;
  properties.chapAuthenticationType = chap_type(initiator.use);
  if (!initiator.name.empty()) properties.chapName = initiator.name;
  properties.chapInherited = initiator_inherited;
  properties.mutualChapAuthenticationType = chap_type(target.use);
  if (!target.name.empty()) properties.mutualChapName = target.name;
  properties.mutualChapInherited = target_inherited;
  return model::share(std::move(properties));
}

std::string digest_type(bool wanted) { return wanted ? "digestPreferred" : "digestProhibited"; }

vim::HostInternetScsiHbaDigestProperties digests(bool header, std::optional<bool> inherited) {
  vim::HostInternetScsiHbaDigestProperties properties;
  properties.headerDigestType = digest_type(header);
  properties.headerDigestInherited = inherited;
  properties.dataDigestType = digest_type(false);
  return properties;
}

// Of a portal or target: what it overrides, and what it inherits.
template <class Target>
void describe_overrides(Target& described, const storage::IscsiSettings& settings,
                        const storage::IscsiOverrides& own) {
  described.authenticationProperties =
      authentication(own.initiator.value_or(settings.authentication.initiator),
                     own.target.value_or(settings.authentication.target), !own.initiator,
                     !own.target);
  described.digestProperties = model::share(
      digests(own.header_digest.value_or(settings.header_digest), !own.header_digest));
}

void add_option(vim::HostInternetScsiHba& hba, const char* name, int value, int fallback,
                const char* summary) {
  vim::OptionDef definition;
  definition.key = name;
  definition.label = name;
  definition.summary = summary;
  vim::IntOption range;
  range.min = 1;
  range.max = 60;
  range.defaultValue = fallback;
  range.valueIsReadonly = false;
  definition.optionType = model::share(std::move(range));
  hba.supportedAdvancedOptions.push_back(std::move(definition));
  auto& current = hba.advancedOptions.emplace_back();
  current.key = name;
  current.value = model::any(std::int32_t{value});
}

}  // namespace

void describe_iscsi_settings(vim::HostInternetScsiHba& hba, const storage::IscsiSettings& settings,
                             const std::vector<storage::IscsiAdapter::Discovered>& discovered) {
  hba.canBeDisabled = true;
  hba.discoveryCapabilities.staticTargetDiscoverySettable = false;
  hba.discoveryCapabilities.sendTargetsDiscoverySettable = true;
  hba.discoveryProperties.staticTargetDiscoveryEnabled = true;
  hba.discoveryProperties.sendTargetsDiscoveryEnabled = settings.send_targets;
  hba.authenticationCapabilities.chapAuthSettable = true;
  hba.authenticationCapabilities.mutualChapSettable = true;
  hba.authenticationCapabilities.targetChapSettable = true;
  hba.authenticationCapabilities.targetMutualChapSettable = true;
  const auto& [initiator, target] = settings.authentication;
  hba.authenticationProperties =
      *authentication(initiator, target, std::nullopt, std::nullopt);
  vim::HostInternetScsiHbaDigestCapabilities digestible;
  digestible.headerDigestSettable = digestible.targetHeaderDigestSettable = true;
  digestible.dataDigestSettable = digestible.targetDataDigestSettable = false;
  hba.digestCapabilities = model::share(std::move(digestible));
  hba.digestProperties = model::share(digests(settings.header_digest, std::nullopt));
  hba.ipCapabilities.ipv6Supported = true;
  hba.ipCapabilities.hostNameAsTargetAddress = true;
  add_option(hba, "LoginTimeout", settings.login_timeout, 5, "Seconds a login may take");
  add_option(hba, "NoopOutInterval", settings.check_interval, 15,
             "Seconds between looks at idle sessions");
  for (const auto& portal : settings.portals) {
    auto& described = hba.configuredSendTarget.emplace_back();
    described.address = portal.portal.address;
    described.port = portal.portal.port;
    describe_overrides(described, settings, portal.overrides);
  }
  const auto add_target = [&](const storage::StaticTarget& target) -> auto& {
    auto& described = hba.configuredStaticTarget.emplace_back();
    described.address = target.portal.address;
    described.port = target.portal.port;
    described.iScsiName = target.target;
    describe_overrides(described, settings, target.overrides);
    return described;
  };
  for (const auto& target : settings.targets)
    add_target(target).discoveryMethod = "staticMethod";
  for (const auto& found : discovered) {
    auto& described = add_target(found.target);
    described.discoveryMethod = "sendTargetMethod";
    described.parent = found.parent.text();
  }
}

}  // namespace virga::host
