// The command line of a guest's QEMU, as a pure function of the machine.
#pragma once

#include <string>
#include <vector>

#include "hypervisor/machine_spec.h"
#include "hypervisor/qemu/disk_image.h"

namespace virga::hypervisor {

// What the guest is built on, the same for all machines of a host.
struct Platform {
  std::string program = "qemu-system-x86_64";
  std::string machine_type;  // versioned, so that a saved state outlives an upgrade of QEMU
  bool kvm = false;
  int tcg_cache_mib = 64;
  std::string efi_code;     // that with Secure Boot where the machine has it
  std::string option_roms;  // the folder of option_rom()'s files
};

// A descriptor QEMU inherits: what the launcher has to open, and the number the command line has
// given it.
struct Inherited {
  enum class Kind {
    listener,      // a unix socket
    tcp_listener,  // on `address`
    read_only,
    read_write,
    append,
    tap,      // of the NIC with that key
    stream,   // of the serial port with that key
    monitor,  // a connection of ours
    tpm,      // the emulator's control channel
    image,    // of a disk
    secret,
  };
  Kind kind;
  int number;
  std::string path;     // of sockets and files
  int key = 0;          // taps and streams
  NetworkLine address;  // tcp_listener
  ImageFile image;      // images
  std::string secret;

  bool operator==(const Inherited&) const = default;
};

struct CommandLine {
  std::vector<std::string> argv;
  std::vector<Inherited> inherited;  // numbered from first_inherited without a gap
  std::vector<std::string> nodes;    // of /dev, which QEMU opens itself: its user must be able to
  std::uint64_t locked_bytes = 0;    // of memory, which it must be allowed to keep in place
};
constexpr int first_inherited = 3;

std::string qmp_socket(const std::string& directory);
std::string agent_socket(const std::string& directory);
std::string serial_socket(const std::string& directory, const SerialPort& port);
// Where the copy of a socket-backed port's output goes.
std::string serial_log_path(const std::string& directory, const SerialPort& port);

// What every QEMU of ours begins with: no devices, no configuration but ours, no privileges.
std::vector<std::string> sandboxed_command(const std::string& program);

// The machine does not run until it is told to ("cont"), and with `restoring` waits for a saved
// state. `directory`: its own, for sockets and logs. `spec` must be valid.
CommandLine build_command_line(const MachineSpec& spec, const Platform& platform,
                               const std::string& directory, bool restoring);

}  // namespace virga::hypervisor
