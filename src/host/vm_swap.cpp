#include "host/vm_swap.h"

#include <algorithm>

#include "host/vm_config_words.h"

namespace virga::host {

vmx::DatastorePath swap_file(const vmx::MachineConfig& config, const ConfigContext& context) {
  const std::uint64_t hash = digest(volume_path(context.volumes, context.config_file));
  const std::string name = fmt::format("{}-{:08x}.vswp", context.config_file.stem(),
                                       static_cast<std::uint32_t>(hash ^ hash >> 32));
  const auto folder = config.working_directory.empty()
                          ? std::nullopt
                          : find_file(context, config.working_directory);
  return folder ? *folder / name : context.config_file.sibling(name);
}

std::uint64_t swap_size(const vmx::MachineConfig& config) {
  if (config.memory_reservation_locked) return 0;
  return static_cast<std::uint64_t>(
             std::max<std::int64_t>(config.memory_mib - config.memory.reservation, 0))
         << 20;
}

}  // namespace virga::host
