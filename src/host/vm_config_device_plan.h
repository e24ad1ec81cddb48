// Internal to vm_config: the changes of one spec's devices, applied one by one.
//
// vm_config_device_plan.cpp has what all devices share and the controllers,
// vm_config_drive_plan.cpp disks and CD-ROM drives, vm_config_adapter_plan.cpp network adapters and
// the devices every VM has. For the others see vm_device_kind.h.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "host/vm_config_planning.h"
#include "host/vm_config_unserved.h"
#include "host/vm_config_words.h"
#include "kernel/faults.h"

namespace virga::host {

// One element of deviceChange. Its faults name it by its index.
struct DeviceChange {
  int index = 0;
  model::Ptr<vim::VirtualDeviceConfigSpec> spec;

  const vim::VirtualDevice& device() const { return *spec->device; }
  // The device as a T; call only where the type says that it is one.
  template <class T>
  const T& device_as() const {
    return static_cast<const T&>(*spec->device);
  }
  std::string_view type() const { return spec->device->type_info().name; }
  vim::VirtualDeviceConfigSpecOperation operation() const { return *spec->operation; }

  // InvalidDeviceSpec or one of its kin; `property` from "virtualDeviceSpec." on.
  template <class Detail = vim::InvalidDeviceSpec>
  kernel::Fault invalid(const std::string& property, const std::string& why,
                        Detail detail = {}) const {
    detail.deviceIndex = index;
    detail.property = "virtualDeviceSpec." + property;
    return kernel::Fault(
        std::move(detail),
        fmt::format("Invalid configuration for device '{}' ({}): {}.", index, type(), why));
  }
  kernel::Fault invalid_operation(const std::string& why) const;
  kernel::Fault not_supported(const std::string& what) const;
};

// What a change says of a disk's backing, of whatever type that is.
struct DiskBacking {
  std::string file;
  std::optional<MoRef> datastore;
  std::string mode;
  std::optional<std::string> sharing;
  bool thin = false;
  bool eager = false;
  // Of an RDM: what is asked for of its unit, "" for nothing.
  struct Raw {
    std::string device, uuid, compatibility;
  };
  std::optional<Raw> raw;
};

class DevicePlanner {
 public:
  DevicePlanner(Planning& planning, const model::List<vim::VirtualDeviceConfigSpec>& changes);

  void apply();

  // For the kinds of devices with a file of their own.
  vmx::MachineConfig& config() const { return planning_.plan.config; }
  const ConfigContext& context() const { return planning_.context; }
  void need(const char* privilege) { planning_.need(privilege); }
  void require_powered_off(const std::string& what) const { planning_.require_powered_off(what); }
  void require_hot_plug(const DeviceChange& change, bool possible, const std::string& what) const;
  // Throws DeviceUnsupportedForVmVersion where the VM's hardware is too old for the feature, a key
  // of first_version_with(); `name` is what the message calls it.
  void require_version(const DeviceChange& change, std::string_view feature,
                       std::string_view name) const;
  // A file the caller names, in a datastore of this host. Throws InvalidDeviceBacking.
  vmx::DatastorePath file_of(const DeviceChange& change, const std::string& name) const;
  // The key of the controller that the device names; InvalidController unless it is one of these.
  // Without a name the first of them.
  int controller_among(const DeviceChange& change, const std::vector<int>& keys) const;
  // The port group a network adapter is to be on. Throws InvalidDeviceBacking.
  std::string network_of(const DeviceChange& change) const;
  // Changes what the caller says of the adapter's MAC address. Throws InvalidDeviceSpec.
  void set_address(const DeviceChange& change, vmx::AddressType& type, std::string& mac) const;
  // Another device is to refer to this new controller by the caller's key.
  void rename_controller(const DeviceChange& change, int key);
  // What was asked for by connectable.connected; `possible`: it can be.
  void set_connection(const DeviceChange& change, int key, bool possible);
  // Note what became of a change, with the paths of fields that were dealt with in a way of their
  // own.
  void added(const DeviceChange& change, int key, FieldPaths served);
  void edited(const DeviceChange& change, int key, bool changed, FieldPaths served);
  void removed(const DeviceChange& change);

 private:
  using Handler = void (DevicePlanner::*)(const DeviceChange&);

  // A controller by the reference of a device that is to hang on it.
  struct Place {
    vmx::Slot slot;  // its unit is not chosen yet
    hypervisor::ControllerModel model;
    std::string label;
  };

  void check(const DeviceChange& change) const;
  void add(const DeviceChange& change);
  void remove(const DeviceChange& change);
  void edit(const DeviceChange& change);
  // `other`: the paths of fields a device of that kind deals with itself.
  void note(const DeviceChange& change, int key, FieldPaths other = {});
  void refuse_unserved_fields() const;

  Place place_of(const DeviceChange& change) const;
  vmx::Slot free_slot(const DeviceChange& change, Place place) const;
  bool is_taken(const vmx::Slot& slot) const;
  void require_same_slot(const DeviceChange& change, const vmx::Slot& slot,
                         const std::string& what) const;

  void add_controller(const DeviceChange& change);
  void edit_controller(const DeviceChange& change, vmx::Controller& controller);
  bool remove_controller(const DeviceChange& change);

  void add_disk(const DeviceChange& change);
  void edit_disk(const DeviceChange& change, vmx::Disk& disk);
  bool remove_disk(const DeviceChange& change);
  void grow_disk(const DeviceChange& change, const vmx::Disk& disk);
  void set_io(const DeviceChange& change, vmx::Disk& disk, FieldPaths& served) const;
  datastore::DiskSpec new_disk(const DeviceChange& change, const DiskBacking& backing,
                               const vmx::Disk& disk) const;
  datastore::DiskSpec new_raw_disk(const DeviceChange& change, const DiskBacking::Raw& raw) const;
  vmx::DatastorePath new_disk_path(const DeviceChange& change, const DiskBacking& backing) const;
  vmx::DatastorePath existing_disk(const DeviceChange& change, const DiskBacking& backing) const;
  bool uses_disk(const vmx::DatastorePath& path) const;
  bool is_to_create(const vmx::DatastorePath& path) const;

  void add_cdrom(const DeviceChange& change);
  void edit_cdrom(const DeviceChange& change, vmx::CdRom& cdrom);
  bool remove_cdrom(const DeviceChange& change);
  void set_medium(const DeviceChange& change, vmx::CdRom& cdrom) const;

  void add_adapter(const DeviceChange& change);
  void edit_adapter(const DeviceChange& change, vmx::NetworkAdapter& adapter);
  bool remove_adapter(const DeviceChange& change);
  int adapter_number(const DeviceChange& change) const;
  void set_adapter(const DeviceChange& change, vmx::NetworkAdapter& adapter) const;

  void add_fixed(const DeviceChange& change);
  void edit_fixed(const DeviceChange& change, int key);
  void set_video(const DeviceChange& change);

  struct Noted {
    DeviceChange change;
    int key;
    FieldPaths served;
  };

  Planning& planning_;
  std::vector<DeviceChange> changes_;
  std::map<int, int> keys_;  // of new controllers: the caller's to ours
  std::vector<Noted> noted_;
};

// TooManyDevices.
kernel::Fault too_many(const DeviceChange& change, const std::string& why);

// The key of a device that every VM has; nullopt for a type that is none.
std::optional<int> fixed_device_key(const vim::VirtualDevice& device);

template <class Device>
Device* find_device(std::vector<Device>& devices, int key) {
  const auto found = std::ranges::find_if(
      devices, [key](const Device& device) { return device_key(device) == key; });
  return found == devices.end() ? nullptr : &*found;
}

}  // namespace virga::host
