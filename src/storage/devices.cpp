#include "storage/devices.h"

#include <fcntl.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/sysfs.h"

namespace virga::storage {
namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

std::string padded(std::string text, std::size_t size) {
  text.resize(size, ' ');
  return text;
}

template <class List, class Predicate>
auto find_in(const List& list, Predicate predicate) -> const typename List::value_type* {
  const auto found = std::find_if(list.begin(), list.end(), predicate);
  return found == list.end() ? nullptr : &*found;
}

}  // namespace

std::string Path::name() const {
  return fmt::format("{}:C{}:T{}:L{}", adapter, channel, target, lun);
}

const Adapter* find_adapter(const Devices& devices, const std::string& name) {
  return find_in(devices.adapters, [&](const Adapter& a) { return a.name == name; });
}

const LogicalUnit* find_unit(const Devices& devices, const std::string& asked) {
  const std::string prefix = device_folder;
  const std::string name = asked.starts_with(prefix) ? asked.substr(prefix.size()) : asked;
  return find_in(devices.units, [&](const LogicalUnit& unit) {
    return unit.name == name || unit.uuid == name || "vml." + unit.uuid == name ||
           (!unit.device_path.empty() && unit.device_path == name);
  });
}

const Path* find_path(const Devices& devices, const std::string& name) {
  return find_in(devices.paths, [&](const Path& path) { return path.name() == name; });
}

std::vector<const Path*> paths_to(const Devices& devices, const LogicalUnit& unit) {
  std::vector<const Path*> found;
  for (const Path& path : devices.paths)
    if (path.unit == unit.name) found.push_back(&path);
  return found;
}

void rescan(const Adapter& adapter) {
  // A SCSI host is told the channel, target and unit to look at; an NVMe controller just to look.
  for (const std::string& file : adapter.rescan_files)
    write_attribute(file, file.ends_with("/scan") ? "- - -" : "1");
}

void set_path_enabled(const Path& path, bool enabled) {
  if (path.state_file.empty())
    throw error(ErrorKind::unsupported, path.name(), "the kernel cannot take path {} in or out",
                path.name());
  write_attribute(path.state_file, enabled ? "running" : "offline");
}

bool is_unused(const LogicalUnit& unit) {
  if (!unit.is_disk() || unit.device_path.empty()) return false;
  try {
    open_file(unit.device_path, O_RDONLY | O_EXCL);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string unit_uuid(const std::string& name, int lun, const std::string& model) {
  const std::string kind = name.substr(0, name.find('.'));
  const std::string rest = name.substr(std::min(name.size(), kind.size() + 1));
  const std::string tail = hex(padded(model, 6).substr(0, 6));
  if (kind == "naa" || kind == "eui")
    return fmt::format("0200{:02x}0000{}{}", lun & 255, rest, tail);
  int adapter = 0, channel = 0, target = 0;
  if (std::sscanf(name.c_str(), "mpx.vmhba%d:C%d:T%d", &adapter, &channel, &target) == 3)
    return "0000000000" + hex(fmt::format("vmhba{}:{}:{}", adapter, target, lun));
  return fmt::format("0100{:02x}0000{}{}", lun & 255, hex(rest), tail);
}

}  // namespace virga::storage
