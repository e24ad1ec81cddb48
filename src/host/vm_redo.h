// What a run writes to disks in mode independent_nonpersistent: images beside the .vmx that are
// deleted at the run's end, NAME.vmdk.REDO_XXXXXX for the disk NAME.vmdk. The .vmx names each as
// long as it may be there.
//
// The last digit is 0 or 1: a reset puts the other one in the place of the one in use, and whoever
// removes one removes both.
#pragma once

#include <string>
#include <vector>

#include "datastore/datastore.h"
#include "host/vm_config.h"

namespace virga::host {

bool discards_changes(const vmx::Disk& disk);
bool has_redo(const vmx::Disk& disk);

// A name for a new one, or the other name where the disk has one.
std::string next_redo(const vmx::Disk& disk);

// The one of a disk that has one. Throws Fault for a name that is none of ours.
vmx::DatastorePath redo_file(const vmx::DatastorePath& config_file, const vmx::Disk& disk);

// Both block. Those of these disks that are there, under either name, or under the other one alone.
void remove_redos(const datastore::Location& config_file, const std::vector<vmx::Disk>& disks);
void remove_other_redos(const datastore::Location& config_file,
                        const std::vector<vmx::Disk>& disks);

}  // namespace virga::host
