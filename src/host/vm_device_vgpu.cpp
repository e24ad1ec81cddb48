// Virtual GPUs: shares of the host's GPUs, by profile.
#include <algorithm>

#include "host/device_option_list.h"
#include "host/graphics_info.h"
#include "host/hardware_version.h"
#include "host/vm_device_passthrough.h"
#include "host/vm_machine_build.h"

namespace virga::host {

using hypervisor::MediatedType;
using hypervisor::PciDevice;

namespace {

constexpr int most_vgpus = 4;  // of a VM, as vSphere 7 has it

}  // namespace

void offer_vgpus(vim::VirtualDeviceOption& device) {
  vim::VirtualPCIPassthroughVmiopBackingOption option;
  option.maxInstances = most_vgpus;
  add_backing(device, "VirtualPCIPassthroughVmiopBackingInfo", std::move(option));
}

Ptr<vim::VirtualDeviceBackingInfo> vgpu_backing(const vmx::PassthroughDevice& device) {
  vim::VirtualPCIPassthroughVmiopBackingInfo backing;
  backing.vgpu = device.vgpu;
  backing.migrateSupported = false;
  return model::share(std::move(backing));
}

vmx::PassthroughDevice vgpu_from_api(const DevicePlanner& planner, const DeviceChange& change,
                                     const vim::VirtualPCIPassthroughVmiopBackingInfo& backing) {
  planner.require_version(change, features::vgpu, "virtual GPUs");
  const std::string profile = backing.vgpu.value_or("");
  const auto profiles =
      vgpu_profiles(planner.context().host_devices().pci, planner.context().graphics());
  if (std::ranges::find(profiles, profile) == profiles.end())
    throw bad_backing(change, "backing.vgpu",
                      fmt::format("no GPU that this host divides has the profile '{}'", profile));
  const auto others = std::ranges::count_if(planner.config().passthrough, [&](const auto& other) {
    return !other.vgpu.empty() && device_key(other) != change.device().key;
  });
  if (others >= most_vgpus)
    throw too_many(change,
                   fmt::format("a virtual machine has at most {} virtual GPUs", most_vgpus));
  return {.vgpu = profile};
}

namespace {

// What a GPU still has of a profile.
struct Offer {
  const PciDevice* gpu;
  const MediatedType* type;
  int left;
};

std::vector<Offer> offers_of(const MachineBuild& machine, const std::vector<PciDevice>& devices,
                             const std::string& profile) {
  const vim::HostGraphicsConfig config = machine.context.graphics();
  std::vector<Offer> offers;
  for (const PciDevice& gpu : devices) {
    if (!is_divided(gpu, config)) continue;
    for (const MediatedType& type : gpu.mediated) {
      const auto own = std::ranges::count_if(machine.spec.passthrough, [&](const auto& other) {
        return other.address == gpu.address && other.share && other.share->type == type.id;
      });
      const int left = type.available - static_cast<int>(own);
      if (vgpu_profile(type) == profile && left > 0) offers.push_back({&gpu, &type, left});
    }
  }
  return offers;
}

// The same at every start, and no other device's.
std::string share_uuid(const std::string& machine, int key) {
  const std::string name = fmt::format("{}/{}", machine, key);
  const std::uint64_t high = digest("device share " + name), low = digest(name);
  return fmt::format("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", high >> 32, high >> 16 & 0xffff,
                     high & 0xfff, low >> 48 & 0xfff, low & 0xffff'ffff'ffff);
}

kernel::Fault out_of_vgpus(const vmx::PassthroughDevice& wanted) {
  return kernel::Fault(
      vim::InsufficientGraphicsResourcesFault{},
      fmt::format("{}: no GPU of this host has a virtual GPU of the profile {} left.",
                  label(wanted), wanted.vgpu));
}

}  // namespace

hypervisor::PassthroughDevice build_vgpu(const MachineBuild& machine,
                                         const std::vector<PciDevice>& devices,
                                         const vmx::PassthroughDevice& wanted) {
  const auto offers = offers_of(machine, devices, wanted.vgpu);
  if (offers.empty()) throw out_of_vgpus(wanted);
  using Policy = vim::HostGraphicsConfigSharedPassthruAssignmentPolicy;
  const bool fill_up = machine.context.graphics().sharedPassthruAssignmentPolicy ==
                       model::wire_name(Policy::consolidation);
  const Offer& best = fill_up ? *std::ranges::min_element(offers, {}, &Offer::left)
                              : *std::ranges::max_element(offers, {}, &Offer::left);
  return {.key = device_key(wanted),
          .slot = wanted.number,
          .address = best.gpu->address,
          .share = hypervisor::DeviceShare{best.type->id,
                                           share_uuid(machine.spec.id, device_key(wanted))}};
}

}  // namespace virga::host
