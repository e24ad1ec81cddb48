#include "host/vm_identity.h"

#include <algorithm>

#include "base/uuid.h"
#include "host/vm_config_words.h"
#include "vmx/text.h"

namespace virga::host {

std::string location_uuid(const ConfigContext& context) {
  const std::string place = volume_path(context.volumes, context.config_file);
  const std::uint64_t high = digest(place), low = digest("uuid.location " + place);
  return fmt::format("564d{:04x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32 & 0xffff,
                     high >> 16 & 0xffff, high & 0xffff, low >> 48, low & 0xffff'ffff'ffff);
}

OnNewPlace on_new_place(const vmx::MachineConfig& config) {
  const std::string action = vmx::to_lower(vmx::find_extra(config, "uuid.action").value_or(""));
  if (action == "keep") return OnNewPlace::keep;
  if (action == "create" || action == "change") return OnNewPlace::create;
  return OnNewPlace::ask;
}

void become_a_copy(vmx::MachineConfig& config, const ConfigContext& context) {
  config.bios_uuid = make_uuid();
  config.instance_uuid = make_uuid();
  vmx::for_each_adapter(config, [](auto& adapter) {
    if (adapter.address_type == vmx::AddressType::generated) adapter.mac.clear();
  });
  vmx::generate_missing_macs(config, context.mac_in_use);
}

namespace {

class ReferenceAdopter {
 public:
  ReferenceAdopter(const ConfigContext& context, const std::vector<std::string>& folder)
      : context_(context), folder_(folder) {}

  void adopt(std::string& file) const {
    if (file.empty()) return;
    std::string wanted = file;
    std::replace(wanted.begin(), wanted.end(), '\\', '/');
    if (is_relative(wanted)) {
      file = in_folder(wanted).value_or(wanted);
    } else if (const auto path = place_here(wanted)) {
      file = file_reference(context_, *path);
    } else if (const auto name = in_folder(wanted.substr(wanted.rfind('/') + 1))) {
      file = *name;
    }
  }

 private:
  static bool has_drive(const std::string& file) { return file.size() > 1 && file[1] == ':'; }
  static bool is_relative(const std::string& file) {
    return !file.starts_with("/") && !file.starts_with("[") && !has_drive(file);
  }

  // Where an absolute reference leads; nullopt: nowhere on this host.
  std::optional<vmx::DatastorePath> place_here(const std::string& file) const {
    if (has_drive(file)) return std::nullopt;
    const auto path = find_file(context_, file);
    const bool is_known = path && context_.datastore(path->datastore()).has_value();
    return is_known ? path : std::nullopt;
  }

  // Windows knows no case.
  std::optional<std::string> in_folder(const std::string& name) const {
    if (std::ranges::find(folder_, name) != folder_.end()) return name;
    for (const std::string& other : folder_)
      if (vmx::equal_ignoring_case(other, name)) return other;
    return std::nullopt;
  }

  const ConfigContext& context_;
  const std::vector<std::string>& folder_;
};

}  // namespace

void adopt_references(vmx::MachineConfig& config, const ConfigContext& context,
                      const std::vector<std::string>& folder) {
  const ReferenceAdopter adopter(context, folder);
  for (vmx::Disk& disk : config.disks) adopter.adopt(disk.file);
  for (vmx::CdRom& cdrom : config.cdroms)
    if (cdrom.backing == vmx::CdRomBacking::image) adopter.adopt(cdrom.file);
  for (vmx::Floppy& floppy : config.floppies)
    if (floppy.backing == vmx::FloppyBacking::image) adopter.adopt(floppy.file);
  for (vmx::SerialPort& port : config.serial_ports)
    if (port.backing == vmx::SerialBacking::file) adopter.adopt(port.target);
  adopter.adopt(config.nvram);
  adopter.adopt(config.extended_config);
  adopter.adopt(config.suspend_state);
}

}  // namespace virga::host
