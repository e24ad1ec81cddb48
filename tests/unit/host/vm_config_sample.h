// A host around the configurations under test: two datastores, two networks, some disks.
#pragma once

#include <gmock/gmock.h>

#include <map>
#include <string>

#include "host/vm_config.h"
#include "kernel/faults.h"

namespace virga::host {

using model::Ptr;

// The statement throws a Fault whose detail is a T and whose message has `part` in it.
template <class T, class Statement>
T expect_fault(const std::string& part, Statement statement) {
  try {
    statement();
    ADD_FAILURE() << "nothing was thrown; expected: " << part;
  } catch (const kernel::Fault& fault) {
    EXPECT_THAT(fault.message(), testing::HasSubstr(part));
    if (model::is_a(fault.detail()->type_info(), T::static_type()))
      return static_cast<const T&>(*fault.detail());
    ADD_FAILURE() << fault.detail()->type_info().name << ": " << fault.message();
  }
  return {};
}

constexpr std::uint64_t kGib = 1ULL << 30;

class Surroundings {
 public:
  Surroundings() {
    context.disk = [this](const vmx::DatastorePath& path) -> std::optional<datastore::DiskInfo> {
      const auto found = disks.find(path.format());
      return found == disks.end() ? std::nullopt : std::optional(found->second);
    };
    context.datastore = [](const std::string& name) -> std::optional<MoRef> {
      if (name != "ds1" && name != "ds2") return std::nullopt;
      return MoRef{"Datastore", name};
    };
    context.network = [](const std::string& name) -> std::optional<MoRef> {
      if (name != "VM Network" && name != "Lab") return std::nullopt;
      return MoRef{"Network", name};
    };
    context.name_of = [](const MoRef& ref) { return ref.value; };
    context.absolute = [](const vmx::DatastorePath& path) {
      return "/volumes/" + path.datastore() + "/" + path.path();
    };
    context.volumes.names_by_id = {{"5f3a2b1c-00000001", "ds1"}, {"5f3a2b1c-00000002", "ds2"}};
    context.max_vcpus = 32;
    context.max_memory_mib = 65'536;
  }

  void add_disk(const std::string& path, std::uint64_t capacity = 8 * kGib) {
    const auto place = vmx::DatastorePath::parse(path);
    datastore::DiskInfo info;
    info.capacity = capacity;
    info.create_type = "vmfs";
    info.uuid = "60 00 C2 9a 6b 1c 22 d1-0f 3e 55 a0 91 8c 4d 70";
    info.extents = {(place.parent() / (place.stem() + "-flat.vmdk")).path()};
    info.layout = datastore::DiskLayout::vmfs;
    info.described = {
        {.sectors = info.capacity / 512, .type = "VMFS", .file = place.stem() + "-flat.vmdk"}};
    disks[path] = info;
  }

  void add_raw_device(const std::string& unit, std::uint64_t bytes) {
    raw_devices[unit] = {unit, "0200" + unit.substr(4), bytes, true};
    context.raw_device = [this](const std::string& name) -> std::optional<RawDevice> {
      for (const auto& [unit, device] : raw_devices)
        if (name == unit || name == device.uuid || name == "vml." + device.uuid) return device;
      return std::nullopt;
    };
    context.raw_device_obstacle = [this](const std::string& name) {
      return name == taken_raw_device ? name + " is taken" : "";
    };
    context.raw_device_image = [](const std::string& name) {
      hypervisor::DiskImage image{.path = "/dev/" + name};
      image.block_device = true;
      return image;
    };
  }

  // As a plan would have it made.
  void add_raw_disk(const std::string& path, bool physical, const std::string& unit) {
    add_disk(path, raw_devices.at(unit).bytes);
    datastore::DiskInfo& info = disks[path];
    info.create_type = physical ? "vmfsPassthroughRawDeviceMap" : "vmfsRawDeviceMap";
    info.layout.reset();
    info.described.front().type = "VMFSRDM";
    info.mapping = {physical, unit, raw_devices.at(unit).uuid};
  }

  std::map<std::string, RawDevice> raw_devices;
  std::string taken_raw_device;
  std::map<std::string, datastore::DiskInfo> disks;
  ConfigContext context{vmx::DatastorePath("ds1", "web/web.vmx")};
};

// "web": a PVSCSI controller with a disk, a CD-ROM drive with an image, one adapter, a console.
inline vmx::MachineConfig sample_config() {
  vmx::MachineConfig config;
  config.display_name = "web";
  config.bios_uuid = "564d1c22-d10f-3e55-a091-8c4d70a1b2c3";
  config.instance_uuid = "52aabbcc-ddee-ff00-1122-334455667788";
  config.guest_os = "debian11-64";
  config.memory_mib = 2048;
  config.cpus = 2;
  config.nvram = "web.nvram";
  config.controllers = {{vmx::Bus::scsi, 0, vmx::ControllerModel::pvscsi}};
  config.disks = {{.slot = {vmx::Bus::scsi, 0, 0}, .file = "web.vmdk"}};
  config.cdroms = {{.slot = {vmx::Bus::ide, 1, 0},
                    .backing = vmx::CdRomBacking::image,
                    .file = "/vmfs/volumes/5f3a2b1c-00000002/iso/debian.iso",
                    .start_connected = true}};
  config.network_adapters = {{.number = 0, .network = "VM Network", .mac = "00:0c:29:a1:b2:c3"}};
  config.serial_ports = {{.number = 0, .backing = vmx::SerialBacking::pipe, .target = "console"}};
  return config;
}

inline const vim::VirtualDevice* find_key(const vim::VirtualMachineConfigInfo& info, int key) {
  for (const auto& device : info.hardware.device)
    if (device->key == key) return device.get();
  return nullptr;
}

template <class T>
const T& device_at(const vim::VirtualMachineConfigInfo& info, int key) {
  const vim::VirtualDevice* device = find_key(info, key);
  if (!device || !model::is_a(device->type_info(), T::static_type()))
    throw std::runtime_error("no such device: " + std::to_string(key));
  return static_cast<const T&>(*device);
}

}  // namespace virga::host
