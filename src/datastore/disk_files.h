// Internal to the module: the files a virtual disk is made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "datastore/datastore.h"
#include "datastore/draft.h"
#include "datastore/files.h"
#include "datastore/locking.h"
#include "datastore/transfer.h"
#include "datastore/virtual_disk.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::datastore {

// --- Layouts -----------------------------------------------------------------------------------

// nullopt for types that only hold the difference to another disk, or are no files.
std::optional<DiskLayout> layout_of(const vmx::VmdkDescriptor& descriptor);
std::string_view create_type_of(DiskLayout layout);

// One file that holds its own descriptor.
bool is_embedded(DiskLayout layout);
bool is_embedded(const vmx::VmdkDescriptor& descriptor);
// The guest's sectors as they are.
bool is_flat(DiskLayout layout);

// Where `count` extents go, named as VMware's products do: "web01-flat.vmdk", "web01-f001.vmdk" or
// "web01-s001.vmdk" for "web01.vmdk"; nowhere for an embedded one. Throws invalid_argument for a
// disk that does not end in .vmdk, unsupported for several extents of a layout that has one.
std::vector<Location> extent_locations(const Location& disk, DiskLayout layout, std::size_t count);

// --- Files of a disk that is there -------------------------------------------------------------

// The files besides the descriptor, each once; none for an embedded one. Throws access_denied for
// one that does not lie beside the descriptor.
std::vector<Location> extent_files(const Location& disk, const vmx::VmdkDescriptor& descriptor);

// "web-ctk.vmdk" for "web.vmdk", and where the descriptor says it is; nullopt when it names none,
// or one that does not lie beside it.
std::string track_file_name(const Location& disk);
std::optional<Location> track_file(const Location& disk, const vmx::VmdkDescriptor& descriptor);
// What is there of it: the file, and one that was to take its place.
std::vector<Location> track_files(const Location& disk, const vmx::VmdkDescriptor& descriptor);
constexpr std::string_view unfinished_track = "~";  // at the end of that one's name

// An open extent, and where the disk's bytes lie in it.
struct OpenExtent {
  enum class Kind {
    flat,    // at `span` of the file, as they are
    sparse,  // in grains; `span` begins at 0
    zero,    // nowhere: there is no file
  };

  Kind kind = Kind::flat;
  Location location;
  Fd fd;
  ByteSpan span;

  std::uint64_t size() const { return span.to - span.from; }
};

// All extents in the disk's order. Throws unsupported for a disk that only holds the difference to
// another and for extents of other formats, damaged for a flat one shorter than said.
std::vector<OpenExtent> open_extents(const Location& disk, const vmx::VmdkDescriptor& descriptor,
                                     int flags);
// As above and locked.
std::vector<OpenExtent> lock_extents(const Location& disk, const vmx::VmdkDescriptor& descriptor,
                                     LockMode mode);
// Exclusively, and only flat ones: unsupported for a disk that has others.
std::vector<OpenExtent> lock_flat_extents(const Location& disk,
                                          const vmx::VmdkDescriptor& descriptor);
// The one extent of a disk as create_disk() makes it, locked for itself; unsupported for others.
OpenExtent lock_only_extent(const Location& disk, const vmx::VmdkDescriptor& descriptor);
// The locks on all files of a disk, whatever its type.
std::vector<Fd> lock_files(const Location& disk, const vmx::VmdkDescriptor& descriptor);

// A disk that is not flat throughout takes blocks as it is written.
Provisioning provisioning_of(const vmx::VmdkDescriptor& descriptor,
                             const std::vector<OpenExtent>& extents);

// --- A disk in another's place -----------------------------------------------------------------

// What a new disk takes the place of. Locked, so that nobody uses it.
struct Occupants {
  std::vector<Location> extents;
  std::vector<Fd> locks;
};

// Throws already_exists when the disk is there and must not be, and when a file has the name of one
// of `extents` and is no extent of the disk that would be replaced.
Occupants occupants_of(const Location& disk, const std::vector<Location>& extents,
                       IfExists if_exists);

// A file on its way to the name it is to have.
struct FileMove {
  std::string from;  // in the datastore: a part of the draft, or another disk's
  Location to;
};

struct Placement {
  std::vector<FileMove> extents;
  std::optional<Location>
      pivot_from;                  // the file that is to be the draft's pivot; none: it is there
  std::vector<RecoveryStep> owed;  // what remains to be done once the disk is in place
};

// The extents and the pivot become the disk.
void put_in_place(const Draft& draft, const Placement& placement, const Location& disk,
                  const Occupants& occupants, IfExists if_exists);

// A new identifier of the disk's content.
void renew_content_id(vmx::VmdkDescriptor& descriptor);
// What a copy of the disk says of itself.
vmx::VmdkDescriptor descriptor_of_copy(const vmx::VmdkDescriptor& source);

// A change of the descriptor alone.
void replace_descriptor(const Location& disk, const vmx::VmdkDescriptor& descriptor);
void put_descriptor_in_place(const Draft& draft, const Location& disk);

RecoveryStep step_on(const Location& file, RecoveryStep::Action action);
void size_file(const Fd& fd, std::uint64_t size, const std::string& subject);
void sync_file(const Fd& fd, const std::string& subject);
void sync_folder_of(const Location& file);

}  // namespace virga::datastore
