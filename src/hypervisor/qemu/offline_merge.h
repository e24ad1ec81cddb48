// Merging images that no guest writes to: done by a QEMU without a machine, unprivileged and
// sandboxed as the guests' are, which ends with the daemon.
#pragma once

#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/qemu_machine.h"

namespace virga::hypervisor {

// See Hypervisor::merge_unused().
Async<void> merge_offline(std::shared_ptr<QemuContext> context, std::vector<DiskImage> chain,
                          std::size_t into, Progress progress, std::stop_token stop);

// Its command line; `monitor` and the second of `images`, which go into the sets named first, are
// numbers of descriptors it inherits.
std::vector<std::string> offline_command_line(
    const std::string& program, const Disk& disk, int monitor,
    const std::vector<std::pair<std::int64_t, int>>& images);

}  // namespace virga::hypervisor
