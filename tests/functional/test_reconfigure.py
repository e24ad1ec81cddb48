"""Changing machines, off and running; the guest is the witness."""

import pytest
from pyVmomi import vim, vmodl

from harness import machines
from harness.client import fault
from harness.console import of_kind
from harness.machines import added, change, controller, disk, edited, nic, removed

Disk = vim.vm.device.VirtualDisk
MIB = 1 << 20


def disks(vm):
    return [device for device in vm.config.hardware.device if isinstance(device, Disk)]


def test_what_was_changed_while_off_is_what_the_guest_finds(client, make_vm, boot_guest):
    vm = make_vm("changed-off")
    _, iso = machines.upload_image(client)
    change(client, vm, controller("lsilogic", 1), disk(1001, 0, client.path(""), mib=24),
           nic("e1000", "VM Network"), controller("sata"),
           machines.cdrom(machines.SATA_KEY, 0, iso), numCPUs=2, memoryMB=192)
    assert (vm.config.hardware.numCPU, vm.config.hardware.memoryMB) == (2, 192)
    guest = boot_guest(vm)
    [machine] = of_kind(guest.found, "machine")
    assert machine["cpus"] == "2"
    assert int(machine["memory_kib"]) > 160 * 1024 * 0.8
    assert sorted(found["driver"] for found in of_kind(guest.found, "disk")) == \
        ["sym53c8xx", "vmw_pvscsi"]
    assert sorted(found["driver"] for found in of_kind(guest.found, "nic")) == \
        ["e1000", "vmxnet3"]
    assert [found["label"] for found in of_kind(guest.found, "cdrom")] == ["VIRGA"]


def test_a_disk_comes_grows_and_goes_while_the_guest_runs(client, guest):
    change(client, guest.vm, disk(1000, 3, client.path(""), mib=24))
    new = next(device for device in disks(guest.vm) if device.unitNumber == 3)
    name = guest.console.read_until(
        rf"virga-witness disk (\w+) size={24 * MIB} .*driver=vmw_pvscsi")[1]
    guest.console.output(f"echo written | dd of=/dev/{name} conv=fsync 2>/dev/null")

    new.capacityInKB = 32 * 1024
    new.capacityInBytes = 32 * MIB
    change(client, guest.vm, edited(new))
    sectors = guest.console.output(
        f"echo 1 >/sys/block/{name}/device/rescan; cat /sys/block/{name}/size").strip()
    assert int(sectors) * 512 == 32 * MIB

    path = new.backing.fileName
    change(client, guest.vm, removed(new, "destroy"))
    guest.console.read_until(f"virga-witness removed {name}")
    relative = path.split("] ")[1]
    assert client.http("HEAD", relative).status_code == 404


def test_a_nic_comes_and_goes_while_the_guest_runs(client, guest):
    change(client, guest.vm, nic("vmxnet3", "VM Network"))
    cards = [device for device in guest.vm.config.hardware.device
             if isinstance(device, vim.vm.device.VirtualVmxnet3)]
    new = cards[-1]
    name = guest.console.read_until(
        rf"virga-witness nic (eth\d) mac={new.macAddress} .*driver=vmxnet3")[1]
    change(client, guest.vm, removed(new))
    guest.console.read_until(f"virga-witness removed {name}")


def test_a_cable_can_be_pulled_and_plugged_in(client, guest):
    card = machines.device(guest.vm, vim.vm.device.VirtualVmxnet3)
    carrier = "cat /sys/class/net/eth0/carrier"
    for connected, expected in ((False, "0"), (True, "1")):
        card.connectable.connected = connected
        change(client, guest.vm, edited(card))
        guest.console.output(f"until [ $({carrier}) = {expected} ]; do usleep 100000; done")


def test_a_medium_can_be_changed_while_the_guest_runs(client, guest):
    drive = machines.device(guest.vm, vim.vm.device.VirtualCdrom)
    backing = drive.backing
    drive.backing = machines.iso_backing(None)
    drive.connectable.connected = False
    change(client, guest.vm, edited(drive))
    guest.console.output("until ! dd if=/dev/sr0 of=/dev/null count=1 2>/dev/null; "
                         "do usleep 200000; done")
    drive.backing = backing
    drive.connectable.connected = True
    change(client, guest.vm, edited(drive))
    label = "dd if=/dev/sr0 bs=1 skip=32808 count=5 2>/dev/null"
    guest.console.output(f"until [ \"$({label})\" = VIRGA ]; do usleep 200000; done")


def test_numbers_of_a_running_machine_that_cannot_change_are_refused(client, make_vm):
    vm = make_vm("fixed-numbers", bare=True)
    client.wait(vm.PowerOnVM_Task())
    with fault(vim.fault.CpuHotPlugNotSupported, "not enabled"):
        change(client, vm, numCPUs=4)
    with fault(vim.fault.MemoryHotPlugNotSupported, "not enabled"):
        change(client, vm, memoryMB=1024)
    assert vm.config.hardware.numCPU == 1


def test_an_outdated_change_version_is_a_concurrent_access(client, make_vm):
    vm = make_vm("change-version", bare=True)
    version = vm.config.changeVersion
    change(client, vm, annotation="first", changeVersion=version)
    with fault(vim.fault.ConcurrentAccess):
        change(client, vm, annotation="second", changeVersion=version)
    assert vm.config.annotation == "first"


def test_one_wrong_device_leaves_the_whole_change_undone(client, make_vm):
    vm = make_vm("all-or-nothing", controller("pvscsi"))
    before = [device.key for device in vm.config.hardware.device]
    with fault((vim.fault.InvalidDeviceSpec, vim.fault.DeviceNotFound)) as raised:
        change(client, vm, disk(1000, 0, client.path(""), mib=4),
               edited(Disk(key=2999, controllerKey=1000, unitNumber=5)), annotation="half")
    assert getattr(raised.value, "deviceIndex", 1) == 1
    assert [device.key for device in vm.config.hardware.device] == before
    assert not vm.config.annotation
    browsed = client.http("HEAD", "all-or-nothing/all-or-nothing.vmdk")
    assert browsed.status_code == 404


@pytest.mark.parametrize("unit", [7, 65, -2])
def test_a_disk_at_a_unit_the_controller_lacks_is_refused(client, make_vm, unit):
    vm = make_vm("bad-unit", controller("pvscsi"))
    with fault((vim.fault.InvalidDeviceSpec, vim.fault.InvalidController)):
        change(client, vm, disk(1000, unit, client.path(""), mib=4))


def test_extra_options_are_kept(client, make_vm):
    vm = make_vm("extra", bare=True)
    change(client, vm, extraConfig=[vim.option.OptionValue(key="guestinfo.colour", value="blue")])
    values = {option.key: option.value for option in vm.config.extraConfig}
    assert values["guestinfo.colour"] == "blue"
    change(client, vm, extraConfig=[vim.option.OptionValue(key="guestinfo.colour", value="")])
    assert "guestinfo.colour" not in {option.key for option in vm.config.extraConfig}


def test_a_device_that_is_not_served_is_refused(client, make_vm):
    vm = make_vm("unsupported", bare=True)
    device = vim.vm.device.VirtualBusLogicController(key=-1, busNumber=1, sharedBus="noSharing")
    with fault((vmodl.fault.NotSupported, vim.fault.DeviceUnsupportedForVmPlatform,
                vim.fault.InvalidDeviceSpec)):
        change(client, vm, added(device))
