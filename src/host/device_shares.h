// What VMs that run have of the host's GPUs: mediated devices, which live as long as the run. They
// are noted before they are made, so that a daemon that was killed leaves none behind for good.
#pragma once

#include <map>
#include <string>

#include "host/host.h"

namespace virga::host {

// Makes the shares that the machine is to have, and fills their IOMMU groups in.
Async<void> make_device_shares(Host& host, hypervisor::MachineSpec& spec);
// By uuid: the id of the machine each was made for.
std::map<std::string, std::string> device_shares(const Host& host);
// Nobody may use it.
Async<void> remove_device_share(Host& host, std::string uuid);

}  // namespace virga::host
