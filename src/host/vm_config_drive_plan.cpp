// Disks and CD-ROM drives that come, change and go.
#include "base/error.h"
#include "host/disk_types.h"
#include "host/hardware_version.h"
#include "host/vm_config_device_plan.h"
#include "host/vm_disk_chain.h"

namespace virga::host {

using FileOperation = vim::VirtualDeviceConfigSpecFileOperation;

namespace {

constexpr std::uint64_t kKib = 1024;

vmx::AdapterType adapter_of(vmx::Bus bus) {
  return bus == vmx::Bus::scsi ? vmx::AdapterType::lsi_logic : vmx::AdapterType::ide;
}

// Disks are made flat, or of a logical unit; others are taken as they are.
DiskBacking backing_of(const DeviceChange& change) {
  const auto& backing = change.device().backing;
  if (!backing)
    throw change.invalid<vim::InvalidDeviceBacking>("device.backing", "the disk has no backing");
  const auto& type = backing->type_info();
  if (&type == &vim::VirtualDiskFlatVer2BackingInfo::static_type()) {
    const auto& flat = static_cast<const vim::VirtualDiskFlatVer2BackingInfo&>(*backing);
    return {flat.fileName,
            flat.datastore,
            flat.diskMode,
            flat.sharing,
            flat.thinProvisioned.value_or(false),
            flat.eagerlyScrub.value_or(false)};
  }
  if (&type == &vim::VirtualDiskSparseVer2BackingInfo::static_type() &&
      !change.spec->fileOperation) {
    const auto& sparse = static_cast<const vim::VirtualDiskSparseVer2BackingInfo&>(*backing);
    return {.file = sparse.fileName, .datastore = sparse.datastore, .mode = sparse.diskMode};
  }
  if (&type == &vim::VirtualDiskRawDiskMappingVer1BackingInfo::static_type()) {
    const auto& raw = static_cast<const vim::VirtualDiskRawDiskMappingVer1BackingInfo&>(*backing);
    DiskBacking found = {.file = raw.fileName,
                         .datastore = raw.datastore,
                         .mode = raw.diskMode.value_or(""),
                         .sharing = raw.sharing};
    found.raw = {raw.deviceName.value_or(""), raw.lunUuid.value_or(""),
                 raw.compatibilityMode.value_or("")};
    return found;
  }
  throw change.not_supported(fmt::format("a disk with a {}", type.name));
}

bool is_physical(const DeviceChange& change, const std::string& compatibility) {
  if (compatibility == "physicalMode") return true;
  if (compatibility == "virtualMode") return false;
  throw change.invalid<vim::InvalidDeviceBacking>(
      "device.backing.compatibilityMode",
      fmt::format("'{}' is neither physicalMode nor virtualMode", compatibility));
}

// In physical mode nothing stands between guest and unit that could put a write elsewhere.
void require_mode_of_raw(const DeviceChange& change, bool physical, vmx::DiskMode mode) {
  if (physical && mode == vmx::DiskMode::independent_nonpersistent)
    throw change.invalid<vim::InvalidDeviceBacking>(
        "device.backing.diskMode", "a raw device in physical mode keeps what is written to it");
}

// What is asked for of an RDM that is there has to be what it is.
void require_same_unit(const DeviceChange& change, const vmx::DatastorePath& path,
                       const std::optional<datastore::RawMapping>& mapping,
                       const DiskBacking::Raw& raw, const ConfigContext& context) {
  const auto refuse = [&](const char* field, const std::string& why) {
    return change.invalid<vim::InvalidDeviceBacking>(fmt::format("device.backing.{}", field),
                                                     fmt::format("{} {}", path.format(), why));
  };
  if (!mapping) throw refuse("fileName", "is no raw device mapping");
  if (!raw.compatibility.empty() && is_physical(change, raw.compatibility) != mapping->passthrough)
    throw refuse("compatibilityMode", "is mapped in the other mode, which is for good");
  if (!raw.uuid.empty() && raw.uuid != mapping->uuid)
    throw refuse("lunUuid", "is the unit " + mapping->uuid);
  const auto device = raw.device.empty() ? std::nullopt : context.raw_device(raw.device);
  if (!raw.device.empty() && (!device || device->unit != mapping->unit))
    throw refuse("deviceName", "is the unit " + mapping->unit);
}

vmx::DiskMode mode_of(const DeviceChange& change, const std::string& word) {
  const auto mode = disk_mode_of(word);
  if (!mode)
    throw change.invalid<vim::InvalidDeviceBacking>(
        "device.backing.diskMode", fmt::format("there is no disk mode '{}'", word));
  if (*mode == vmx::DiskMode::nonpersistent || *mode == vmx::DiskMode::undoable ||
      *mode == vmx::DiskMode::append)
    throw change.not_supported(fmt::format("disk mode {}", word));
  return *mode;
}

bool is_multi_writer(const DeviceChange& change, const std::optional<std::string>& sharing) {
  if (!sharing || *sharing == "sharingNone") return false;
  if (*sharing == "sharingMultiWriter") return true;
  throw change.invalid<vim::InvalidDeviceBacking>(
      "device.backing.sharing", fmt::format("there is no disk sharing '{}'", *sharing));
}

datastore::Provisioning provisioning_of(const DeviceChange& change, const DiskBacking& backing) {
  if (backing.thin && backing.eager)
    throw change.invalid<vim::InvalidDeviceBacking>(
        "device.backing.eagerlyScrub", "a disk cannot be both thin and written with zeros");
  return backing.thin    ? datastore::Provisioning::thin
         : backing.eager ? datastore::Provisioning::eager_zeroed
                         : datastore::Provisioning::lazy_zeroed;
}

// The size asked for, or `present`. Of two that differ, the one that differs from the present
// counts.
std::uint64_t capacity_of(const DeviceChange& change, std::uint64_t present) {
  const auto& disk = change.device_as<vim::VirtualDisk>();
  const std::int64_t bytes = disk.capacityInBytes.value_or(0);
  if (bytes < 0 || disk.capacityInKB < 0 ||
      static_cast<std::uint64_t>(disk.capacityInKB) > datastore::max_disk_capacity / kKib)
    throw change.invalid("device.capacityInKB",
                         fmt::format("{} KB is no size of a disk", disk.capacityInKB));
  const auto from_kib = static_cast<std::uint64_t>(disk.capacityInKB) * kKib;
  if (bytes != 0 && static_cast<std::uint64_t>(bytes) != present)
    return static_cast<std::uint64_t>(bytes);
  return from_kib != 0 && from_kib / kKib != present / kKib ? from_kib : present;
}

void check_capacity(const DeviceChange& change, std::uint64_t capacity) {
  if (capacity == 0) throw change.invalid("device.capacityInKB", "the new disk has no size");
  if (capacity % vmx::sector_size != 0)
    throw change.invalid("device.capacityInBytes",
                         fmt::format("{} bytes are no whole number of sectors", capacity));
  if (capacity > datastore::max_disk_capacity)
    throw change.invalid("device.capacityInBytes",
                         fmt::format("{} bytes are more than the {} a disk can have", capacity,
                                     datastore::max_disk_capacity));
}

template <class FileFault>
kernel::Fault file_fault(const DeviceChange& change, const vmx::DatastorePath& path,
                         const char* what) {
  FileFault detail;
  detail.file = path.format();
  return kernel::Fault(std::move(detail),
                       fmt::format("Device '{}': {} {}.", change.index, path.format(), what));
}

}  // namespace

// --- Disks -------------------------------------------------------------------------------------

// Of the two places where shares stand, the one that differs from what they are counts.
void DevicePlanner::set_io(const DeviceChange& change, vmx::Disk& disk, FieldPaths& served) const {
  constexpr std::int64_t least = 16;  // as ESXi has it
  const auto& device = change.device_as<vim::VirtualDisk>();
  const vmx::Allocation before = disk.io;
  if (device.shares) set_shares(*device.shares, "device.shares", disk.io);
  if (const auto& wanted = device.storageIOAllocation) {
    const bool is_changed = disk.io != before;
    vmx::Allocation io = before;
    if (wanted->shares) set_shares(*wanted->shares, "device.storageIOAllocation.shares", io);
    if (!is_changed || io != before) disk.io = io;
    if (wanted->limit) {
      if (*wanted->limit != -1 && (*wanted->limit < least || *wanted->limit > vmx::max_iops_limit))
        throw change.invalid("device.storageIOAllocation.limit",
                             fmt::format("{} is neither -1, unlimited, nor within {} and {}",
                                         *wanted->limit, least, vmx::max_iops_limit));
      disk.io.limit = *wanted->limit == -1 ? std::nullopt : std::optional(*wanted->limit);
    }
  }
  served.merge(FieldPaths{"shares", "storageIOAllocation.shares", "storageIOAllocation.limit"});
}

bool DevicePlanner::uses_disk(const vmx::DatastorePath& path) const {
  return std::ranges::any_of(config().disks, [&](const vmx::Disk& disk) {
    return find_file(planning_.context, disk.file) == path;
  });
}

bool DevicePlanner::is_to_create(const vmx::DatastorePath& path) const {
  return std::ranges::find(planning_.plan.create, path, &DiskToCreate::path) !=
         planning_.plan.create.end();
}

// "[ds]" and no name at all leave the name to us: NAME.vmdk, NAME_1.vmdk, … in the VM's folder.
vmx::DatastorePath DevicePlanner::new_disk_path(const DeviceChange& change,
                                                const DiskBacking& backing) const {
  const ConfigContext& context = planning_.context;
  std::string name = backing.file;
  if (name.empty())
    name = fmt::format("[{}]", backing.datastore ? context.name_of(*backing.datastore)
                                                 : context.config_file.datastore());
  const vmx::DatastorePath asked = file_of(change, name);
  if (!asked.is_root()) {
    if (asked.extension() != ".vmdk")
      throw change.invalid<vim::InvalidDeviceBacking>("device.backing.fileName",
                                                      asked.format() + " is no .vmdk");
    const bool may_replace = change.spec->fileOperation == FileOperation::replace;
    if (may_replace && context.disk(asked))
      throw change.not_supported("replacing the disk " + asked.format());
    if (is_to_create(asked) || uses_disk(asked) || context.disk(asked))
      throw file_fault<vim::FileAlreadyExists>(change, asked, "exists already");
    return asked;
  }
  const vmx::DatastorePath folder(asked.datastore(), context.config_file.parent().path());
  const std::string base = context.config_file.stem();
  vmx::DatastorePath path = folder / (base + ".vmdk");
  for (int n = 1; is_to_create(path) || uses_disk(path) || context.disk(path); ++n)
    path = folder / fmt::format("{}_{}.vmdk", base, n);
  return path;
}

vmx::DatastorePath DevicePlanner::existing_disk(const DeviceChange& change,
                                                const DiskBacking& backing) const {
  const vmx::DatastorePath path = file_of(change, backing.file);
  if (uses_disk(path))
    throw change.invalid<vim::InvalidDeviceBacking>(
        "device.backing.fileName", path.format() + " is a disk of this virtual machine already");
  const auto info = planning_.context.disk(path);
  if (!info) throw file_fault<vim::FileNotFound>(change, path, "is no disk that can be read");
  const std::uint64_t asked = capacity_of(change, info->capacity);
  if (asked != info->capacity)
    throw change.invalid("device.capacityInKB", fmt::format("{} has {} bytes, not {}",
                                                            path.format(), info->capacity, asked));
  return path;
}

datastore::DiskSpec DevicePlanner::new_disk(const DeviceChange& change, const DiskBacking& backing,
                                            const vmx::Disk& disk) const {
  datastore::DiskSpec spec;
  if (backing.raw) {
    spec = new_raw_disk(change, *backing.raw);
    require_mode_of_raw(change, spec.mapping->passthrough, disk.mode);
  } else {
    spec.capacity = capacity_of(change, 0);
    spec.provisioning = provisioning_of(change, backing);
  }
  check_capacity(change, spec.capacity);
  spec.adapter = adapter_of(disk.slot.bus);
  spec.hardware_version = config().hardware_version;
  return spec;
}

datastore::DiskSpec DevicePlanner::new_raw_disk(const DeviceChange& change,
                                                const DiskBacking::Raw& raw) const {
  const ConfigContext& context = planning_.context;
  const std::string& name = raw.device.empty() ? raw.uuid : raw.device;
  const auto refuse = [&](const std::string& why) {
    return change.invalid<vim::InvalidDeviceBacking>("device.backing.deviceName", why);
  };
  const auto device = context.raw_device(name);
  if (!device) throw refuse(fmt::format("there is no disk '{}' on this host", name));
  if (!raw.uuid.empty() && raw.uuid != device->uuid)
    throw refuse(fmt::format("{} is the unit {}, not {}", name, device->uuid, raw.uuid));
  if (const std::string obstacle = context.raw_device_obstacle(device->unit); !obstacle.empty())
    throw refuse(obstacle);
  for (const DiskToCreate& other : planning_.plan.create)
    if (other.spec.mapping && other.spec.mapping->unit == device->unit)
      throw refuse(fmt::format("{} is to be {} too", device->unit, other.path.format()));
  if (capacity_of(change, device->bytes) != device->bytes)
    throw change.invalid("device.capacityInKB",
                         fmt::format("{} has {} bytes", device->unit, device->bytes));
  datastore::DiskSpec spec;
  spec.capacity = device->bytes;
  spec.mapping = {is_physical(change, raw.compatibility), device->unit, device->uuid};
  return spec;
}

void DevicePlanner::add_disk(const DeviceChange& change) {
  const DiskBacking backing = backing_of(change);
  if (change.spec->fileOperation == FileOperation::destroy)
    throw change.invalid_operation("a disk that is added cannot be destroyed");
  vmx::Disk disk;
  disk.slot = free_slot(change, place_of(change));
  if (disk.slot.bus == vmx::Bus::ide) require_version(change, features::ide_disk, "disk on IDE");
  disk.mode = backing.mode.empty() ? vmx::DiskMode::persistent : mode_of(change, backing.mode);
  if (disk.mode == vmx::DiskMode::independent_nonpersistent && !planning_.is_new())
    planning_.require_powered_off("A disk in mode " + backing.mode);
  disk.multi_writer = is_multi_writer(change, backing.sharing);
  disk.changes_tracked = config().changes_tracked && disk.mode == vmx::DiskMode::persistent;
  FieldPaths served = {"capacityInKB",      "capacityInBytes",         "backing.fileName",
                       "backing.datastore", "backing.thinProvisioned", "backing.eagerlyScrub",
                       "backing.lunUuid",   "backing.deviceName",      "backing.compatibilityMode",
                       "backing.changeId"};
  set_io(change, disk, served);
  if (backing.mode.empty()) served.emplace("backing.diskMode");
  vmx::DatastorePath path = planning_.context.config_file;
  if (change.spec->fileOperation) {
    path = new_disk_path(change, backing);
    planning_.plan.create.push_back({path, new_disk(change, backing, disk)});
    planning_.need(backing.raw ? "VirtualMachine.Config.RawDevice"
                               : "VirtualMachine.Config.AddNewDisk");
  } else {
    path = existing_disk(change, backing);
    const auto mapping = raw_mapping(path, planning_.context);
    if (backing.raw) require_same_unit(change, path, mapping, *backing.raw, planning_.context);
    if (mapping) require_mode_of_raw(change, mapping->passthrough, disk.mode);
    planning_.need(mapping ? "VirtualMachine.Config.RawDevice"
                           : "VirtualMachine.Config.AddExistingDisk");
  }
  disk.file = file_reference(planning_.context, path);
  require_hot_plug(change, disk.slot.bus == vmx::Bus::scsi, "A disk at " + disk.slot.key());
  config().disks.push_back(disk);
  planning_.plan.added.push_back(device_key(disk));
  note(change, device_key(disk), std::move(served));
}

void DevicePlanner::grow_disk(const DeviceChange& change, const vmx::Disk& disk) {
  const vmx::DatastorePath path = resolve_file(planning_.context, disk.file);
  const auto info = planning_.context.disk(path);
  const std::uint64_t present = info ? info->capacity : 0;
  const std::uint64_t asked = capacity_of(change, present);
  if (asked == present) return;
  const std::string name = label(config(), disk);
  if (!info) throw file_fault<vim::FileNotFound>(change, path, "is no disk that can be read");
  if (!info->parent.empty()) {
    vim::InvalidDeviceOperation detail;
    detail.badOp = change.spec->operation;
    throw change.invalid("device.capacityInKB", name + " has snapshots and cannot grow",
                         std::move(detail));
  }
  if (asked < present) {
    vim::InvalidDeviceOperation detail;
    detail.badOp = change.spec->operation;
    throw change.invalid(
        "device.capacityInKB",
        fmt::format("{} has {} bytes and cannot shrink to {}", name, present, asked),
        std::move(detail));
  }
  check_capacity(change, asked);
  if (!is_raw(*info) || is_split(*info))
    throw change.not_supported(
        fmt::format("growing {}, which is of type {},", path.format(), info->create_type));
  if (disk.mode == vmx::DiskMode::independent_nonpersistent)
    planning_.require_powered_off("The size of " + name);
  if (disk.slot.bus != vmx::Bus::scsi) planning_.require_powered_off("The size of " + name);
  planning_.plan.grow.push_back({path, device_key(disk), asked, backing_of(change).eager});
  planning_.need("VirtualMachine.Config.DiskExtend");
}

void DevicePlanner::edit_disk(const DeviceChange& change, vmx::Disk& disk) {
  const int key = device_key(disk);
  const std::string name = label(config(), disk);
  require_same_slot(change, disk.slot, name);
  FieldPaths served = {"capacityInKB", "capacityInBytes", "backing.fileName", "backing.datastore",
                       "backing.changeId"};
  const vmx::Disk before = disk;
  set_io(change, disk, served);
  const bool changes_io = disk != before;
  if (change.device().backing) {
    const DiskBacking backing = backing_of(change);
    const auto file = find_file(planning_.context, disk.file);
    if (!backing.file.empty() && file != file_of(change, backing.file))
      throw change.invalid<vim::InvalidDeviceBacking>(
          "device.backing.fileName",
          fmt::format("{} is {}, not {}", name, file ? file->format() : disk.file, backing.file));
    const bool keeps_mode = backing.raw && backing.mode.empty();
    if (!keeps_mode && backing.mode != api_word(disk.mode))
      disk.mode = mode_of(change, backing.mode);
    const auto mapping = file ? raw_mapping(*file, planning_.context) : std::nullopt;
    if (backing.raw && file)
      require_same_unit(change, *file, mapping, *backing.raw, planning_.context);
    if (mapping) require_mode_of_raw(change, mapping->passthrough, disk.mode);
    if (backing.sharing) disk.multi_writer = is_multi_writer(change, backing.sharing);
    grow_disk(change, disk);
    if (!planning_.plan.grow.empty() && planning_.plan.grow.back().key == key)
      served.emplace("backing.eagerlyScrub");
  }
  if (disk.mode != before.mode || disk.multi_writer != before.multi_writer) {
    planning_.require_powered_off("The mode or the sharing of " + name);
    planning_.need("VirtualMachine.Config.EditDevice");
  }
  if (changes_io) planning_.need("VirtualMachine.Config.Resource");
  const bool grows = served.contains("backing.eagerlyScrub");
  if (disk != before || grows) planning_.plan.edited.push_back(key);
  note(change, key, std::move(served));
}

bool DevicePlanner::remove_disk(const DeviceChange& change) {
  const vmx::Disk* found = find_device(config().disks, change.device().key);
  if (!found || !change.spec->device.as<vim::VirtualDisk>()) return false;
  const vmx::Disk disk = *found;
  if (change.spec->fileOperation && change.spec->fileOperation != FileOperation::destroy)
    throw change.invalid_operation("a disk that is removed can only be destroyed");
  require_hot_plug(change, disk.slot.bus == vmx::Bus::scsi, label(config(), disk));
  if (disk.mode == vmx::DiskMode::independent_nonpersistent && !planning_.is_new())
    planning_.require_powered_off("The presence of " + label(config(), disk));
  if (change.spec->fileOperation)
    planning_.plan.destroy.push_back(resolve_file(planning_.context, disk.file));
  std::erase(config().disks, disk);
  planning_.plan.removed.push_back(device_key(disk));
  planning_.need("VirtualMachine.Config.RemoveDisk");
  return true;
}

// --- CD-ROM drives -----------------------------------------------------------------------------

void DevicePlanner::set_medium(const DeviceChange& change, vmx::CdRom& cdrom) const {
  const auto& backing = change.device().backing;
  if (!backing)
    throw change.invalid<vim::InvalidDeviceBacking>("device.backing", "the drive has no backing");
  const std::string_view type = backing->type_info().name;
  const auto set = [&](vmx::CdRomBacking kind, std::string file) {
    cdrom.backing = kind;
    cdrom.file = std::move(file);
  };
  if (type == "VirtualCdromIsoBackingInfo") {
    const auto& name = static_cast<const vim::VirtualCdromIsoBackingInfo&>(*backing).fileName;
    const auto path = file_of(change, name);
    if (path.is_root())
      throw change.invalid<vim::InvalidDeviceBacking>("device.backing.fileName",
                                                      fmt::format("'{}' is no file", name));
    set(vmx::CdRomBacking::image, file_reference(planning_.context, path));
  } else if (type == "VirtualCdromAtapiBackingInfo") {
    set(vmx::CdRomBacking::host_emulated,
        static_cast<const vim::VirtualCdromAtapiBackingInfo&>(*backing).deviceName);
  } else if (type == "VirtualCdromPassthroughBackingInfo") {
    set(vmx::CdRomBacking::host_passthrough,
        static_cast<const vim::VirtualCdromPassthroughBackingInfo&>(*backing).deviceName);
  } else if (type == "VirtualCdromRemoteAtapiBackingInfo") {
    set(vmx::CdRomBacking::client_emulated, "");
  } else if (type == "VirtualCdromRemotePassthroughBackingInfo") {
    set(vmx::CdRomBacking::client_passthrough, "");
  } else {
    throw change.not_supported(fmt::format("a CD-ROM drive with a {}", type));
  }
}

namespace {

// Names that a drive at the user's end has there are nothing to us.
const FieldPaths kDriveFields = {"backing.fileName", "backing.datastore", "backing.deviceName",
                                 "backing.useAutoDetect"};

void set_start(const DeviceChange& change, vmx::CdRom& cdrom) {
  if (const auto& connectable = change.device().connectable) {
    cdrom.start_connected = connectable->startConnected;
    cdrom.guest_may_eject = connectable->allowGuestControl;
  }
}

}  // namespace

void DevicePlanner::add_cdrom(const DeviceChange& change) {
  const Place place = place_of(change);
  if (place.slot.bus != vmx::Bus::ide && place.slot.bus != vmx::Bus::sata) {
    vim::InvalidController detail;
    detail.controllerKey = *change.device().controllerKey;
    throw change.invalid("device.controllerKey",
                         fmt::format("{} takes no CD-ROM drive", place.label), std::move(detail));
  }
  vmx::CdRom cdrom;
  cdrom.slot = free_slot(change, place);
  set_medium(change, cdrom);
  set_start(change, cdrom);
  require_hot_plug(change, false, "A CD-ROM drive");
  config().cdroms.push_back(cdrom);
  added(change, device_key(cdrom), kDriveFields);
}

void DevicePlanner::edit_cdrom(const DeviceChange& change, vmx::CdRom& cdrom) {
  const int key = device_key(cdrom);
  require_same_slot(change, cdrom.slot, label(config(), cdrom));
  const vmx::CdRom before = cdrom;
  if (change.device().backing) set_medium(change, cdrom);
  set_start(change, cdrom);
  if (cdrom.backing != before.backing || cdrom.file != before.file)
    planning_.need("VirtualMachine.Interact.SetCDMedia");
  else if (cdrom != before)
    planning_.need("VirtualMachine.Config.EditDevice");
  set_connection(change, key, is_served(cdrom.backing));
  edited(change, key, cdrom != before, kDriveFields);
}

bool DevicePlanner::remove_cdrom(const DeviceChange& change) {
  const vmx::CdRom* found = find_device(config().cdroms, change.device().key);
  if (!found || !change.spec->device.as<vim::VirtualCdrom>()) return false;
  const vmx::CdRom cdrom = *found;
  require_hot_plug(change, false, label(config(), cdrom));
  std::erase(config().cdroms, cdrom);
  removed(change);
  return true;
}

}  // namespace virga::host
