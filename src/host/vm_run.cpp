#include "host/vm_run.h"

#include <fcntl.h>
#include <unistd.h>

#include "datastore/files.h"
#include "host/network.h"

namespace virga::host {

Async<void> VmRun::lock() {
  const datastore::Location place = identity_.config_file;
  const auto owner = datastore::LockOwner::self(host_.identity.uuid, host_.identity.name);
  const auto acquire = [place, owner] {
    return std::make_shared<datastore::VmLock>(datastore::VmLock::acquire(place, owner));
  };
  lock_ = co_await offload(host_.kernel.workers, acquire);
}

Fd VmRun::share_lock() const {
  Fd shared(::fcntl(lock_->fd(), F_DUPFD_CLOEXEC, 0));
  if (!shared) throw system_error(identity_.config_file.display(), "cannot keep the lock of");
  return shared;
}

// Sparse: it holds the name and the length of what may be written, and no space.
Async<void> VmRun::make_swap(std::uint64_t size) {
  if (size == 0) co_return;
  const datastore::Location place = identity_.swap_file;
  const auto make = [place, size] {
    const Fd fd = place.datastore->open(place.path, O_RDWR | O_CREAT | O_TRUNC);
    if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
      throw system_error(place.display(), "cannot make");
  };
  co_await offload(host_.kernel.workers, make);
}

Async<Fd> VmRun::attach(hypervisor::Nic& nic, std::string network) {
  if (!host_.network(network)) {
    nic.link_up = false;
    co_return Fd();
  }
  switching::PortRequest request{identity_.machine_id, identity_.name, nic.key, nic.mac, network};
  switching::Tap tap = co_await host_.switching->attach(std::move(request));
  if (tap.fd) nic.tap = tap.port;
  co_return std::move(tap.fd);
}

Async<void> VmRun::detach(hypervisor::Nic nic) {
  if (!nic.tap.empty()) co_await host_.switching->detach(nic.tap);
}

Async<void> VmRun::end() {
  machine_.reset();
  const datastore::Location place = identity_.config_file, swap = identity_.swap_file;
  const auto owner = datastore::LockOwner::self(host_.identity.uuid, host_.identity.name);
  const auto release = [place, swap, owner, ours = std::exchange(lock_, nullptr)] {
    auto lock = ours;
    if (!lock) {  // it was a former daemon's, whose guest is gone
      const auto file = datastore::lock_file(place);
      if (!file.datastore->exists(file.path) && !swap.datastore->exists(swap.path)) return;
      if (datastore::lock_owner(place)) return;  // another host has the VM by now
      lock = std::make_shared<datastore::VmLock>(datastore::VmLock::acquire(place, owner));
    }
    datastore::remove_if_present(swap);
    lock->release();
  };
  co_await offload(host_.kernel.workers, release);
  for (const switching::Port& port : host_.switching->ports()) {
    if (port.vm == identity_.machine_id) co_await host_.switching->detach(port.id);
  }
}

}  // namespace virga::host
