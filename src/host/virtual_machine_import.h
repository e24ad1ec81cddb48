// How a VM is received: the work of ResourcePool.ImportVApp.
#pragma once

#include "host/host.h"
#include "model/managed_object.h"

namespace virga::host {

// A lease for the disks that the spec wants made. The VM is in the inventory when the client has
// completed the lease; when it ends in another way, and where the daemon is killed before that,
// nothing is left. Throws what NewMachine's constructor does.
MoRef import_virtual_machine(Host& host, model::Call& call,
                             const vim::VirtualMachineConfigSpec& spec, const MoRef& pool);

}  // namespace virga::host
