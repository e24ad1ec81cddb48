// What contains what in the inventory: folders their children, a datacenter its four folders, a
// compute resource its hosts and root pool, a pool its pools and machines, a host its machines.
#pragma once

#include "kernel/filter_plan.h"

namespace virga::kernel {

// A plan that selects what the containers hold, not themselves; `recursive`: and what that holds.
SelectionPlan containment(const std::vector<MoRef>& containers, bool recursive);

}  // namespace virga::kernel
