#include "host/vm_redo.h"

#include "base/uuid.h"
#include "datastore/files.h"
#include "kernel/faults.h"

namespace virga::host {
namespace {

constexpr std::string_view mark = ".REDO_";
constexpr std::size_t suffix_length = 6;

// A foreign .vmx may say anything, and what it names will be deleted.
bool is_redo(std::string_view name) {
  const std::size_t at = name.rfind(mark);
  return at != std::string_view::npos && at > 0 && name.find('/') == std::string_view::npos &&
         name.size() == at + mark.size() + suffix_length;
}

std::string name_of(const vmx::Disk& disk) {
  return disk.redo.starts_with("./") ? disk.redo.substr(2) : disk.redo;
}

std::string other_name(std::string name) {
  name.back() = name.back() == '0' ? '1' : '0';
  return name;
}

}  // namespace

bool discards_changes(const vmx::Disk& disk) {
  return disk.mode == vmx::DiskMode::independent_nonpersistent;
}

bool has_redo(const vmx::Disk& disk) {
  return is_redo(name_of(disk));
}

std::string next_redo(const vmx::Disk& disk) {
  if (has_redo(disk)) return other_name(name_of(disk));
  const std::string name = disk.file.substr(disk.file.rfind('/') + 1);
  return name + std::string(mark) + random_hex(3).substr(1) + "0";
}

vmx::DatastorePath redo_file(const vmx::DatastorePath& config_file, const vmx::Disk& disk) {
  if (!has_redo(disk))
    throw kernel::invalid_state(fmt::format("{} has no file for the changes to {}: '{}' is none.",
                                            config_file.format(), disk.file, disk.redo));
  return config_file.sibling(name_of(disk));
}

void remove_redos(const datastore::Location& config_file, const std::vector<vmx::Disk>& disks) {
  for (const vmx::Disk& disk : disks)
    if (has_redo(disk)) datastore::remove_if_present(config_file.sibling(name_of(disk)));
  remove_other_redos(config_file, disks);
}

void remove_other_redos(const datastore::Location& config_file,
                        const std::vector<vmx::Disk>& disks) {
  for (const vmx::Disk& disk : disks)
    if (has_redo(disk))
      datastore::remove_if_present(config_file.sibling(other_name(name_of(disk))));
}

}  // namespace virga::host
