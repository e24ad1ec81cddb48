// What a clone of a VM is to be (VirtualMachine.CloneVM_Task). Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host/vm_config.h"

namespace virga::host {

struct CloneRequest {
  std::string name;
  model::Ptr<vim::VirtualMachineCloneSpec> spec;
  // The folder for the clone's disks on that datastore.
  std::function<vmx::DatastorePath(const std::string& datastore)> folder_on;
};

struct DiskToCopy {
  vmx::DatastorePath from;  // with all it is a delta of
  vmx::DatastorePath to;
  std::optional<datastore::Provisioning> provisioning;  // none: as the source has it
  std::uint64_t capacity = 0;                           // bytes, of the source
  std::optional<DiskToGrow> growth;                     // of the copy
  bool is_linked = false;  // it is to be a delta of `from`, which stays where it is
};

struct ClonePlan {
  vmx::MachineConfig config;  // as it is to be
  std::vector<DiskToCopy> copy;
  std::vector<DiskToCreate> create;
  std::vector<std::string> privileges;  // that the caller needs on the source for spec.config
};

// `source` is what is copied, a VM or a snapshot of one, and `from` what surrounds it; `here` is of
// the clone's .vmx. Throws Fault naming what cannot be: InvalidArgument, NotSupported,
// FileNotFound, MigrationFault's and VmConfigFault's families, and what plan_change() throws.
ClonePlan plan_clone(const vmx::MachineConfig& source, const ConfigContext& from,
                     const CloneRequest& wanted, const ConfigContext& here);

// The datastore of the clone's .vmx: the one asked for, or the source's.
std::string datastore_of_clone(const vim::VirtualMachineRelocateSpec& location,
                               const ConfigContext& from);

// Throws Fault naming a disk that cannot be read while the source's guest runs.
void require_readable_beside_guest(const vmx::MachineConfig& source);

}  // namespace virga::host
