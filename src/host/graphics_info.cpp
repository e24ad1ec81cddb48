#include "host/graphics_info.h"

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <set>

#include "hypervisor/vfio.h"
#include "model/metadata.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

using GraphicsType = vim::HostGraphicsConfigGraphicsType;
using hypervisor::MediatedType;
using hypervisor::PciDevice;

constexpr std::uint32_t display_class = 0x03;

std::string configured_type(const PciDevice& device, const vim::HostGraphicsConfig& config) {
  for (const auto& one : config.deviceType)
    if (one->deviceId == device.address) return one->graphicsType;
  return config.hostDefaultGraphicsType;
}

// "…, framebuffer=4096M, …", as NVIDIA describes its types; 0: not told.
std::int64_t framebuffer_gib(const MediatedType& type) {
  constexpr std::string_view word = "framebuffer=";
  const auto at = type.description.find(word);
  if (at == std::string::npos) return 0;
  return std::atoll(type.description.c_str() + at + word.size()) / 1024;
}

// "GRID A100-1-5C": one slice of the GPU, with 5 GiB.
bool is_slice(const MediatedType& type) {
  static const std::regex slices("-[0-9]+-[0-9]+[A-Z]+$");
  return std::regex_search(type.name, slices);
}

bool is_for_computing(const MediatedType& type) {
  return type.name.ends_with("C");
}

std::int64_t vendor_id(const PciDevice& device) {
  return std::int64_t{device.device} << 16 | device.vendor;
}

std::vector<PciDevice> divided(const std::vector<PciDevice>& devices,
                               const vim::HostGraphicsConfig& config) {
  std::vector<PciDevice> all;
  for (const PciDevice& device : devices)
    if (is_divided(device, config)) all.push_back(device);
  return all;
}

}  // namespace

std::string vgpu_profile(const MediatedType& type) {
  std::string profile = vmx::to_lower(type.name);
  std::ranges::replace(profile, ' ', '_');
  return profile;
}

bool is_gpu(const PciDevice& device) {
  return device.class_code >> 16 == display_class;
}

bool is_divided(const PciDevice& device, const vim::HostGraphicsConfig& config) {
  return is_gpu(device) && !device.mediated.empty() &&
         configured_type(device, config) == model::wire_name(GraphicsType::sharedDirect);
}

std::vector<vim::HostGraphicsInfo> graphics_info(const std::vector<PciDevice>& devices,
                                                 const vim::HostGraphicsConfig& config) {
  using Type = vim::HostGraphicsInfoGraphicsType;
  std::vector<vim::HostGraphicsInfo> all;
  for (const PciDevice& device : devices) {
    if (!is_gpu(device)) continue;
    auto& info = all.emplace_back();
    info.deviceName = fmt::format("{:04x}:{:04x}", device.vendor, device.device);
    info.vendorName = fmt::format("{:04x}", device.vendor);
    info.pciId = device.address;
    info.graphicsType = model::wire_name(device.driver == hypervisor::vfio_driver ? Type::direct
                                         : is_divided(device, config) ? Type::sharedDirect
                                                                      : Type::basic);
  }
  return all;
}

std::vector<std::string> vgpu_profiles(const std::vector<PciDevice>& devices,
                                       const vim::HostGraphicsConfig& config) {
  std::set<std::string> profiles;
  for (const PciDevice& device : divided(devices, config))
    for (const MediatedType& type : device.mediated) profiles.insert(vgpu_profile(type));
  return {profiles.begin(), profiles.end()};
}

model::List<vim::VirtualMachineVgpuProfileInfo> vgpu_profile_info(
    const std::vector<PciDevice>& devices, const vim::HostGraphicsConfig& config) {
  using Sharing = vim::VirtualMachineVgpuProfileInfoProfileSharing;
  using Class = vim::VirtualMachineVgpuProfileInfoProfileClass;
  model::List<vim::VirtualMachineVgpuProfileInfo> all;
  std::set<std::string> listed;
  for (const PciDevice& device : divided(devices, config)) {
    for (const MediatedType& type : device.mediated) {
      if (!listed.insert(vgpu_profile(type)).second) continue;
      vim::VirtualMachineVgpuProfileInfo info;
      info.name = info.profileName = vgpu_profile(type);
      info.deviceVendorId = vendor_id(device);
      info.fbSizeInGib = framebuffer_gib(type);
      info.profileSharing = model::wire_name(is_slice(type) ? Sharing::mig : Sharing::timeSliced);
      info.profileClass = model::wire_name(is_for_computing(type) ? Class::compute : Class::quadro);
      all.push_back(model::share(std::move(info)));
    }
  }
  return all;
}

model::List<vim::VirtualMachineVgpuDeviceInfo> vgpu_device_info(
    const std::vector<PciDevice>& devices, const vim::HostGraphicsConfig& config) {
  model::List<vim::VirtualMachineVgpuDeviceInfo> all;
  for (const PciDevice& device : divided(devices, config)) {
    vim::VirtualMachineVgpuDeviceInfo info;
    info.name = info.deviceName = fmt::format("{:04x}:{:04x}", device.vendor, device.device);
    info.deviceVendorId = vendor_id(device);
    for (const MediatedType& type : device.mediated) {
      info.maxFbSizeInGib = std::max(info.maxFbSizeInGib, framebuffer_gib(type));
      (is_slice(type) ? info.migCapable : info.timeSlicedCapable) = true;
      (is_for_computing(type) ? info.computeProfileCapable : info.quadroProfileCapable) = true;
    }
    all.push_back(model::share(std::move(info)));
  }
  return all;
}

}  // namespace virga::host
