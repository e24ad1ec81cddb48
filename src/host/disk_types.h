// Disks in the API's words.
#pragma once

#include <string>

#include "datastore/virtual_disk.h"
#include "kernel/faults.h"

namespace virga::host {

// "VirtualDiskFlatVer2BackingInfo" for what QEMU and ESXi open as it is.
inline std::string disk_backing_type(const datastore::DiskInfo& disk) {
  return disk.create_type == "monolithicSparse" || disk.create_type == "streamOptimized"
             ? "VirtualDiskSparseVer2BackingInfo" : "VirtualDiskFlatVer2BackingInfo";
}

inline std::string controller_type(vmx::AdapterType adapter) {
  switch (adapter) {
    case vmx::AdapterType::ide: return "VirtualIDEController";
    case vmx::AdapterType::bus_logic: return "VirtualBusLogicController";
    default: return "VirtualLsiLogicController";
  }
}

// VirtualDiskSpec's diskType and adapterType; throw InvalidArgument naming the word.
inline datastore::Provisioning provisioning_of(const std::string& disk_type) {
  if (disk_type == "thin") return datastore::Provisioning::thin;
  if (disk_type == "preallocated" || disk_type == "thick") return datastore::Provisioning::lazy_zeroed;
  if (disk_type == "eagerZeroedThick") return datastore::Provisioning::eager_zeroed;
  throw kernel::not_supported("A disk of type " + disk_type);
}

inline vmx::AdapterType adapter_of(const std::string& adapter_type) {
  if (adapter_type == "ide") return vmx::AdapterType::ide;
  if (adapter_type == "busLogic") return vmx::AdapterType::bus_logic;
  if (adapter_type == "lsiLogic") return vmx::AdapterType::lsi_logic;
  throw kernel::invalid_argument("spec.adapterType", "there is no adapter type " + adapter_type);
}

}  // namespace virga::host
