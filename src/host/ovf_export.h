// A VM as an OVF descriptor describes it. Pure.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "host/ovf_faults.h"
#include "ovf/envelope.h"
#include "vim/types.h"
#include "vmx/machine_config.h"

namespace virga::host {

struct OvfExport {
  const vmx::MachineConfig& config;
  std::string id;  // of the VM, as the keys of leases have it
  // Bytes; nullopt for a disk that cannot be read.
  std::function<std::optional<std::uint64_t>(const vmx::Disk&)> capacity_of;
  const vim::OvfCreateDescriptorParams& wanted;
};

ovf::Envelope describe(const OvfExport& machine, OvfFindings& findings);

}  // namespace virga::host
