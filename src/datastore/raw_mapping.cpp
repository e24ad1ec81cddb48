#include "datastore/raw_mapping.h"

#include <fcntl.h>

#include "base/error.h"
#include "base/json.h"
#include "datastore/disk_files.h"

namespace virga::datastore {
namespace {

constexpr std::string_view virtual_type = "vmfsRawDeviceMap";
constexpr std::string_view physical_type = "vmfsPassthroughRawDeviceMap";
constexpr std::size_t longest_mapping = 4096;  // bytes

}  // namespace

bool is_mapping(const vmx::VmdkDescriptor& descriptor) {
  return descriptor.create_type == virtual_type || descriptor.create_type == physical_type;
}

Location set_mapping(vmx::VmdkDescriptor& descriptor, const Location& disk,
                     const RawMapping& mapping, std::uint64_t capacity) {
  const vmx::DatastorePath path(disk.datastore->name(), disk.path);
  if (path.extension() != ".vmdk")
    throw error(ErrorKind::invalid_argument, disk.display(), "{} does not end in .vmdk",
                disk.display());
  const std::string file =
      fmt::format("{}-{}.vmdk", path.stem(), mapping.passthrough ? "rdmp" : "rdm");
  descriptor.create_type = mapping.passthrough ? physical_type : virtual_type;
  vmx::Extent extent;
  extent.sectors = capacity / vmx::sector_size;
  extent.type = "VMFSRDM";
  extent.file = file;
  descriptor.extents = {std::move(extent)};
  descriptor.geometry = vmx::geometry_for(descriptor.capacity_sectors(),
                                          descriptor.adapter.value_or(vmx::AdapterType::lsi_logic));
  return disk.sibling(file);
}

RawMapping read_mapping(const Location& disk, const vmx::VmdkDescriptor& descriptor) {
  const std::vector<Location> files = extent_files(disk, descriptor);
  if (files.size() != 1)
    throw error(ErrorKind::damaged, disk.display(), "{} is mapped by {} files", disk.display(),
                files.size());
  const Location& file = files.front();
  const Fd fd = file.datastore->open(file.path, O_RDONLY);
  const auto size = static_cast<std::uint64_t>(file.datastore->status(file.path).st_size);
  if (size > longest_mapping)
    throw error(ErrorKind::damaged, file.display(), "{} is no mapping file of this host's kind",
                file.display());
  RawMapping mapping = parse_mapping(read_text(fd.get(), 0, size, file.display()), file.display());
  mapping.passthrough = descriptor.create_type == physical_type;
  return mapping;
}

std::string to_text(const RawMapping& mapping) {
  return json::serialize(json::object{{"unit", mapping.unit}, {"uuid", mapping.uuid}}) + "\n";
}

RawMapping parse_mapping(std::string_view text, const std::string& subject) {
  RawMapping mapping;
  try {
    const json::value value = json::parse(text);
    mapping.unit = std::string(value.at("unit").as_string());
    mapping.uuid = std::string(value.at("uuid").as_string());
  } catch (const std::exception& e) {
    throw error(ErrorKind::damaged, subject, "{} is no mapping file of this host's kind: {}",
                subject, e.what());
  }
  return mapping;
}

}  // namespace virga::datastore
