#include "host/storage_io_arbiter.h"

#include <cmath>

#include "base/log.h"
#include "host/datastore.h"
#include "host/virtual_machine.h"
#include "host/vm_config_words.h"

namespace virga::host {
namespace {

constexpr std::chrono::seconds kInterval{2};
constexpr std::int64_t kNormalShares = 1000;

double seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

bool is_raw(const hypervisor::Disk& disk) {
  return disk.chain.front().block_device || disk.chain.front().iscsi;
}

// What was done from one look to the next; nothing where the machine is another one since.
DiskLoad load_between(const hypervisor::DiskCounters& before, const hypervisor::DiskCounters& now,
                      double elapsed) {
  DiskLoad load;
  if (now.reads < before.reads || now.writes < before.writes || now.flushes < before.flushes)
    return load;
  const auto requests = static_cast<double>(now.reads - before.reads + now.writes - before.writes);
  if (requests == 0) return load;
  const auto bytes = static_cast<double>(now.read_bytes - before.read_bytes + now.written_bytes -
                                         before.written_bytes);
  const double waited = seconds(now.read_time - before.read_time + now.write_time -
                                before.write_time + now.flush_time - before.flush_time);
  load.requests = requests / elapsed;
  load.cost = std::max(1.0, bytes / requests / hypervisor::io_cost_unit);
  load.latency = waited / (requests + static_cast<double>(now.flushes - before.flushes));
  return load;
}

}  // namespace

void StorageIoArbiter::start() {
  spawn(host_.kernel.executor, "sharing out datastores", run());
}

Async<void> StorageIoArbiter::run() {
  while (!released_) {
    co_await sleep_for(kInterval);
    try {
      co_await review();
    } catch (const std::exception& failure) {
      logger("storage")->error("shares of disks: {}", failure.what());
    }
  }
}

Async<void> StorageIoArbiter::review() {
  const Places places = find_places();
  std::erase_if(datastores_, [&](const auto& entry) { return !places.contains(entry.first); });
  std::map<DiskId, Before> before;
  before.swap(last_);
  DiskBudgets budgets;
  DiskLoads loads;
  for (const auto& [datastore, disks] : places) {
    for (const Place& place : disks)
      if (const auto past = before.find(place.id); past != before.end()) last_.insert(*past);
    DiskLoads measured = co_await measure(disks);
    IoShares& shares = datastores_[datastore];
    const bool was_contended = shares.contended();
    const DiskBudgets& given = shares.review(measured);
    if (shares.contended() != was_contended)
      logger("storage")->info("{}: {}",
                              host_.datastore(MoRef{"Datastore", datastore})->properties().name,
                              was_contended ? "no more contention" : "contended: shares hold");
    budgets.insert(given.begin(), given.end());
    loads.merge(measured);
  }
  co_await apply(std::move(budgets), std::move(loads));
}

// Of datastores with more than one: a disk alone has nobody to share with.
StorageIoArbiter::Places StorageIoArbiter::find_places() const {
  Places places;
  for (const auto& [ref, vm] : host_.virtual_machines) {
    if (!vm->machine()) continue;
    const auto context =
        config_context(host_, vmx::DatastorePath::parse(vm->config_file().display()));
    for (const vmx::Disk& disk : vm->config().disks) {
      const int key = device_key(disk);
      const auto& running = vm->machine()->spec().disks;
      const auto found = std::ranges::find(running, key, &hypervisor::Disk::key);
      const auto path = find_file(context, disk.file);
      const auto datastore = path ? context.datastore(path->datastore()) : std::nullopt;
      if (found == running.end() || is_raw(*found) || !datastore) continue;
      const auto shares = static_cast<double>(shares_info(disk.io, kNormalShares).shares);
      places[datastore->value].push_back(
          {{ref, key}, shares, static_cast<double>(found->iops_limit)});
    }
  }
  std::erase_if(places, [](const auto& entry) { return entry.second.size() < 2; });
  return places;
}

Async<DiskLoads> StorageIoArbiter::measure(std::vector<Place> places) {
  DiskLoads loads;
  std::map<std::string, hypervisor::Counters> counters;  // by the VM's moId
  for (const Place& place : places) {
    const auto& [ref, key] = place.id;
    const auto vm = host_.virtual_machines.find(ref);
    if (vm == host_.virtual_machines.end() || !vm->second->machine()) continue;
    try {
      if (!counters.contains(ref)) {
        hypervisor::Counters found = co_await vm->second->machine()->counters();
        counters[ref] = std::move(found);
      }
    } catch (const Error& failure) {
      // The guest ended while it was asked; its end is told elsewhere.
      logger("storage")->debug("{}: {}", ref, failure.what());
      continue;
    }
    const Before now{counters[ref].disks[key], std::chrono::steady_clock::now()};
    const Before before = last_.try_emplace(place.id, now).first->second;
    last_[place.id] = now;
    const double elapsed = std::max(0.001, seconds(now.at - before.at));
    DiskLoad load = load_between(before.counters, now.counters, elapsed);
    load.shares = place.shares;
    load.limit = place.limit;
    loads[place.id] = load;
  }
  co_return loads;
}

// Anew each time: a VM may have been powered off and on meanwhile.
Async<void> StorageIoArbiter::apply(DiskBudgets budgets, DiskLoads loads) {
  std::set<DiskId> lifted;
  lifted.swap(budgeted_);
  for (const auto& [disk, budget] : budgets) {
    const DiskLoad& load = loads[disk];
    const double iops = load.limit > 0 ? budget : budget / load.cost;
    lifted.erase(disk);
    budgeted_.insert(disk);
    co_await set_budget(disk, static_cast<std::uint64_t>(std::max(1.0, std::ceil(iops))));
  }
  for (const DiskId& disk : lifted) co_await set_budget(disk, 0);
}

Async<void> StorageIoArbiter::set_budget(DiskId disk, std::uint64_t iops) {
  const auto vm = host_.virtual_machines.find(disk.first);
  if (vm == host_.virtual_machines.end() || !vm->second->machine()) co_return;
  if (released_ && iops != 0) co_return;
  try {
    co_await vm->second->machine()->budget_disk(disk.second, iops);
  } catch (const Error& failure) {
    logger("storage")->debug("{}: {}", disk.first, failure.what());
  }
}

Async<void> StorageIoArbiter::release() {
  released_ = true;
  const DiskBudgets none;
  const DiskLoads idle;
  co_await apply(none, idle);
}

}  // namespace virga::host
