// The process that emulates a guest's TPM: swtpm, which ends when the guest's QEMU does.
#pragma once

#include <optional>

#include "hypervisor/machine_spec.h"
#include "hypervisor/qemu/launcher.h"

namespace virga::hypervisor {

// `control`: the end of a socket pair whose other end QEMU has. `output`: takes its words. To be
// called when QEMU runs: it waits for the emulator, and gives up when `control` is closed, so that
// a daemon killed in between leaves neither. Blocking; makes the state's directory. Returns a
// pidfd.
Fd launch_tpm(const Tpm& tpm, const std::optional<Account>& account, const Fd& control, int output);

}  // namespace virga::hypervisor
