// Disks that discard their changes: what the guest writes to them goes to files of the run.
#include "base/log.h"
#include "datastore/delta_disk.h"
#include "host/virtual_machine.h"
#include "host/vm_config_words.h"
#include "host/vm_redo.h"

namespace virga::host {
namespace {

vmx::MachineConfig with_next_redos(vmx::MachineConfig config) {
  for (vmx::Disk& disk : config.disks)
    if (discards_changes(disk)) disk.redo = next_redo(disk);
  return config;
}

}  // namespace

// The .vmx names them before they are there.
Async<void> VirtualMachine::begin_redos() {
  vmx::MachineConfig begun = with_next_redos(config_);
  if (begun == config_) co_return;
  co_await save_config(std::move(begun));
  const auto remove_stale = [place = config_file_, disks = config_.disks] {
    remove_redos(place, disks);
  };
  co_await offload(host().kernel.workers, remove_stale);
  co_await make_redos();
}

// Empty ones under the names that the .vmx has for them: by the disks' keys, as paths of this
// machine.
Async<std::map<int, std::string>> VirtualMachine::make_redos() {
  struct Redo {
    datastore::Location image, disk;
  };
  const ConfigContext here = context();
  std::vector<Redo> redos;
  std::map<int, std::string> made;
  for (const vmx::Disk& disk : config_.disks) {
    if (!discards_changes(disk)) continue;
    const vmx::DatastorePath image = redo_file(here.config_file, disk);
    const auto below = host().locate(resolve_file(here, disk.file).format());
    redos.push_back({host().locate(image.format()), below});
    made[device_key(disk)] = here.absolute(image);
  }
  const auto create = [redos] {
    for (const Redo& redo : redos) datastore::create_redo(redo.image, redo.disk);
  };
  co_await offload(host().kernel.workers, create);
  co_return made;
}

// As pulling the plug for a moment: what a run wrote is gone after a reset.
Async<void> VirtualMachine::reset_machine() {
  vmx::MachineConfig next = with_next_redos(config_);
  if (next == config_) co_return co_await running_machine().reset();
  std::exception_ptr failure;
  try {
    co_await save_config(std::move(next));
    std::map<int, std::string> fresh = co_await make_redos();
    co_await running_machine().reset(std::move(fresh));
  } catch (...) {
    failure = std::current_exception();
  }
  if (machine()) co_await follow_redos();
  if (failure) std::rethrow_exception(failure);
}

// The .vmx names what the machine writes to; a reset may have failed, or a daemon ended, before
// that was so.
Async<void> VirtualMachine::follow_redos() {
  vmx::MachineConfig actual = config_;
  for (vmx::Disk& disk : actual.disks) {
    const std::string written = machine_image(device_key(disk));
    if (discards_changes(disk) && !written.empty()) disk.redo = fs::path(written).filename();
  }
  if (actual != config_) co_await save_config(std::move(actual));
  const auto remove = [place = config_file_, disks = config_.disks] {
    remove_other_redos(place, disks);
  };
  co_await offload(host().kernel.workers, remove);
}

// For a run that is over and not suspended. The files go before the .vmx forgets them; where they
// cannot, it does not.
Async<vmx::MachineConfig> VirtualMachine::without_redos(vmx::MachineConfig config) {
  const auto remove = [place = config_file_, disks = config.disks] { remove_redos(place, disks); };
  try {
    co_await offload(host().kernel.workers, remove);
    for (vmx::Disk& disk : config.disks) disk.redo.clear();
  } catch (const std::exception& failure) {
    logger("vm")->error("{}: {}", properties().name, failure.what());
  }
  co_return config;
}

Async<void> VirtualMachine::drop_redos() {
  if (!config_.suspend_state.empty()) co_return;
  vmx::MachineConfig off = co_await without_redos(config_);
  if (off != config_) co_await save_config(std::move(off));
}

}  // namespace virga::host
