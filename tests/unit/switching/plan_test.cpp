#include "switching/ovs/plan.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "switching/names.h"

namespace virga::switching::ovs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Plays the part of OVSDB: carries operations of plan() out on rows as a monitor would report them.
class Database {
 public:
  Database() { update("Open_vSwitch", "root", json::object{{"cur_cfg", 0}}); }

  void run(const json::array& operations) {
    std::map<std::string, std::string> names;
    for (const auto& operation : operations) {
      if (const auto* name = operation.as_object().if_contains("uuid-name"))
        names[std::string(name->as_string())] = "uuid" + std::to_string(++last_);
    }
    for (const auto& operation : operations) run(operation.as_object(), names);
    collect_garbage();
  }

  const Replica& replica() const { return replica_; }

 private:
  void run(const json::object& operation, const std::map<std::string, std::string>& names) {
    const auto table = json::value_to<std::string>(operation.at("table"));
    const auto& op = operation.at("op").as_string();
    if (op == "insert") {
      const auto name = json::value_to<std::string>(operation.at("uuid-name"));
      update(table, names.at(name), resolved(operation.at("row"), names).as_object());
      return;
    }
    std::string uuid = "root";
    if (!operation.at("where").as_array().empty())
      uuid = std::string(operation.at("where").at(0).at(2).at(1).as_string());
    json::object row = replica_.rows(table).at(uuid);
    if (op == "update") {
      EXPECT_FALSE(operation.at("row").as_object().contains("name"));  // OVSDB refuses
      for (const auto& [column, value] : operation.at("row").as_object()) row[column] = value;
    } else {
      for (const auto& mutation : operation.at("mutations").as_array())
        mutate(row, resolved(mutation, names));
    }
    update(table, uuid, std::move(row));
  }

  static void mutate(json::object& row, const json::value& mutation) {
    const auto column = std::string(mutation.at(0).as_string());
    std::set<std::string> members;
    for (const auto& member : texts(row, column)) members.insert(member);
    for (const auto& member : texts(json::object{{"x", mutation.at(2)}}, "x")) {
      if (mutation.at(1) == "insert") {
        EXPECT_TRUE(members.insert(member).second);
      } else {
        EXPECT_EQ(members.erase(member), 1u);
      }
    }
    json::array uuids;
    for (const auto& member : members) uuids.push_back(to_uuid(member));
    row[column] = to_set(std::move(uuids));
  }

  static json::value resolved(const json::value& value,
                              const std::map<std::string, std::string>& names) {
    if (const auto* object = value.if_object()) {
      json::object copy;
      for (const auto& [key, member] : *object) copy[key] = resolved(member, names);
      return copy;
    }
    const auto* array = value.if_array();
    if (!array) return value;
    if (array->size() == 2 && (*array)[0] == "named-uuid")
      return to_uuid(names.at(std::string((*array)[1].as_string())));
    json::array copy;
    for (const auto& member : *array) copy.push_back(resolved(member, names));
    return copy;
  }

  void update(const std::string& table, const std::string& uuid, json::object row) {
    json::object change, rows, tables;
    change["new"] = std::move(row);
    rows[uuid] = std::move(change);
    tables[table] = std::move(rows);
    replica_.apply(tables);
  }

  void collect_garbage() {
    collect("Bridge", "Open_vSwitch", "bridges");
    collect("Port", "Bridge", "ports");
    collect("Interface", "Port", "interfaces");
  }

  void collect(const std::string& table, const std::string& referrer, const std::string& column) {
    std::set<std::string> used;
    for (const auto& [uuid, row] : replica_.rows(referrer)) {
      for (const auto& reference : texts(row, column)) used.insert(reference);
    }
    const Rows rows = replica_.rows(table);
    for (const auto& [uuid, row] : rows) {
      if (used.contains(uuid)) continue;
      json::object gone, tables;
      gone[uuid] = json::object{{"old", row}};
      tables[table] = std::move(gone);
      replica_.apply(tables);
    }
  }

  Replica replica_;
  int last_ = 0;
};

class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    books_.add_switch({.name = "vSwitch0", .uplinks = {"eth1", "eth2"}});
    books_.add_port_group({.name = "VM Network", .virtual_switch = "vSwitch0", .nat = Nat{}}, {});
    books_.add_port_group({.name = "Lab", .virtual_switch = "vSwitch0", .vlan = 20}, {});
    plug("a", "VM Network");
  }

  void plug(const std::string& vm, const std::string& group) {
    books_.plug(tap_name("host", vm, 4000), {vm, vm, 4000, "00:50:56:00:00:01", group});
  }

  json::array plan_now() {
    return plan(wanted_bridges(books_, "host", "netdev"), database_.replica());
  }

  // Carries the plan out and says which tables it touched, in order; after that nothing is left to
  // do.
  std::vector<std::string> carry_out() {
    const json::array operations = plan_now();
    std::vector<std::string> touched;
    for (const auto& operation : operations) {
      touched.push_back(fmt::format("{} {}", operation.at("op").as_string().c_str(),
                                    operation.at("table").as_string().c_str()));
    }
    database_.run(operations);
    EXPECT_THAT(plan_now(), IsEmpty());
    return touched;
  }

  json::object row(const std::string& table, const std::string& name) {
    for (const auto& [uuid, row] : database_.replica().rows(table)) {
      if (text(row, "name") == name) return row;
    }
    ADD_FAILURE() << "no " << table << " " << name;
    return {};
  }

  Books books_;
  Database database_;
};

TEST_F(PlanTest, BuildsEverythingFromNothing) {
  carry_out();
  EXPECT_EQ(database_.replica().rows("Bridge").size(), 1u);
  // The bridge's own, the bond, the gateway, the guest.
  EXPECT_EQ(database_.replica().rows("Port").size(), 4u);
  EXPECT_EQ(database_.replica().rows("Interface").size(), 5u);
  EXPECT_EQ(text(row("Port", bond_name("host", "vSwitch0")), "bond_mode"), "balance-slb");
  const auto gateway = row("Interface", gateway_name("host", "10.77.0.0/24"));
  EXPECT_EQ(text(gateway, "type"), "internal");
  EXPECT_EQ(text(gateway, "mac"), gateway_mac("host", "10.77.0.0/24"));
}

TEST_F(PlanTest, AttachesAndDetachesWithNothingElseTouched) {
  carry_out();
  plug("b", "Lab");
  EXPECT_THAT(carry_out(), ElementsAre("insert Interface", "insert Port", "mutate Bridge"));
  const std::string tap = tap_name("host", "b", 4000);
  EXPECT_EQ(integer(row("Port", tap), "tag", -1), 20);
  EXPECT_EQ(text_map(row("Interface", tap), "external_ids")["attached-mac"], "00:50:56:00:00:01");
  books_.unplug(tap);
  EXPECT_THAT(carry_out(), ElementsAre("mutate Bridge"));
}

TEST_F(PlanTest, MapsVlansAsAStandardSwitchHasThem) {
  const std::string tap = tap_name("host", "a", 4000);
  carry_out();
  EXPECT_EQ(text(row("Port", tap), "vlan_mode"), "access");
  EXPECT_EQ(integer(row("Port", tap), "tag", -1), 0);
  books_.unplug(tap);
  plug("a", "Lab");
  EXPECT_THAT(carry_out(), ElementsAre("update Port", "update Interface"));
  PortGroup trunk = books_.port_group("Lab");
  trunk.vlan = all_vlans;
  books_.update_port_group("Lab", trunk, {});
  EXPECT_THAT(carry_out(), ElementsAre("update Port"));
  EXPECT_EQ(text(row("Port", tap), "vlan_mode"), "");
  EXPECT_EQ(integer(row("Port", tap), "tag", -1), -1);
}

TEST_F(PlanTest, ChangesTheMtuOfEveryInterfaceInPlace) {
  carry_out();
  VirtualSwitch jumbo = books_.virtual_switch("vSwitch0");
  jumbo.mtu = 9000;
  books_.update_switch(jumbo);
  for (const auto& operation : carry_out()) EXPECT_EQ(operation, "update Interface");
  for (const auto& [uuid, row] : database_.replica().rows("Interface"))
    EXPECT_EQ(integer(row, "mtu_request", 0), 9000);
}

TEST_F(PlanTest, RebuildsTheBondWhenUplinksChange) {
  carry_out();
  VirtualSwitch s = books_.virtual_switch("vSwitch0");
  s.uplinks = {"eth2", "eth3"};
  s.teaming = Teaming::explicit_failover;
  books_.update_switch(s);
  carry_out();
  const auto bond = row("Port", bond_name("host", "vSwitch0"));
  EXPECT_EQ(text(bond, "bond_mode"), "active-backup");
  EXPECT_EQ(text_map(bond, "other_config")["bond-primary"], "eth2");
  s.uplinks = {"eth3"};
  books_.update_switch(s);
  carry_out();
  EXPECT_EQ(text(row("Port", "eth3"), "bond_mode"), "");
}

TEST_F(PlanTest, MovesAPortFromOneSwitchToAnother) {
  carry_out();
  books_.add_switch({.name = "vSwitch1"});
  books_.add_port_group({.name = "Other", .virtual_switch = "vSwitch1"}, {});
  books_.move(tap_name("host", "a", 4000), "Other");
  carry_out();
  EXPECT_EQ(texts(row("Bridge", bridge_name("host", "vSwitch1")), "ports").size(), 2u);
}

TEST_F(PlanTest, RemovesASwitchAndLeavesForeignBridgesAlone) {
  carry_out();
  const auto tables = json::parse(R"({"Bridge": {"foreign": {"new":
      {"name": "br-int", "ports": ["set", []], "external_ids": ["map", []]}}}})");
  Replica replica = database_.replica();
  replica.apply(tables);
  const json::array operations = plan({}, replica);
  ASSERT_EQ(operations.size(), 1u);
  EXPECT_EQ(operations[0].at("mutations").at(0).at(2).at(1).as_array().size(), 1u);
}

TEST_F(PlanTest, FindsTheGuestsPortsAgain) {
  plug("b", "Lab");
  carry_out();
  const auto ports = recorded_ports(database_.replica());
  ASSERT_EQ(ports.size(), 2u);
  const PortRequest& found = ports.at(tap_name("host", "b", 4000));
  EXPECT_EQ(found.vm, "b");
  EXPECT_EQ(found.nic_key, 4000);
  EXPECT_EQ(found.mac, "00:50:56:00:00:01");
  EXPECT_EQ(found.port_group, "Lab");
}

TEST(Replica, ReadsEveryNotationOfASet) {
  const auto row = json::parse(R"({"none": ["set", []], "one": 5, "also": ["set", [5]],
      "uuid": ["uuid", "u1"], "uuids": ["set", [["uuid", "u1"], ["uuid", "u2"]]],
      "map": ["map", [["k", "v"]]]})")
                       .as_object();
  EXPECT_EQ(integer(row, "none", -1), -1);
  EXPECT_EQ(integer(row, "missing", -1), -1);
  EXPECT_EQ(integer(row, "one", -1), 5);
  EXPECT_EQ(integer(row, "also", -1), 5);
  EXPECT_THAT(texts(row, "uuid"), ElementsAre("u1"));
  EXPECT_THAT(texts(row, "uuids"), ElementsAre("u1", "u2"));
  EXPECT_EQ(text_map(row, "map"), (std::map<std::string, std::string>{{"k", "v"}}));
}

TEST(Replica, RefusesAReportThatIsNone) {
  Replica replica;
  EXPECT_THROW(replica.apply(json::parse(R"([1])")), Error);
  EXPECT_THROW(replica.apply(json::parse(R"({"Bridge": {"u": 1}})")), Error);
}

}  // namespace
}  // namespace virga::switching::ovs
