// The text that describes a virtual disk: VMware's Virtual Disk Format 5.0. The guest's data lies
// in the extents it names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace virga::vmx {

constexpr std::uint64_t sector_size = 512;  // bytes; the unit of every size in a descriptor
constexpr std::uint64_t max_disk_sectors = 1ULL << 53;  // 2^62 bytes: sums stay within 64 bits

enum class AdapterType { ide, bus_logic, lsi_logic, pvscsi };

// "ide", "buslogic", "lsilogic" and "pvscsi", the words of ddb.adapterType.
std::string_view to_string(AdapterType type);
std::optional<AdapterType> adapter_type_from(std::string_view text);

// Cylinders, heads and sectors: what a BIOS and old guests are told a disk looks like.
struct Geometry {
  std::uint64_t cylinders = 0;
  unsigned heads = 0;
  unsigned sectors = 0;

  bool operator==(const Geometry&) const = default;
};

// ATA's fixed 16 heads by 63 sectors and at most 16383 cylinders; for SCSI the translation of the
// adapters' BIOS: 64 × 32 below 1 GiB, 128 × 32 below 2 GiB, 255 × 63 above.
Geometry geometry_for(std::uint64_t capacity_sectors, AdapterType adapter);

struct Extent {
  enum class Access { read_write, read_only, none };

  Access access = Access::read_write;
  std::uint64_t sectors = 0;
  std::string type;  // FLAT, VMFS, SPARSE, VMFSSPARSE, SESPARSE, ZERO, VMFSRDM, ...
  std::string file;  // relative to the descriptor; empty only for ZERO
  std::optional<std::uint64_t> offset;  // sectors into `file`; written for FLAT

  // The file holds the guest's sectors as they are.
  bool is_flat() const { return type == "FLAT" || type == "VMFS"; }

  bool operator==(const Extent&) const = default;
};

struct VmdkDescriptor {
  struct Entry {
    std::string key;
    std::string value;
    bool operator==(const Entry&) const = default;
  };

  static constexpr std::size_t max_size = 1 << 20;  // bytes of text
  static constexpr std::uint32_t no_parent = 0xffffffff;

  int version = 1;
  std::uint32_t cid = 0xfffffffe;  // changes with the content; a child names its parent's
  std::uint32_t parent_cid = no_parent;
  std::string create_type = "vmfs";  // vmfs, vmfsSparse, monolithicFlat, monolithicSparse,
                                     // streamOptimized, twoGbMaxExtentFlat, ...
  std::string parent_file;           // parentFileNameHint; empty without a parent
  std::string change_track_file;     // changeTrackPath (change_track.h); empty: nobody keeps track
  std::vector<Extent> extents;

  // The disk database, ddb.*
  std::optional<AdapterType> adapter;
  std::optional<Geometry> geometry;
  std::optional<int> hardware_version;  // ddb.virtualHWVersion
  std::string uuid;                     // "60 00 C2 9a 6b 1c 22 d1-0f 3e 55 a0 91 8c 4d 70"
  bool thin = false;                    // ddb.thinProvisioned
  std::string long_content_id;          // 32 hex digits

  // What is not named above, in the file's order: it goes out as it came in.
  std::vector<Entry> other_header;
  std::vector<Entry> other_ddb;

  std::uint64_t capacity_sectors() const;

  // Throws ErrorKind::damaged naming `name` and the line. Takes the zero padding that follows a
  // descriptor embedded in a sparse extent.
  static VmdkDescriptor parse(std::string_view text, const std::string& name);
  std::string serialise() const;

  bool operator==(const VmdkDescriptor&) const = default;
};

// The text starts as a descriptor does; the way to tell one from an extent that is called .vmdk
// too.
bool looks_like_descriptor(std::string_view beginning);

// A disk's uuid as descriptors write it, "60 00 C2 9a 6b 1c 22 d1-0f 3e 55 a0 91 8c 4d 70": the NAA
// prefix of VMware's virtual disks, then random. ("C2" is upper case by VMware's habit.)
std::string make_disk_uuid();
// That form, and the API's "6000C29a-6b1c-22d1-0f3e-55a0918c4d70", from either of them in any case.
// Both throw ErrorKind::invalid_argument.
std::string vmdk_disk_uuid(std::string_view text);
std::string api_disk_uuid(std::string_view text);

}  // namespace virga::vmx
