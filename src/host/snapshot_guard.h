// What people ought to know of a VM's snapshots before it hurts: a chain that is long, a snapshot
// that is old, a delta that has outgrown its base. Pure. The limits are those VMware recommends
// (knowledge base 1025279, "Best practices for using VMware snapshots").
#pragma once

#include <string>
#include <vector>

#include "host/vm_storage.h"
#include "vmx/vmsd_file.h"

namespace virga::host {

struct SnapshotIssue {
  const char* event_type;  // of the EventEx that tells of it
  std::string message;

  bool operator==(const SnapshotIssue&) const = default;
};

constexpr int most_snapshots_in_chain = 3;
constexpr std::chrono::hours oldest_snapshot{72};

// Each kind once, named by its worst case. `files` are the VM's as they were found.
std::vector<SnapshotIssue> snapshot_issues(const std::string& vm, const vmx::SnapshotTree& tree,
                                           const FileSurvey& files, model::Time now);

}  // namespace virga::host
