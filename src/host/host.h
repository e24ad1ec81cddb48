// What the managed objects of a host share: the kernel they live in, the engines they drive, and
// each other. Kernel executor only.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "datastore/datastore.h"
#include "host/pci_changes.h"
#include "hypervisor/host_probe.h"
#include "hypervisor/hypervisor.h"
#include "kernel/event_log.h"
#include "kernel/kernel.h"
#include "switching/switching.h"
#include "vim/types.h"
#include "wire/certificate.h"

namespace virga::host {

using kernel::Any;
using kernel::MoRef;

class ComputeResource;
class ConsoleTable;
class Datacenter;
class Datastore;
class Folder;
class HostDatastoreSystem;
class HostGraphicsManager;
class HostStorageSystem;
class HostSystem;
class Network;
class NfcService;
class ResourcePools;
class VirtualMachine;
struct Volumes;

// Who the host is; constant while the daemon runs.
struct Identity {
  std::string uuid;                  // for good: made at first start
  std::string name;                  // as users see it: the machine's host name
  std::string version = "7.0.3";     // what it is compatible with, as AboutInfo tells
  std::string build = "0";
  std::filesystem::path state;       // the daemon's folder
  std::filesystem::path run;         // sockets and records of what runs now
  bool simulated = false;
};

struct Host {
  Host(kernel::Kernel& kernel, Identity identity) : kernel(kernel), identity(std::move(identity)) {}

  kernel::Kernel& kernel;
  const Identity identity;
  hypervisor::HostFacts facts;                   // of the machine, read at start
  hypervisor::Capabilities capabilities;
  std::unique_ptr<hypervisor::Hypervisor> hypervisor;
  std::shared_ptr<switching::Switching> switching;

  // The inventory's fixed part. Made by build_inventory(), in this order of dependence.
  std::shared_ptr<Folder> root_folder, vm_folder, host_folder, datastore_folder, network_folder;
  std::shared_ptr<Datacenter> datacenter;
  std::shared_ptr<ComputeResource> compute_resource;
  std::shared_ptr<HostSystem> host_system;
  std::shared_ptr<HostDatastoreSystem> datastore_system;
  std::shared_ptr<HostStorageSystem> storage_system;
  std::shared_ptr<HostGraphicsManager> graphics_manager;

  std::shared_ptr<ResourcePools> resource_pools;
  std::shared_ptr<ConsoleTable> consoles;

  // In TLS: who the host is, and whom it believes beside the machine's authorities (PEM).
  wire::Certificate certificate;
  std::string authority;
  std::shared_ptr<NfcService> nfc;

  // By address: the PCI devices that are being given to VFIO or taken from it.
  PciChanges pci_changes;

  // What comes and goes, by name.
  std::map<std::string, std::shared_ptr<Datastore>> datastores;
  std::map<std::string, std::shared_ptr<Network>> networks;    // port groups
  std::map<std::string, std::shared_ptr<VirtualMachine>> virtual_machines;    // by moId

  // "[datastore1] web/web.vmx" as a place on this host; the datastore's uuid does for its name.
  // Throws InvalidDatastorePath or InvalidDatastore naming it.
  datastore::Location locate(const std::string& datastore_path) const;
  Volumes volumes() const;
  // The datastore of that name, uuid or reference. Throws InvalidDatastore, ManagedObjectNotFound.
  std::shared_ptr<Datastore> datastore(const std::string& name) const;
  std::shared_ptr<Datastore> datastore(const MoRef& ref) const;
  // The network of a port group; nullptr when there is none.
  std::shared_ptr<Network> network(const std::string& port_group) const;

  // Event arguments, as every event about something of this host bears them.
  vim::DatacenterEventArgument datacenter_argument() const;
  vim::ComputeResourceEventArgument compute_resource_argument() const;
  vim::HostEventArgument host_argument() const;

  // Fills in host, datacenter and compute resource, and posts. `user`: "" for the system.
  template <class E>
  void post(E event, const std::string& message, const std::string& user = {});

  // Puts an entity into, or takes it out of, the lists of those that hold it:
  // Folder.childEntity, ResourcePool.vm, HostSystem.vm and .datastore and .network, Datacenter and
  // ComputeResource.
  void add_virtual_machine(const std::shared_ptr<VirtualMachine>& vm);
  void remove_virtual_machine(const MoRef& vm);
  void add_datastore(const std::shared_ptr<Datastore>& datastore);
  void remove_datastore(const MoRef& datastore);
  // Tells HostDatastoreSystem and HostStorageSystem that the list, or what one of them is, changed.
  void datastores_changed();
  void add_network(const std::shared_ptr<Network>& network);
  void remove_network(const MoRef& network);
};

// A list property with one reference more, or less; for add_ and remove_ above and their like.
void add_reference(model::Array<MoRef>& list, const MoRef& ref);
void remove_reference(model::Array<MoRef>& list, const MoRef& ref);

// Makes the objects that every host has, empty of VMs, datastores and networks.
void build_inventory(Host& host);

template <class E>
void Host::post(E event, const std::string& message, const std::string& user) {
  event.datacenter = model::share(datacenter_argument());
  event.computeResource = model::share(compute_resource_argument());
  event.host = model::share(host_argument());
  kernel.events->post(std::move(event), message, user);
}

}  // namespace virga::host
