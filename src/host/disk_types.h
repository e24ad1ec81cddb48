// Disks in the API's words.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "datastore/virtual_disk.h"
#include "kernel/faults.h"

namespace virga::host {

// In files of grains, which the API backs by VirtualDiskSparseVer2BackingInfo.
inline bool is_sparse(const datastore::DiskInfo& disk) {
  using datastore::DiskLayout;
  return disk.layout == DiskLayout::split_sparse || disk.layout == DiskLayout::monolithic_sparse ||
         disk.layout == DiskLayout::stream_optimized;
}

// In extents of 2 GB.
inline bool is_split(const datastore::DiskInfo& disk) {
  using datastore::DiskLayout;
  return disk.layout == DiskLayout::split_sparse || disk.layout == DiskLayout::split_flat;
}

inline std::string disk_backing_type(const datastore::DiskInfo& disk) {
  if (disk.mapping) return "VirtualDiskRawDiskMappingVer1BackingInfo";
  return is_sparse(disk) ? "VirtualDiskSparseVer2BackingInfo" : "VirtualDiskFlatVer2BackingInfo";
}

inline std::string controller_type(vmx::AdapterType adapter) {
  switch (adapter) {
    case vmx::AdapterType::ide:
      return "VirtualIDEController";
    case vmx::AdapterType::bus_logic:
      return "VirtualBusLogicController";
    default:
      return "VirtualLsiLogicController";
  }
}

// VirtualDiskSpec's diskType.
struct DiskType {
  datastore::DiskLayout layout;
  datastore::Provisioning provisioning;
};

// Throws NotSupported for a type that needs hardware or formats of VMware's own, InvalidArgument
// for a word that is no type.
inline DiskType disk_type_of(const std::string& word) {
  using datastore::DiskLayout, datastore::Provisioning;
  static const std::map<std::string_view, DiskType> types = {
      {"thin", {DiskLayout::vmfs, Provisioning::thin}},
      {"preallocated", {DiskLayout::vmfs, Provisioning::lazy_zeroed}},
      {"thick", {DiskLayout::vmfs, Provisioning::lazy_zeroed}},
      {"eagerZeroedThick", {DiskLayout::vmfs, Provisioning::eager_zeroed}},
      {"flatMonolithic", {DiskLayout::monolithic_flat, Provisioning::lazy_zeroed}},
      {"thick2Gb", {DiskLayout::split_flat, Provisioning::lazy_zeroed}},
      {"sparse2Gb", {DiskLayout::split_sparse, Provisioning::thin}},
      {"sparseMonolithic", {DiskLayout::monolithic_sparse, Provisioning::thin}}};
  if (const auto found = types.find(word); found != types.end()) return found->second;
  for (const char* known : {"seSparse", "rdm", "rdmp", "raw", "delta"})
    if (word == known) throw kernel::not_supported("A disk of type " + word);
  throw kernel::invalid_argument("spec.diskType", "there is no disk type " + word);
}

// VirtualDiskSpec's adapterType; throws InvalidArgument naming the word.
inline vmx::AdapterType adapter_of(const std::string& adapter_type) {
  if (adapter_type == "ide") return vmx::AdapterType::ide;
  if (adapter_type == "busLogic") return vmx::AdapterType::bus_logic;
  if (adapter_type == "lsiLogic") return vmx::AdapterType::lsi_logic;
  throw kernel::invalid_argument("spec.adapterType", "there is no adapter type " + adapter_type);
}

}  // namespace virga::host
