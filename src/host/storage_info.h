// A machine's storage in the API's terms. Pure.
#pragma once

#include <string>

#include "storage/devices.h"
#include "storage/iscsi/adapter.h"
#include "storage/partitions.h"
#include "vim/types.h"

namespace virga::host {

vim::HostStorageDeviceInfo storage_device_info(const storage::Devices& devices);
vim::HostMultipathStateInfo multipath_state_info(const storage::Devices& devices);
// A disk as lists of candidates have it.
vim::HostScsiDisk describe_disk(const storage::LogicalUnit& unit);

vim::HostDiskPartitionInfo partition_info(const std::string& device,
                                          const storage::PartitionTable& table,
                                          std::uint64_t device_bytes);
// What a layout of blocks comes to as a table of the format ("gpt", "mbr").
vim::HostDiskPartitionSpec partition_spec(const vim::HostDiskPartitionLayout& layout,
                                          const std::string& format);

// The software iSCSI adapter's part of its HostInternetScsiHba: settings without secrets.
void describe_iscsi_settings(vim::HostInternetScsiHba& hba, const storage::IscsiSettings& settings,
                             const std::vector<storage::IscsiAdapter::Discovered>& discovered);

}  // namespace virga::host
