// A VM that is being made: its folder and its disks first, then the files that make a VM of them.
// In between the disks' content may be received.
//
// Journaled in the database before anything is made: where the daemon is killed before complete()
// or undo() is done, its next start undoes it. Kernel executor only.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "host/host.h"
#include "host/vm_config.h"
#include "kernel/task.h"

namespace virga::host {

// A disk, or another file, that a VM consists of beside its .vmx, .vmsd and .vmxf.
struct NewPart {
  datastore::Location place;
  std::uint64_t weight = 0;  // of its making among that of the others
  // Blocks; it is whole afterwards, or was never begun.
  std::function<void(const datastore::Progress&, std::stop_token)> make;
};
NewPart new_disk(const Host& host, const DiskToCreate& disk);

class NewMachine {
 public:
  // Nothing is made yet. Throws the fault of a configuration that cannot be: by plan_creation(),
  // DuplicateName, InvalidName, FileAlreadyExists.
  NewMachine(Host& host, const vim::VirtualMachineConfigSpec& spec, MoRef pool);
  // `file` is the .vmx, uuids included. Throws as above.
  NewMachine(Host& host, const vmx::DatastorePath& config_file, vmx::VmxFile file,
             std::vector<NewPart> parts, MoRef pool);

  // What the VM is going to be known by.
  const MoRef& reference() const { return reference_; }
  const std::string& name() const { return config_.display_name; }
  // The .vmx it is going to have.
  vmx::DatastorePath config_file() const {
    return vmx::DatastorePath::parse(config_file_.display());
  }
  const vmx::MachineConfig& config() const { return config_; }
  const std::vector<DiskToCreate>& disks() const { return disks_; }

  // Makes the disks and whatever other parts it has. `report` is told the percentage done, from
  // another thread.
  Async<void> make_disks(std::function<void(int percent)> report, std::stop_token stop);
  // The VM is in the inventory then. Throws DuplicateName when another has come by that name.
  Async<std::shared_ptr<VirtualMachine>> complete();
  // The same, and an event tells who has created it.
  Async<std::shared_ptr<VirtualMachine>> complete(std::string user);
  // Nothing is left of it.
  Async<void> undo();

 private:
  void check_place() const;
  void check_still_possible() const;
  void make_folder_of(const datastore::Location& file);
  void write_files(const datastore::Location& config_file);

  Host& host_;
  MoRef reference_;
  MoRef pool_;
  datastore::Location config_file_;
  vmx::MachineConfig config_;
  vmx::VmxFile file_;
  std::vector<DiskToCreate> disks_;
  std::vector<NewPart> parts_;
  std::string journal_;  // its entry; empty: nothing is noted
  // What was made so far.
  std::vector<datastore::Location> made_folders_;
  std::vector<datastore::Location> made_;  // parts, then files
};

// The work of Folder.CreateVM_Task and ResourcePool.CreateChildVM_Task.
Async<Any> create_virtual_machine(Host& host, kernel::TaskHandle& handle, std::string user,
                                  model::Ptr<vim::VirtualMachineConfigSpec> spec, MoRef pool);

// A folder named for the VM that is not there yet.
vmx::DatastorePath free_folder(const Host& host, const std::string& datastore,
                               const std::string& vm_name);
// Where a new VM's .vmx goes: "[ds]" means a new folder named for it, "[ds] folder" that folder,
// and a path that ends in .vmx is the file itself.
vmx::DatastorePath place_for(const Host& host, const std::string& name, const std::string& wanted);
// Throws DuplicateName where a VM of the host has the name, InvalidName for one that none can have.
void check_new_name(const Host& host, const std::string& name);
// ESXi numbers its VMs 1, 2, 3, …; a number is never used again.
MoRef next_reference(Host& host);
// nullptr: no VM of the host has it.
std::shared_ptr<VirtualMachine> vm_with_instance_uuid(const Host& host, const std::string& uuid);

// The table of operations of several steps that have not ended, by "VERB [uuid] x.vmx": create,
// reconfigure, destroy. Its values list the disks concerned. See restore_virtual_machines().
constexpr const char* unfinished_table = "unfinished";

}  // namespace virga::host
