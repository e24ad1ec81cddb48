#include "host/vm_run.h"

#include <fcntl.h>
#include <unistd.h>

#include "datastore/files.h"
#include "host/datastore.h"
#include "host/device_shares.h"
#include "host/host_graphics_manager.h"
#include "host/network.h"

namespace virga::host {

std::shared_ptr<DatastoreLease> VmRun::lease() const {
  return host_.datastore(identity_.config_file.datastore->uuid())->lease();
}

Async<void> VmRun::lock() {
  host_.datastore(identity_.config_file.datastore->uuid())->require_accessible();
  const auto held = lease();
  if (held) co_await held->renew();
  const datastore::Location place = identity_.config_file;
  const auto owner = datastore::LockOwner::self(host_.identity.uuid, host_.identity.name);
  const auto attempt = std::make_shared<datastore::LockAttempt>();
  const auto acquire = [place, owner, attempt]() -> std::shared_ptr<datastore::VmLock> {
    auto lock = datastore::VmLock::try_acquire(place, owner, *attempt);
    return lock ? std::make_shared<datastore::VmLock>(std::move(*lock)) : nullptr;
  };
  while (!(lock_ = co_await offload(host_.kernel.workers, acquire)))
    co_await sleep_for(place.datastore->leases()->interval);
}

Async<bool> VmRun::reclaim() {
  if (lock_) co_return true;
  const datastore::Location place = identity_.config_file;
  const auto owner = datastore::LockOwner::self(host_.identity.uuid, host_.identity.name);
  const auto reclaim_lock = [place, owner]() -> std::shared_ptr<datastore::VmLock> {
    auto left = datastore::VmLock::reclaim(place, owner);
    return left ? std::make_shared<datastore::VmLock>(std::move(*left)) : nullptr;
  };
  lock_ = co_await offload(host_.kernel.workers, reclaim_lock);
  co_return lock_ != nullptr;
}

Fd VmRun::share_lock() const {
  if (lock_->fd() < 0) return Fd();
  Fd shared(::fcntl(lock_->fd(), F_DUPFD_CLOEXEC, 0));
  if (!shared) throw system_error(identity_.config_file.display(), "cannot keep the lock of");
  return shared;
}

Async<void> VmRun::guard() {
  const auto held = lease();
  const auto guest = std::make_shared<Fd>(machine_->process());
  if (held && *guest) co_await held->guard(datastore::lock_file(identity_.config_file).path, guest);
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

Async<void> VmRun::remove_shares() {
  std::vector<std::string> shares;
  for (const auto& [uuid, machine] : device_shares(host_))
    if (machine == identity_.machine_id) shares.push_back(uuid);
  for (const std::string& uuid : shares) co_await remove_device_share(host_, uuid);
  if (!shares.empty()) co_await host_.graphics_manager->refresh();
}

void VmRun::claim(const hypervisor::MachineSpec& spec) {
  for (const hypervisor::PassthroughDevice& device : spec.passthrough) {
    if (host_.pci_changes.contains(device.address)) {
      vim::ResourceInUse detail;
      detail.type = "HostPciDevice";
      detail.name = device.address;
      throw kernel::Fault(std::move(detail),
                          fmt::format("{}: the host's PCI device {} is being reconfigured.",
                                      identity_.name, device.address));
    }
    pci_devices_.insert(device.address);
  }
}

bool VmRun::has_pci_device(const std::string& address) const {
  return pci_devices_.contains(address);
}

void VmRun::take_lines(const hypervisor::MachineSpec& spec) {
  for (const hypervisor::SerialPort& port : spec.serial_ports) {
    if (!port.network || !port.network->security) continue;
    wire::TlsLineOptions options;
    options.host = port.network->host;
    options.port = static_cast<std::uint16_t>(port.network->port);
    options.server = port.network->server;
    options.identity = host_.certificate;
    options.verify_peer = port.network->security->verify_peer;
    options.authorities = host_.authority;
    options.thumbprint = port.network->security->thumbprint;
    lines_[port.key] = std::make_shared<wire::TlsLine>(host_.kernel.executor, std::move(options));
  }
}

namespace {

Async<Fd> open_line(std::weak_ptr<hypervisor::Machine> weak, int key) {
  const auto machine = weak.lock();
  if (!machine) throw error(ErrorKind::gone, std::to_string(key), "the machine runs no more");
  co_return co_await machine->open_serial(key);
}

}  // namespace

void VmRun::began(std::shared_ptr<hypervisor::Machine> machine) {
  machine_ = std::move(machine);
  claim(machine_->spec());
  for (const auto& [key, line] : lines_) {
    const std::weak_ptr<hypervisor::Machine> weak = machine_;
    const auto open = [weak, number = key] { return open_line(weak, number); };
    spawn(host_.kernel.executor, "serial line", wire::TlsLine::run(line, open));
  }
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
  for (const auto& [key, line] : lines_) line->stop();
  lines_.clear();
  machine_.reset();
  if (co_await reclaim()) {
    const auto release = [swap = identity_.swap_file, lock = std::exchange(lock_, nullptr)] {
      datastore::remove_if_present(swap);
      lock->release();
    };
    co_await offload(host_.kernel.workers, release);
  }
  for (const switching::Port& port : host_.switching->ports()) {
    if (port.vm == identity_.machine_id) co_await host_.switching->detach(port.id);
  }
  co_await remove_shares();
}

}  // namespace virga::host
