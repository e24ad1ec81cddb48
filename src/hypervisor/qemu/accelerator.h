// Whether guests can run on KVM: found out by running one.
#pragma once

#include <chrono>
#include <string>

#include "base/async.h"
#include "hypervisor/qemu/qemu_hypervisor.h"

namespace virga::hypervisor {

struct Accelerator {
  bool kvm = false;
  std::string reason;  // why not KVM, a sentence; empty with it
};

// The processor's flags and a short trial: a device file alone proves nothing (nested hosts offer
// one on which guests hang).
Accelerator find_accelerator(const QemuOptions& options);

// Pure: does the text of /proc/cpuinfo show VT-x or AMD-V?
bool has_virtualization(const std::string& cpuinfo);

// Runs a guest of a few instructions, which reports back through QEMU's exit code, under
// `accelerator` ("kvm", "tcg"). Empty when it did, else why not. Blocks up to `timeout`.
std::string try_accelerator(const QemuOptions& options, const std::string& accelerator,
                            std::chrono::milliseconds timeout);

}  // namespace virga::hypervisor
