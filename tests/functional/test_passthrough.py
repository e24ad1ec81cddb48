"""PCI devices for VMs, on a machine that has no IOMMU: what is told and what is refused.

What happens with devices that can be passed through: tests/unit, on recorded trees of sysfs.
"""

import pytest
from pyVmomi import vim

from harness.client import fault
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


def test_memory_is_reserved_as_a_whole(client, make_vm):
    vm = make_vm("reserved", bare=True)
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(memoryReservationLockedToMax=True)))
    assert vm.config.memoryReservationLockedToMax
    assert vm.config.memoryAllocation.reservation == vm.config.hardware.memoryMB
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=256)))
    assert vm.config.memoryAllocation.reservation == 256
