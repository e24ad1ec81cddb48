// GPUs and their profiles, as the drivers of two makers tell of them.
#include "host/graphics_info.h"

#include <gmock/gmock.h>

namespace virga::host {
namespace {

using testing::ElementsAre;

const std::vector<hypervisor::PciDevice> devices = {
    {.address = "0000:00:02.0",
     .vendor = 0x8086,
     .device = 0x5916,
     .class_code = 0x030000,
     .driver = "i915",
     .mediated = {{"i915-GVTg_V5_4", "GVTg_V5_4", 1, "low_gm_size: 128MB"}}},
    {.address = "0000:3b:00.0",
     .vendor = 0x10de,
     .device = 0x20f1,
     .class_code = 0x030200,
     .driver = "nvidia",
     .mediated = {{"nvidia-474", "GRID A100-1-5C", 7, "num_heads=1, framebuffer=5120M"},
                  {"nvidia-465", "GRID A100-40C", 1, "num_heads=1, framebuffer=40960M"}}},
    {.address = "0000:af:00.0", .class_code = 0x030000, .driver = "vfio-pci"},
    {.address = "0000:5e:00.0", .class_code = 0x020000}};

vim::HostGraphicsConfig config_with(const std::string& preset, const std::string& intel) {
  vim::HostGraphicsConfig config;
  config.hostDefaultGraphicsType = preset;
  auto& device = config.deviceType.emplace_back();
  device.deviceId = "0000:00:02.0";
  device.graphicsType = intel;
  return config;
}

TEST(GraphicsInfo, TellsWhatBecomesOfEachGpu) {
  std::vector<std::string> types;
  for (const auto& gpu : graphics_info(devices, config_with("sharedDirect", "shared")))
    types.push_back(gpu.pciId + " " + gpu.graphicsType);
  EXPECT_THAT(
      types, ElementsAre("0000:00:02.0 basic", "0000:3b:00.0 sharedDirect", "0000:af:00.0 direct"));
}

TEST(GraphicsInfo, ListsProfilesOfDividedGpusAlone) {
  EXPECT_THAT(vgpu_profiles(devices, config_with("shared", "sharedDirect")),
              ElementsAre("gvtg_v5_4"));
  EXPECT_THAT(vgpu_profiles(devices, config_with("sharedDirect", "shared")),
              ElementsAre("grid_a100-1-5c", "grid_a100-40c"));
}

TEST(GraphicsInfo, TellsMemorySharingAndClassOfAProfile) {
  const auto config = config_with("sharedDirect", "sharedDirect");
  const auto profiles = vgpu_profile_info(devices, config);
  ASSERT_EQ(profiles.size(), 3u);
  EXPECT_EQ(profiles[0]->fbSizeInGib, 0);
  EXPECT_EQ(profiles[0]->profileClass, "quadro");
  EXPECT_EQ(profiles[1]->profileName, "grid_a100-1-5c");
  EXPECT_EQ(profiles[1]->fbSizeInGib, 5);
  EXPECT_EQ(profiles[1]->profileSharing, "mig");
  EXPECT_EQ(profiles[2]->profileSharing, "timeSliced");
  EXPECT_EQ(profiles[2]->profileClass, "compute");
  const auto gpus = vgpu_device_info(devices, config);
  ASSERT_EQ(gpus.size(), 2u);
  EXPECT_EQ(gpus[1]->deviceVendorId, 0x20f110de);
  EXPECT_EQ(gpus[1]->maxFbSizeInGib, 40);
  EXPECT_TRUE(gpus[1]->migCapable);
  EXPECT_FALSE(gpus[1]->quadroProfileCapable);
}

}  // namespace
}  // namespace virga::host
