// The file a running guest is found again by, and the directory it lies in.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "hypervisor/machine_spec.h"
#include "hypervisor/qemu/process_identity.h"

namespace virga::hypervisor {

struct MachineRecord {
  // What was under way when the record was written: `starting` until the guest has been told to run
  // for the first time, `saving` its memory to end, `snapshotting` it to go on, `resetting` while
  // overlays are replaced.
  enum class Operation { none, starting, saving, snapshotting, resetting };

  ProcessIdentity process;
  Operation operation = Operation::none;
  std::string state_path;  // where `saving` and `snapshotting` save to
  bool frozen = false;     // its agent holds all writes to its file systems: to be thawed
  std::string machine_type;
  std::string accelerator;
  MachineSpec spec;
  // By a disk's key, in the order of its chain: the numbers its images bear in QEMU (devices.h).
  std::map<int, std::vector<int>> images;
  // While `resetting`, by a disk's key: the last image is to take the place of the one before it.
  std::vector<int> replacing;

  bool operator==(const MachineRecord&) const = default;
};

// The numbers of images with which a machine starts: those of a chain, counted from 0.
std::vector<int> first_images(const Disk& disk);

std::string to_json(const MachineRecord& record);
// ErrorKind::damaged.
MachineRecord machine_record_from_json(const std::string& text);

// Blocking.
void write_record(const std::string& directory, const MachineRecord& record);
MachineRecord read_record(const std::string& directory);

std::string output_log(const std::string& directory);
// The end of what the process wrote, for errors: at most a few lines; empty if none.
std::string read_output_tail(const std::string& directory);

}  // namespace virga::hypervisor
