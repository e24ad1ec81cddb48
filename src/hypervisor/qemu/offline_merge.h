// Merging images that no guest writes to: done by a QEMU without a machine, unprivileged and
// sandboxed as the guests' are, which ends with the daemon.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "hypervisor/hypervisor.h"
#include "hypervisor/qemu/qemu_machine.h"

namespace virga::hypervisor {

// See Hypervisor::merge_unused().
Async<void> merge_offline(std::shared_ptr<QemuContext> context, std::vector<DiskImage> chain,
                          std::size_t into, Progress progress, std::stop_token stop);

// The numbers of the descriptors it inherits.
struct OfflineFiles {
  int monitor = 0;
  std::vector<std::pair<std::int64_t, int>> images;  // the set each goes into, its number
  std::optional<int> secret;                         // see login_secret()
};
std::vector<std::string> offline_command_line(const std::string& program, const Disk& disk,
                                              const OfflineFiles& files);

}  // namespace virga::hypervisor
