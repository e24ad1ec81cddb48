// Internal to the module: the files a virtual disk is made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datastore/datastore.h"
#include "datastore/draft.h"
#include "datastore/files.h"
#include "datastore/locking.h"
#include "datastore/transfer.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::datastore {

// "web01-flat.vmdk" for "web01.vmdk"; throws invalid_argument for what does not end in .vmdk.
std::string flat_name(const Location& disk);

// The disk is one file that holds its own descriptor.
bool is_embedded(const vmx::VmdkDescriptor& descriptor);

// The files besides the descriptor, each once; none for an embedded one. Throws access_denied for
// one that does not lie beside the descriptor.
std::vector<Location> extent_files(const Location& disk, const vmx::VmdkDescriptor& descriptor);

// A flat extent and where its bytes lie in the file.
struct OpenExtent {
  Location location;
  Fd fd;
  ByteSpan span;

  std::uint64_t size() const { return span.to - span.from; }
};

// All extents in the disk's order. Throws unsupported for disks that are not flat throughout or
// only hold the difference to another, damaged for an extent shorter than said.
std::vector<OpenExtent> open_extents(const Location& disk, const vmx::VmdkDescriptor& descriptor,
                                     int flags);
// As above and locked.
std::vector<OpenExtent> lock_extents(const Location& disk, const vmx::VmdkDescriptor& descriptor,
                                     LockMode mode);
// The one extent of a disk as create_disk() makes it, locked for itself; unsupported for others.
OpenExtent lock_only_extent(const Location& disk, const vmx::VmdkDescriptor& descriptor);

bool has_hole(const OpenExtent& extent);

// What a new disk takes the place of. Locked, so that nobody uses it.
struct Occupants {
  std::vector<Location> extents;
  std::vector<Fd> locks;
};

// Throws already_exists when the disk is there and must not be, and when its extent is there and is
// no disk's that would be replaced.
Occupants occupants_of(const Location& disk, IfExists if_exists);

// The locks on all files of a disk, whatever its type.
std::vector<Fd> lock_files(const Location& disk, const vmx::VmdkDescriptor& descriptor);

// The file at `extent`, a part of the draft or another disk's, and the draft's pivot become the
// disk. `owed` is what remains to be done once they are.
void put_in_place(const Draft& draft, const std::string& extent, const Location& disk,
                  const Occupants& occupants, IfExists if_exists,
                  std::vector<RecoveryStep> owed = {});

// A change of the descriptor alone.
void replace_descriptor(const Location& disk, const vmx::VmdkDescriptor& descriptor);
void put_descriptor_in_place(const Draft& draft, const Location& disk);

RecoveryStep step_on(const Location& file, RecoveryStep::Action action);
void sync_file(const Fd& fd, const std::string& subject);
void sync_folder_of(const Location& file);

}  // namespace virga::datastore
