// One run of a VM, from its power on to the end of its guest, and what exists only meanwhile: the
// lock on its folder, its swap file, its guest's ports on the networks, the machine. A VM that is
// off has none. Kernel executor only.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "datastore/vm_lock.h"
#include "host/datastore_lease.h"
#include "host/host.h"
#include "hypervisor/hypervisor.h"
#include "wire/tls_line.h"

namespace virga::host {

class VmRun {
 public:
  struct Identity {
    std::string machine_id;  // what names the VM's machine to the hypervisor
    std::string name;        // what people call the VM
    datastore::Location config_file;
    datastore::Location swap_file;
  };
  VmRun(Host& host, Identity identity) : host_(host), identity_(std::move(identity)) {}

  // Before the machine begins.
  void set_machine_id(const std::string& id) { identity_.machine_id = id; }

  // Takes the VM's lock. Throws ErrorKind::busy naming the host that has it. Where leases keep
  // hosts apart and that host seems dead, it takes as long as it takes to be sure.
  Async<void> lock();
  // Whether the lock is ours, be it one that a former daemon took for a guest that is gone.
  Async<bool> reclaim();
  // The lock once more, for the guest to hold: it then lasts as long as the guest. Empty where a
  // lease keeps it.
  Fd share_lock() const;
  // Where a lease keeps the lock: has its keeper watch over the guest.
  Async<void> guard();

  // The devices of the host that the machine is to have are this run's from now on. Throws
  // ResourceInUse naming one that is being given to VFIO or taken from it.
  void claim(const hypervisor::MachineSpec& spec);
  bool has_pci_device(const std::string& address) const;

  // Makes the swap file, of that many bytes; 0: the run needs none.
  Async<void> make_swap(std::uint64_t size);

  // Connects the NIC to the network, and names its tap in it. Without such a network the card is
  // there and its link is down.
  Async<Fd> attach(hypervisor::Nic& nic, std::string network);
  Async<void> detach(hypervisor::Nic nic);

  // What the machine's serial ports with TLS are on the network: a server takes its port. Throws
  // Error naming a port that somebody else has.
  void take_lines(const hypervisor::MachineSpec& spec);

  void began(std::shared_ptr<hypervisor::Machine> machine);
  // nullptr until the guest has begun.
  const std::shared_ptr<hypervisor::Machine>& machine() const { return machine_; }

  // Gives back what the run had. For a run whose guest has ended, or never began.
  Async<void> end();

  std::string ended_by;  // the user who asked for the end; "" for nobody

 private:
  std::shared_ptr<DatastoreLease> lease() const;
  Async<void> remove_shares();

  Host& host_;
  Identity identity_;
  std::shared_ptr<datastore::VmLock> lock_;  // none: a former daemon took it, the guest holds it
  std::set<std::string> pci_devices_;        // of the host, by address
  std::map<int, std::shared_ptr<wire::TlsLine>> lines_;  // by the serial port's key
  std::shared_ptr<hypervisor::Machine> machine_;
};

}  // namespace virga::host
