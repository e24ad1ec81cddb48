#include "host/host_network_system.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "host/host_system.h"
#include "host/names.h"
#include "host/network.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr const char* kFirstSwitch = "vSwitch0";
constexpr const char* kFirstPortGroup = "VM Network";

std::string switch_key(const std::string& name) {
  return "key-vim.host.VirtualSwitch-" + name;
}
std::string port_group_key(const std::string& name) {
  return "key-vim.host.PortGroup-" + name;
}
std::string nic_key(const std::string& device) {
  return "key-vim.host.PhysicalNic-" + device;
}

// --- To the API -------------------------------------------------------------------------------

// The machine's own names and servers: resolv.conf(5).
vim::HostDnsConfig dns_config(const std::string& full_name) {
  vim::HostDnsConfig dns;
  const auto dot = full_name.find('.');
  dns.hostName = full_name.substr(0, dot);
  if (dot != std::string::npos) dns.domainName = full_name.substr(dot + 1);
  std::ifstream file("/etc/resolv.conf");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string keyword, word;
    words >> keyword;
    if (keyword == "nameserver" && words >> word) dns.address.push_back(word);
    if (keyword == "search") {
      dns.searchDomain.clear();  // the last one counts
      while (words >> word) dns.searchDomain.push_back(word);
    }
  }
  return dns;
}

vim::HostNetworkPolicy policy(const switching::SecurityPolicy& security) {
  vim::HostNetworkPolicy policy;
  vim::HostNetworkSecurityPolicy described;
  described.allowPromiscuous = security.allow_promiscuous;
  described.macChanges = security.mac_changes;
  described.forgedTransmits = security.forged_transmits;
  policy.security = model::share(std::move(described));
  return policy;
}

vim::HostVirtualSwitch describe(const switching::VirtualSwitch& from,
                                const std::vector<switching::PortGroup>& groups,
                                const std::vector<switching::Port>& ports) {
  vim::HostVirtualSwitch described;
  described.name = from.name;
  described.key = switch_key(from.name);
  described.numPorts = from.num_ports;
  described.mtu = from.mtu;
  int used = 0;
  for (const auto& group : groups) {
    if (group.virtual_switch != from.name) continue;
    described.portgroup.push_back(port_group_key(group.name));
    used += static_cast<int>(std::count_if(ports.begin(), ports.end(), [&](const auto& port) {
      return port.port_group == group.name;
    }));
  }
  described.numPortsAvailable = from.num_ports - used;
  for (const auto& uplink : from.uplinks) described.pnic.push_back(nic_key(uplink));
  described.spec.numPorts = from.num_ports;
  described.spec.mtu = from.mtu;
  if (!from.uplinks.empty()) {
    vim::HostVirtualSwitchBondBridge bond;
    bond.nicDevice = from.uplinks;
    described.spec.bridge = model::share(std::move(bond));
  }
  auto standard = policy({});
  vim::HostNicTeamingPolicy teaming;
  teaming.policy =
      from.teaming == switching::Teaming::source_mac ? "loadbalance_srcmac" : "failover_explicit";
  if (!from.uplinks.empty()) {
    vim::HostNicOrderPolicy order;
    order.activeNic = from.uplinks;
    teaming.nicOrder = model::share(std::move(order));
  }
  standard.nicTeaming = model::share(std::move(teaming));
  described.spec.policy = model::share(std::move(standard));
  return described;
}

vim::HostPortGroup describe(const switching::PortGroup& from,
                            const std::vector<switching::Port>& ports) {
  vim::HostPortGroup described;
  described.key = port_group_key(from.name);
  described.vswitch = switch_key(from.virtual_switch);
  described.computedPolicy = policy(from.security);
  described.spec.name = from.name;
  described.spec.vlanId = from.vlan;
  described.spec.vswitchName = from.virtual_switch;
  described.spec.policy = policy(from.security);
  for (const auto& port : ports) {
    if (port.port_group != from.name) continue;
    auto& entry = described.port.emplace_back();
    entry.key = port.id;
    entry.mac = {port.mac};
    entry.type = "virtualMachine";
  }
  return described;
}

vim::PhysicalNic describe(const hypervisor::NetworkDevice& device) {
  vim::PhysicalNic described;
  described.key = nic_key(device.name);
  described.device = device.name;
  described.pci = device.pci_address;
  described.driver = device.driver;
  described.mac = device.mac;
  if (device.speed_mbps > 0) {
    vim::PhysicalNicLinkInfo link;
    link.speedMb = device.speed_mbps;
    link.duplex = device.full_duplex;
    described.linkSpeed = model::share(std::move(link));
  }
  return described;
}

// --- From the API -----------------------------------------------------------------------------

void refuse_shaping(const vim::HostNetworkPolicy& policy, const char* where) {
  if (policy.shapingPolicy && policy.shapingPolicy->enabled.value_or(false))
    throw kernel::not_supported(std::string(where) + ".policy.shapingPolicy");
}

switching::SecurityPolicy security(const vim::HostNetworkPolicy& policy) {
  switching::SecurityPolicy security;
  if (!policy.security) return security;
  security.allow_promiscuous = policy.security->allowPromiscuous.value_or(false);
  security.mac_changes = policy.security->macChanges.value_or(true);
  security.forged_transmits = policy.security->forgedTransmits.value_or(true);
  return security;
}

switching::VirtualSwitch translate(const std::string& name,
                                   const vim::HostVirtualSwitchSpec* spec) {
  switching::VirtualSwitch wanted;
  wanted.name = name;
  if (!spec) return wanted;
  wanted.num_ports = spec->numPorts;
  wanted.mtu = spec->mtu.value_or(wanted.mtu);
  if (const auto* bond = spec->bridge.as<vim::HostVirtualSwitchBondBridge>()) {
    wanted.uplinks = bond->nicDevice;
  } else if (const auto* simple = spec->bridge.as<vim::HostVirtualSwitchSimpleBridge>()) {
    wanted.uplinks = {simple->nicDevice};
  } else if (spec->bridge) {
    throw kernel::not_supported("spec.bridge of type " +
                                std::string(spec->bridge->type_info().name));
  }
  if (!spec->policy) return wanted;
  refuse_shaping(*spec->policy, "spec");
  const auto& teaming = spec->policy->nicTeaming;
  if (teaming && teaming->policy) {
    if (*teaming->policy == "failover_explicit")
      wanted.teaming = switching::Teaming::explicit_failover;
    else if (*teaming->policy != "loadbalance_srcmac" && *teaming->policy != "loadbalance_srcid")
      throw kernel::not_supported("The teaming policy " + *teaming->policy);
  }
  return wanted;
}

switching::PortGroup translate(const vim::HostPortGroupSpec& spec) {
  refuse_shaping(spec.policy, "portgrp");
  switching::PortGroup wanted;
  wanted.name = spec.name;
  wanted.virtual_switch = spec.vswitchName;
  wanted.vlan = spec.vlanId;
  wanted.security = security(spec.policy);
  return wanted;
}

// The engine's errors in this API's words, which differ from those about files.
[[noreturn]] void rethrow(const Error& failure) {
  switch (failure.kind()) {
    case ErrorKind::already_exists: {
      vim::AlreadyExists detail;
      detail.name = failure.subject();
      throw kernel::Fault(std::move(detail), failure.what());
    }
    case ErrorKind::not_found:
      throw kernel::Fault(vim::NotFound{}, failure.what());
    case ErrorKind::busy: {
      vim::ResourceInUse detail;
      detail.name = failure.subject();
      throw kernel::Fault(std::move(detail), failure.what());
    }
    case ErrorKind::invalid_argument:
    case ErrorKind::unsupported:
      throw kernel::from_error(failure);
    default:
      throw kernel::Fault(vim::HostConfigFault{}, failure.what());
  }
}

Async<void> translated(Async<void> operation) {
  try {
    co_await std::move(operation);
  } catch (const Error& failure) {
    rethrow(failure);
  }
}

Async<void> made(Async<switching::PortGroup> operation) {
  co_await std::move(operation);
}

}  // namespace

HostNetworkSystem::HostNetworkSystem(Host& host)
    : Implements(host.kernel.inventory, names::network_system,
                 [] {
                   Properties properties;
                   vim::HostNetCapabilities capabilities;
                   capabilities.supportsNicTeaming = true;
                   capabilities.nicTeamingPolicy = {"loadbalance_srcmac", "loadbalance_srcid",
                                                    "failover_explicit"};
                   capabilities.supportsVlan = true;
                   capabilities.vswitchConfigSupported = true;
                   properties.capabilities = model::share(std::move(capabilities));
                   return properties;
                 }()),
      host_(host) {
  set_guard(names::host_system);
}

Async<void> HostNetworkSystem::start() {
  co_await host_.switching->start();
  if (host_.switching->switches().empty()) {
    switching::VirtualSwitch first;
    first.name = kFirstSwitch;
    co_await host_.switching->add_switch(std::move(first));
    switching::PortGroup group;
    group.name = kFirstPortGroup;
    group.virtual_switch = kFirstSwitch;
    group.nat = switching::Nat{};
    co_await host_.switching->add_port_group(std::move(group));
  }
  publish();
}

void HostNetworkSystem::publish() {
  const auto switches = host_.switching->switches();
  const auto groups = host_.switching->port_groups();
  const auto ports = host_.switching->ports();
  vim::HostNetworkInfo info;
  for (const auto& each : switches) info.vswitch.push_back(describe(each, groups, ports));
  for (const auto& each : groups) info.portgroup.push_back(describe(each, ports));
  for (const auto& each : host_.facts.nics) info.pnic.push_back(describe(each));
  info.ipV6Enabled = true;
  info.dnsConfig = model::share(dns_config(host_.identity.name));
  host_.host_system->set_network(info);
  update([&](Properties& p) { p.networkInfo = model::share(std::move(info)); });

  for (const auto& group : groups) {
    if (!host_.network(group.name)) host_.add_network(std::make_shared<Network>(host_, group.name));
  }
  for (const auto& [name, network] : std::map(host_.networks)) {
    const bool exists =
        std::any_of(groups.begin(), groups.end(),
                    [&name = name](const auto& group) { return group.name == name; });
    if (!exists) host_.remove_network(network->self());
  }
}

Async<void> HostNetworkSystem::AddVirtualSwitch(model::Call&,
                                                const vim::AddVirtualSwitchRequestType& r) {
  switching::VirtualSwitch wanted = translate(r.vswitchName, r.spec.get());
  co_await translated(host_.switching->add_switch(std::move(wanted)));
  publish();
}

Async<void> HostNetworkSystem::RemoveVirtualSwitch(model::Call&,
                                                   const vim::RemoveVirtualSwitchRequestType& r) {
  co_await translated(host_.switching->remove_switch(r.vswitchName));
  publish();
}

Async<void> HostNetworkSystem::UpdateVirtualSwitch(model::Call&,
                                                   const vim::UpdateVirtualSwitchRequestType& r) {
  switching::VirtualSwitch wanted = translate(r.vswitchName, &r.spec);
  co_await translated(host_.switching->update_switch(std::move(wanted)));
  publish();
}

Async<void> HostNetworkSystem::AddPortGroup(model::Call&, const vim::AddPortGroupRequestType& r) {
  switching::PortGroup wanted = translate(r.portgrp);
  co_await translated(made(host_.switching->add_port_group(std::move(wanted))));
  publish();
}

Async<void> HostNetworkSystem::RemovePortGroup(model::Call&,
                                               const vim::RemovePortGroupRequestType& r) {
  if (const auto network = host_.network(r.pgName); network && !network->properties().vm.empty()) {
    vim::ResourceInUse detail;
    detail.type = "Network";
    detail.name = r.pgName;
    throw kernel::Fault(std::move(detail),
                        fmt::format("Virtual machines are configured for {}.", r.pgName));
  }
  co_await translated(host_.switching->remove_port_group(r.pgName));
  publish();
}

Async<void> HostNetworkSystem::UpdatePortGroup(model::Call&,
                                               const vim::UpdatePortGroupRequestType& r) {
  switching::PortGroup wanted = translate(r.portgrp);
  for (const auto& present : host_.switching->port_groups())
    if (present.name == r.pgName) wanted.nat = present.nat;  // the API does not speak of it
  co_await translated(made(host_.switching->update_port_group(r.pgName, std::move(wanted))));
  publish();
}

Async<void> HostNetworkSystem::RefreshNetworkSystem(model::Call&,
                                                    const vim::RefreshNetworkSystemRequestType&) {
  publish();
  co_return;
}

}  // namespace virga::host
