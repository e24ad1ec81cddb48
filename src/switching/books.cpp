#include "switching/books.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace virga::switching {
namespace {

template <class Vector>
auto find_named(Vector& things, const std::string& name) {
  return std::find_if(things.begin(), things.end(),
                      [&](const auto& thing) { return thing.name == name; });
}

template <class Vector>
auto& get_named(Vector& things, const std::string& name, const char* what) {
  const auto found = find_named(things, name);
  if (found == things.end())
    throw error(ErrorKind::not_found, name, "there is no {} named {}", what, name);
  return *found;
}

void check_name(const std::string& name, std::size_t longest, const char* what) {
  const bool control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (name.empty() || name.size() > longest || control) {
    throw error(ErrorKind::invalid_argument, name,
                "\"{}\" cannot name a {}: 1 to {} bytes without control characters", name, what,
                longest);
  }
}

void check_mac(const PortRequest& request) {
  const std::string& mac = request.mac;
  bool good = mac.size() == 17;
  for (std::size_t i = 0; good && i < mac.size(); ++i) {
    const auto c = static_cast<unsigned char>(mac[i]);
    good = i % 3 == 2 ? c == ':' : std::isxdigit(c) != 0;
  }
  // The lowest bit of the first byte marks a group address: no NIC's own.
  if (!good || (std::stoi(mac.substr(0, 2), nullptr, 16) & 1)) {
    throw error(ErrorKind::invalid_argument, mac, "\"{}\" is no MAC address for NIC {} of {}", mac,
                request.nic_key, request.vm_name);
  }
}

// "NIC 4000 of web01 and 2 more".
std::string users(const std::vector<const Port*>& ports) {
  std::string text = fmt::format("NIC {} of {}", ports[0]->nic_key, ports[0]->vm_name);
  if (ports.size() > 1) text += fmt::format(" and {} more", ports.size() - 1);
  return text;
}

Error in_use(const std::string& name, const std::vector<const Port*>& ports) {
  return error(ErrorKind::busy, name, "{} is in use by {}", name, users(ports));
}

json::object to_json(const VirtualSwitch& s) {
  return {{"name", s.name},
          {"mtu", s.mtu},
          {"numPorts", s.num_ports},
          {"uplinks", json::value_from(s.uplinks)},
          {"teaming", s.teaming == Teaming::source_mac ? "sourceMac" : "explicitFailover"}};
}

json::object to_json(const PortGroup& g) {
  json::object object{{"name", g.name}, {"switch", g.virtual_switch}, {"vlan", g.vlan}};
  if (g.nat) object["nat"] = g.nat->subnet;
  return object;
}

VirtualSwitch switch_from(const json::object& object) {
  VirtualSwitch s;
  s.name = json::value_to<std::string>(object.at("name"));
  s.mtu = object.at("mtu").to_number<int>();
  s.num_ports = object.at("numPorts").to_number<int>();
  s.uplinks = json::value_to<std::vector<std::string>>(object.at("uplinks"));
  s.teaming = object.at("teaming").as_string() == "sourceMac" ? Teaming::source_mac
                                                              : Teaming::explicit_failover;
  return s;
}

PortGroup port_group_from(const json::object& object) {
  PortGroup g;
  g.name = json::value_to<std::string>(object.at("name"));
  g.virtual_switch = json::value_to<std::string>(object.at("switch"));
  g.vlan = object.at("vlan").to_number<int>();
  if (const auto* nat = object.if_contains("nat")) g.nat = Nat{json::value_to<std::string>(*nat)};
  return g;
}

}  // namespace

const VirtualSwitch& Books::virtual_switch(const std::string& name) const {
  return get_named(switches_, name, "virtual switch");
}

const PortGroup& Books::port_group(const std::string& name) const {
  return get_named(port_groups_, name, "port group");
}

const Port& Books::port(const std::string& id) const {
  const auto found = ports_.find(id);
  if (found == ports_.end()) throw error(ErrorKind::not_found, id, "there is no port {}", id);
  return found->second;
}

std::vector<const Port*> Books::ports_on(const std::string& port_group) const {
  std::vector<const Port*> found;
  for (const auto& [id, port] : ports_) {
    if (port.port_group == port_group) found.push_back(&port);
  }
  return found;
}

void Books::check(const VirtualSwitch& wanted) const {
  check_name(wanted.name, 32, "virtual switch");
  if (wanted.mtu < 1280 || wanted.mtu > 9000) {
    throw error(ErrorKind::invalid_argument, wanted.name, "{}: an MTU of {} is not 1280 to 9000",
                wanted.name, wanted.mtu);
  }
  if (wanted.num_ports < 1 || wanted.num_ports > 4088) {
    throw error(ErrorKind::invalid_argument, wanted.name, "{}: {} ports are not 1 to 4088",
                wanted.name, wanted.num_ports);
  }
  std::set<std::string> own;
  for (const auto& uplink : wanted.uplinks) {
    if (!own.insert(uplink).second) {
      throw error(ErrorKind::invalid_argument, uplink, "{} is named twice as an uplink of {}",
                  uplink, wanted.name);
    }
    for (const auto& other : switches_) {
      if (other.name == wanted.name) continue;
      if (std::find(other.uplinks.begin(), other.uplinks.end(), uplink) != other.uplinks.end())
        throw error(ErrorKind::busy, uplink, "{} is an uplink of {} already", uplink, other.name);
    }
  }
}

void Books::add_switch(VirtualSwitch wanted) {
  if (find_named(switches_, wanted.name) != switches_.end()) {
    throw error(ErrorKind::already_exists, wanted.name, "a virtual switch named {} exists already",
                wanted.name);
  }
  check(wanted);
  switches_.push_back(std::move(wanted));
}

void Books::update_switch(VirtualSwitch wanted) {
  auto& current = get_named(switches_, wanted.name, "virtual switch");
  check(wanted);
  current = std::move(wanted);
}

void Books::remove_switch(const std::string& name) {
  virtual_switch(name);
  for (const auto& group : port_groups_) {
    if (group.virtual_switch != name) continue;
    const auto ports = ports_on(group.name);
    if (ports.empty()) continue;
    throw error(ErrorKind::busy, name, "{} is in use by {} on {}", name, users(ports), group.name);
  }
  std::erase_if(port_groups_, [&](const PortGroup& g) { return g.virtual_switch == name; });
  switches_.erase(find_named(switches_, name));
}

// `current` is the port group that `wanted` replaces: it may keep its name and its subnet.
void Books::check_and_complete(PortGroup& wanted, const PortGroup* current,
                               const std::vector<Subnet>& routes) const {
  check_name(wanted.name, 80, "port group");
  virtual_switch(wanted.virtual_switch);
  if (wanted.vlan < no_vlan || wanted.vlan > all_vlans) {
    throw error(ErrorKind::invalid_argument, wanted.name, "{}: VLAN {} is not 0 to 4095",
                wanted.name, wanted.vlan);
  }
  if (wanted.security != SecurityPolicy{}) {
    throw error(ErrorKind::unsupported, wanted.name,
                "{}: only the default security policy is offered (promiscuous mode rejected, MAC "
                "changes and forged transmits accepted)",
                wanted.name);
  }
  if (!wanted.nat) return;
  if (wanted.vlan == all_vlans) {
    throw error(ErrorKind::invalid_argument, wanted.name, "{}: NAT needs one VLAN, not all",
                wanted.name);
  }
  if (current && current->nat) {
    if (wanted.nat->subnet.empty()) wanted.nat = current->nat;
    if (wanted.nat == current->nat) return;
  }
  std::vector<Subnet> taken = routes;
  for (const auto& other : port_groups_) {
    if (&other != current && other.nat) taken.push_back(parse_nat_subnet(other.nat->subnet));
  }
  if (wanted.nat->subnet.empty()) wanted.nat->subnet = to_text(choose_subnet(taken));
  const Subnet subnet = parse_nat_subnet(wanted.nat->subnet);
  for (const auto& other : taken) {
    if (!subnet.overlaps(other)) continue;
    throw error(ErrorKind::busy, wanted.nat->subnet, "{}: {} meets {}, which is in use",
                wanted.name, wanted.nat->subnet, to_text(other));
  }
}

const PortGroup& Books::add_port_group(PortGroup wanted, const std::vector<Subnet>& routes) {
  if (find_named(port_groups_, wanted.name) != port_groups_.end()) {
    throw error(ErrorKind::already_exists, wanted.name, "a port group named {} exists already",
                wanted.name);
  }
  check_and_complete(wanted, nullptr, routes);
  return port_groups_.emplace_back(std::move(wanted));
}

const PortGroup& Books::update_port_group(const std::string& name, PortGroup wanted,
                                          const std::vector<Subnet>& routes) {
  auto& current = get_named(port_groups_, name, "port group");
  if (wanted.name != name && find_named(port_groups_, wanted.name) != port_groups_.end()) {
    throw error(ErrorKind::already_exists, wanted.name, "a port group named {} exists already",
                wanted.name);
  }
  check_and_complete(wanted, &current, routes);
  const auto ports = ports_on(name);
  const bool rebuilt = wanted.virtual_switch != current.virtual_switch || wanted.nat != current.nat;
  if (rebuilt && !ports.empty()) throw in_use(name, ports);
  for (auto& [id, port] : ports_) {
    if (port.port_group == name) port.port_group = wanted.name;
  }
  return current = std::move(wanted);
}

void Books::remove_port_group(const std::string& name) {
  port_group(name);
  if (const auto ports = ports_on(name); !ports.empty()) throw in_use(name, ports);
  port_groups_.erase(find_named(port_groups_, name));
}

void Books::plug(const std::string& id, const PortRequest& request) {
  port_group(request.port_group);
  check_mac(request);
  if (ports_.contains(id)) {
    throw error(ErrorKind::already_exists, id, "NIC {} of {} is attached already (port {})",
                request.nic_key, request.vm_name, id);
  }
  ports_.emplace(
      id, Port{id, request.vm, request.vm_name, request.nic_key, request.mac, request.port_group});
}

void Books::move(const std::string& id, const std::string& group) {
  port(id);
  port_group(group);
  ports_.at(id).port_group = group;
}

void Books::unplug(const std::string& id) {
  port(id);
  ports_.erase(id);
}

std::string Books::configuration() const {
  json::array switches, groups;
  for (const auto& s : switches_) switches.push_back(to_json(s));
  for (const auto& g : port_groups_) groups.push_back(to_json(g));
  return json::serialize(json::object{{"switches", switches}, {"portGroups", groups}}) + "\n";
}

Books Books::from_configuration(std::string_view text, const std::string& path) {
  Books books;
  try {
    const json::value document = json::parse(text);
    for (const auto& s : document.at("switches").as_array())
      books.add_switch(switch_from(s.as_object()));
    // No routes to be met: the subnets were chosen when the port groups were made.
    for (const auto& g : document.at("portGroups").as_array())
      books.add_port_group(port_group_from(g.as_object()), {});
  } catch (const std::exception& e) {
    throw error(ErrorKind::damaged, path, "{} is no switching configuration: {}", path, e.what());
  }
  return books;
}

}  // namespace virga::switching
