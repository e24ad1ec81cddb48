#include "storage/iscsi/adapter.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "storage/scsi.h"

namespace virga::storage {
namespace {

template <class List, class Key>
auto find_by(List& list, const Key& key) {
  return std::find_if(list.begin(), list.end(), key);
}

// All of `jobs` at once; true when any of them says so.
Async<bool> any_of(asio::any_io_executor executor, std::vector<Async<bool>> jobs) {
  struct Tally {
    explicit Tally(asio::any_io_executor executor) : done(std::move(executor)) {}
    Signal done;
    std::size_t running = 0;
    bool any = false;
  };
  const auto tally = std::make_shared<Tally>(executor);
  tally->running = jobs.size();
  const auto run = [](std::shared_ptr<Tally> tally, Async<bool> job) -> Async<void> {
    try {
      const bool said = co_await std::move(job);
      tally->any = tally->any || said;
    } catch (const std::exception& failure) {
      logger("iscsi")->error("{}", failure.what());
    }
    if (--tally->running == 0) tally->done.notify();
  };
  for (Async<bool>& job : jobs)
    spawn(executor, "a look at an iSCSI target", run(tally, std::move(job)));
  while (tally->running > 0) co_await tally->done.wait();
  co_return tally->any;
}

}  // namespace

IscsiAdapter::IscsiAdapter(asio::any_io_executor executor, IscsiSettings settings)
    : executor_(executor), settings_(std::move(settings)), busy_(executor) {}

void IscsiAdapter::set_settings(IscsiSettings settings) {
  check(settings);
  settings_ = std::move(settings);
}

// ---- Discovery

Async<void> IscsiAdapter::discover() {
  std::vector<Discovered> found;
  const std::vector<SendTargets> portals =
      settings_.send_targets ? settings_.portals : std::vector<SendTargets>();
  for (const SendTargets& asked : portals) {
    const IscsiLogin login = login_for(settings_, asked.portal, "", asked.overrides);
    const auto ask = [login] { return IscsiSession(login).targets(); };
    try {
      const auto answered = co_await offload(workers_, ask);
      for (const DiscoveredTarget& target : answered)
        for (const IscsiPortal& portal : target.portals)
          found.push_back({{portal, target.target, asked.overrides}, asked.portal});
    } catch (const Error& failure) {
      logger("iscsi")->warn("discovery through {} failed: {}", asked.portal.text(), failure.what());
      // What it told before stays: a portal that is down does not take its targets away.
      for (const Discovered& before : discovered_)
        if (before.parent == asked.portal) found.push_back(before);
    }
  }
  discovered_ = std::move(found);
}

// The links that settings and discovery ask for, with the sessions that are there already.
void IscsiAdapter::arrange_links() {
  std::vector<std::shared_ptr<Link>> wanted;
  const auto want = [&](const StaticTarget& target) {
    auto link = std::make_shared<Link>();
    link->login = login_for(settings_, target.portal, target.target, target.overrides);
    const auto same = [&](const auto& other) { return other->key() == link->key(); };
    if (find_by(wanted, same) != wanted.end()) return;
    link->disabled = !settings_.is_path_enabled(target.target, target.portal.text());
    const auto before = find_by(links_, same);
    if (before != links_.end()) link->view = (*before)->view;
    wanted.push_back(std::move(link));
  };
  for (const StaticTarget& target : settings_.targets) want(target);
  for (const Discovered& found : discovered_) want(found.target);

  // Numbers go by name, so that a restart gives each path the number it had.
  std::ranges::sort(wanted, {}, [](const auto& link) { return link->key(); });
  int target = -1, channel = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const bool is_next = i == 0 || wanted[i]->login.target != wanted[i - 1]->login.target;
    channel = is_next ? 0 : channel + 1;
    target += is_next ? 1 : 0;
    wanted[i]->target = target;
    wanted[i]->channel = channel;
  }
  links_ = std::move(wanted);
}

// ---- Sessions

IscsiAdapter::View IscsiAdapter::look(const IscsiLogin& login, View before, bool at_units) {
  View view = std::move(before);
  try {
    const bool is_new = !view.session || !view.session->is_alive();
    if (is_new) {
      view.session.reset();
      view.session = std::make_shared<IscsiSession>(login);
    }
    if (is_new || at_units) view.units = view.session->units();
    view.problem.clear();
  } catch (const Error& failure) {
    view.session.reset();
    view.problem = failure.what();
  }
  return view;
}

Async<bool> IscsiAdapter::refresh(std::shared_ptr<Link> link, bool at_units) {
  const bool had_session = link->view.session != nullptr;
  if (link->disabled) {
    // Logging out waits for the target.
    const auto end = [session = std::move(link->view.session)]() mutable { session.reset(); };
    link->view.session = nullptr;
    co_await offload(workers_, end);
    co_return had_session;
  }
  const auto work = [login = link->login, before = link->view, at_units] {
    return look(login, before, at_units);
  };
  View view = co_await offload(workers_, work);
  if (view.session == nullptr && view.problem != link->view.problem)
    logger("iscsi")->warn("{}", view.problem);
  link->view = std::move(view);
  co_return had_session != (link->view.session != nullptr);
}

Async<bool> IscsiAdapter::refresh_all(bool at_units) {
  std::vector<Async<bool>> looks;
  for (const auto& link : links_) looks.push_back(refresh(link, at_units));
  co_return co_await any_of(executor_, std::move(looks));
}

Async<void> IscsiAdapter::rescan() {
  const auto guard = co_await busy_.lock();
  const auto before = links_;  // their sessions end with them, off this thread
  if (settings_.enabled) {
    co_await discover();
  } else {
    discovered_.clear();
  }
  if (settings_.enabled) {
    arrange_links();
  } else {
    links_.clear();
  }
  // A login that is told something else is a new login.
  for (const auto& link : links_)
    for (const auto& old : before)
      if (old->key() == link->key() && !(old->login == link->login)) link->view.session.reset();
  co_await refresh_all(true);
  const auto drop = [old = before]() mutable {
    for (auto& link : old) link.reset();
  };
  co_await offload(workers_, drop);
}

Async<void> IscsiAdapter::watch(std::function<void()> changed) {
  for (;;) {
    const auto interval = std::chrono::seconds(settings_.check_interval);
    co_await sleep_for(interval);
    const auto guard = co_await busy_.lock();
    if (co_await refresh_all(false)) changed();
  }
}

void IscsiAdapter::stop() {
  workers_.stop();
  workers_.join();
}

// ---- What it gives

void IscsiAdapter::add_unit(Devices& devices, const Link& link, const IscsiUnit& seen) const {
  Path path;
  path.adapter = name;
  path.channel = link.channel;
  path.target = link.target;
  path.lun = seen.lun;
  path.state = link.disabled       ? PathState::disabled
               : link.view.session ? PathState::active
                                   : PathState::dead;
  path.remote = IscsiTarget{link.login.target, "", {link.login.portal.text()}};
  path.unit = seen.name.empty() ? "mpx." + path.name() : seen.name;
  if (!find_unit(devices, path.unit)) {
    const Inquiry inquiry = parse_inquiry(seen.inquiry);
    LogicalUnit unit;
    unit.name = path.unit;
    unit.uuid = unit_uuid(unit.name, seen.lun, inquiry.model);
    unit.type = inquiry.type;
    unit.vendor = inquiry.vendor;
    unit.model = inquiry.model;
    unit.revision = inquiry.revision;
    unit.scsi_level = inquiry.version;
    unit.serial = seen.serial;
    unit.inquiry = seen.inquiry;
    unit.bytes = seen.bytes;
    unit.block_bytes = seen.block_bytes;
    unit.physical_block_bytes = seen.physical_block_bytes;
    unit.rotational = seen.rotational;
    unit.local = false;
    devices.units.push_back(std::move(unit));
  }
  devices.paths.push_back(std::move(path));
}

Devices IscsiAdapter::devices() const {
  Devices devices;
  if (!settings_.enabled) return devices;
  Adapter adapter;
  adapter.name = name;
  adapter.kind = AdapterKind::iscsi;
  adapter.driver = "libiscsi";
  adapter.model = "iSCSI Software Adapter";
  IscsiInitiator initiator;
  initiator.name = settings_.name;
  initiator.alias = settings_.alias;
  initiator.software = true;
  adapter.identity = initiator;
  devices.adapters.push_back(std::move(adapter));
  for (const auto& link : links_)
    for (const IscsiUnit& unit : link->view.units) add_unit(devices, *link, unit);
  for (LogicalUnit& unit : devices.units) {
    const auto first = std::ranges::find_if(devices.paths, [&](const Path& path) {
      return path.unit == unit.name && path.state == PathState::active;
    });
    unit.state = first == devices.paths.end() ? "transport-offline" : "running";
    if (first != devices.paths.end()) first->working = true;
  }
  return devices;
}

IscsiAdapter::UnitAccess IscsiAdapter::login_to(const std::string& unit) const {
  bool known = false;
  for (const auto& link : links_) {
    for (const IscsiUnit& seen : link->view.units) {
      if (seen.name != unit) continue;
      known = true;
      if (link->view.session && !link->disabled) return {link->login, seen.lun};
    }
  }
  if (known) throw error(ErrorKind::gone, unit, "no path to {} is active", unit);
  throw error(ErrorKind::not_found, unit, "no iSCSI target offers {}", unit);
}

}  // namespace virga::storage
