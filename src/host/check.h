// Whether this machine is fit to be a host: printed, a line a requirement.
#pragma once

#include <filesystem>

namespace virga::host {

// 0 when nothing is missing. `state`: where guests' disks would lie.
int check_machine(const std::filesystem::path& state);

}  // namespace virga::host
