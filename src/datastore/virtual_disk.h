// Virtual disks as ESXi lays them out: NAME.vmdk, a text descriptor that only we write, and
// NAME-flat.vmdk, the guest's sectors as they are, which QEMU opens raw.
//
// A disk somebody has open, a guest or another of these operations, here or on another host, is
// refused with ErrorKind::busy (OFD locks on the extent; QEMU's image locks count). A full file
// system is ErrorKind::no_space. A failed or cancelled operation leaves what was there before; one
// that the process does not live to finish is undone by sweep().
#pragma once

#include <cstdint>
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

struct DiskSpec {
  std::uint64_t capacity = 0;  // bytes, a multiple of 512
  Provisioning provisioning = Provisioning::thin;
  vmx::AdapterType adapter = vmx::AdapterType::lsi_logic;
  int hardware_version = 19;
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
  std::string parent;                // the disk this one is a delta of; empty for a base disk
  std::vector<std::string> extents;  // paths in the datastore
};

constexpr std::uint64_t max_disk_capacity = 62ULL << 40;  // bytes; vSphere 7's maximum

void create_disk(const Location& disk, const DiskSpec& spec, const Progress& progress = {},
                 std::stop_token stop = {});

// The descriptor and every extent it names.
void delete_disk(const Location& disk);

// A new disk of the same content and uuid of its own. `provisioning` and `adapter` default to the
// source's. Reads any flat disk; sparse and stream-optimized ones are ErrorKind::unsupported.
struct CopySpec {
  std::optional<Provisioning> provisioning;
  std::optional<vmx::AdapterType> adapter;
  IfExists if_exists = IfExists::fail;
};
void copy_disk(const Location& from, const Location& to, const CopySpec& spec = {},
               const Progress& progress = {}, std::stop_token stop = {});

// The same disk under another name; between datastores by way of a copy, which a crash at the very
// end may leave beside the original. Disks of one flat extent; others are ErrorKind::unsupported.
void move_disk(const Location& from, const Location& to, IfExists if_exists = IfExists::fail,
               const Progress& progress = {}, std::stop_token stop = {});

// Grows the disk to `capacity` bytes. The new part is as the rest, or eager zeroed when asked for.
void extend_disk(const Location& disk, std::uint64_t capacity, bool eager_zero = false,
                 const Progress& progress = {}, std::stop_token stop = {});

// Makes the descriptor tell the extent's present size: for a disk that the guest's hypervisor,
// which has it open, has grown.
void adopt_size(const Location& disk);

// Gives a disk every block it lacks, zeros written; what the guest wrote stays. Thin and lazily
// zeroed disks become eager zeroed. Cancelled, the disk is still what it was, only larger.
void inflate_disk(const Location& disk, const Progress& progress = {}, std::stop_token stop = {});

// Overwrites the whole disk with zeros: its content is lost.
void zero_fill_disk(const Location& disk, const Progress& progress = {}, std::stop_token stop = {});

// Gives the blocks that hold only zeros back; thin disks only.
void shrink_disk(const Location& disk, const Progress& progress = {}, std::stop_token stop = {});

// Throws not_found, damaged (a torn descriptor, an extent missing or short).
DiskInfo query_disk(const Location& disk);
vmx::VmdkDescriptor read_descriptor(const Location& disk);

void set_disk_uuid(const Location& disk, std::string_view uuid);

}  // namespace virga::datastore
