// What keeps other hosts from a VM: its run has the lock of its files (datastore/vm_lock.h), and a
// task on a VM that does not run takes it for as long as it lasts.
#include "base/log.h"
#include "datastore/files.h"
#include "host/virtual_machine.h"

namespace virga::host {

Async<void> VirtualMachine::lock_files() {
  const bool is_readable =
      properties().runtime->connectionState == vim::VirtualMachineConnectionState::connected;
  if (run_ || !is_readable) co_return;
  const auto held = make_run();
  co_await held->lock();
  run_ = held;
  if (co_await is_up_to_date()) co_return;
  log("The configuration was changed by somebody else");
  co_await reload();
}

Async<void> VirtualMachine::unlock_files() {
  if (!run_ || run_->machine()) co_return;
  const auto held = std::exchange(run_, nullptr);
  try {
    co_await held->end();
  } catch (const std::exception& failure) {
    logger("vm")->error("{}: {}", display_name(), failure.what());
  }
}

Async<bool> VirtualMachine::is_up_to_date() const {
  const datastore::Location config = config_file_, list = snapshot_list(config_file_);
  const auto read = [config, list] {
    const bool has_list = list.datastore->exists(list.path);
    return std::pair(datastore::read_small_file(config, vmx::VmxFile::max_size),
                     has_list ? datastore::read_small_file(list) : "");
  };
  const auto [text, snapshots] = co_await offload(host().kernel.workers, read);
  const auto file = vmx::VmxFile::parse(text, config.display());
  if (file.serialise() != file_.serialise()) co_return false;
  co_return !snapshots_.damage().empty() ||
            vmx::parse_vmsd(snapshots, list.display()) == snapshots_.tree();
}

Async<bool> VirtualMachine::is_locked_elsewhere() const {
  const datastore::Location place = config_file_;
  const auto look = [place] { return datastore::lock_owner(place); };
  const auto owner = co_await offload(host().kernel.workers, look);
  co_return owner && owner->host_uuid != host().identity.uuid;
}

// A guest that nobody guards could run on when another host has taken over.
Async<void> VirtualMachine::guard_guest() {
  const auto me = shared_from_this();
  const auto run = run_;
  if (!run || !run->machine()) co_return;
  std::string failure;
  try {
    co_await run->guard();
  } catch (const std::exception& refused) {
    failure = refused.what();
  }
  if (failure.empty()) co_return;
  log("Ended, since nothing guards it: " + failure);
  logger("vm")->error("{} is ended, since nothing guards it: {}", display_name(), failure);
  co_await run->machine()->power_off();
  while (run_ == run) co_await run_ended_.wait();
}

}  // namespace virga::host
