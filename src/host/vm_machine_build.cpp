#include "host/vm_machine_build.h"

#include <algorithm>

#include "vmx/text.h"

namespace virga::host {

bool MachineBuild::connected(int key, bool start_connected) const {
  const auto now = connections.connected.find(key);
  return now == connections.connected.end() ? start_connected : now->second;
}

std::string MachineBuild::path_of(const std::string& file) const {
  return context.absolute(resolve_file(context, file));
}

std::optional<std::string> MachineBuild::host_device(const std::vector<std::string>& present,
                                                     const std::string& name,
                                                     const std::string& label) const {
  if (is_auto_detected(name) && !present.empty()) return present.front();
  if (std::ranges::find(present, name) != present.end()) return name;
  warn(fmt::format("{} is not connected: this host has no {}.", label,
                   is_auto_detected(name) ? "such device" : name));
  return std::nullopt;
}

void MachineBuild::warn(const std::string& message) const {
  if (context.warn) context.warn(message);
}

}  // namespace virga::host
