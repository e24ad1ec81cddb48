#include "hypervisor/saved_state.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/json.h"

namespace virga::hypervisor {
namespace {

constexpr std::string_view magic = "VIRGA-STATE 1\n";

template <class... Args>
void require_same(const MachineSpec& spec, bool same, fmt::format_string<Args...> what,
                  Args&&... args) {
  if (!same)
    throw error(ErrorKind::invalid_state, spec.id, "{} cannot resume: its saved state has {}",
                spec.name, fmt::format(what, std::forward<Args>(args)...));
}

// The devices as far as the guest's state depends on them.
std::vector<Controller> places(std::vector<Controller> controllers) {
  std::ranges::sort(controllers, {}, &Controller::key);
  return controllers;
}
std::vector<Disk> places(std::vector<Disk> disks) {
  std::ranges::sort(disks, {}, &Disk::key);
  for (Disk& disk : disks) disk = {disk.key, disk.controller_key, disk.unit};
  return disks;
}
std::vector<Cdrom> places(std::vector<Cdrom> cdroms) {
  std::ranges::sort(cdroms, {}, &Cdrom::key);
  for (Cdrom& cdrom : cdroms) cdrom = {cdrom.key, cdrom.controller_key, cdrom.unit};
  return cdroms;
}
std::vector<Nic> places(std::vector<Nic> nics) {
  std::ranges::sort(nics, {}, &Nic::key);
  for (Nic& nic : nics) {
    nic.tap.clear();
    nic.link_up = true;
  }
  return nics;
}
std::vector<int> places(const std::vector<SerialPort>& ports) {
  std::vector<int> keys;
  for (const SerialPort& port : ports) keys.push_back(port.key);
  return keys;
}

template <class Devices>
void require_same_devices(const MachineSpec& spec, const Devices& saved, const Devices& wanted,
                          const char* what) {
  require_same(spec, places(saved) == places(wanted), "other {}", what);
}

bool is_plain_name(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace

std::string unfinished_state(const std::string& path) {
  return path + ".unfinished";
}

std::string encode_header(const SavedState& state) {
  std::string block(magic);
  block += json::serialize(json::object{{"machineType", state.machine_type},
                                        {"accelerator", state.accelerator},
                                        {"version", state.version},
                                        {"machine", json::parse(to_json(state.spec))}});
  block += '\n';
  if (block.size() > state_offset)
    throw error(ErrorKind::unsupported, state.spec.id, "{} has too many devices to be suspended",
                state.spec.name);
  block.resize(state_offset);
  return block;
}

SavedState decode_header(std::string_view block, const std::string& path) {
  const auto end = block.find('\n', magic.size());
  if (!block.starts_with(magic) || end == std::string_view::npos)
    throw error(ErrorKind::damaged, path, "{} is not a saved state", path);
  SavedState state;
  try {
    const json::value value = json::parse(block.substr(magic.size(), end - magic.size()));
    state.machine_type = std::string(value.at("machineType").as_string());
    state.accelerator = std::string(value.at("accelerator").as_string());
    state.version = std::string(value.at("version").as_string());
    state.spec = machine_spec_from_json(json::serialize(value.at("machine")));
  } catch (const std::exception& e) {
    throw error(ErrorKind::damaged, path, "{} is not a saved state: {}", path, e.what());
  }
  // It goes into QEMU's command line, and whoever may write to the datastore may have written it.
  if (!is_plain_name(state.machine_type))
    throw error(ErrorKind::damaged, path, "{} is not a saved state: '{}' names no machine type",
                path, state.machine_type);
  return state;
}

void check_restorable(const SavedState& state, const MachineSpec& spec,
                      const std::string& accelerator) {
  const MachineSpec& saved = state.spec;
  require_same(spec, state.accelerator == accelerator, "been made under {}, this host runs {}",
               state.accelerator, accelerator);
  require_same(spec, saved.memory_mib == spec.memory_mib, "{} MiB of memory, it has {}",
               saved.memory_mib, spec.memory_mib);
  require_same(spec, saved.vcpus == spec.vcpus && saved.cores_per_socket == spec.cores_per_socket,
               "{} processors in sockets of {}, it has {} in sockets of {}", saved.vcpus,
               saved.cores_per_socket, spec.vcpus, spec.cores_per_socket);
  require_same(spec, saved.nested_virtualization == spec.nested_virtualization,
               "another setting of nested virtualization");
  require_same(spec, saved.firmware == spec.firmware, "the other firmware");
  require_same(spec, saved.video_memory_kib == spec.video_memory_kib, "another video memory");
  require_same(spec, saved.guest_agent == spec.guest_agent, "another setting of the agent's port");
  require_same_devices(spec, saved.controllers, spec.controllers, "controllers");
  require_same_devices(spec, saved.disks, spec.disks, "disks");
  require_same_devices(spec, saved.cdroms, spec.cdroms, "CD-ROM drives");
  require_same_devices(spec, saved.nics, spec.nics, "NICs");
  require_same_devices(spec, saved.serial_ports, spec.serial_ports, "serial ports");
}

void adopt_growth(const SavedState& state, MachineSpec& spec) {
  spec.max_memory_mib = state.spec.max_memory_mib;
  spec.max_vcpus = state.spec.max_vcpus;
  spec.dimms = state.spec.dimms;
}

}  // namespace virga::hypervisor
