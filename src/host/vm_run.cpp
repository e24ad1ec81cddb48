#include "host/vm_run.h"

#include <fcntl.h>

#include "host/network.h"

namespace virga::host {

VmRun::VmRun(Host& host, datastore::Location config_file, std::string machine_id, std::string name)
    : host_(host),
      config_file_(std::move(config_file)),
      machine_id_(std::move(machine_id)),
      name_(std::move(name)) {}

namespace {

// Whoever held it: without a guest, what is left is the file.
void remove_free_lock(const datastore::Location& config_file, const datastore::LockOwner& owner) {
  if (!datastore::lock_owner(config_file)) datastore::VmLock::acquire(config_file, owner).release();
}

}  // namespace

Async<void> VmRun::lock() {
  const datastore::Location place = config_file_;
  const auto owner = datastore::LockOwner::self(host_.identity.uuid, host_.identity.name);
  const auto acquire = [place, owner] {
    return std::make_shared<datastore::VmLock>(datastore::VmLock::acquire(place, owner));
  };
  lock_ = co_await offload(host_.kernel.workers, acquire);
}

Fd VmRun::share_lock() const {
  Fd shared(::fcntl(lock_->fd(), F_DUPFD_CLOEXEC, 0));
  if (!shared) throw system_error(config_file_.display(), "cannot keep the lock of");
  return shared;
}

Async<Fd> VmRun::attach(hypervisor::Nic& nic, std::string network) {
  if (!host_.network(network)) {
    nic.link_up = false;
    co_return Fd();
  }
  switching::PortRequest request{machine_id_, name_, nic.key, nic.mac, network};
  switching::Tap tap = co_await host_.switching->attach(std::move(request));
  if (tap.fd) nic.tap = tap.port;
  co_return std::move(tap.fd);
}

Async<void> VmRun::detach(hypervisor::Nic nic) {
  if (!nic.tap.empty()) co_await host_.switching->detach(nic.tap);
}

Async<void> VmRun::end() {
  machine_.reset();
  const datastore::Location place = config_file_;
  const auto owner = datastore::LockOwner::self(host_.identity.uuid, host_.identity.name);
  const auto ours = std::exchange(lock_, nullptr);
  const auto release = [place, owner, ours] {
    ours ? ours->release() : remove_free_lock(place, owner);
  };
  co_await offload(host_.kernel.workers, release);
  for (const switching::Port& port : host_.switching->ports()) {
    if (port.vm == machine_id_) co_await host_.switching->detach(port.id);
  }
}

}  // namespace virga::host
