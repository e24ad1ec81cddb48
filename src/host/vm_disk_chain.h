// The disks below a VM's disks. Pure: what a disk is a delta of comes through the context.
#pragma once

#include <string>
#include <vector>

#include "host/vm_config.h"
#include "vmx/disk_tree.h"
#include "vmx/vmsd_file.h"

namespace virga::host {

// A disk that the datastore module's create_delta() made.
bool is_delta(const datastore::DiskInfo& info);

// One file of the guest's sectors and nothing else.
bool is_raw(const datastore::DiskInfo& info);

// Where the content lies that `disk` holds itself, without what it is a delta of. Throws Fault
// naming it and `name`: FileNotFound, NotSupported for a type that no guest can run from.
hypervisor::DiskImage disk_image(const std::string& name, const vmx::DatastorePath& disk,
                                 const ConfigContext& context);

// The unit that the disk is, or that it is a delta of; nullopt: it lies in files.
std::optional<datastore::RawMapping> raw_mapping(const vmx::DatastorePath& disk,
                                                 const ConfigContext& context);

// Snapshots hold the disk's content. Independent disks go their own way.
bool takes_part_in_snapshots(const vmx::Disk& disk);

// What the guest writes to the disk is recorded: asked for, and of a disk that nobody else writes
// and that lies in one file.
bool is_tracked(const vmx::MachineConfig& config, const vmx::Disk& disk,
                const ConfigContext& context);

// The disk this one is a delta of; nullopt for a base, and for one that lies in no datastore.
std::optional<vmx::DatastorePath> parent_disk(const Volumes& volumes,
                                              const vmx::DatastorePath& disk,
                                              const datastore::DiskInfo& info);

// The disk and all it is a delta of, the base first. It ends early, below a disk the context cannot
// look up, and then begins with that one.
std::vector<vmx::DatastorePath> disk_chain(const vmx::DatastorePath& disk,
                                           const ConfigContext& context);

// Every disk of the VM and of its snapshots, by format()ted paths. Files that lie in no datastore
// are left out.
vmx::DiskTree disk_tree(const vmx::MachineConfig& config, const vmx::SnapshotTree& snapshots,
                        const ConfigContext& context);

}  // namespace virga::host
