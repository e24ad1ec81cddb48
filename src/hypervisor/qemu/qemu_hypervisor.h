// Guests under QEMU: one process each, apart from the daemon, unprivileged and sandboxed.
//
// Run directory:
//   RUN/ID/                    one running guest, for root alone
//     machine.json             the record adopt() goes by: pid, start time, boot id, MachineSpec
//     qmp.sock, agent.sock, serial-KEY.sock   listening sockets the daemon made and QEMU inherited
//     serial-KEY.log, qemu.log
// Every file a guest uses is opened by the daemon and handed over as a descriptor, so QEMU's user
// needs no right to any path.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "hypervisor/hypervisor.h"

namespace virga::hypervisor {

struct QemuOptions {
  std::string run_directory;  // short: socket paths end at 107 bytes
  std::string program = "qemu-system-x86_64";
  std::string user = "virga-guest";  // must exist; empty: do not change user (not as root)
  std::string efi_code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
  std::string secure_efi_code = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
  std::string option_roms;  // what tools/firmware/build.sh made: EFI guests with SCSI need them
  bool allow_kvm = true;    // false: TCG without asking
  int tcg_cache_mib = 64;   // translated code per guest
  std::chrono::seconds reply_timeout{30};    // a QMP command
  std::chrono::seconds quit_timeout{10};     // a process asked to end, before it is killed
  std::chrono::seconds removal_timeout{20};  // the guest letting go of a device
};

std::unique_ptr<Hypervisor> make_qemu_hypervisor(asio::any_io_executor executor,
                                                 QemuOptions options);

// Makes the EFI variable store of a machine from OVMF's template, unless it exists. With
// `secure_boot` it has Microsoft's keys; a store without any keys is replaced by such a one.
void create_efi_variables(const std::string& path, bool secure_boot = false);

// Whether the EFI variables have a platform key, without which Secure Boot checks nothing.
bool has_platform_key(const std::string& variables);

}  // namespace virga::hypervisor
