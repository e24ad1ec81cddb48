"""PCI devices for VMs, on a machine that has no IOMMU: what is told and what is refused.

What happens with devices that can be passed through: tests/unit, on recorded trees of sysfs.
"""

import pytest
from pyVmomi import vim, vmodl

from harness.client import Client, fault
from harness.machines import added

Passthrough = vim.vm.device.VirtualPCIPassthrough


@pytest.fixture
def system(client):
    return client.host_system.configManager.pciPassthruSystem


def test_every_pci_device_is_listed(client, system):
    system.Refresh()
    listed = {info.id for info in system.pciPassthruInfo}
    assert listed == {device.id for device in client.host_system.hardware.pciDevice}
    assert not any(info.passthruEnabled for info in system.pciPassthruInfo)


def test_a_device_without_an_iommu_is_not_taken(client, system, make_vm):
    address = system.pciPassthruInfo[0].id
    with fault(vim.fault.HostConfigFault, address):
        system.UpdatePassthruConfig([
            vim.host.PciPassthruConfig(id=address, passthruEnabled=True)])
    with fault(vim.fault.HostConfigFault, "0000:ff:1f.7"):
        system.UpdatePassthruConfig([
            vim.host.PciPassthruConfig(id="0000:ff:1f.7", passthruEnabled=True)])
    vm = make_vm("without-iommu", bare=True)
    device = Passthrough(key=-1, backing=Passthrough.DeviceBackingInfo(
        id=address, deviceId="0", systemId="", vendorId=0, deviceName=address))
    with fault(vim.fault.InvalidDeviceBacking, "no IOMMU") as raised:
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[added(device)])))
    assert raised.value.property == "virtualDeviceSpec.device.backing.id"


def test_a_card_without_functions_is_not_divided(system):
    address = system.pciPassthruInfo[0].id
    with fault(vim.fault.HostConfigFault, f"{address} has no virtual functions"):
        system.UpdatePassthruConfig([vim.host.SriovConfig(
            id=address, passthruEnabled=False, sriovEnabled=True, numVirtualFunction=4)])


def test_an_sriov_adapter_keeps_its_address_and_starts_only_with_a_function(client, make_vm):
    vm = make_vm("sriov", bare=True)
    network = next(n for n in client.host_system.network if n.name == "VM Network")
    card = vim.vm.device.VirtualSriovEthernetCard(
        key=-1, allowGuestOSMtuChange=True,
        backing=vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(
            deviceName=network.name, network=network))
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        memoryReservationLockedToMax=True, deviceChange=[added(card)])))
    shown = next(d for d in vm.config.hardware.device
                 if isinstance(d, vim.vm.device.VirtualSriovEthernetCard))
    assert shown.macAddress.startswith("00:0c:29:")
    assert shown.sriovBacking.physicalFunctionBacking.id == "Automatic-0000:00:00.0"
    assert shown.backing.network in vm.network
    with fault(vim.fault.GenericVmConfigFault, "no uplink of the network 'VM Network'"):
        client.wait(vm.PowerOnVM_Task())
    target = client.host_system.parent.environmentBrowser.QueryConfigTarget(None)
    assert target.sriov == []


def test_gpus_are_divided_as_the_host_is_told(client, host, make_vm):
    graphics = client.host_system.configManager.graphicsManager
    assert graphics.graphicsConfig.hostDefaultGraphicsType == "shared"
    assert graphics.sharedPassthruGpuTypes == []
    assert not graphics.IsSharedGraphicsActive()
    config = vim.host.GraphicsConfig(hostDefaultGraphicsType="sharedDirect",
                                     sharedPassthruAssignmentPolicy="consolidation")
    config.deviceType = [vim.host.GraphicsConfig.DeviceType(deviceId="0000:ff:1f.7",
                                                            graphicsType="shared")]
    with fault(vmodl.fault.InvalidArgument, "no GPU '0000:ff:1f.7'"):
        graphics.UpdateGraphicsConfig(config)
    config.deviceType = []
    graphics.UpdateGraphicsConfig(config)
    make_vm("vgpu", bare=True)
    host.kill()
    host.start()
    client = Client(host)
    graphics = client.host_system.configManager.graphicsManager
    assert graphics.graphicsConfig.hostDefaultGraphicsType == "sharedDirect"
    assert client.host_system.config.graphicsConfig.sharedPassthruAssignmentPolicy == "consolidation"
    profiles = client.soap("""<RetrieveVgpuProfileInfo xmlns="urn:vim25">
        <_this type="HostGraphicsManager">ha-graphicsmanager</_this>
        </RetrieveVgpuProfileInfo>""", version="7.0.3.0")    # newer than this pyVmomi
    assert profiles.ok and "<RetrieveVgpuProfileInfoResponse" in profiles.text
    vm = client.vm("vgpu")
    device = Passthrough(key=-1, backing=Passthrough.VmiopBackingInfo(vgpu="grid_p4-1q"))
    with fault(vim.fault.InvalidDeviceBacking, "grid_p4-1q"):
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[added(device)])))
    config.hostDefaultGraphicsType = "shared"
    graphics.UpdateGraphicsConfig(config)
    client.logout()


def test_adapters_that_need_what_is_not_here_are_kept_and_not_started(client, make_vm):
    vm = make_vm("adapters", bare=True)
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    for card, named in [
            (vim.vm.device.VirtualVmxnet3Vrdma(key=-1, deviceProtocol="rocev1"), "has RDMA"),
            (vim.vm.device.VirtualVmxnet2(key=-1), "VirtualVmxnet2")]:
        card.backing = backing
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[added(card)])))
        shown = next(d for d in vm.config.hardware.device if type(d) is type(card))
        assert shown.macAddress
        with fault((vim.fault.GenericVmConfigFault, vmodl.fault.NotSupported), named):
            client.wait(vm.PowerOnVM_Task())
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[
            vim.vm.device.VirtualDeviceSpec(operation="remove", device=shown)])))


def test_a_video_card_has_one_display_of_those_it_could_have(client, make_vm):
    vm = make_vm("displays", bare=True)
    card = next(d for d in vm.config.hardware.device
                if isinstance(d, vim.vm.device.VirtualVideoCard))
    card.numDisplays = 4
    card.enable3DSupport = True
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[
        vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)])))
    assert next(d for d in vm.config.hardware.device if d.key == card.key).numDisplays == 4
    client.wait(vm.PowerOnVM_Task())
    events = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self"),
        eventTypeId=["VmMessageWarningEvent"]))
    told = [event.fullFormattedMessage for event in events]
    client.wait(vm.PowerOffVM_Task())
    assert any("one display, of 4" in message for message in told)
    assert any("no 3D" in message for message in told)


def test_memory_is_reserved_as_a_whole(client, make_vm):
    vm = make_vm("reserved", bare=True)
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(memoryReservationLockedToMax=True)))
    assert vm.config.memoryReservationLockedToMax
    assert vm.config.memoryAllocation.reservation == vm.config.hardware.memoryMB
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=256)))
    assert vm.config.memoryAllocation.reservation == 256
