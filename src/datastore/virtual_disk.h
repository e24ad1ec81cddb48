// Virtual disks. Ours are as ESXi lays them out: NAME.vmdk, a text descriptor that only we write,
// and NAME-flat.vmdk, the guest's sectors as they are, which QEMU opens raw. Those of VMware's
// hosted products are read and made too: split into extents of 2 GB, in sparse files of grains, and
// stream-optimized, as disks travel.
//
// A disk somebody has open, a guest or another of these operations, here or on another host, is
// refused with ErrorKind::busy (OFD locks on the extents; QEMU's image locks count). A full file
// system is ErrorKind::no_space. A failed or cancelled operation leaves what was there before; one
// that the process does not live to finish is undone by sweep(). An operation that a disk's layout
// does not allow is ErrorKind::unsupported, and a file whose content makes no sense
// ErrorKind::damaged.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "datastore/datastore.h"
#include "datastore/files.h"
#include "vmx/vmdk_descriptor.h"

namespace virga::datastore {

enum class Provisioning {
  thin,          // blocks are taken as the guest writes
  lazy_zeroed,   // blocks are taken at once, and read as zeros until written
  eager_zeroed,  // blocks are taken and zeros written
};

// How a disk lies in files: what its descriptor's createType says.
enum class DiskLayout {
  vmfs,               // NAME-flat.vmdk
  monolithic_flat,    // the same under a hosted product's name
  split_flat,         // NAME-f001.vmdk, …: twoGbMaxExtentFlat
  split_sparse,       // NAME-s001.vmdk, …: twoGbMaxExtentSparse
  monolithic_sparse,  // one sparse file with its descriptor inside
  stream_optimized,   // one compressed file, written once from end to end: no guest can write it
};

// A disk that is a logical unit (RDM): its one extent, NAME-rdm.vmdk or NAME-rdmp.vmdk, holds no
// sectors but tells which unit it is.
struct RawMapping {
  bool passthrough = false;  // physical mode: vmfsPassthroughRawDeviceMap, else vmfsRawDeviceMap
  std::string unit;          // naa.600508b1001c…
  std::string uuid;          // of the unit, as in vSphere's vml names

  bool operator==(const RawMapping&) const = default;
};

struct DiskSpec {
  std::uint64_t capacity = 0;  // bytes, a multiple of 512
  Provisioning provisioning = Provisioning::thin;
  vmx::AdapterType adapter = vmx::AdapterType::lsi_logic;
  int hardware_version = 19;
  DiskLayout layout = DiskLayout::vmfs;  // provisioning is of flat layouts
  std::optional<RawMapping> mapping;     // `capacity` is the unit's; it has no layout
};

struct DiskInfo {
  std::uint64_t capacity = 0;   // bytes
  std::uint64_t allocated = 0;  // bytes that blocks are held for, all extents
  // A thick disk without a hole is eager zeroed: either it was made so or the guest wrote it all.
  Provisioning provisioning = Provisioning::thin;
  vmx::AdapterType adapter = vmx::AdapterType::lsi_logic;
  vmx::Geometry geometry;
  int hardware_version = 0;  // 0: the descriptor does not say
  std::string uuid;          // "60 00 C2 9…"; empty: the descriptor has none
  std::string create_type;
  std::optional<DiskLayout> layout;   // nullopt: a delta, an RDM, or a type of no layout we know
  std::optional<RawMapping> mapping;  // of an RDM
  std::string parent;                 // the disk this one is a delta of; empty for a base disk
  std::vector<std::string> extents;   // paths in the datastore
  std::vector<vmx::Extent>
      described;             // the extents in the disk's order, as the descriptor has them
  std::string change_track;  // NAME-ctk.vmdk, in the datastore; empty: nobody keeps track
  std::string change_id;     // of the last period that has ended (vmx/change_track.h)
};

constexpr std::uint64_t max_disk_capacity = 62ULL << 40;  // bytes; vSphere 7's maximum

void create_disk(const Location& disk, const DiskSpec& spec, const Progress& progress = {},
                 std::stop_token stop = {});

// The descriptor and every extent it names.
void delete_disk(const Location& disk);

// A new disk of the same content and uuid of its own, laid out for a host to run it unless asked
// otherwise. `provisioning` and `adapter` default to the source's; one in grains is thin. Of a
// delta the copy has all that it reads as, and is a disk by itself.
struct CopySpec {
  std::optional<Provisioning> provisioning;
  std::optional<vmx::AdapterType> adapter;
  DiskLayout layout = DiskLayout::vmfs;
  IfExists if_exists = IfExists::fail;
};
void copy_disk(const Location& from, const Location& to, const CopySpec& spec = {},
               const Progress& progress = {}, std::stop_token stop = {});

// The same disk under another name; between datastores by way of a copy, which a crash at the very
// end may leave beside the original.
void move_disk(const Location& from, const Location& to, IfExists if_exists = IfExists::fail,
               const Progress& progress = {}, std::stop_token stop = {});

// Grows a disk of one flat extent to `capacity` bytes. The new part is as the rest, or eager zeroed
// when asked for. ErrorKind::invalid_state while there is a delta of the disk.
void extend_disk(const Location& disk, std::uint64_t capacity, bool eager_zero = false,
                 const Progress& progress = {}, std::stop_token stop = {});

// Makes the descriptor tell the extent's present size: for a disk that the guest's hypervisor,
// which has it open, has grown.
void adopt_size(const Location& disk);

// Gives a disk every block it lacks, zeros written; what the guest wrote stays. Thin and lazily
// zeroed disks become eager zeroed. Cancelled, the disk is still what it was, only larger.
void inflate_disk(const Location& disk, const Progress& progress = {}, std::stop_token stop = {});

// Overwrites the whole disk with zeros: its content is lost. ErrorKind::invalid_state while there
// is a delta of the disk.
void zero_fill_disk(const Location& disk, const Progress& progress = {}, std::stop_token stop = {});

// Gives the blocks that hold only zeros back: thin disks, and disks in grains, which are written
// anew for it.
void shrink_disk(const Location& disk, const Progress& progress = {}, std::stop_token stop = {});

// Writes the disk's files anew, so that what follows in the disk follows on the file system too.
void defragment_disk(const Location& disk, const Progress& progress = {},
                     std::stop_token stop = {});

// Of the borders between blocks of the disk's data, how many percent lead to somewhere else on the
// file system. 0 where the file system does not tell.
int query_fragmentation(const Location& disk);

// Throws not_found, damaged (a torn descriptor, an extent missing or short).
DiskInfo query_disk(const Location& disk);
vmx::VmdkDescriptor read_descriptor(const Location& disk);

// "60 00 C2 9a …", as the descriptor has it. A disk without one is given one first. As with
// set_disk_uuid(), that is done only while nobody uses the disk: busy.
std::string disk_uuid(const Location& disk);
// Throws invalid_argument for what is no UUID, unsupported for a descriptor within the disk.
void set_disk_uuid(const Location& disk, std::string_view uuid);

}  // namespace virga::datastore
