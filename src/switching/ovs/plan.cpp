#include "switching/ovs/plan.h"

#include <fmt/format.h>

#include <charconv>

#include "switching/names.h"

namespace virga::switching::ovs {
namespace {

// Keys of external_ids. attached-mac and vm-id are the names Open vSwitch's integration guide
// gives; the others are ours.
constexpr auto switch_key = "virga-switch";
constexpr auto mac_key = "attached-mac";
constexpr auto vm_key = "vm-id";
constexpr auto vm_name_key = "virga-vm-name";
constexpr auto nic_key = "virga-nic";
constexpr auto port_group_key = "virga-port-group";

BridgePort single(Interface interface, int vlan) {
  BridgePort port{interface.name, vlan, {}, {}, {}};
  port.interfaces.emplace(interface.name, std::move(interface));
  return port;
}

void add(Bridge& bridge, BridgePort port) {
  bridge.ports.emplace(port.name, std::move(port));
}

BridgePort uplink_port(const VirtualSwitch& s, const std::string& instance) {
  BridgePort port{s.uplinks[0], all_vlans, {}, {}, {}};
  if (s.uplinks.size() > 1) {
    port.name = bond_name(instance, s.name);
    const bool ordered = s.teaming == Teaming::explicit_failover;
    port.bond_mode = ordered ? "active-backup" : "balance-slb";
    if (ordered) port.bond_primary = s.uplinks[0];
  }
  for (const auto& uplink : s.uplinks)
    port.interfaces.emplace(uplink, Interface{uplink, "", "", s.mtu, {}});
  return port;
}

Interface guest_interface(const Port& port, int mtu) {
  return {port.id,
          "",
          "",
          mtu,
          {{mac_key, port.mac},
           {vm_key, port.vm},
           {vm_name_key, port.vm_name},
           {nic_key, std::to_string(port.nic_key)},
           {port_group_key, port.port_group}}};
}

// What the database holds, with the UUIDs needed to change it.
struct Existing {
  Bridges bridges;
  std::map<std::string, std::string> bridge_uuids, port_uuids, interface_uuids;  // by name
};

Interface read_interface(const json::object& row) {
  return {text(row, "name"), text(row, "type"), text(row, "mac"),
          static_cast<int>(integer(row, "mtu_request", 0)), text_map(row, "external_ids")};
}

BridgePort read_port(const json::object& row, const Replica& replica, Existing& existing) {
  BridgePort port;
  port.name = text(row, "name");
  port.vlan =
      text(row, "vlan_mode") == "access" ? static_cast<int>(integer(row, "tag", 0)) : all_vlans;
  port.bond_mode = text(row, "bond_mode");
  const auto settings = text_map(row, "other_config");
  if (const auto found = settings.find("bond-primary"); found != settings.end())
    port.bond_primary = found->second;
  const auto& interfaces = replica.rows("Interface");
  for (const auto& uuid : texts(row, "interfaces")) {
    const auto found = interfaces.find(uuid);
    if (found == interfaces.end()) continue;
    Interface interface = read_interface(found->second);
    existing.interface_uuids[interface.name] = uuid;
    port.interfaces.emplace(interface.name, std::move(interface));
  }
  return port;
}

Existing read_existing(const Replica& replica) {
  Existing existing;
  const auto& ports = replica.rows("Port");
  for (const auto& [uuid, row] : replica.rows("Bridge")) {
    const auto ids = text_map(row, "external_ids");
    const auto mark = ids.find(switch_key);
    if (mark == ids.end()) continue;
    Bridge bridge{text(row, "name"), text(row, "datapath_type"), mark->second, {}};
    existing.bridge_uuids[bridge.name] = uuid;
    for (const auto& port_uuid : texts(row, "ports")) {
      const auto found = ports.find(port_uuid);
      if (found == ports.end()) continue;
      BridgePort port = read_port(found->second, replica, existing);
      existing.port_uuids[port.name] = port_uuid;
      add(bridge, std::move(port));
    }
    existing.bridges.emplace(bridge.name, std::move(bridge));
  }
  return existing;
}

json::object bridge_row(const Bridge& bridge) {
  return {{"name", bridge.name},
          {"datapath_type", bridge.datapath_type},
          {"external_ids", to_map({{switch_key, bridge.virtual_switch}})}};
}

// Writes every column, so that the same row serves an insert and an update. VLAN 0 is an access
// port too: it takes untagged frames only, as a standard switch does.
json::object port_row(const BridgePort& port) {
  json::object row{{"name", port.name},
                   {"vlan_mode", to_set({})},
                   {"tag", to_set({})},
                   {"bond_mode", to_set({})},
                   {"other_config", to_map({})}};
  if (port.vlan != all_vlans) {
    row["vlan_mode"] = "access";
    row["tag"] = port.vlan;
  }
  if (!port.bond_mode.empty()) row["bond_mode"] = port.bond_mode;
  if (!port.bond_primary.empty())
    row["other_config"] = to_map({{"bond-primary", port.bond_primary}});
  return row;
}

json::object interface_row(const Interface& interface) {
  json::object row{{"name", interface.name},
                   {"type", interface.type},
                   {"mac", to_set({})},
                   {"mtu_request", interface.mtu},
                   {"external_ids", to_map(interface.external_ids)}};
  if (!interface.mac.empty()) row["mac"] = interface.mac;
  return row;
}

json::array where_uuid(const std::string& uuid) {
  return array_of(json::array{"_uuid", "==", to_uuid(uuid)});
}

bool same_interfaces(const BridgePort& a, const BridgePort& b) {
  return std::equal(a.interfaces.begin(), a.interfaces.end(), b.interfaces.begin(),
                    b.interfaces.end(), [](const auto& x, const auto& y) {
                      return x.first == y.first && x.second.type == y.second.type;
                    });
}

class Planner {
 public:
  explicit Planner(const Replica& replica) : existing_(read_existing(replica)) {}

  json::array plan(const Bridges& wanted) {
    json::array gone, made;
    for (const auto& [name, bridge] : existing_.bridges) {
      if (!wanted.contains(name)) gone.push_back(to_uuid(existing_.bridge_uuids.at(name)));
    }
    for (const auto& [name, bridge] : wanted) {
      const auto found = existing_.bridges.find(name);
      if (found == existing_.bridges.end()) {
        made.push_back(insert_bridge(bridge));
      } else {
        change_bridge(found->second, bridge);
      }
    }
    mutate("Open_vSwitch", {}, "bridges", std::move(gone), std::move(made));
    return std::move(operations_);
  }

 private:
  json::value insert(const char* table, json::object row) {
    const std::string name = fmt::format("row{}", ++inserted_);
    operations_.push_back(json::object{
        {"op", "insert"}, {"table", table}, {"row", std::move(row)}, {"uuid-name", name}});
    return to_named_uuid(name);
  }

  void update(const char* table, const std::string& uuid, json::object row) {
    row.erase("name");  // immutable, and how the row was found
    operations_.push_back(json::object{
        {"op", "update"}, {"table", table}, {"where", where_uuid(uuid)}, {"row", std::move(row)}});
  }

  // Takes `gone` out of a column that is a set of references, and puts `made` in.
  void mutate(const char* table, json::array where, const char* column, json::array gone,
              json::array made) {
    json::array mutations;
    if (!gone.empty()) mutations.push_back(json::array{column, "delete", to_set(std::move(gone))});
    if (!made.empty()) mutations.push_back(json::array{column, "insert", to_set(std::move(made))});
    if (mutations.empty()) return;
    operations_.push_back(json::object{{"op", "mutate"},
                                       {"table", table},
                                       {"where", std::move(where)},
                                       {"mutations", std::move(mutations)}});
  }

  json::value insert_port(const BridgePort& port) {
    json::array interfaces;
    for (const auto& [name, interface] : port.interfaces)
      interfaces.push_back(insert("Interface", interface_row(interface)));
    json::object row = port_row(port);
    row["interfaces"] = to_set(std::move(interfaces));
    return insert("Port", std::move(row));
  }

  json::value insert_bridge(const Bridge& bridge) {
    json::array ports;
    for (const auto& [name, port] : bridge.ports) ports.push_back(insert_port(port));
    json::object row = bridge_row(bridge);
    row["ports"] = to_set(std::move(ports));
    return insert("Bridge", std::move(row));
  }

  void change_port(const BridgePort& current, const BridgePort& wanted) {
    if (port_row(current) != port_row(wanted))
      update("Port", existing_.port_uuids.at(wanted.name), port_row(wanted));
    for (const auto& [name, interface] : wanted.interfaces) {
      if (current.interfaces.at(name) != interface)
        update("Interface", existing_.interface_uuids.at(name), interface_row(interface));
    }
  }

  void change_bridge(const Bridge& current, const Bridge& wanted) {
    const std::string& uuid = existing_.bridge_uuids.at(wanted.name);
    if (bridge_row(current) != bridge_row(wanted)) update("Bridge", uuid, bridge_row(wanted));
    json::array gone, made;
    for (const auto& [name, port] : current.ports) {
      if (!wanted.ports.contains(name)) gone.push_back(to_uuid(existing_.port_uuids.at(name)));
    }
    for (const auto& [name, port] : wanted.ports) {
      const auto found = current.ports.find(name);
      if (found != current.ports.end() && same_interfaces(found->second, port)) {
        change_port(found->second, port);
        continue;
      }
      if (found != current.ports.end()) gone.push_back(to_uuid(existing_.port_uuids.at(name)));
      made.push_back(insert_port(port));
    }
    mutate("Bridge", where_uuid(uuid), "ports", std::move(gone), std::move(made));
  }

  Existing existing_;
  json::array operations_;
  int inserted_ = 0;
};

}  // namespace

Bridges wanted_bridges(const Books& books, const std::string& instance,
                       const std::string& datapath_type) {
  Bridges bridges;
  std::map<std::string, Bridge*> by_switch;
  for (const auto& s : books.switches()) {
    const std::string name = bridge_name(instance, s.name);
    Bridge& bridge = bridges[name] = {name, datapath_type, s.name, {}};
    add(bridge, single({name, "internal", "", s.mtu, {}}, all_vlans));
    if (!s.uplinks.empty()) add(bridge, uplink_port(s, instance));
    by_switch[s.name] = &bridge;
  }
  const auto mtu = [&](const PortGroup& g) { return books.virtual_switch(g.virtual_switch).mtu; };
  for (const auto& g : books.port_groups()) {
    if (!g.nat) continue;
    add(*by_switch.at(g.virtual_switch), single({gateway_name(instance, g.nat->subnet),
                                                 "internal",
                                                 gateway_mac(instance, g.nat->subnet),
                                                 mtu(g),
                                                 {}},
                                                g.vlan));
  }
  for (const auto& [id, port] : books.ports()) {
    const auto& g = books.port_group(port.port_group);
    add(*by_switch.at(g.virtual_switch), single(guest_interface(port, mtu(g)), g.vlan));
  }
  return bridges;
}

json::object monitored_columns() {
  const auto columns = [](std::initializer_list<std::string_view> names) {
    json::array array;
    for (const auto name : names) array.emplace_back(name);
    return json::object{{"columns", std::move(array)}};
  };
  return {
      {"Open_vSwitch", columns({"cur_cfg"})},
      {"Bridge", columns({"name", "datapath_type", "ports", "external_ids"})},
      {"Port", columns({"name", "tag", "vlan_mode", "bond_mode", "other_config", "interfaces"})},
      {"Interface", columns({"name", "type", "mac", "mtu_request", "external_ids", "ofport",
                             "error", "link_state"})}};
}

json::array plan(const Bridges& wanted, const Replica& replica) {
  return Planner(replica).plan(wanted);
}

std::map<std::string, PortRequest> recorded_ports(const Replica& replica) {
  std::map<std::string, PortRequest> ports;
  for (const auto& [uuid, row] : replica.rows("Interface")) {
    auto ids = text_map(row, "external_ids");
    const std::string number = ids[nic_key];
    int nic = 0;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), nic);
    if (parsed.ec != std::errc{} || ids[vm_key].empty()) continue;
    ports[text(row, "name")] = {ids[vm_key], ids[vm_name_key], nic, ids[mac_key],
                                ids[port_group_key]};
  }
  return ports;
}

}  // namespace virga::switching::ovs
