// Internal to vm_config: the machine of a VM in the making.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "host/vm_config.h"
#include "host/vm_config_words.h"

namespace virga::host {

struct MachineBuild {
  const vmx::MachineConfig& config;
  const ConfigContext& context;
  const DeviceState& connections;
  hypervisor::MachineSpec spec;

  bool connected(int key, bool start_connected) const;
  // The path of this machine that a .vmx means by `file`.
  std::string path_of(const std::string& file) const;
  // `name`, or for "" and "auto detect" the first of the host's devices. Without such a device the
  // VM starts with this one, `label`, disconnected: nullopt.
  std::optional<std::string> host_device(const std::vector<std::string>& present,
                                         const std::string& name, const std::string& label) const;
  void warn(const std::string& message) const;
};

}  // namespace virga::host
