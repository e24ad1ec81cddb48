// Deltas: virtual disks that hold what differs from another one, their parent. NAME-00000N.vmdk is
// a descriptor as for any disk, which names its parent; the extent NAME-00000N-delta.vmdk is a
// qcow2 image. VMware's products know no such extent: createType "custom" and the extent type QCOW2
// make them refuse the disk rather than misread it.
//
// A parent lies in the datastore of its deltas: in their folder, named by file name alone, or in
// another, named by "/vmfs/volumes/UUID/folder/NAME.vmdk" as VMware's linked clones do. Operations on
// one delta are whole or leave its descriptor, which delete_disk() takes as it is.
#pragma once

#include <string>
#include <vector>

#include "datastore/datastore.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::datastore {

constexpr std::string_view delta_create_type = "custom";
constexpr std::string_view delta_extent_type = "QCOW2";

bool is_delta(const vmx::VmdkDescriptor& descriptor);

struct ChainLink {
  Location disk;  // the descriptor
  vmx::VmdkDescriptor descriptor;

  // The one file its content lies in; throws unsupported for a disk of several.
  Location extent() const;
};

// The disk and all it is a delta of, the base first. Throws not_found and damaged for a chain that
// is broken: a parent that is missing, of another size, or changed since (another content id).
std::vector<ChainLink> read_chain(const Location& disk);

// A name for a new delta of the disk that no file has: NAME-000001.vmdk, NAME being that of the
// lowest disk of the chain in the folder of the last.
Location free_delta(const std::vector<ChainLink>& chain);

// An empty delta of `parent`: it reads as its parent does.
void create_delta(const Location& delta, const Location& parent);

// The image of such a delta alone, without a descriptor and wherever it is wanted, for changes that
// will be discarded. Replaces what is there.
void create_redo(const Location& image, const Location& parent);

// Makes the delta one of another disk, which reads the same as its parent did. A hypervisor that
// has the delta open may do it for the image itself: `image_too` false.
void set_parent(const Location& delta, const Location& parent, bool image_too);

}  // namespace virga::datastore
