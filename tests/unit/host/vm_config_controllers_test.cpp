// Controllers of disks: which there are, their units, and buses and disks that are shared.
#include "host/device_options.h"
#include "host/vm_config_words.h"
#include "vm_config_specs.h"

namespace virga::host {
namespace {

datastore::DiskInfo& eager(Surroundings& around, const std::string& path) {
  around.add_disk(path);
  around.disks[path].provisioning = datastore::Provisioning::eager_zeroed;
  return around.disks[path];
}

template <class Controller>
Controller sharing(vim::VirtualSCSISharing sharing, int key = -10) {
  Controller device = controller<Controller>(key);
  device.sharedBus = sharing;
  return device;
}

TEST_F(VmCreation, NvmeHasFifteenUnitsAndFourControllers) {
  for (int bus = 0; bus < 4; ++bus)
    add(spec, controller<vim::VirtualNVMEController>(-10 - bus, bus));
  add_new_disk(spec, disk(-10, 1024, "", 14));
  add_new_disk(spec, disk(-13, 1024));
  const ConfigPlan plan = create(spec);
  EXPECT_EQ(plan.config.disks[0].slot, (vmx::Slot{vmx::Bus::nvme, 0, 14}));
  EXPECT_EQ(plan.config.disks[1].slot, (vmx::Slot{vmx::Bus::nvme, 3, 0}));
  EXPECT_EQ(plan.added[0], 31000);
  add_new_disk(spec, disk(-11, 1024, "", 15));
  expect_fault<vim::InvalidDeviceSpec>("has 15 units and no unit 15", [&] { create(spec); });
}

TEST_F(VmCreation, AFifthNvmeControllerIsOneTooMany) {
  for (int n = 0; n < 5; ++n) add(spec, controller<vim::VirtualNVMEController>(-10 - n, -1));
  expect_fault<vim::TooManyDevices>("at most 4 nvme controllers", [&] { create(spec); });
}

TEST_F(VmCreation, OfPvscsiNoUnitThatGuestsDoNotSee) {
  add(spec, controller<vim::ParaVirtualSCSIController>(-10));
  add_new_disk(spec, disk(-10, 1024, "", 20));
  expect_fault<vim::NotSupported>("unit 20 of SCSI controller 0", [&] { create(spec); });
}

TEST_F(VmCreation, BusSharingIsKeptAndShown) {
  add(spec, sharing<vim::VirtualLsiLogicSASController>(vim::VirtualSCSISharing::physicalSharing));
  const ConfigPlan plan = create(spec);
  EXPECT_EQ(plan.config.controllers[0].sharing, vmx::BusSharing::across_hosts);
  const auto info = config_info(plan.config, around.context, {}, false);
  EXPECT_EQ(device_at<vim::VirtualSCSIController>(info, 1000).sharedBus,
            vim::VirtualSCSISharing::physicalSharing);
}

TEST_F(VmChange, BusSharingChangesWhilePoweredOff) {
  edit<vim::ParaVirtualSCSIController>(
      spec, info(), 1000, [](auto& it) { it.sharedBus = vim::VirtualSCSISharing::virtualSharing; });
  EXPECT_EQ(change_vm(spec).config.controllers[0].sharing, vmx::BusSharing::within_host);
  expect_fault<vim::InvalidPowerState>("The bus sharing of SCSI controller 0",
                                       [&] { change_vm(spec, true); });
}

TEST_F(VmChange, ADiskForSeveralWritersIsKeptAndShown) {
  edit<vim::VirtualDisk>(spec, info(), 2000, [](auto& it) {
    static_cast<vim::VirtualDiskFlatVer2BackingInfo&>(it.backing.edit()).sharing =
        "sharingMultiWriter";
  });
  present = change_vm(spec).config;
  EXPECT_TRUE(present.disks[0].multi_writer);
  const auto shown = info();
  const auto& disk = device_at<vim::VirtualDisk>(shown, 2000);
  EXPECT_EQ(static_cast<const vim::VirtualDiskFlatVer2BackingInfo&>(*disk.backing).sharing,
            "sharingMultiWriter");
}

TEST_F(VmChange, AThinDiskIsNotShared) {
  present.disks[0].multi_writer = true;
  around.disks["[ds1] web/web.vmdk"].provisioning = datastore::Provisioning::thin;
  expect_fault<vim::NotSupported>("Hard disk 1: sharing [ds1] web/web.vmdk",
                                  [&] { machine_spec(present, around.context, "web"); });
  eager(around, "[ds1] web/web.vmdk");
  EXPECT_TRUE(machine_spec(present, around.context, "web").disks[0].shared);
}

TEST_F(VmChange, ASharedBusSharesItsDisks) {
  eager(around, "[ds1] web/web.vmdk");
  EXPECT_FALSE(machine_spec(present, around.context, "web").disks[0].shared);
  present.controllers[0].sharing = vmx::BusSharing::within_host;
  EXPECT_TRUE(machine_spec(present, around.context, "web").disks[0].shared);
}

TEST_F(VmChange, WithNvmeOrASharedBusMemoryIsNotSaved) {
  EXPECT_NO_THROW(require_savable(present));
  present.controllers[0].sharing = vmx::BusSharing::within_host;
  EXPECT_EQ(expect_fault<vim::SharedBusControllerNotSupported>("SCSI controller 0 shares its bus",
                                                               [&] { require_savable(present); })
                .device,
            "SCSI controller 0");
  present.controllers = {{vmx::Bus::nvme, 0, vmx::ControllerModel::nvme}};
  expect_fault<vim::NotSupported>("memory of web with its NVME controller 0",
                                  [&] { require_savable(present); });
}

TEST_F(VmChange, NothingComesToNvmeWhileRunning) {
  present.controllers.push_back({vmx::Bus::nvme, 0, vmx::ControllerModel::nvme});
  add_new_disk(spec, disk(31000, 1024));
  expect_fault<vim::DeviceHotPlugNotSupported>("A disk at nvme0:0", [&] { change_vm(spec, true); });
  EXPECT_EQ(change_vm(spec).config.disks.back().slot.bus, vmx::Bus::nvme);
}

TEST(DeviceOptions, OfferTheSharingOfABus) {
  for (const auto& option : device_options(hardware_version(19))) {
    const auto* scsi = option.as<vim::VirtualSCSIControllerOption>();
    EXPECT_TRUE(!scsi || scsi->sharing.size() == 3) << option->type;
  }
}

}  // namespace
}  // namespace virga::host
