// The .vmsd beside a .vmx: which snapshots the VM has and how they descend from each other. A VM
// that never had a snapshot has an empty one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vmx/vmx_file.h"

namespace virga::vmx {

struct SnapshotDisk {
  std::string file;  // the disk as it was when the snapshot was taken, relative to the VM's folder
  std::string node;  // its slot: "scsi0:0"

  bool operator==(const SnapshotDisk&) const = default;
};

struct Snapshot {
  int uid = 0;
  int parent = 0;  // uid of the snapshot it descends from; 0 for a root
  std::string name;
  std::string description;
  std::string state_file;    // .vmsn
  std::int64_t created = 0;  // microseconds since 1970, UTC
  std::vector<SnapshotDisk> disks;
  // What else the file says of it, keys without "snapshotN.": it goes out as it came in.
  std::vector<VmxFile::Entry> other;

  bool operator==(const Snapshot&) const = default;
};

struct SnapshotTree {
  int last_uid = 0;  // the highest uid ever given; uids are not given twice
  int current = 0;   // the snapshot the running disks descend from; 0 for none
  std::vector<Snapshot> snapshots;
  std::vector<VmxFile::Entry> other;  // with their whole keys

  bool operator==(const SnapshotTree&) const = default;
};

// Throws ErrorKind::damaged for text that is no .vmsd, and for a tree that is none: a uid twice, a
// parent or current that is not there, a snapshot that descends from itself.
SnapshotTree parse_vmsd(std::string_view text, const std::string& name);
// The text of a whole .vmsd; empty for a VM without a snapshot in its past.
std::string serialise_vmsd(const SnapshotTree& tree);

}  // namespace virga::vmx
