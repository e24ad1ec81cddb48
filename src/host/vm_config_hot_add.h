// Processors and memory that come while a VM runs, by vSphere's rules: VMware's vSphere Virtual
// Machine Administration, "Enable CPU Hot Add" and "Change Memory Hot Add Settings", and KB 2020846
// for how much. Pure.
#pragma once

#include <cstdint>

#include "host/vm_config.h"

namespace virga::host {

// What the VM, were it powered on now, could grow to; 0: not at all, because hot add is off, or its
// hardware version or guest knows none.
int hot_add_limit_of_cpus(const vmx::MachineConfig& config, const ConfigContext& context);
// MiB: 16 times what it starts with, and for Linux guests with up to 3 GB no more than that.
std::int64_t hot_add_limit_of_memory(const vmx::MachineConfig& config,
                                     const ConfigContext& context);
// MiB that memory grows by, or a multiple: the guest takes it in blocks.
std::int64_t hot_add_step_of_memory(const vmx::MachineConfig& config);

// Throw Fault CpuHotPlugNotSupported and MemoryHotPlugNotSupported naming the rule in the way of
// what the VM, which runs, is to have. `config`: as it is.
void require_cpu_hot_add(const vmx::MachineConfig& config, const ConfigContext& context, int cpus);
void require_memory_hot_add(const vmx::MachineConfig& config, const ConfigContext& context,
                            std::int64_t memory_mib);

}  // namespace virga::host
