// The file a VM's memory would be swapped to, NAME-HASH.vswp: as long as the memory that is not
// reserved, there while the VM runs, sparse. Nothing is written to it: what Linux swaps of a guest
// goes to Linux's own swap space, until memory is taken back from guests by other means.
#pragma once

#include <cstdint>

#include "host/vm_config.h"

namespace virga::host {

// The key of the .vmx that tells its place.
constexpr const char* swap_file_key = "sched.swap.derivedName";

// The same for a VM wherever the daemon asks: derived from the place of its .vmx.
vmx::DatastorePath swap_file(const vmx::MachineConfig& config, const ConfigContext& context);
std::uint64_t swap_size(const vmx::MachineConfig& config);  // bytes

}  // namespace virga::host
