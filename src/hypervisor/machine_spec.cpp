#include "hypervisor/machine_spec.h"

#include <algorithm>
#include <concepts>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace virga::hypervisor {
namespace {

template <class Enum>
using Names = std::vector<std::pair<Enum, const char*>>;

const Names<Firmware>& names(Firmware) {
  static const Names<Firmware> table = {{Firmware::bios, "bios"}, {Firmware::efi, "efi"}};
  return table;
}
const Names<ControllerModel>& names(ControllerModel) {
  static const Names<ControllerModel> table = {
      {ControllerModel::pvscsi, "pvscsi"},  {ControllerModel::lsi_logic, "lsilogic"},
      {ControllerModel::lsi_sas, "lsisas"}, {ControllerModel::ahci, "ahci"},
      {ControllerModel::nvme, "nvme"},      {ControllerModel::ide, "ide"}};
  return table;
}
const Names<NicModel>& names(NicModel) {
  static const Names<NicModel> table = {{NicModel::vmxnet3, "vmxnet3"},
                                        {NicModel::e1000e, "e1000e"},
                                        {NicModel::e1000, "e1000"},
                                        {NicModel::pcnet, "pcnet"}};
  return table;
}
const Names<DiskFormat>& names(DiskFormat) {
  static const Names<DiskFormat> table = {
      {DiskFormat::raw, "raw"}, {DiskFormat::qcow2, "qcow2"}, {DiskFormat::vmdk, "vmdk"}};
  return table;
}
const Names<LineBackend>& names(LineBackend) {
  static const Names<LineBackend> table = {
      {LineBackend::none, "none"},       {LineBackend::socket, "socket"},
      {LineBackend::file, "file"},       {LineBackend::device, "device"},
      {LineBackend::network, "network"}, {LineBackend::stream, "stream"}};
  return table;
}
const Names<SoundModel>& names(SoundModel) {
  static const Names<SoundModel> table = {{SoundModel::ensoniq1370, "es1370"},
                                          {SoundModel::hd_audio, "hdaudio"},
                                          {SoundModel::sound_blaster16, "sb16"}};
  return table;
}
const Names<UsbControllerModel>& names(UsbControllerModel) {
  static const Names<UsbControllerModel> table = {{UsbControllerModel::uhci, "uhci"},
                                                  {UsbControllerModel::ehci, "ehci"},
                                                  {UsbControllerModel::xhci, "xhci"}};
  return table;
}
const Names<UsbDeviceModel>& names(UsbDeviceModel) {
  static const Names<UsbDeviceModel> table = {{UsbDeviceModel::keyboard, "keyboard"},
                                              {UsbDeviceModel::tablet, "tablet"},
                                              {UsbDeviceModel::host, "host"}};
  return table;
}

// One list of fields per structure serves both directions.
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, Controller>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("model", it.model);
  visit("bus", it.bus);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, DiskExtent>
void visit_fields(Visitor& visit, T& it) {
  visit("path", it.path);
  visit("sectors", it.sectors);
  visit("sparse", it.sparse);
  visit("offset", it.offset);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, IscsiUnit>
void visit_fields(Visitor& visit, T& it) {
  visit("portal", it.portal);
  visit("target", it.target);
  visit("lun", it.lun);
  visit("initiator", it.initiator);
  visit("headerDigest", it.header_digest);
  visit("user", it.user);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, DiskImage>
void visit_fields(Visitor& visit, T& it) {
  visit("path", it.path);
  visit("format", it.format);
  visit("extents", it.extents);
  visit("blockDevice", it.block_device);
  visit("iscsi", it.iscsi);
  visit("changeTrack", it.change_track);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, Disk>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("controller", it.controller_key);
  visit("unit", it.unit);
  visit("chain", it.chain);
  visit("readOnly", it.read_only);
  visit("shared", it.shared);
  visit("discardsChanges", it.discards_changes);
  visit("passthrough", it.passthrough);
  visit("iopsLimit", it.iops_limit);
  visit("serial", it.serial);
  visit("wwn", it.wwn);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, Cdrom>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("controller", it.controller_key);
  visit("unit", it.unit);
  visit("path", it.path);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, RdmaFunction>
void visit_fields(Visitor& visit, T& it) {
  visit("device", it.device);
  visit("port", it.port);
  visit("multiplexer", it.multiplexer);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, Nic>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("model", it.model);
  visit("slot", it.slot);
  visit("mac", it.mac);
  visit("tap", it.tap);
  visit("linkUp", it.link_up);
  visit("rdma", it.rdma);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, Floppy>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("unit", it.unit);
  visit("path", it.path);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, LineSecurity>
void visit_fields(Visitor& visit, T& it) {
  visit("verifyPeer", it.verify_peer);
  visit("thumbprint", it.thumbprint);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, NetworkLine>
void visit_fields(Visitor& visit, T& it) {
  visit("host", it.host);
  visit("port", it.port);
  visit("server", it.server);
  visit("telnet", it.telnet);
  visit("security", it.security);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, SerialPort>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("backend", it.backend);
  visit("path", it.path);
  visit("logPath", it.log_path);
  visit("network", it.network);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, ParallelPort>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("backend", it.backend);
  visit("path", it.path);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, UsbController>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("model", it.model);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, UsbDevice>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("controller", it.controller_key);
  visit("model", it.model);
  visit("path", it.path);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, SoundCard>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("model", it.model);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, Watchdog>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, Tpm>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("stateDirectory", it.state_directory);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, NetworkFunction>
void visit_fields(Visitor& visit, T& it) {
  visit("interface", it.interface);
  visit("index", it.index);
  visit("mac", it.mac);
  visit("vlan", it.vlan);
  visit("forgedTransmits", it.forged_transmits);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, DeviceShare>
void visit_fields(Visitor& visit, T& it) {
  visit("type", it.type);
  visit("uuid", it.uuid);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, PassthroughDevice>
void visit_fields(Visitor& visit, T& it) {
  visit("key", it.key);
  visit("slot", it.slot);
  visit("address", it.address);
  visit("iommuGroup", it.iommu_group);
  visit("share", it.share);
  visit("network", it.network);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, SystemIdentity>
void visit_fields(Visitor& visit, T& it) {
  visit("manufacturer", it.manufacturer);
  visit("product", it.product);
  visit("serial", it.serial);
}
template <class Visitor, class T>
requires std::same_as<std::remove_const_t<T>, MachineSpec>
void visit_fields(Visitor& visit, T& it) {
  visit("id", it.id);
  visit("name", it.name);
  visit("biosUuid", it.bios_uuid);
  visit("identity", it.identity);
  visit("memoryMiB", it.memory_mib);
  visit("vcpus", it.vcpus);
  visit("coresPerSocket", it.cores_per_socket);
  visit("maxMemoryMiB", it.max_memory_mib);
  visit("maxVcpus", it.max_vcpus);
  visit("dimms", it.dimms);
  visit("nestedVirtualization", it.nested_virtualization);
  visit("firmware", it.firmware);
  visit("nvramPath", it.nvram_path);
  visit("secureBoot", it.secure_boot);
  visit("videoMemoryKiB", it.video_memory_kib);
  visit("controllers", it.controllers);
  visit("disks", it.disks);
  visit("cdroms", it.cdroms);
  visit("nics", it.nics);
  visit("floppies", it.floppies);
  visit("serialPorts", it.serial_ports);
  visit("parallelPorts", it.parallel_ports);
  visit("usbControllers", it.usb_controllers);
  visit("usbDevices", it.usb_devices);
  visit("sound", it.sound);
  visit("watchdog", it.watchdog);
  visit("tpm", it.tpm);
  visit("passthrough", it.passthrough);
  visit("bootOrder", it.boot_order);
  visit("bootDelayMs", it.boot_delay_ms);
  visit("bootRetryMs", it.boot_retry_ms);
  visit("guestAgent", it.guest_agent);
}

struct Writer {
  json::object object;

  template <class T>
  void operator()(const char* name, const T& field) {
    object[name] = encode(field);
  }
  template <class T>
  static json::value encode(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      for (const auto& [member, name] : names(value))
        if (member == value) return name;
      return nullptr;
    } else if constexpr (std::is_arithmetic_v<T> || std::same_as<T, std::string>) {
      return json::value(value);
    } else {
      Writer inner;
      visit_fields(inner, value);
      return std::move(inner.object);
    }
  }
  template <class T>
  static json::value encode(const std::optional<T>& value) {
    return value ? encode(*value) : json::value(nullptr);
  }
  template <class T>
  static json::value encode(const std::vector<T>& values) {
    json::array array;
    for (const T& value : values) array.push_back(encode(value));
    return array;
  }
};

// A missing field keeps its default, so that a state saved by an older version can be read.
struct Reader {
  const json::object& object;

  template <class T>
  void operator()(const char* name, T& field) {
    if (const json::value* found = object.if_contains(name)) decode(*found, field);
  }
  template <class T>
  static void decode(const json::value& from, T& to) {
    if constexpr (std::is_enum_v<T>) {
      for (const auto& [member, name] : names(to)) {
        if (from.as_string() == name) {
          to = member;
          return;
        }
      }
      throw std::invalid_argument("unknown name " + json::serialize(from));
    } else if constexpr (std::same_as<T, bool>) {
      to = from.as_bool();
    } else if constexpr (std::is_arithmetic_v<T>) {
      to = from.to_number<T>();
    } else if constexpr (std::same_as<T, std::string>) {
      to = std::string(from.as_string());
    } else {
      Reader inner{from.as_object()};
      visit_fields(inner, to);
    }
  }
  template <class T>
  static void decode(const json::value& from, std::optional<T>& to) {
    if (from.is_null()) {
      to.reset();
    } else {
      decode(from, to.emplace());
    }
  }
  template <class T>
  static void decode(const json::value& from, std::vector<T>& to) {
    to.clear();
    for (const json::value& item : from.as_array()) decode(item, to.emplace_back());
  }
};

template <class Devices>
const auto& find_key(const MachineSpec& spec, const Devices& devices, int key, const char* what) {
  const auto at = std::ranges::find(devices, key, [](const auto& device) { return device.key; });
  if (at == devices.end())
    throw error(ErrorKind::not_found, spec.id, "{} has no {} with key {}", spec.name, what, key);
  return *at;
}

bool is_mac(const std::string& text) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool separator = i % 3 == 2;
    if (separator ? text[i] != ':' : !std::isxdigit(static_cast<unsigned char>(text[i])))
      return false;
  }
  return true;
}

template <class... Args>
void require(bool holds, const std::string& subject, fmt::format_string<Args...> format,
             Args&&... args) {
  if (!holds)
    throw error(ErrorKind::invalid_argument, subject, format, std::forward<Args>(args)...);
}

void validate_growth(const MachineSpec& spec) {
  require(spec.max_vcpus == 0 || spec.max_vcpus >= spec.vcpus, spec.id,
          "{}: {} processors are more than the {} that it can grow to", spec.name, spec.vcpus,
          spec.max_vcpus);
  require(spec.max_vcpus % spec.cores_per_socket == 0, spec.id,
          "{}: {} processors do not divide into sockets of {} cores", spec.name, spec.max_vcpus,
          spec.cores_per_socket);
  require(spec.max_memory_mib == 0 || spec.max_memory_mib >= spec.memory_mib, spec.id,
          "{}: {} MiB of memory are more than the {} that it can grow to", spec.name,
          spec.memory_mib, spec.max_memory_mib);
  require(spec.dimms.empty() || spec.max_memory_mib > 0, spec.id, "{}: its memory cannot grow",
          spec.name);
  require(spec.dimms.size() <= max_dimms, spec.id, "{} has no room for more than {} DIMMs",
          spec.name, max_dimms);
  std::uint64_t left = spec.memory_mib;
  for (const std::uint64_t dimm : spec.dimms) {
    require(dimm >= 1 && dimm < left, spec.id, "{}: its DIMMs are more than its {} MiB of memory",
            spec.name, spec.memory_mib);
    left -= dimm;
  }
}

void validate_identity(const MachineSpec& spec) {
  const bool plain =
      std::ranges::all_of(spec.id, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
  require(plain && !spec.id.empty() && spec.id.size() <= 64, spec.id,
          "machine id '{}' is not made of 1 to 64 letters, digits and dashes", spec.id);
  require(spec.memory_mib >= 1, spec.id, "{} has no memory", spec.name);
  require(spec.vcpus >= 1 && spec.cores_per_socket >= 1, spec.id, "{} has no processor", spec.name);
  require(spec.vcpus % spec.cores_per_socket == 0, spec.id,
          "{}: {} processors do not divide into sockets of {} cores", spec.name, spec.vcpus,
          spec.cores_per_socket);
  validate_growth(spec);
  require(spec.firmware == Firmware::bios || !spec.nvram_path.empty(), spec.id,
          "{} boots by EFI and has no variable store", spec.name);
  require(spec.firmware == Firmware::efi || !spec.secure_boot, spec.id,
          "{} boots by BIOS, which knows no Secure Boot", spec.name);
}

const char* family(ControllerModel model) {
  switch (model) {
    case ControllerModel::ahci:
      return "sata";
    case ControllerModel::nvme:
      return "nvme";
    case ControllerModel::ide:
      return "ide";
    default:
      return "scsi";
  }
}

void validate_controllers(const MachineSpec& spec) {
  std::set<std::pair<std::string, int>> buses;
  for (const Controller& controller : spec.controllers) {
    const std::string id = device_id(controller);
    const int count = controller.model == ControllerModel::ide ? 2 : 4;
    require(controller.bus >= 0 && controller.bus < count, id, "{}: bus {} is not one of 0…{}", id,
            controller.bus, count - 1);
    require(buses.emplace(family(controller.model), controller.bus).second, id,
            "{}: bus {} is taken by another controller", id, controller.bus);
  }
}

void validate_drive(const MachineSpec& spec, const std::string& id, int controller_key, int unit,
                    std::set<std::pair<int, int>>& places) {
  const auto controller = std::ranges::find(spec.controllers, controller_key, &Controller::key);
  require(controller != spec.controllers.end(), id, "{}: there is no controller with key {}", id,
          controller_key);
  if (!unit_is_valid(controller->model, unit))
    throw error(ErrorKind::unsupported, id, "{}: {} has no unit {}", id, device_id(*controller),
                unit);
  require(places.emplace(controller_key, unit).second, id, "{}: unit {} of {} is taken", id, unit,
          device_id(*controller));
}

void validate_nics(const MachineSpec& spec) {
  std::set<int> slots;
  for (const Nic& nic : spec.nics) {
    const std::string id = device_id(nic);
    require(nic.slot >= 0 && nic.slot <= 9, id, "{}: slot {} is not one of 0…9", id, nic.slot);
    require(slots.insert(nic.slot).second, id, "{}: slot {} is taken by another NIC", id, nic.slot);
    require(is_mac(nic.mac), id, "{}: '{}' is not a MAC address", id, nic.mac);
    require(!nic.rdma || nic.model == NicModel::vmxnet3, id, "{}: only a vmxnet3 has RDMA", id);
  }
}

void validate_chain(const Disk& disk) {
  const std::string id = device_id(disk);
  require(!disk.chain.empty(), id, "{} has no image", id);
  require(!disk.discards_changes || disk.chain.size() > 1, id,
          "{} discards its changes and has no image for them", id);
  for (const DiskImage& image : disk.chain) {
    require(!image.path.empty(), id, "{} has an image without a path", id);
    require(image.format == DiskFormat::qcow2 || &image == &disk.chain.front(), id,
            "{}: {} cannot hold a difference, it is not a qcow2 image", id, image.path);
    require((image.format == DiskFormat::vmdk) == !image.extents.empty(), id,
            "{}: {} has extents and is no vmdk, or is one without", id, image.path);
  }
}

bool is_device(const DiskImage& image) {
  return image.block_device || image.iscsi;
}

void validate_device(const MachineSpec& spec, const Disk& disk) {
  const std::string id = device_id(disk);
  for (const DiskImage& image : disk.chain)
    require(!is_device(image) || image.format == DiskFormat::raw, id,
            "{}: {} is a device and cannot be an image of another format", id, image.path);
  require(!disk.passthrough || (disk.chain.size() == 1 && is_device(disk.chain.front())), id,
          "{} passes commands on, and {} is no device", id, disk.chain.back().path);
  const ControllerModel model = find_controller(spec, disk.controller_key).model;
  require(!disk.passthrough || is_hot_pluggable(model), id,
          "{} passes SCSI commands on and is on no SCSI controller", id);
}

void validate_serial_ports(const MachineSpec& spec) {
  require(spec.serial_ports.size() <= 4, spec.id, "{} has more than 4 serial ports", spec.name);
  for (const SerialPort& port : spec.serial_ports) {
    const std::string id = device_id(port);
    const bool on_file = port.backend == LineBackend::file || port.backend == LineBackend::device;
    require(!on_file || !port.path.empty(), id, "{} is on a file or device and names none", id);
    require((port.backend == LineBackend::network) == port.network.has_value(), id,
            "{} is on the network and its far end is not told, or the other way round", id);
  }
}

void validate_parallel_ports(const MachineSpec& spec) {
  require(spec.parallel_ports.size() <= 3, spec.id, "{} has more than 3 parallel ports", spec.name);
  for (const ParallelPort& port : spec.parallel_ports) {
    const std::string id = device_id(port);
    const bool on_file = port.backend == LineBackend::file || port.backend == LineBackend::device;
    require(on_file || port.backend == LineBackend::none, id, "{} is on no file and no device", id);
    require(!on_file || !port.path.empty(), id, "{} is on a file or device and names none", id);
  }
}

void validate_floppies(const MachineSpec& spec) {
  std::set<int> units;
  for (const Floppy& floppy : spec.floppies) {
    const std::string id = device_id(floppy);
    require(floppy.unit == 0 || floppy.unit == 1, id, "{}: unit {} is not 0 or 1", id, floppy.unit);
    require(units.insert(floppy.unit).second, id, "{}: unit {} is taken", id, floppy.unit);
  }
}

void validate_usb(const MachineSpec& spec) {
  std::set<bool> is_xhci;
  for (const UsbController& controller : spec.usb_controllers)
    require(is_xhci.insert(controller.model == UsbControllerModel::xhci).second,
            device_id(controller), "{}: there is one of its kind already", device_id(controller));
  for (const UsbDevice& device : spec.usb_devices) {
    const std::string id = device_id(device);
    require(std::ranges::find(spec.usb_controllers, device.controller_key, &UsbController::key) !=
                spec.usb_controllers.end(),
            id, "{}: there is no USB controller with key {}", id, device.controller_key);
    require((device.model == UsbDeviceModel::host) == !device.path.empty(), id,
            "{}: a device of the host has a path, and no other", id);
  }
}

void validate_passthrough(const MachineSpec& spec) {
  std::set<int> slots;
  std::set<std::string> addresses;
  for (const PassthroughDevice& device : spec.passthrough) {
    const std::string id = device_id(device);
    require(device.slot >= 0 && device.slot < 16, id, "{}: slot {} is not one of 0…15", id,
            device.slot);
    require(slots.insert(device.slot).second, id, "{}: slot {} is taken", id, device.slot);
    require(device.share || addresses.insert(device.address).second, id,
            "{}: {} is another device's too", id, device.address);
  }
}

template <class Devices>
void collect_ids(const Devices& devices, std::set<int>& keys, std::set<std::string>& ids) {
  for (const auto& device : devices) {
    const std::string id = device_id(device);
    require(device.key >= 100, id, "{}: keys below 100 are the platform's own", id);
    require(keys.insert(device.key).second, id, "{}: key {} belongs to two devices", id,
            device.key);
    ids.insert(id);
  }
}

}  // namespace

std::string device_id(const Controller& controller) {
  return fmt::format("{}-{}", family(controller.model), controller.key);
}
std::string device_id(const Disk& disk) {
  return fmt::format("disk-{}", disk.key);
}
std::string device_id(const Cdrom& cdrom) {
  return fmt::format("cdrom-{}", cdrom.key);
}
std::string device_id(const Nic& nic) {
  return fmt::format("nic-{}", nic.key);
}
std::string device_id(const Floppy& floppy) {
  return fmt::format("floppy-{}", floppy.key);
}
std::string device_id(const SerialPort& port) {
  return fmt::format("serial-{}", port.key);
}
std::string device_id(const ParallelPort& port) {
  return fmt::format("parallel-{}", port.key);
}
std::string device_id(const UsbController& controller) {
  return fmt::format("usb-{}", controller.key);
}
std::string device_id(const UsbDevice& device) {
  return fmt::format("usb-device-{}", device.key);
}
std::string device_id(const SoundCard& card) {
  return fmt::format("sound-{}", card.key);
}
std::string device_id(const Watchdog& watchdog) {
  return fmt::format("watchdog-{}", watchdog.key);
}
std::string device_id(const PassthroughDevice& device) {
  return fmt::format("passthrough-{}", device.key);
}
std::string device_id(const Tpm& tpm) {
  return fmt::format("tpm-{}", tpm.key);
}

const Controller& find_controller(const MachineSpec& spec, int key) {
  return find_key(spec, spec.controllers, key, "controller");
}
const Disk& find_disk(const MachineSpec& spec, int key) {
  return find_key(spec, spec.disks, key, "disk");
}
const Cdrom& find_cdrom(const MachineSpec& spec, int key) {
  return find_key(spec, spec.cdroms, key, "CD-ROM drive");
}
const Nic& find_nic(const MachineSpec& spec, int key) {
  return find_key(spec, spec.nics, key, "NIC");
}
const Floppy& find_floppy(const MachineSpec& spec, int key) {
  return find_key(spec, spec.floppies, key, "floppy drive");
}
const UsbDevice& find_usb_device(const MachineSpec& spec, int key) {
  return find_key(spec, spec.usb_devices, key, "USB device");
}

std::optional<std::string>& medium_of(MachineSpec& spec, int drive_key) {
  const auto floppy = std::ranges::find(spec.floppies, drive_key, &Floppy::key);
  if (floppy != spec.floppies.end()) return floppy->path;
  const auto cdrom = std::ranges::find(spec.cdroms, drive_key, &Cdrom::key);
  if (cdrom != spec.cdroms.end()) return cdrom->path;
  throw error(ErrorKind::not_found, spec.id, "{} has no drive with key {}", spec.name, drive_key);
}

bool unit_is_valid(ControllerModel model, int unit) {
  switch (model) {
    case ControllerModel::pvscsi:
      return unit >= 0 && unit < 16 && unit != 7;
    case ControllerModel::lsi_logic:
    case ControllerModel::lsi_sas:
      return unit >= 0 && unit < 7;
    case ControllerModel::ahci:
      return unit >= 0 && unit < 6;
    case ControllerModel::nvme:
      return unit >= 0 && unit < 15;
    case ControllerModel::ide:
      return unit == 0 || unit == 1;
  }
  return false;
}

std::uint64_t memory_at_start(const MachineSpec& spec) {
  return spec.memory_mib - std::accumulate(spec.dimms.begin(), spec.dimms.end(), std::uint64_t{});
}

bool is_hot_pluggable(ControllerModel model) {
  return model != ControllerModel::ahci && model != ControllerModel::nvme &&
         model != ControllerModel::ide;
}

const Disk* contested_disk(const MachineSpec& spec, const MachineSpec& other) {
  const auto writes_what_is_read = [](const Disk& one, const Disk& another) {
    return std::ranges::find(another.chain, one.chain.back().path, &DiskImage::path) !=
           another.chain.end();
  };
  for (const Disk& disk : spec.disks)
    for (const Disk& its : other.disks)
      if ((writes_what_is_read(disk, its) || writes_what_is_read(its, disk)) &&
          !(disk.shared && its.shared))
        return &disk;
  return nullptr;
}

std::optional<std::string> unsavable_device(const MachineSpec& spec) {
  const auto nvme = std::ranges::find(spec.controllers, ControllerModel::nvme, &Controller::model);
  if (nvme != spec.controllers.end()) return device_id(*nvme);
  if (!spec.passthrough.empty()) return device_id(spec.passthrough.front());
  for (const Nic& nic : spec.nics)
    if (nic.rdma) return device_id(nic);
  return std::nullopt;
}

void validate(const MachineSpec& spec) {
  validate_identity(spec);
  std::set<int> keys;
  std::set<std::string> ids;
  collect_ids(spec.controllers, keys, ids);
  collect_ids(spec.disks, keys, ids);
  collect_ids(spec.cdroms, keys, ids);
  collect_ids(spec.nics, keys, ids);
  collect_ids(spec.floppies, keys, ids);
  collect_ids(spec.serial_ports, keys, ids);
  collect_ids(spec.parallel_ports, keys, ids);
  collect_ids(spec.usb_controllers, keys, ids);
  collect_ids(spec.usb_devices, keys, ids);
  if (spec.sound) collect_ids(std::vector{*spec.sound}, keys, ids);
  if (spec.watchdog) collect_ids(std::vector{*spec.watchdog}, keys, ids);
  if (spec.tpm) collect_ids(std::vector{*spec.tpm}, keys, ids);
  collect_ids(spec.passthrough, keys, ids);
  validate_controllers(spec);
  std::set<std::pair<int, int>> places;
  for (const Disk& disk : spec.disks) {
    validate_chain(disk);
    validate_drive(spec, device_id(disk), disk.controller_key, disk.unit, places);
    validate_device(spec, disk);
  }
  for (const Cdrom& cdrom : spec.cdroms)
    validate_drive(spec, device_id(cdrom), cdrom.controller_key, cdrom.unit, places);
  validate_nics(spec);
  validate_floppies(spec);
  validate_serial_ports(spec);
  validate_parallel_ports(spec);
  validate_usb(spec);
  validate_passthrough(spec);
  require(!spec.tpm || !spec.tpm->state_directory.empty(), spec.id,
          "{} has a TPM that can remember nothing", spec.name);
  for (const std::string& id : spec.boot_order)
    require(ids.contains(id), id, "{} is to boot from {}, which it does not have", spec.name, id);
}

std::string to_json(const MachineSpec& spec) {
  return json::serialize(Writer::encode(spec));
}

MachineSpec machine_spec_from_json(const std::string& text) {
  MachineSpec spec;
  try {
    Reader::decode(json::parse(text), spec);
  } catch (const std::exception& e) {
    throw error(ErrorKind::damaged, "machine description", "a machine description is damaged: {}",
                e.what());
  }
  return spec;
}

}  // namespace virga::hypervisor
