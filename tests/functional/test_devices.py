"""Devices of every kind; the guest says which it found."""

import pytest
from pyVmomi import vim, vmodl

from conftest import shared_guest
from harness import machines
from harness.client import fault
from harness.console import of_kind
from harness.machines import CONTROLLER_KEYS, added, change, controller, disk, edited, nic, removed

MIB = 1 << 20


def device_at(vm, key):
    return next(device for device in vm.config.hardware.device if device.key == key)


# A disk of a size of its own at each kind of controller, at its last unit where that is telling.
DISKS = {
    "lsilogic": (CONTROLLER_KEYS["scsi"] + 1, 6, 11, "sym53c8xx"),
    "lsilogic-sas": (CONTROLLER_KEYS["scsi"] + 2, 3, 12, "mptsas"),
    "pvscsi": (CONTROLLER_KEYS["scsi"], 15, 13, "vmw_pvscsi"),
    "sata": (CONTROLLER_KEYS["sata"], 5, 14, "ahci"),
    "nvme": (CONTROLLER_KEYS["nvme"], 0, 15, "nvme"),
    "nvme, last unit": (CONTROLLER_KEYS["nvme"], 14, 16, "nvme"),
    "ide": (CONTROLLER_KEYS["ide"], 1, 17, "ata_piix"),
}
NICS = {"vmxnet3": "vmxnet3", "e1000e": "e1000e", "e1000": "e1000", "vlance": "pcnet32"}


@pytest.fixture
def everything(client):
    """A guest with a device of each kind."""
    if client.vm("everything") is None:
        disks = [disk(key, unit, client.path(""), mib=mib) for key, unit, mib, _ in DISKS.values()]
        vm = machines.deploy(client, "everything", nics=list(NICS), extra=[
            controller("lsilogic", 1), controller("lsilogic-sas", 2), controller("sata"),
            controller("nvme"), *disks])
        # A BIOS tries one disk, by default the first: that on IDE.
        first = vim.vm.BootOptions.BootableDiskDevice(deviceKey=2000)
        change(client, vm, bootOptions=vim.vm.BootOptions(bootOrder=[first]))
    guest = shared_guest(client, "everything")
    yield guest
    guest.console.close()


@pytest.mark.parametrize("kind", DISKS)
def test_a_guest_finds_its_disk_on_each_controller(everything, kind):
    key, unit, mib, driver = DISKS[kind]
    found = {int(each["size"]): each for each in of_kind(everything.found, "disk")}
    assert found[mib * MIB]["driver"] == driver
    [shown] = [device for device in everything.vm.config.hardware.device
               if isinstance(device, vim.vm.device.VirtualDisk)
               and (device.controllerKey, device.unitNumber) == (key, unit)]
    assert shown.capacityInBytes == mib * MIB
    assert shown.key in device_at(everything.vm, key).device


@pytest.mark.parametrize("kind", NICS)
def test_a_guest_finds_each_network_adapter(everything, kind):
    [card] = [device for device in everything.vm.config.hardware.device
              if type(device) is machines.NICS[kind]]
    found = {each["mac"]: each["driver"] for each in of_kind(everything.found, "nic")}
    assert found[card.macAddress] == NICS[kind]


def test_the_memory_of_a_guest_with_nvme_is_not_saved(client, everything):
    with fault(vmodl.fault.NotSupported, "NVME controller 0"):
        client.wait(everything.vm.SuspendVM_Task())
    assert everything.vm.runtime.powerState == "poweredOn"
    with fault(vim.fault.DeviceHotPlugNotSupported, "nvme0:3"):
        change(client, everything.vm,
               disk(CONTROLLER_KEYS["nvme"], 3, client.path(""), mib=4))


@pytest.mark.parametrize("device, name", [
    (vim.vm.device.VirtualBusLogicController(key=-1, sharedBus="noSharing"),
     "VirtualBusLogicController"),
    (vim.vm.device.VirtualNVDIMMController(key=-1), "VirtualNVDIMMController")])
def test_what_the_hypervisor_lacks_is_refused_by_name(client, make_vm, device, name):
    vm = make_vm("lacking", bare=True)
    with fault(vmodl.fault.NotSupported, name):
        change(client, vm, added(device))


# --- MAC addresses -----------------------------------------------------------------------------

def with_mac(make_vm, name, mac):
    return make_vm(name, nic("vmxnet3", "VM Network", mac=mac))


def test_an_address_that_two_machines_have_is_told(client, make_vm):
    mac = "00:50:56:01:02:03"
    with_mac(make_vm, "first", mac)
    second = with_mac(make_vm, "second-of-it", mac)
    events = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=second, recursion="self")))
    [conflict] = [event for event in events
                  if isinstance(event, vim.event.VmStaticMacConflictEvent)]
    assert (conflict.mac, conflict.conflictedVm.name) == (mac, "first")


def test_addresses_that_are_generated_differ(client, make_vm):
    vms = [make_vm(f"generated-{n}", nic("e1000e", "VM Network"), nic("e1000e", "VM Network"))
           for n in range(2)]
    macs = [device.macAddress for vm in vms for device in vm.config.hardware.device
            if isinstance(device, vim.vm.device.VirtualEthernetCard)]
    assert len(set(macs)) == 4 and all(mac.startswith("00:0c:29:") for mac in macs)


@pytest.mark.parametrize("mac", ["00:0c:29:11:22:33", "00:50:56:80:00:01", "01:50:56:00:00:01",
                                 "nonsense"])
def test_an_address_of_the_platforms_ranges_cannot_be_set_by_hand(client, make_vm, mac):
    vm = make_vm("by-hand", bare=True)
    with fault(vim.fault.InvalidDeviceSpec, mac):
        change(client, vm, nic("vmxnet3", "VM Network", mac=mac))


# --- Shared buses and disks --------------------------------------------------------------------

@pytest.fixture
def share(client, make_vm):
    """Gives machines one disk, thick and eagerly zeroed, on a controller of its own."""
    path = client.path("shared.vmdk")
    spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
        diskType="eagerZeroedThick", adapterType="lsiLogic", capacityKb=8 * 1024)
    manager = client.content.virtualDiskManager
    client.wait(manager.CreateVirtualDisk_Task(path, client.datacenter, spec))
    sharers = []

    def give(vm, sharing, multi_writer=False):
        bus = controller("lsilogic-sas", 1)
        bus.device.sharedBus = sharing
        shared = disk(bus.device.key, 0, path)
        if multi_writer:
            shared.device.backing.sharing = "sharingMultiWriter"
        change(client, vm, bus, shared)
        sharers.append(vm)
        return vm

    yield give
    for vm in sharers:
        if vm.runtime.powerState == "poweredOn":
            client.wait(vm.PowerOffVM_Task())
        [shared] = [device for device in vm.config.hardware.device if device.controllerKey == 1001]
        change(client, vm, removed(shared))
    client.wait(manager.DeleteVirtualDisk_Task(path, client.datacenter))


def test_a_disk_runs_in_one_machine_unless_both_share_it(client, make_vm, share):
    alone = share(make_vm("alone", bare=True), "noSharing")
    sharing = share(make_vm("sharing", bare=True), "virtualSharing")
    writer = share(make_vm("writer", bare=True), "noSharing", multi_writer=True)
    client.wait(sharing.PowerOnVM_Task())
    with fault(vim.fault.FileLocked, "shared.vmdk is in use by sharing"):
        client.wait(alone.PowerOnVM_Task())
    client.wait(writer.PowerOnVM_Task())
    assert device_at(sharing, 1001).sharedBus == "virtualSharing"
    with fault(vim.fault.SharedBusControllerNotSupported, "SCSI controller 1"):
        client.wait(sharing.SuspendVM_Task())
    with fault(vim.fault.InvalidPowerState, "SCSI controller 1"):
        bus = device_at(sharing, 1001)
        bus.sharedBus = "noSharing"
        change(client, sharing, edited(bus))


def test_what_one_machine_writes_to_a_shared_disk_the_other_reads(client, make_vm, boot_guest,
                                                                  share):
    first, second = (boot_guest(share(make_vm(name, nics=[]), "physicalSharing"))
                     for name in ("first-writer", "second-writer"))
    name = next(each.names[0] for each in of_kind(first.found, "disk")
                if each["size"] == str(8 * MIB))
    first.console.output(f"echo from-the-first | dd of=/dev/{name} bs=512 conv=sync,fsync seek=7"
                         " 2>/dev/null")
    assert "from-the-first" in second.console.output(
        f"dd if=/dev/{name} bs=512 skip=7 count=1 2>/dev/null")


def test_a_thin_disk_is_not_shared(client, make_vm):
    bus = controller("pvscsi")
    bus.device.sharedBus = "virtualSharing"
    vm = make_vm("thin-shared", bus, disk(1000, 0, client.path(""), mib=4))
    with fault(vmodl.fault.NotSupported, "thin-shared.vmdk"):
        client.wait(vm.PowerOnVM_Task())
