// What makes a VM this one and no other: its UUIDs and addresses, the place it lies at, and what it
// means by its references to files. Pure.
#pragma once

#include <string>
#include <vector>

#include "host/vm_config.h"

namespace virga::host {

// What uuid.location says of a VM powered on at the place of `context.config_file`: another value
// for another place, the same whatever its datastore is called.
std::string location_uuid(const ConfigContext& context);

// What the .vmx says (uuid.action) is to be done about a VM found at another place.
enum class OnNewPlace { ask, keep, create };
OnNewPlace on_new_place(const vmx::MachineConfig& config);

// Gives the VM new UUIDs, and new addresses to the adapters whose address this host generates.
void become_a_copy(vmx::MachineConfig& config, const ConfigContext& context);

// Puts the references to files into the words that hold here. One to a known datastore names it by
// uuid. One that leads nowhere, or is spelt as Windows does, means the file of that name in the
// VM's own folder, `folder` being what lies there: that is where a copied VM has its files.
void adopt_references(vmx::MachineConfig& config, const ConfigContext& context,
                      const std::vector<std::string>& folder);

}  // namespace virga::host
