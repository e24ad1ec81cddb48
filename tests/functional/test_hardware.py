"""Generations of virtual hardware, and what the host says VMs can be made of."""

import pytest
from pyVmomi import vim, vmodl

from harness.client import fault
from harness.machines import added, controller

QuerySpec = vim.EnvironmentBrowser.ConfigOptionQuerySpec


@pytest.fixture
def browser(client):
    return client.compute_resource.environmentBrowser


def test_every_version_is_described(browser):
    described = {each.key: each for each in browser.QueryConfigOptionDescriptor()}
    assert {"vmx-04", "vmx-07", "vmx-08", "vmx-09", "vmx-10", "vmx-11", "vmx-12", "vmx-13",
            "vmx-14", "vmx-15", "vmx-16", "vmx-17"} <= set(described)
    assert "ESXi 7.0 " in described["vmx-17"].description
    assert [key for key, each in described.items() if each.defaultConfigOption] == ["vmx-19"]


def test_a_version_has_its_limits_and_devices(browser):
    old = browser.QueryConfigOption("vmx-07", None)
    assert max(old.hardwareOptions.numCPU) == 8
    assert old.hardwareOptions.memoryMB.max == 255 * 1024
    types = {option.type.__name__.split(".")[-1] for option in
             old.hardwareOptions.virtualDeviceOption}
    assert "ParaVirtualSCSIController" in types and "VirtualAHCIController" not in types
    with fault(vmodl.fault.InvalidArgument, "vmx-06"):
        browser.QueryConfigOption("vmx-06", None)


def test_guests_asked_for_are_described_with_their_devices(browser):
    option = browser.QueryConfigOptionEx(
        QuerySpec(key="vmx-17", guestId=["windows9Server64Guest", "debian10_64Guest"]))
    guests = {guest.id: guest for guest in option.guestOSDescriptor}
    assert set(guests) == {"windows9Server64Guest", "debian10_64Guest"}
    windows, debian = guests["windows9Server64Guest"], guests["debian10_64Guest"]
    assert windows.recommendedEthernetCard == vim.vm.device.VirtualE1000e
    assert windows.recommendedDiskController == vim.vm.device.VirtualLsiLogicSASController
    assert windows.recommendedFirmware == "efi"
    assert debian.recommendedEthernetCard == vim.vm.device.VirtualVmxnet3
    assert debian.recommendedSCSIController == vim.vm.device.ParaVirtualSCSIController
    assert vim.vm.device.VirtualAHCIController in debian.supportedDiskControllerList
    assert len(browser.QueryConfigOptionEx(None).guestOSDescriptor) > 100


def test_the_target_is_this_host(client, browser):
    target = browser.QueryConfigTarget(client.host_system)
    assert target.numCpus == client.host_system.hardware.cpuInfo.numCpuThreads
    assert target.maxMemMBOptimalPerf == client.host_system.hardware.memorySize >> 20
    assert [each.name for each in target.datastore] == [client.datastore.name]
    assert "VM Network" in [each.network.name for each in target.network]
    capability = browser.QueryTargetCapabilities(client.host_system)
    assert capability.maxSupportedVcpus == client.host_system.capability.maxSupportedVcpus


def test_hardware_is_upgraded_to_the_newest_or_the_one_named(client, make_vm):
    vm = make_vm("upgraded", bare=True, version="vmx-08")
    assert not vm.capability.nestedHVSupported
    client.wait(vm.UpgradeVM_Task("vmx-11"))
    assert vm.config.version == "vmx-11"
    assert vm.capability.nestedHVSupported
    with fault(vim.fault.AlreadyUpgraded, "vmx-11"):
        client.wait(vm.UpgradeVM_Task("vmx-10"))
    with fault(vim.fault.VirtualHardwareVersionNotSupported, "vmx-20"):
        client.wait(vm.UpgradeVM_Task("vmx-20"))
    client.wait(vm.UpgradeVM_Task())
    assert vm.config.version == "vmx-19"
    text = client.http("GET", "upgraded/upgraded.vmx").text
    assert 'virtualHW.version = "19"' in text
    events = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")))
    upgrades = [event for event in events if isinstance(event, vim.event.VmUpgradeCompleteEvent)]
    assert [event.version for event in upgrades] == ["vmx-11", "vmx-19"]


def test_a_running_machine_keeps_its_hardware(client, make_vm):
    vm = make_vm("running-old", bare=True, version="vmx-14")
    client.wait(vm.PowerOnVM_Task())
    with fault(vim.fault.InvalidPowerState):
        client.wait(vm.UpgradeVM_Task())
    assert vm.config.version == "vmx-14"


def test_what_the_version_lacks_is_refused(client, make_vm):
    vm = make_vm("no-sata", bare=True, version="vmx-09")
    with fault(vim.fault.DeviceUnsupportedForVmVersion, "vmx-10") as raised:
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[controller("sata")])))
    assert (raised.value.currentVersion, raised.value.expectedVersion) == ("vmx-09", "vmx-10")
    with fault(vmodl.fault.InvalidArgument, "64"):
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(numCPUs=65)))
    with fault(vim.fault.DeviceUnsupportedForVmVersion, "VirtualTPM"):
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(
            deviceChange=[added(vim.vm.device.VirtualTPM(key=-1))])))
