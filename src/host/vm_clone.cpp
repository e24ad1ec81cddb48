#include "host/vm_clone.h"

#include <algorithm>
#include <array>
#include <map>

#include "datastore/delta_disk.h"
#include "host/vm_config_planning.h"
#include "host/vm_config_unserved.h"
#include "host/vm_config_words.h"
#include "host/vm_disk_chain.h"
#include "host/vm_identity.h"
#include "host/vm_swap.h"
#include "kernel/faults.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

using Locator = vim::VirtualMachineRelocateSpecDiskLocator;
using vim::VirtualMachineRelocateDiskMoveOptions;

// --- What is asked for -------------------------------------------------------------------------

// Whether the disk is to be a delta of the source's, rather than a copy.
bool is_linked(const std::optional<std::string>& move_type, const std::string& field) {
  if (!move_type || move_type->empty()) return false;
  constexpr std::array full = {"moveAllDiskBackingsAndAllowSharing",
                               "moveAllDiskBackingsAndDisallowSharing",
                               "moveAllDiskBackingsAndConsolidate"};
  if (std::ranges::find(full, *move_type) != full.end()) return false;
  if (*move_type == "createNewChildDiskBacking") return true;
  if (*move_type != "moveChildMostDiskBacking")
    throw kernel::invalid_argument(field, fmt::format("there is no move type '{}'", *move_type));
  throw kernel::Fault(vim::DiskMoveTypeNotSupported{},
                      fmt::format("{}: {} is not supported.", field, *move_type));
}

bool is_linked(const vim::VirtualMachineRelocateSpec& location, const Locator* locator) {
  const bool is_own = locator && locator->diskMoveType && !locator->diskMoveType->empty();
  return is_own ? is_linked(locator->diskMoveType, "spec.location.disk.diskMoveType")
                : is_linked(location.diskMoveType, "spec.location.diskMoveType");
}

void check_backing(const vim::VirtualDeviceBackingInfo& backing, const std::string& field) {
  const auto& type = backing.type_info();
  if (&type != &vim::VirtualDiskFlatVer2BackingInfo::static_type())
    throw kernel::not_supported(fmt::format("{} (a {})", field, type.name));
  // The disk's own file and mode stay what they are; the API wants them filled in.
  refuse_unserved(backing, nullptr,
                  {"fileName", "datastore", "diskMode", "thinProvisioned", "eagerlyScrub"}, field);
}

void check_request(const vim::VirtualMachineCloneSpec& spec) {
  refuse_unserved(spec, nullptr, {"location", "template", "config", "powerOn", "snapshot"}, "spec");
  if (spec.template_ && spec.powerOn)
    throw kernel::invalid_argument("spec.powerOn", "a template cannot be powered on");
  const vim::VirtualMachineRelocateSpec& location = spec.location;
  refuse_unserved(location, nullptr,
                  {"folder", "datastore", "diskMoveType", "pool", "host", "disk", "transform",
                   "deviceChange", "profile"},
                  "spec.location");
  refuse_profiles(location.profile, "spec.location.profile");
  is_linked(location, nullptr);
  for (const auto& disk : location.disk) {
    const Locator& locator = *disk;
    const std::string field = fmt::format("spec.location.disk[{}]", locator.diskId);
    refuse_unserved(locator, nullptr,
                    {"diskId", "datastore", "diskMoveType", "diskBackingInfo", "profile"}, field);
    refuse_profiles(locator.profile, field + ".profile");
    is_linked(location, &locator);
    if (locator.diskBackingInfo)
      check_backing(*locator.diskBackingInfo, field + ".diskBackingInfo");
  }
}

std::map<int, const Locator*> locators_by_disk(const vim::VirtualMachineRelocateSpec& location,
                                               const vmx::MachineConfig& source) {
  std::map<int, const Locator*> locators;
  for (const auto& wanted : location.disk) {
    const Locator& locator = *wanted;
    const bool is_known = std::ranges::any_of(
        source.disks, [&](const vmx::Disk& disk) { return device_key(disk) == locator.diskId; });
    if (!is_known)
      throw kernel::invalid_argument("spec.location.disk.diskId",
                                     fmt::format("there is no disk {}", locator.diskId));
    if (!locators.emplace(locator.diskId, &locator).second)
      throw kernel::invalid_argument("spec.location.disk.diskId",
                                     fmt::format("disk {} is named twice", locator.diskId));
  }
  return locators;
}

std::optional<datastore::Provisioning> provisioning_of(
    const vim::VirtualMachineRelocateSpec& location, const Locator* locator) {
  using datastore::Provisioning;
  using vim::VirtualMachineRelocateTransformation;
  if (locator && locator->diskBackingInfo) {
    const auto& backing =
        static_cast<const vim::VirtualDiskFlatVer2BackingInfo&>(*locator->diskBackingInfo);
    const bool thin = backing.thinProvisioned.value_or(false);
    const bool eager = backing.eagerlyScrub.value_or(false);
    if (thin && eager)
      throw kernel::invalid_argument("spec.location.disk.diskBackingInfo.eagerlyScrub",
                                     "a disk cannot be both thin and written with zeros");
    return thin    ? Provisioning::thin
           : eager ? Provisioning::eager_zeroed
                   : Provisioning::lazy_zeroed;
  }
  if (!location.transform) return std::nullopt;
  return *location.transform == VirtualMachineRelocateTransformation::sparse
             ? Provisioning::thin
             : Provisioning::lazy_zeroed;
}

// --- The configuration -------------------------------------------------------------------------

// What a .vmx says of a run, or of files that the clone has not got.
bool is_of_a_run(std::string_view key) {
  constexpr std::array whole = {swap_file_key, "vmxstats.filename", "replay.filename"};
  constexpr std::array families = {"migrate.", "vmotion.", "checkpoint."};
  return std::ranges::any_of(whole, [&](auto it) { return vmx::equal_ignoring_case(key, it); }) ||
         std::ranges::any_of(families, [&](std::string_view it) {
           return vmx::equal_ignoring_case(key.substr(0, it.size()), it);
         });
}

// Another VM's reference to the file: images stay where they are.
void refer_from_elsewhere(std::string& file, const ConfigContext& from, const ConfigContext& here) {
  const auto path = find_file(from, file);
  if (path) file = file_reference(here, *path);
}

// Everything but its disks' files.
vmx::MachineConfig another_vm(vmx::MachineConfig config, const std::string& name,
                              const ConfigContext& from, const ConfigContext& here) {
  config.display_name = name;
  // An address that a center gave is not for two; nobody but this host could give the clone one.
  vmx::for_each_adapter(config, [](auto& adapter) {
    if (adapter.address_type == vmx::AddressType::assigned)
      adapter.address_type = vmx::AddressType::generated;
  });
  become_a_copy(config, here);
  config.location_uuid = location_uuid(here);
  config.nvram = here.config_file.stem() + ".nvram";
  config.extended_config = here.config_file.stem() + ".vmxf";
  config.suspend_state.clear();
  config.working_directory.clear();
  config.clean_shutdown = true;
  for (vmx::CdRom& cdrom : config.cdroms)
    if (cdrom.backing == vmx::CdRomBacking::image) refer_from_elsewhere(cdrom.file, from, here);
  for (vmx::Floppy& floppy : config.floppies)
    if (floppy.backing == vmx::FloppyBacking::image) refer_from_elsewhere(floppy.file, from, here);
  std::erase_if(config.extra, [](const auto& entry) { return is_of_a_run(entry.key); });
  return config;
}

// --- Disks -------------------------------------------------------------------------------------

datastore::DiskInfo require_copyable(const vmx::MachineConfig& source, const vmx::Disk& disk,
                                     const vmx::DatastorePath& path, const ConfigContext& from) {
  const auto info = from.disk(path);
  if (!info) {
    vim::FileNotFound detail;
    detail.file = path.format();
    throw kernel::Fault(std::move(detail), fmt::format("{}: {} is missing or cannot be read.",
                                                       source.display_name, path.format()));
  }
  if (raw_mapping(path, from)) {
    vim::RDMConversionNotSupported detail;
    detail.device = label(source, disk);
    throw kernel::Fault(std::move(detail),
                        fmt::format("{} of {} is a raw device, which is not copied.",
                                    label(source, disk), source.display_name));
  }
  return *info;
}

// What the copy of such a disk is.
datastore::DiskInfo info_of_copy(datastore::DiskInfo info, datastore::Provisioning provisioning,
                                 const vmx::DatastorePath& to) {
  info.provisioning = provisioning;
  info.create_type = "vmfs";
  info.layout = datastore::DiskLayout::vmfs;
  info.parent.clear();
  info.described = {{vmx::Extent::Access::read_write, info.capacity / vmx::sector_size, "VMFS",
                     to.stem() + "-flat.vmdk", std::nullopt}};
  return info;
}

datastore::DiskInfo info_of_child(datastore::DiskInfo info, const vmx::DatastorePath& parent) {
  info.create_type = datastore::delta_create_type;
  info.layout.reset();
  info.parent = parent.format();
  return info;
}

// Only what a snapshot has is not written any more.
void require_linkable(const vmx::MachineConfig& source, const vim::VirtualMachineCloneSpec& spec,
                      const vmx::DatastorePath& disk, const vmx::DatastorePath& child) {
  if (!spec.snapshot)
    throw kernel::invalid_argument("spec.snapshot",
                                   "createNewChildDiskBacking needs a snapshot of the source");
  if (disk.datastore() != child.datastore())
    throw kernel::not_supported(fmt::format("Linking {} to {} of {}, in another datastore",
                                            child.format(), disk.format(), source.display_name));
}

class DiskPlacer {
 public:
  DiskPlacer(const vmx::MachineConfig& source, const ConfigContext& from,
             const CloneRequest& wanted, const ConfigContext& here)
      : source_(source), from_(from), wanted_(wanted), here_(here) {}

  // Plans the copies, and makes `config` name them.
  void place(vmx::MachineConfig& config) {
    const vim::VirtualMachineRelocateSpec& location = wanted_.spec->location;
    const auto locators = locators_by_disk(location, source_);
    for (vmx::Disk& disk : config.disks) {
      const auto found = locators.find(device_key(disk));
      const Locator* locator = found == locators.end() ? nullptr : found->second;
      const auto path = resolve_file(from_, disk.file);
      const auto info = require_copyable(source_, disk, path, from_);
      const auto to = free_name(datastore_for(path, locator));
      const auto provisioning = provisioning_of(location, locator);
      copies_.push_back({path, to, provisioning, info.capacity, {}});
      copies_.back().is_linked = is_linked(location, locator) && takes_part_in_snapshots(disk);
      if (copies_.back().is_linked) {
        require_linkable(source_, *wanted_.spec, path, to);
        infos_[to.format()] = info_of_child(info, path);
      } else {
        const auto base = from_.disk(disk_chain(path, from_).front());
        infos_[to.format()] =
            info_of_copy(info, provisioning.value_or((base ? *base : info).provisioning), to);
      }
      disk.file = file_reference(here_, to);
      disk.redo.clear();
    }
  }

  const std::vector<DiskToCopy>& copies() const { return copies_; }
  const std::map<std::string, datastore::DiskInfo>& infos() const { return infos_; }

 private:
  std::string datastore_for(const vmx::DatastorePath& disk, const Locator* locator) const {
    if (locator) return here_.name_of(locator->datastore);
    const auto& all = wanted_.spec->location.datastore;
    return all ? here_.name_of(*all) : disk.datastore();
  }

  vmx::DatastorePath free_name(const std::string& datastore) const {
    const vmx::DatastorePath folder = wanted_.folder_on(datastore);
    const std::string stem = here_.config_file.stem();
    vmx::DatastorePath path = folder / (stem + ".vmdk");
    for (int n = 1; infos_.contains(path.format()) || here_.disk(path); ++n)
      path = folder / fmt::format("{}_{}.vmdk", stem, n);
    return path;
  }

  const vmx::MachineConfig& source_;
  const ConfigContext& from_;
  const CloneRequest& wanted_;
  const ConfigContext& here_;
  std::vector<DiskToCopy> copies_;
  std::map<std::string, datastore::DiskInfo> infos_;  // of the copies
};

// Clients show a device as they found it at the source, with what is the source's alone: a disk's
// file, an address that was generated.
void mean_the_clone(vim::VirtualDeviceConfigSpec& change) {
  using Operation = vim::VirtualDeviceConfigSpecOperation;
  if (!change.operation || *change.operation != Operation::edit) return;
  if (change.device.as<vim::VirtualDisk>()) {
    const auto* of_source = change.device->backing.as<vim::VirtualDiskFlatVer2BackingInfo>();
    if (!of_source) return;
    vim::VirtualDiskFlatVer2BackingInfo asked;
    asked.diskMode = of_source->diskMode;
    asked.sharing = of_source->sharing;
    asked.eagerlyScrub = of_source->eagerlyScrub;
    change.device.edit().backing = model::share(std::move(asked));
  } else if (const auto* card = change.device.as<vim::VirtualEthernetCard>()) {
    if (card->addressType == "manual" || !card->macAddress) return;
    auto& edited = static_cast<vim::VirtualEthernetCard&>(change.device.edit());
    edited.addressType = "generated";
    edited.macAddress.reset();
  }
}

// spec.config and the devices of spec.location, which come first.
vim::VirtualMachineConfigSpec change_of(const CloneRequest& wanted) {
  vim::VirtualMachineConfigSpec change;
  if (wanted.spec->config) change = *wanted.spec->config;
  change.name = wanted.name;
  change.changeVersion.reset();  // of the source
  auto devices = wanted.spec->location.deviceChange;
  for (const auto& device : change.deviceChange) devices.push_back(device);
  change.deviceChange.clear();
  for (model::Ptr<vim::VirtualDeviceConfigSpec> device : devices) {
    mean_the_clone(device.edit());
    change.deviceChange.push_back(std::move(device));
  }
  return change;
}

}  // namespace

std::string datastore_of_clone(const vim::VirtualMachineRelocateSpec& location,
                               const ConfigContext& from) {
  return location.datastore ? from.name_of(*location.datastore) : from.config_file.datastore();
}

void require_readable_beside_guest(const vmx::MachineConfig& source) {
  for (const vmx::Disk& disk : source.disks) {
    if (takes_part_in_snapshots(disk) && !is_shared(source, disk)) continue;
    const char* why = is_shared(source, disk) ? "other VMs may write to it" : "it is independent";
    vim::DeviceNotSupported detail;
    detail.device = label(source, disk);
    throw kernel::Fault(std::move(detail),
                        fmt::format("{} of {} cannot be copied while the guest runs: {}.",
                                    label(source, disk), source.display_name, why));
  }
}

ClonePlan plan_clone(const vmx::MachineConfig& source, const ConfigContext& from,
                     const CloneRequest& wanted, const ConfigContext& here) {
  check_request(*wanted.spec);
  vmx::MachineConfig config = another_vm(source, wanted.name, from, here);
  DiskPlacer placer(source, from, wanted, here);
  placer.place(config);
  ConfigContext around = here;
  around.disk = [&](const vmx::DatastorePath& path) -> std::optional<datastore::DiskInfo> {
    const auto copied = placer.infos().find(path.format());
    return copied == placer.infos().end() ? here.disk(path) : std::optional(copied->second);
  };
  ConfigPlan change = plan_change(config, change_of(wanted), around, false);
  if (!source.tpms.empty() && !change.config.tpms.empty())
    throw kernel::not_supported(fmt::format("A copy of {} with its TPM", source.display_name));
  ClonePlan plan{std::move(change.config), {}, change.create, change.privileges};
  for (const DiskToCopy& planned : placer.copies()) {
    const bool is_kept = std::ranges::any_of(plan.config.disks, [&](const vmx::Disk& disk) {
      return resolve_file(here, disk.file) == planned.to;
    });
    if (!is_kept) continue;
    plan.copy.push_back(planned);
    const auto growth = std::ranges::find(change.grow, planned.to, &DiskToGrow::path);
    if (growth != change.grow.end()) plan.copy.back().growth = *growth;
  }
  return plan;
}

}  // namespace virga::host
