// Internal to storage_info: the keys by which the parts of a HostStorageDeviceInfo name each other,
// and the parts that are topologies.
#pragma once

#include "storage/devices.h"
#include "vim/types.h"

namespace virga::host {

std::string adapter_key(const storage::Adapter& adapter);
std::string unit_key(const storage::LogicalUnit& unit);
bool is_nvme(storage::AdapterKind kind);

// What vSphere calls the ways of choosing a path.
constexpr std::string_view psp_round_robin = "VMW_PSP_RR";
constexpr std::string_view psp_most_recent = "VMW_PSP_MRU";
constexpr std::string_view psp_fixed = "VMW_PSP_FIXED";

// storage_topology.cpp
model::Ptr<vim::HostScsiTopology> scsi_topology(const storage::Devices& devices);
model::Ptr<vim::HostMultipathInfo> multipath_info(const storage::Devices& devices);
model::Ptr<vim::HostPlugStoreTopology> plug_store_topology(const storage::Devices& devices);
model::Ptr<vim::HostNvmeTopology> nvme_topology(const storage::Devices& devices);

}  // namespace virga::host
