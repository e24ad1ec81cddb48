// dm-multipath: which of a unit's paths carry its I/O. multipathd has the say, by the rules in its
// files (multipath.conf(5)).
#pragma once

#include <map>
#include <string>

#include "base/file.h"

namespace virga::storage {

enum class PathPolicy {
  round_robin,  // all of the best paths in turn
  most_recent,  // one until it fails; then the other one, for good
  fixed,        // the preferred one whenever it works
};

struct PathRule {
  PathPolicy policy = PathPolicy::round_robin;
  std::string preferred;  // of a fixed policy: the path by its SCSI address, "1:0:0:4"

  bool operator==(const PathRule&) const = default;
};

// By the WWID of a unit's map.
using PathRules = std::map<std::string, PathRule>;

// Pure. A file for multipathd.
std::string multipath_config(const PathRules& rules);
// Pure. From the answer to "show maps json", which does not tell preferred paths. Throws
// ErrorKind::damaged.
PathRules parse_multipath_maps(const std::string& answer);

constexpr const char* multipath_file = "/etc/multipath/conf.d/virga.conf";

// What multipathd goes by now; empty where there is none. Blocking.
PathRules path_rules_in_force();
// Has multipathd go by these rules, now and after a restart. Blocking. Throws Error naming
// multipathd and its words; the file is as before then.
void enforce(const PathRules& rules, const fs::path& file = multipath_file);

}  // namespace virga::storage
