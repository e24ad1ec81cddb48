#include "hypervisor/qemu/command_line.h"

#include <fmt/format.h>

#include <algorithm>

#include "hypervisor/qemu/devices.h"
#include "hypervisor/vfio.h"

namespace virga::hypervisor {
namespace {

// Descriptor sets of what has no device key; keys start at 200.
constexpr int efi_code_set = 1;
constexpr int efi_variables_set = 2;

// What a ROM takes of the guest's addresses. Always the same, whatever a build makes of it: a saved
// state fits no other size.
constexpr int option_rom_bytes = 64 << 10;

// In QEMU's option syntax a comma inside a value is written twice.
std::string escape(const std::string& value) {
  std::string text;
  for (const char c : value) text += c == ',' ? ",," : std::string(1, c);
  return text;
}

class Builder {
 public:
  Builder(const MachineSpec& spec, const Platform& platform, const std::string& directory)
      : spec_(spec), platform_(platform), directory_(directory) {
    line_.argv = sandboxed_command(platform.program);
  }

  CommandLine build(bool restoring) {
    add_process_options();
    add_platform();
    add_firmware();
    add_monitors_and_agent();
    add_storage();
    add_network();
    add_ports();
    add_usb();
    add_sound();
    if (spec_.watchdog) add_device(watchdog_device(*spec_.watchdog));
    add_tpm();
    add_passthrough();
    add("-S");
    if (restoring) add("-incoming", "defer");
    return std::move(line_);
  }

 private:
  template <class... Values>
  void add(Values&&... values) {
    (line_.argv.emplace_back(std::forward<Values>(values)), ...);
  }
  void add_node(const json::object& node) { add("-blockdev", json::serialize(node)); }
  void add_device(const json::object& device) { add("-device", json::serialize(device)); }

  int inherit(Inherited inherited) {
    inherited.number = first_inherited + static_cast<int>(line_.inherited.size());
    line_.inherited.push_back(std::move(inherited));
    return line_.inherited.back().number;
  }
  int inherit(Inherited::Kind kind, const std::string& path) {
    return inherit({.kind = kind, .path = path});
  }
  // A file QEMU opens as /dev/fdset/SET.
  void hand_over(int set, Inherited::Kind kind, const std::string& path) {
    add("-add-fd", fmt::format("fd={},set={}", inherit(kind, path), set));
  }
  void hand_over(ImageFile image) {
    const std::int64_t set = image.set;
    const int number =
        inherit({.kind = Inherited::Kind::image, .path = image.path, .image = std::move(image)});
    add("-add-fd", fmt::format("fd={},set={}", number, set));
  }
  void listen(const std::string& id, const std::string& path, const std::string& more = "") {
    add("-chardev", fmt::format("socket,id={},fd={},server=on,wait=off{}", id,
                                inherit(Inherited::Kind::listener, path), more));
  }

  void add_process_options() {
    add("-name", fmt::format("guest={},process=vm:{},debug-threads=on", escape(spec_.name),
                             escape(spec_.name.substr(0, 12))));
    // A guest that switched itself off stays visible until the daemon has seen it.
    add("-action", "shutdown=pause");
  }

  void add_platform() {
    std::string machine = platform_.machine_type + ",memory-backend=memory,dump-guest-core=off";
    if (spec_.firmware == Firmware::efi) machine += ",pflash0=efi-code,pflash1=efi-variables";
    // Only the firmware, in system management mode, may write the variables.
    if (spec_.secure_boot) {
      machine += ",smm=on";
      add("-global", "driver=cfi.pflash01,property=secure,value=on");
    }
    add("-machine", machine);
    add("-accel", platform_.kvm
                      ? "kvm"
                      : fmt::format("tcg,thread=multi,tb-size={}", platform_.tcg_cache_mib));
    // QEMU 7.2 emulates five-level paging wrongly: a Linux started by EFI, which uses it where it
    // is offered, sees its programs crash.
    add("-cpu", std::string(platform_.kvm ? "host" : "max,la57=off") +
                    (spec_.nested_virtualization ? "" : ",vmx=off,svm=off"));
    add_processors();
    add_memory();
    if (!spec_.bios_uuid.empty()) add("-uuid", spec_.bios_uuid);
    add_identity();
    add("-rtc", "base=utc");
    // A guest asleep in S3 or S4 would look dead to everybody outside.
    for (const char* board : {"PIIX4_PM", "ICH9-LPC"})
      for (const char* state : {"disable_s3=1", "disable_s4=1"})
        add("-global", fmt::format("{}.{}", board, state));
    add("-vnc", spec_.sound ? "none,audiodev=audio" : "none");
    if (const auto bridge = pci_bus_device(spec_)) add_device(*bridge);
    add_device({{"driver", "VGA"},
                {"id", "video"},
                {"bus", "pci.0"},
                {"addr", "0x2"},
                {"vgamem_mb", video_memory_mib()}});
  }

  void add_processors() {
    const int most = std::max(spec_.vcpus, spec_.max_vcpus);
    add("-smp", fmt::format("cpus={},maxcpus={},sockets={},cores={},threads=1", spec_.vcpus, most,
                            most / spec_.cores_per_socket, spec_.cores_per_socket));
  }

  void add_memory() {
    const std::uint64_t at_start = memory_at_start(spec_);
    add("-object", fmt::format("memory-backend-ram,id=memory,size={}M{}", at_start,
                               has_rdma() ? ",share=on" : ""));
    // QEMU takes no slots where nothing can come into them.
    if (spec_.max_memory_mib > at_start)
      add("-m",
          fmt::format("size={}M,slots={},maxmem={}M", at_start, max_dimms, spec_.max_memory_mib));
    else
      add("-m", fmt::format("{}M", at_start));
    for (std::size_t slot = 0; slot < spec_.dimms.size(); ++slot) {
      add("-object", json::serialize(dimm_backend(slot, spec_.dimms[slot])));
      add_device(dimm_device(slot));
    }
  }

  // QEMU takes powers of two from 1 to 256.
  std::uint64_t video_memory_mib() const {
    std::uint64_t mib = 1;
    while (mib < 256 && mib * 1024 < spec_.video_memory_kib) mib *= 2;
    return mib;
  }

  void add_identity() {
    const SystemIdentity& identity = spec_.identity;
    std::string words;
    if (!identity.manufacturer.empty()) words += ",manufacturer=" + escape(identity.manufacturer);
    if (!identity.product.empty()) words += ",product=" + escape(identity.product);
    if (!identity.serial.empty()) words += ",serial=" + escape(identity.serial);
    if (!words.empty()) add("-smbios", "type=1" + words);
  }

  void add_firmware() {
    std::string boot = "strict=on";
    if (spec_.boot_delay_ms > 0)
      boot += fmt::format(",menu=on,splash-time={}", spec_.boot_delay_ms);
    if (spec_.boot_retry_ms) boot += fmt::format(",reboot-timeout={}", *spec_.boot_retry_ms);
    add("-boot", boot);
    if (spec_.firmware == Firmware::bios) return;
    add_flash("efi-code", efi_code_set, platform_.efi_code, true);
    add_flash("efi-variables", efi_variables_set, spec_.nvram_path, false);
  }

  void add_flash(const char* node, int set, const std::string& path, bool read_only) {
    hand_over(set, read_only ? Inherited::Kind::read_only : Inherited::Kind::read_write, path);
    add_node(
        {{"driver", "raw"},
         {"node-name", node},
         {"read-only", read_only},
         {"file", {{"driver", "file"}, {"filename", fdset_path(set)}, {"read-only", read_only}}}});
  }

  void add_monitors_and_agent() {
    listen("qmp", qmp_socket(directory_));
    add("-mon", "chardev=qmp,mode=control");
    // The socket is for the daemon that comes back. It is not used from the start, because QEMU 7.2
    // moves it to another thread without a lock and may hang, or worse, when somebody connects just
    // then.
    add("-chardev",
        fmt::format("socket,id=first-qmp,fd={}", inherit({.kind = Inherited::Kind::monitor})));
    add("-mon", "chardev=first-qmp,mode=control");
    if (!spec_.guest_agent) return;
    listen("agent", agent_socket(directory_));
    // Its 64 queues would be as many descriptors to poll for every request of every other device.
    add_device({{"driver", "virtio-serial-pci"},
                {"id", "agent-bus"},
                {"bus", "pci.0"},
                {"addr", "0x3"},
                {"ioeventfd", false}});
    add_device({{"driver", "virtserialport"},
                {"id", "agent-port"},
                {"bus", "agent-bus.0"},
                {"nr", 1},
                {"chardev", "agent"},
                {"name", "org.qemu.guest_agent.0"}});
  }

  void add_storage() {
    for (const Controller& controller : spec_.controllers) add_controller(controller);
    for (const Disk& disk : spec_.disks) add_disk(disk);
    for (const Cdrom& cdrom : spec_.cdroms) {
      if (cdrom.path) {
        hand_over(cdrom.key, Inherited::Kind::read_only, *cdrom.path);
        for (const auto& node : cdrom_nodes(cdrom.key, *cdrom.path)) add_node(node);
      }
      add_device(cdrom_device(spec_, cdrom));
    }
    if (spec_.secure_boot && !spec_.floppies.empty())
      add_device({{"driver", "isa-fdc"}, {"id", "floppy-controller"}});
    for (const Floppy& floppy : spec_.floppies) {
      if (floppy.path) {
        hand_over(floppy.key, Inherited::Kind::read_write, *floppy.path);
        for (const auto& node : floppy_nodes(floppy.key, *floppy.path)) add_node(node);
      }
      add_device(floppy_device(spec_, floppy));
    }
  }

  void add_controller(const Controller& controller) {
    std::optional<json::object> device = controller_device(controller);
    if (!device) return;
    const std::string rom = option_rom(controller.model);
    if (spec_.firmware == Firmware::efi && !rom.empty()) {
      // QEMU knows ROMs by path alone, and opens this one with the rights of its user.
      const int fd = inherit(Inherited::Kind::read_only, platform_.option_roms + "/" + rom);
      (*device)["romfile"] = fmt::format("/dev/fd/{}", fd);
      (*device)["romsize"] = option_rom_bytes;
    }
    add_device(*device);
  }

  void add_disk(const Disk& disk) {
    if (std::string secret = login_secret(disk); !secret.empty()) {
      const int fd =
          inherit({.kind = Inherited::Kind::secret, .number = 0, .secret = std::move(secret)});
      add("-object", json::serialize(secret_object(disk, fmt::format("/dev/fd/{}", fd))));
    }
    int image = 0;
    for (const ImageNodes& nodes : disk_nodes(disk)) {
      for (ImageFile& file : image_files(disk, image, disk.chain[static_cast<std::size_t>(image)]))
        hand_over(std::move(file));
      for (const auto& node : nodes) add_node(node);
      ++image;
    }
    add_device(disk_device(spec_, disk));
  }

  void add_network() {
    for (const Nic& nic : spec_.nics) {
      // A hub with nobody else on it is a card without a cable.
      add("-netdev", nic.tap.empty()
                         ? fmt::format("hubport,id={},hubid={}", netdev_id(nic), nic.key)
                         : fmt::format("tap,id={},fd={}", netdev_id(nic),
                                       inherit({.kind = Inherited::Kind::tap, .key = nic.key})));
      add_device(nic_device(spec_, nic, netdev_id(nic)));
      if (nic.rdma) add_rdma(nic);
    }
  }

  // QEMU registers the guest's memory with the host's device through a second mapping of it.
  bool has_rdma() const {
    return std::ranges::any_of(spec_.nics, [](const Nic& nic) { return nic.rdma.has_value(); });
  }

  void add_rdma(const Nic& nic) {
    const std::string chardev = device_id(nic) + "-datagrams";
    add("-chardev", fmt::format("socket,id={},path={}", chardev, escape(nic.rdma->multiplexer)));
    add_device(rdma_device(nic, netdev_id(nic), chardev));
    lock_memory();
  }

  // Devices of the host reach into the guest's memory: it must stay where it is.
  void lock_memory() {
    constexpr std::uint64_t beside_memory = 1ULL << 30;  // what devices map of their own
    line_.locked_bytes = (std::max(spec_.memory_mib, spec_.max_memory_mib) << 20) + beside_memory;
  }

  void add_ports() {
    int index = 0;
    for (const SerialPort& port : spec_.serial_ports) {
      add_line(port);
      add_port("isa-serial", device_id(port), index++);
    }
    index = 0;
    for (const ParallelPort& port : spec_.parallel_ports) {
      const std::string id = device_id(port) + "-line";
      if (port.backend == LineBackend::file)
        append_to(id, port.key, port.path);
      else if (port.backend == LineBackend::device)
        open_device("parallel", id, port.key, port.path);
      else
        add("-chardev", "null,id=" + id);
      add_port("isa-parallel", device_id(port), index++);
    }
  }

  void add_port(const char* driver, const std::string& id, int index) {
    add_device({{"driver", driver}, {"id", id}, {"chardev", id + "-line"}, {"index", index}});
  }
  void append_to(const std::string& id, int key, const std::string& path) {
    hand_over(key, Inherited::Kind::append, path);
    add("-chardev", fmt::format("file,id={},path={},append=on", id, fdset_path(key)));
  }
  void open_device(const char* kind, const std::string& id, int key, const std::string& path) {
    hand_over(key, Inherited::Kind::read_write, path);
    add("-chardev", fmt::format("{},id={},path={}", kind, id, fdset_path(key)));
  }

  void add_line(const SerialPort& port) {
    const std::string id = device_id(port) + "-line";
    switch (port.backend) {
      case LineBackend::none:
        add("-chardev", "null,id=" + id);
        break;
      case LineBackend::socket:
        hand_over(port.key, Inherited::Kind::append, serial_log_path(directory_, port));
        listen(id, serial_socket(directory_, port),
               ",logfile=" + fdset_path(port.key) + ",logappend=on");
        break;
      case LineBackend::file:
        append_to(id, port.key, port.path);
        break;
      case LineBackend::device:
        open_device("serial", id, port.key, port.path);
        break;
      case LineBackend::network:
        add_network_line(id, port);
        break;
      case LineBackend::stream:
        add("-chardev", fmt::format("socket,id={},fd={}", id,
                                    inherit({.kind = Inherited::Kind::stream, .key = port.key})));
        break;
    }
  }

  void add_network_line(const std::string& id, const SerialPort& port) {
    const NetworkLine& line = *port.network;
    const char* telnet = line.telnet ? ",telnet=on" : "";
    // QEMU 7.2 speaks TLS, but leaves what came in a record beyond the port's FIFO unread until
    // more comes.
    if (line.security)
      listen(id, serial_socket(directory_, port), telnet);
    else if (line.server)
      add("-chardev",
          fmt::format("socket,id={},fd={},server=on,wait=off{}", id,
                      inherit({.kind = Inherited::Kind::tcp_listener, .address = line}), telnet));
    else
      add("-chardev", fmt::format("socket,id={},host={},port={},reconnect=1{}", id,
                                  escape(line.host), line.port, telnet));
  }

  void add_usb() {
    for (const UsbController& controller : spec_.usb_controllers)
      for (const auto& device : usb_controller_devices(controller)) add_device(device);
    for (const UsbDevice& device : spec_.usb_devices) {
      if (!device.path.empty())
        hand_over(fdset_of(device.key), Inherited::Kind::read_write, device.path);
      add_device(usb_device(device));
    }
  }

  // QEMU knows a VFIO group by its path alone.
  void add_passthrough() {
    if (spec_.passthrough.empty()) return;
    lock_memory();
    line_.nodes.emplace_back("/dev/vfio/vfio");
    add_device(passthrough_bridge());
    for (const PassthroughDevice& device : spec_.passthrough) {
      line_.nodes.push_back(vfio_group_node(device.iommu_group));
      add_device(passthrough_device(device));
    }
  }

  void add_tpm() {
    if (!spec_.tpm) return;
    add("-chardev",
        fmt::format("socket,id=tpm-line,fd={}", inherit({.kind = Inherited::Kind::tpm})));
    add("-tpmdev", "emulator,id=tpm,chardev=tpm-line");
    add_device({{"driver", "tpm-crb"}, {"id", device_id(*spec_.tpm)}, {"tpmdev", "tpm"}});
  }

  void add_sound() {
    if (!spec_.sound) return;
    add("-audiodev", "none,id=audio");
    for (const auto& device : sound_devices(*spec_.sound, "audio")) add_device(device);
  }

  const MachineSpec& spec_;
  const Platform& platform_;
  const std::string& directory_;
  CommandLine line_;
};

}  // namespace

std::string qmp_socket(const std::string& directory) {
  return directory + "/qmp.sock";
}
std::string agent_socket(const std::string& directory) {
  return directory + "/agent.sock";
}
std::string serial_socket(const std::string& directory, const SerialPort& port) {
  return directory + "/" + device_id(port) + ".sock";
}
std::string serial_log_path(const std::string& directory, const SerialPort& port) {
  return port.log_path.empty() ? directory + "/" + device_id(port) + ".log" : port.log_path;
}

std::vector<std::string> sandboxed_command(const std::string& program) {
  return {program, "-nodefaults", "-no-user-config", "-sandbox",
          "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"};
}

CommandLine build_command_line(const MachineSpec& spec, const Platform& platform,
                               const std::string& directory, bool restoring) {
  return Builder(spec, platform, directory).build(restoring);
}

}  // namespace virga::hypervisor
