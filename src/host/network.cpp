#include "host/network.h"

#include <algorithm>

#include "host/names.h"

namespace virga::host {
namespace {

vim::NetworkSummary summary_of(const MoRef& self, const std::string& name) {
  vim::NetworkSummary summary;
  summary.network = self;
  summary.name = name;
  summary.accessible = true;
  return summary;
}

}  // namespace

Network::Network(Host& host, const std::string& port_group)
    : Entity(host, {"Network", "HaNetwork-" + port_group}, [&] {
        auto properties = entity_properties<Properties>(port_group, names::network_folder);
        properties.host = {names::host_system};
        properties.summary =
            model::share(summary_of({"Network", "HaNetwork-" + port_group}, port_group));
        return properties;
      }()) {}

void Network::rename(const std::string& port_group) {
  update([&](Properties& p) {
    p.name = port_group;
    p.summary = model::share(summary_of(self(), port_group));
  });
}

std::optional<UplinkPolicy> uplink_policy(const switching::Switching& switching,
                                          const std::string& port_group) {
  const auto groups = switching.port_groups();
  const auto group = std::ranges::find(groups, port_group, &switching::PortGroup::name);
  if (group == groups.end()) return std::nullopt;
  UplinkPolicy policy;
  policy.vlan = group->vlan == switching::all_vlans ? switching::no_vlan : group->vlan;
  policy.forged_transmits = group->security.forged_transmits;
  for (const switching::VirtualSwitch& it : switching.switches())
    if (it.name == group->virtual_switch) policy.uplinks = it.uplinks;
  return policy;
}

}  // namespace virga::host
