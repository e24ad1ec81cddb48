// The files a VM consists of and what they occupy: layout, layoutEx, storage and summary.storage of
// the API, in the file systems' own figures.
//
// Three steps for three places: files_of() says what to look at by the configuration, survey()
// looks, and describe() puts what was found into the API's words.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datastore/occupancy.h"
#include "host/vm_config.h"

namespace virga::host {

struct VmFiles {
  struct File {
    std::string type;  // of VirtualMachineFileLayoutExFileType
    vmx::DatastorePath path;
    bool optional = false;  // left out while there is no such file
  };
  struct Disk {
    int key = 0;
    vmx::DatastorePath path;  // of the descriptor the VM runs on
  };

  struct Snapshot {
    MoRef reference;
    vmx::DatastorePath data;
    std::optional<vmx::DatastorePath> memory;
    std::vector<Disk> disks;
  };

  vmx::DatastorePath config_file;
  std::vector<File> files;  // but the disks', and those that bear a number
  std::vector<Disk> disks;
  std::vector<Snapshot> snapshots;
  std::optional<vmx::DatastorePath> swap;  // of a VM that may run
  std::uint64_t swap_size = 0;             // bytes
  Volumes volumes;
};
VmFiles files_of(const vmx::MachineConfig& config, const ConfigContext& context);

struct FileSurvey {
  struct File {
    std::string type;
    vmx::DatastorePath path;
    std::optional<datastore::Occupancy> occupancy;  // nullopt: it cannot be read
  };
  struct Disk {
    int key = 0;
    // Indexes of files: the base disk's first, and of each disk the descriptor's before its
    // extents'.
    std::vector<std::vector<int>> chain;
    std::uint64_t growth = 0;  // bytes the one the VM runs on may still take
  };

  struct Snapshot {
    MoRef reference;
    int data = 0;
    int memory = -1;  // none
    std::vector<Disk> disks;
  };

  std::vector<File> files;
  std::vector<Disk> disks;
  std::vector<Snapshot> snapshots;
  std::string swap_datastore;     // where the swap file is, or would be; empty for a template
  std::uint64_t swap_growth = 0;  // bytes it may still take
};
// Blocks. Of a datastore that is not among these (by name), no file can be read.
using Datastores = std::map<std::string, std::shared_ptr<const datastore::Datastore>>;
FileSurvey survey(const VmFiles& files, const Datastores& datastores);

struct VmStorage {
  vim::VirtualMachineFileLayout layout;
  vim::VirtualMachineFileLayoutEx layout_ex;
  vim::VirtualMachineStorageInfo usage;
  vim::VirtualMachineStorageSummary summary;
};
struct StorageContext {
  std::function<std::optional<MoRef>(const std::string& name)> datastore;
  std::function<bool(const std::string& path)> is_shared;  // another VM consists of that file too
  model::Time now;
};
VmStorage describe(const FileSurvey& survey, const StorageContext& context);

}  // namespace virga::host
