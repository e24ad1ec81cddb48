#include "switching/ovs/ovs_switching.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "switching/books.h"
#include "switching/names.h"
#include "switching/ovs/daemon.h"
#include "switching/ovs/nat_service.h"
#include "switching/ovs/netdev.h"
#include "switching/ovs/ovsdb_client.h"
#include "switching/ovs/plan.h"
#include "switching/ovs/programs.h"

namespace virga::switching {
namespace {

using namespace std::chrono_literals;
using namespace ovs;

// How long Open vSwitch may take to bring a change about, its restart included.
constexpr auto switch_patience = 15s;
constexpr auto connect_patience = 10s;
// Between attempts to bring a daemon back.
constexpr auto revival_pause = 1s;

Files absolute_files(const OvsOptions& options) {
  return {fs::absolute(options.state_dir), fs::absolute(options.run_dir)};
}

std::vector<NatNetwork> nat_networks(const Books& books, const std::string& instance) {
  std::vector<NatNetwork> networks;
  for (const auto& g : books.port_groups()) {
    if (!g.nat) continue;
    networks.push_back({gateway_name(instance, g.nat->subnet), parse_nat_subnet(g.nat->subnet),
                        books.virtual_switch(g.virtual_switch).mtu});
  }
  return networks;
}

std::set<std::string> interface_names(const Bridges& bridges) {
  std::set<std::string> names;
  for (const auto& [bridge_name, bridge] : bridges) {
    for (const auto& [port_name, port] : bridge.ports) {
      for (const auto& [name, interface] : port.interfaces) names.insert(name);
    }
  }
  return names;
}

bool forwards(const json::object& interface) {
  return integer(interface, "ofport", -1) > 0 && text(interface, "link_state") == "up";
}

// Throws io with Open vSwitch's words if it cannot use one of the interfaces `names`.
void check_interfaces(const Replica& replica, const std::set<std::string>& names) {
  for (const auto& [uuid, row] : replica.rows("Interface")) {
    const std::string name = text(row, "name");
    if (!names.contains(name) || integer(row, "ofport", -1) > 0) continue;
    std::string reason = text(row, "error");
    if (reason.empty()) reason = "ovs-vswitchd.log tells why";  // its whole bridge failed
    throw error(ErrorKind::io, name, "Open vSwitch cannot use {}: {}", name, reason);
  }
}

void prepare_uplink(const std::string& uplink) {
  disable_receive_merging(uplink);
  set_up(uplink);
}

// A network device becomes an uplink only if that cuts nobody off: a bridge takes its device's
// frames away from the machine.
void take_uplink(const std::string& uplink, const std::string& virtual_switch) {
  if (!device_exists(uplink)) {
    throw error(ErrorKind::not_found, uplink, "{}: the machine has no network device {}",
                virtual_switch, uplink);
  }
  if (has_ipv4_address(uplink)) {
    throw error(ErrorKind::invalid_state, uplink,
                "{}: {} carries an address of the machine, which would be cut off", virtual_switch,
                uplink);
  }
  prepare_uplink(uplink);
}

class OvsSwitching : public Switching, public std::enable_shared_from_this<OvsSwitching> {
 public:
  OvsSwitching(asio::any_io_executor executor, asio::thread_pool& pool, OvsOptions options)
      : executor_(executor),
        pool_(pool),
        instance_(options.instance),
        files_(absolute_files(options)),
        database_(std::make_shared<Daemon>(executor, pool, database_program(files_))),
        switch_(std::make_shared<Daemon>(executor, pool, switch_program(files_))),
        nat_(executor, pool, nft_table_name(instance_), files_,
             [this](std::shared_ptr<Daemon> daemon) {
               watch(std::move(daemon), &OvsSwitching::revive_dhcp);
             }),
        changing_(executor) {}

  ~OvsSwitching() override {
    database_->abandon();
    switch_->abandon();
    nat_.abandon();
  }

  Async<void> start() override;
  Async<void> stop() override;
  Async<void> release() override;

  std::vector<VirtualSwitch> switches() const override { return books_.switches(); }
  std::vector<PortGroup> port_groups() const override { return books_.port_groups(); }
  std::vector<Port> ports() const override;
  std::map<std::string, PortStatistics> statistics() const override;

  Async<void> add_switch(VirtualSwitch wanted) override;
  Async<void> update_switch(VirtualSwitch wanted) override;
  Async<void> remove_switch(std::string name) override;
  Async<PortGroup> add_port_group(PortGroup wanted) override;
  Async<PortGroup> update_port_group(std::string name, PortGroup wanted) override;
  Async<void> remove_port_group(std::string name) override;
  Async<Tap> attach(PortRequest request) override;
  Async<void> move(std::string port, std::string port_group) override;
  Async<void> detach(std::string port) override;

  void on_service_change(std::function<void(const ServiceChange&)> listener) override {
    listener_ = std::move(listener);
  }

 private:
  using Revive = Async<void> (OvsSwitching::*)();

  // Bringing the books about.
  Async<void> commit(Books next);
  Async<void> bring_about(const Books& next, bool strict);
  Async<void> save(const Books& next);
  Async<AsyncMutex::Guard> lock();
  std::vector<Subnet> foreign_routes() const;

  // The daemons.
  Async<void> bring_up();
  Async<void> end_services();
  Async<bool> run_database();
  Async<bool> run_switch();
  Async<void> connect();
  void recover_ports();
  void watch(std::shared_ptr<Daemon> daemon, Revive revive);
  static Async<void> supervise(std::weak_ptr<OvsSwitching> weak, std::shared_ptr<Daemon> daemon,
                               Revive revive);
  Async<bool> try_revive(Revive revive, const std::string& name);
  Async<void> revive_database();
  Async<void> revive_switch();
  Async<void> revive_dhcp();
  void report(const std::string& service, bool running, const std::string& message);

  asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  std::string instance_;
  Files files_;
  std::shared_ptr<Daemon> database_;
  std::shared_ptr<Daemon> switch_;
  NatService nat_;
  std::unique_ptr<OvsdbClient> client_;
  std::function<void(const ServiceChange&)> listener_;

  AsyncMutex changing_;  // one change at a time
  bool fresh_ = false;   // this object started the database
  bool started_ = false;
  bool stopping_ = false;
  std::string datapath_type_;
  Books books_;
  std::string saved_;  // the text of switching.json
};

// ---- start and stop ----

Async<void> OvsSwitching::start() {
  const auto self = shared_from_this();
  const auto guard = co_await changing_.lock();
  std::exception_ptr failure;
  try {
    co_await bring_up();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  stopping_ = true;
  if (fresh_) co_await end_services();
  std::rethrow_exception(failure);
}

Async<void> OvsSwitching::bring_up() {
  for (const auto& folder : {files_.state, files_.run}) fs::create_directories(folder);
  if (fs::exists(files_.configuration())) {
    saved_ = read_file(files_.configuration());
    books_ = Books::from_configuration(saved_, files_.configuration());
  }
  datapath_type_ = co_await offload(pool_, choose_datapath_type);
  fresh_ = co_await run_database();
  co_await connect();
  const bool new_switch = co_await run_switch();
  recover_ports();
  for (const auto& s : books_.switches()) {
    for (const auto& uplink : s.uplinks) {
      if (device_exists(uplink)) prepare_uplink(uplink);
    }
  }
  co_await bring_about(books_, false);
  started_ = true;
  nat_.adopt();
  try {
    co_await nat_.apply(nat_networks(books_, instance_), new_switch);
  } catch (const std::exception& e) {
    // The guests' own network works; the next change tries again.
    report("NAT", false, fmt::format("NAT does not work: {}", e.what()));
  }
}

Async<void> OvsSwitching::stop() {
  const auto self = shared_from_this();
  stopping_ = true;
  const auto guard = co_await changing_.lock();
  co_await end_services();
}

Async<void> OvsSwitching::release() {
  const auto ports = books_.ports();
  const bool plugged = std::any_of(ports.begin(), ports.end(),
                                   [](const auto& entry) { return device_exists(entry.first); });
  if (started_ && !plugged) co_await stop();
}

Async<void> OvsSwitching::end_services() {
  try {
    co_await nat_.stop();
  } catch (const std::exception& e) {
    logger("switching")->warn("cannot take NAT back: {}", e.what());
  }
  if (switch_->running()) {
    const auto ask = [files = files_] {
      try {
        ask_switch_to_end(files);
      } catch (const Error& e) {
        logger("switching")->warn("ovs-vswitchd does not listen: {}", e.what());
      }
    };
    co_await offload(pool_, ask);
    co_await switch_->stop(5s);
  }
  client_.reset();
  co_await database_->stop();
}

// True when it was started, false when it ran already.
Async<bool> OvsSwitching::run_database() {
  const bool adopted = database_->adopt();
  if (!adopted) {
    const auto prepare = [files = files_] { prepare_database(files); };
    co_await offload(pool_, prepare);
    co_await database_->start();
  }
  watch(database_, &OvsSwitching::revive_database);
  co_return !adopted;
}

Async<bool> OvsSwitching::run_switch() {
  const bool adopted = switch_->adopt();
  if (!adopted) co_await switch_->start();
  watch(switch_, &OvsSwitching::revive_switch);
  co_return !adopted;
}

Async<void> OvsSwitching::connect() {
  client_ = std::make_unique<OvsdbClient>(executor_, files_.database_socket(), "Open_vSwitch",
                                          monitored_columns());
  const auto always = [](const Replica&) { return true; };
  if (!co_await client_->wait_until(always, connect_patience)) {
    throw error(ErrorKind::timed_out, files_.database_socket(),
                "ovsdb-server does not answer at {}", files_.database_socket().string());
  }
  json::array operations;
  if (client_->replica().rows("Open_vSwitch").empty()) {
    operations.push_back(
        json::object{{"op", "insert"}, {"table", "Open_vSwitch"}, {"row", json::object{}}});
  }
  // A MAC address that moved is followed within max-revalidator ms (500 by default). Statistics we
  // take from the kernel; writing them into the database is idle work.
  operations.push_back(json::object{
      {"op", "update"},
      {"table", "Open_vSwitch"},
      {"where", json::array()},
      {"row", json::object{{"other_config", to_map({{"max-revalidator", "100"},
                                                    {"stats-update-interval", "3600000"}})}}}});
  co_await client_->transact(std::move(operations));
}

// A tap lives as long as its guest: ports whose tap is there are in use, the others are left over.
void OvsSwitching::recover_ports() {
  for (const auto& [name, request] : recorded_ports(client_->replica())) {
    if (!device_exists(name)) continue;
    try {
      books_.plug(name, request);
    } catch (const Error& e) {
      logger("switching")->warn("port {} of {} is lost: {}", name, request.vm_name, e.what());
    }
  }
}

// ---- changes ----

Async<AsyncMutex::Guard> OvsSwitching::lock() {
  auto guard = co_await changing_.lock();
  if (!started_ || stopping_)
    throw error(ErrorKind::invalid_state, "switching", "the virtual switches are not running");
  co_return guard;
}

// Makes `next` the truth: in the network, on disk, then in the books. If that fails, what was
// before is brought back and the failure goes to the caller.
Async<void> OvsSwitching::commit(Books next) {
  std::exception_ptr failure;
  try {
    co_await bring_about(next, true);
    co_await nat_.apply(nat_networks(next, instance_), false);
    co_await save(next);
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  if (!failure) {
    books_ = std::move(next);
    co_return;
  }
  try {
    co_await bring_about(books_, false);
    co_await nat_.apply(nat_networks(books_, instance_), false);
  } catch (const std::exception& e) {
    // The next change, or the revival of the daemon at fault, brings the books about.
    logger("switching")->error("cannot take a failed change back yet: {}", e.what());
  }
  std::rethrow_exception(failure);
}

// Returns when Open vSwitch has done what the database asks of it, in the order of its next_cfg and
// cur_cfg (ovs-vswitchd.conf.db(5)). `strict`: throws if an interface that `next` adds is unusable.
Async<void> OvsSwitching::bring_about(const Books& next, bool strict) {
  const Bridges wanted = wanted_bridges(next, instance_, datapath_type_);
  json::array operations = plan(wanted, client_->replica());
  if (operations.empty()) co_return;
  operations.push_back(json::object{{"op", "mutate"},
                                    {"table", "Open_vSwitch"},
                                    {"where", json::array()},
                                    {"mutations", array_of(json::array{"next_cfg", "+=", 1})}});
  operations.push_back(json::object{{"op", "select"},
                                    {"table", "Open_vSwitch"},
                                    {"where", json::array()},
                                    {"columns", array_of("next_cfg")}});
  const json::array results = co_await client_->transact(std::move(operations));
  const std::int64_t generation =
      integer(results.back().at("rows").at(0).as_object(), "next_cfg", 0);
  const auto done = [generation](const Replica& replica) {
    const auto& rows = replica.rows("Open_vSwitch");
    return !rows.empty() && integer(rows.begin()->second, "cur_cfg", -1) >= generation;
  };
  if (!co_await client_->wait_until(done, switch_patience)) {
    throw error(ErrorKind::timed_out, "ovs-vswitchd",
                "Open vSwitch did not take the change within {} s", switch_patience.count());
  }
  if (!strict) co_return;
  std::set<std::string> added = interface_names(wanted);
  for (const auto& name : interface_names(wanted_bridges(books_, instance_, datapath_type_)))
    added.erase(name);
  check_interfaces(client_->replica(), added);
}

Async<void> OvsSwitching::save(const Books& next) {
  std::string text = next.configuration();
  if (text == saved_) co_return;
  const auto write = [path = files_.configuration(), text] { write_file_atomically(path, text); };
  co_await offload(pool_, write);
  saved_ = std::move(text);
}

std::vector<Subnet> OvsSwitching::foreign_routes() const {
  std::vector<Subnet> subnets;
  for (const auto& route : machine_routes()) {
    if (!nat_.is_gateway(route.device)) subnets.push_back(route.destination);
  }
  return subnets;
}

Async<void> OvsSwitching::add_switch(VirtualSwitch wanted) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  Books next = books_;
  next.add_switch(wanted);
  for (const auto& uplink : wanted.uplinks) take_uplink(uplink, wanted.name);
  co_await commit(std::move(next));
}

Async<void> OvsSwitching::update_switch(VirtualSwitch wanted) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  Books next = books_;
  next.update_switch(wanted);
  const auto& had = books_.virtual_switch(wanted.name).uplinks;
  for (const auto& uplink : wanted.uplinks) {
    if (std::find(had.begin(), had.end(), uplink) == had.end()) take_uplink(uplink, wanted.name);
  }
  co_await commit(std::move(next));
}

Async<void> OvsSwitching::remove_switch(std::string name) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  Books next = books_;
  next.remove_switch(name);
  co_await commit(std::move(next));
}

Async<PortGroup> OvsSwitching::add_port_group(PortGroup wanted) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  Books next = books_;
  PortGroup made = next.add_port_group(std::move(wanted), foreign_routes());
  co_await commit(std::move(next));
  co_return made;
}

Async<PortGroup> OvsSwitching::update_port_group(std::string name, PortGroup wanted) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  Books next = books_;
  PortGroup made = next.update_port_group(name, std::move(wanted), foreign_routes());
  co_await commit(std::move(next));
  co_return made;
}

Async<void> OvsSwitching::remove_port_group(std::string name) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  Books next = books_;
  next.remove_port_group(name);
  co_await commit(std::move(next));
}

// ---- ports ----

Async<Tap> OvsSwitching::attach(PortRequest request) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  const std::string id = tap_name(instance_, request.vm, request.nic_key);
  if (books_.ports().contains(id) && !device_exists(id)) {
    // Its guest ended and nobody said so. It has to go first, in a change of its own: Open vSwitch
    // would keep listening on the device that is no more.
    Books without = books_;
    without.unplug(id);
    co_await commit(std::move(without));
  }
  Books next = books_;
  next.plug(id, request);
  const auto& group = next.port_group(request.port_group);
  Fd fd = create_tap(id, next.virtual_switch(group.virtual_switch).mtu);
  co_await commit(std::move(next));
  co_return Tap{id, std::move(fd)};
}

Async<void> OvsSwitching::move(std::string port, std::string port_group) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  Books next = books_;
  next.move(port, port_group);
  co_await commit(std::move(next));
}

Async<void> OvsSwitching::detach(std::string port) {
  const auto self = shared_from_this();
  const auto guard = co_await lock();
  Books next = books_;
  next.unplug(port);
  co_await commit(std::move(next));
}

std::vector<Port> OvsSwitching::ports() const {
  std::set<std::string> forwarding;
  if (client_ && switch_->running()) {
    for (const auto& [uuid, row] : client_->replica().rows("Interface")) {
      if (forwards(row)) forwarding.insert(text(row, "name"));
    }
  }
  std::vector<Port> ports;
  for (const auto& [id, port] : books_.ports()) {
    ports.push_back(port);
    ports.back().connected = forwarding.contains(id);
  }
  return ports;
}

std::map<std::string, PortStatistics> OvsSwitching::statistics() const {
  std::map<std::string, PortStatistics> all = device_statistics();
  std::erase_if(all, [this](const auto& entry) { return !books_.ports().contains(entry.first); });
  return all;
}

// ---- supervision ----

void OvsSwitching::watch(std::shared_ptr<Daemon> daemon, Revive revive) {
  spawn(executor_, "the supervision of a switch's daemon",
        supervise(weak_from_this(), std::move(daemon), revive));
}

// Waits for the daemon's unexpected end and brings it back; the revival watches it anew. Holds no
// reference while it waits, so that the switching can be let go.
Async<void> OvsSwitching::supervise(std::weak_ptr<OvsSwitching> weak,
                                    std::shared_ptr<Daemon> daemon, Revive revive) {
  const auto since = std::chrono::steady_clock::now();
  if (!co_await daemon->wait_failure()) co_return;
  const std::string name = daemon->name();
  if (auto self = weak.lock()) {
    self->report(name, false, fmt::format("{} ended unexpectedly", name));
  }
  // One that does not last is not brought back in a tight loop.
  bool pause = std::chrono::steady_clock::now() - since < revival_pause;
  for (;;) {
    if (pause) co_await sleep_for(revival_pause);
    const auto self = weak.lock();
    if (!self || self->stopping_) co_return;
    if (co_await self->try_revive(revive, name)) co_return;
    pause = true;
  }
}

Async<bool> OvsSwitching::try_revive(Revive revive, const std::string& name) {
  try {
    co_await (this->*revive)();
  } catch (const std::exception& e) {
    logger("switching")->error("cannot bring {} back yet: {}", name, e.what());
    co_return false;
  }
  report(name, true, fmt::format("{} was started again", name));
  co_return true;
}

// The daemons come back without the lock: a change under way may be waiting for them.
Async<void> OvsSwitching::revive_database() {
  if (!database_->running()) co_await run_database();
  if (stopping_) co_return co_await database_->stop();
  const auto always = [](const Replica&) { return true; };
  if (!co_await client_->wait_until(always, connect_patience)) {
    throw error(ErrorKind::timed_out, "ovsdb-server", "ovsdb-server does not answer");
  }
  const auto guard = co_await lock();
  co_await bring_about(books_, false);
}

Async<void> OvsSwitching::revive_switch() {
  if (!switch_->running()) co_await run_switch();
  if (stopping_) co_return co_await switch_->stop();
  // Its own devices ended with it and are new: without addresses.
  const auto guard = co_await lock();
  co_await nat_.apply(nat_networks(books_, instance_), true);
}

Async<void> OvsSwitching::revive_dhcp() {
  const auto guard = co_await lock();
  co_await nat_.apply(nat_networks(books_, instance_), false);
}

void OvsSwitching::report(const std::string& service, bool running, const std::string& message) {
  logger("switching")->log(running ? spdlog::level::info : spdlog::level::warn, message);
  if (listener_) listener_({service, running, message});
}

}  // namespace

std::shared_ptr<Switching> make_ovs_switching(asio::any_io_executor executor,
                                              asio::thread_pool& pool, OvsOptions options) {
  return std::make_shared<OvsSwitching>(std::move(executor), pool, std::move(options));
}

}  // namespace virga::switching
