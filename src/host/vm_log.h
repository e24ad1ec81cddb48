// A VM's vmware.log: one file for a run. Those of earlier runs stay beside it as vmware-1.log,
// vmware-2.log and so on, the highest number the latest, as on ESXi.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "datastore/datastore.h"
#include "vmx/machine_config.h"

namespace virga::host {

constexpr const char* log_name = "vmware.log";

// N of "vmware-N.log".
std::optional<int> log_number(std::string_view name);
// N of PREFIX N SUFFIX, written as a number is.
std::optional<int> numbered(std::string_view name, std::string_view prefix,
                            std::string_view suffix);

// What the .vmx says of it: logging, [vmx.]log.keepOld and [vmx.]log.rotateSize.
struct LogPolicy {
  bool enabled = true;
  int keep_old = 6;  // how many earlier ones stay
  std::uint64_t rotate_size =
      0;  // bytes after which a new one is begun in the middle of a run; 0: none
};
LogPolicy log_policy(const vmx::MachineConfig& config);

// Adds a line with the time. What cannot be logged goes to the daemon's own log.
void append_log(const datastore::Location& config_file, const LogPolicy& policy,
                const std::string& line);
// Puts the log away and begins a new one.
void rotate_log(const datastore::Location& config_file, const LogPolicy& policy);

}  // namespace virga::host
