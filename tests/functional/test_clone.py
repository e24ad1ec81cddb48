"""Copies of VMs: of one that is off, of a snapshot, of a template, of a guest that runs on."""

import pathlib

import pytest
from pyVmomi import vim, vmodl

from conftest import boot
from harness import images, machines
from harness.client import fault
from harness.crash import crash_everywhere
from harness.images import MIB
from harness.machines import controller, disk, disk_at, nic
from harness.snapshots import (Writer, backing, chain, expected, files, find_data_disk,
                               make_file_system, mount, take)
from test_crash import datastore_files, is_on, the_vm

Disk = vim.vm.device.VirtualDisk
Nic = vim.vm.device.VirtualEthernetCard


def clone_task(client, vm, name, location=None, **fields):
    spec = vim.vm.CloneSpec(location=location or vim.vm.RelocateSpec(),
                            **{"template": False, "powerOn": False, **fields})
    return vm.CloneVM_Task(client.datacenter.vmFolder, name, spec)


def clone(client, vm, name, location=None, **fields):
    return client.wait(clone_task(client, vm, name, location, **fields))


@pytest.fixture
def copies(client, host):
    """The names of VMs that a test makes: they are destroyed afterwards."""
    names = ["copy", "second copy"]
    yield names
    machines.destroy_all(host, names)


@pytest.fixture
def other(client, tmp_path):
    """A second datastore."""
    system = client.host_system.configManager.datastoreSystem
    store = system.CreateLocalDatastore("other", str(tmp_path))
    yield store
    for vm in store.vm:
        machines.destroy(client, vm)
    system.RemoveDatastore(store)


@pytest.fixture
def original(client, make_vm):
    """A VM that is off, with a disk of 8 MiB, 1 MiB of it written, and two cards."""
    vm = make_vm("original", controller("pvscsi"), disk(1000, 0, "", mib=8),
                 nic("vmxnet3", "VM Network"),
                 nic("vmxnet3", "VM Network", -201, mac="00:50:56:01:02:03"))
    machines.change(client, vm, annotation="the first of its kind", extraConfig=[
        vim.option.OptionValue(key="guestinfo.role", value="web"),
        vim.option.OptionValue(key="migrate.hostlog", value="./original.hlog")])
    content(client, vm).write(0, "a", MIB)
    return vm


def content(client, vm, unit=0):
    return images.Disk(client, backing(vm, unit).fileName)


def devices(vm, kind):
    return [device for device in vm.config.hardware.device if isinstance(device, kind)]


def events_of(client, vm):
    return client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")))


def extra(vm):
    return {option.key: option.value for option in vm.config.extraConfig}


def allocated(client, vm, unit=0):
    return content(client, vm, unit).image()[0].stat().st_blocks * 512


# --- Without a guest ------------------------------------------------------------------------------

def test_a_copy_is_another_vm_of_the_same_content(client, original, copies):
    before = files(client, original)
    text = content(client, original).read()
    copy = clone(client, original, "copy")
    assert copy == client.vm("copy") and copy in client.pool.vm and copy in client.datastore.vm
    assert content(client, copy).read() == text
    assert allocated(client, copy) <= 2 * MIB    # what was never written takes no room
    assert files(client, copy) >= {"copy.vmx", "copy.vmxf", "copy.vmsd", "copy.vmdk"}
    assert files(client, original) == before
    old, new = original.config, copy.config
    assert (new.name, new.annotation) == ("copy", "the first of its kind")
    assert new.uuid != old.uuid and new.instanceUuid != old.instanceUuid
    assert backing(copy).uuid != backing(original).uuid
    assert extra(copy)["guestinfo.role"] == "web" and "migrate.hostlog" not in extra(copy)
    generated, manual = devices(copy, Nic)
    assert generated.macAddress != devices(original, Nic)[0].macAddress
    assert (generated.addressType, manual.addressType) == ("generated", "manual")
    assert manual.macAddress == "00:50:56:01:02:03"
    kinds = [type(event) for event in events_of(client, original)]
    assert vim.event.VmBeingClonedEvent in kinds
    [event] = [event for event in events_of(client, copy)
               if isinstance(event, vim.event.VmClonedEvent)]
    assert event.sourceVm.vm == original
    client.wait(copy.PowerOnVM_Task())    # and nobody asks whether it was moved or copied
    assert copy.runtime.question is None


def test_a_copy_changed_on_the_way(client, original, copies, other):
    machines.change(client, original, disk(1000, 1, client.path(""), mib=4),
                    disk(1000, 2, client.path(""), mib=4))
    content(client, original, 1).write(0, "b", MIB)
    grown = disk_at(original, 0)
    grown.capacityInKB, grown.capacityInBytes = 16 * 1024, 16 * MIB
    key = disk_at(original, 1).key
    thick = Disk.FlatVer2BackingInfo(fileName="", diskMode="persistent", thinProvisioned=False)
    location = vim.vm.RelocateSpec(datastore=other, disk=[
        vim.vm.RelocateSpec.DiskLocator(diskId=key, datastore=client.datastore,
                                        diskBackingInfo=thick)])
    config = vim.vm.ConfigSpec(numCPUs=2, memoryMB=256, annotation="changed", deviceChange=[
        machines.edited(grown), machines.removed(disk_at(original, 2), "destroy"),
        disk(1000, 3, "", mib=2)])
    copy = clone(client, original, "copy", location, config=config)
    assert copy.config.files.vmPathName == "[other] copy/copy.vmx"
    assert (copy.config.hardware.numCPU, copy.config.hardware.memoryMB) == (2, 256)
    assert copy.config.annotation == "changed" and set(copy.datastore) == {other, client.datastore}
    assert [(device.unitNumber, device.backing.fileName, device.capacityInKB // 1024)
            for device in devices(copy, Disk)] == [
        (0, "[other] copy/copy.vmdk", 16), (1, client.path("copy/copy.vmdk"), 4),
        (3, "[other] copy/copy_2.vmdk", 2)]
    assert content(client, copy).read() == content(client, original).read() + bytes(8 * MIB)
    assert content(client, copy, 1).read() == content(client, original, 1).read()
    assert allocated(client, copy) <= 2 * MIB and allocated(client, copy, 1) >= 4 * MIB
    assert not backing(copy, 1).thinProvisioned
    assert len(devices(original, Disk)) == 3
    machines.destroy(client, copy)
    root = pathlib.Path(client.datastore.info.path)
    assert not (root / "copy").exists()    # the folder came with its disk


def test_copies_of_a_snapshot_and_of_what_came_after_it(client, original, copies):
    snapshot = take(client, original, "then")
    content(client, original).write(MIB, "b", MIB)
    take(client, original, "later")
    content(client, original).write(0, "c")
    machines.change(client, original, numCPUs=2)
    then = clone(client, original, "copy", snapshot=snapshot)
    now = clone(client, original, "second copy")
    assert (then.config.hardware.numCPU, now.config.hardware.numCPU) == (1, 2)
    assert content(client, then).read() == b"a" * MIB + bytes(7 * MIB)
    assert content(client, now).read() == (
        b"c" * 65536 + b"a" * (MIB - 65536) + b"b" * MIB + bytes(6 * MIB))
    for copy in (then, now):
        assert copy.snapshot is None and chain(copy) == [f"{copy.name}.vmdk"]
    assert len(chain(original)) == 3
    with fault(vmodl.fault.InvalidArgument, "no snapshot of copy"):
        clone(client, then, "third", snapshot=snapshot)


def test_to_and_from_templates(client, original, copies):
    mould = clone(client, original, "copy", template=True)
    assert mould.config.template and mould.config.files.vmPathName.endswith("/copy.vmtx")
    assert mould.resourcePool is None and mould not in client.pool.vm
    with fault(vmodl.fault.InvalidArgument, "pool"):
        clone(client, mould, "second copy")
    cast = clone(client, mould, "second copy", vim.vm.RelocateSpec(pool=client.pool), powerOn=True)
    assert not cast.config.template and is_on(cast) and cast in client.pool.vm
    assert mould.config.template


def test_what_cannot_be_is_refused_and_leaves_nothing(client, host, original, copies, tmp_path):
    machines.change(client, original, disk(1000, 1, client.path(""), mib=2048))
    before = datastore_files(client)
    Spec, Locator = vim.vm.RelocateSpec, vim.vm.RelocateSpec.DiskLocator
    key = disk_at(original, 0).key
    for kind, mentions, location, fields in (
            (vim.fault.DiskMoveTypeNotSupported, "moveChildMost",
             Spec(diskMoveType="moveChildMostDiskBacking"), {}),
            (vmodl.fault.InvalidArgument, "sideways", Spec(diskMoveType="sideways"), {}),
            (vmodl.fault.InvalidArgument, "77", Spec(disk=[
                Locator(diskId=77, datastore=client.datastore)]), {}),
            (vmodl.fault.InvalidArgument, "twice", Spec(disk=[
                Locator(diskId=key, datastore=client.datastore)] * 2), {}),
            (vmodl.fault.NotSupported, "memory", None, {"memory": True}),
            (vmodl.fault.InvalidArgument, "template", None, {"template": True, "powerOn": True}),
            (vmodl.fault.InvalidArgument, "instanceUuid", None, {
                "config": vim.vm.ConfigSpec(instanceUuid=original.config.instanceUuid)}),
            (vmodl.fault.ManagedObjectNotFound, None, Spec(
                datastore=vim.Datastore("none", client.instance._stub)), {})):
        with fault(kind, mentions):
            clone(client, original, "copy", location, **fields)
    with fault(vim.fault.DuplicateName):
        clone(client, original, "original")
    with fault(vim.fault.InvalidName):
        clone(client, original, "")
    kinds = [type(event) for event in events_of(client, original)]
    assert vim.event.VmCloneFailedEvent in kinds

    # Two gigabytes of zeros are to be written; in the middle somebody thinks better of it.
    eager = Disk.FlatVer2BackingInfo(fileName="", diskMode="persistent", eagerlyScrub=True)
    task = clone_task(client, original, "copy", Spec(disk=[Locator(
        diskId=disk_at(original, 1).key, datastore=client.datastore, diskBackingInfo=eager)]))
    client.wait_for(task, "info.progress", lambda progress: (progress or 0) > 0)
    task.CancelTask()
    with fault(vmodl.fault.RequestCanceled):
        client.wait(task)
    assert client.vm("copy") is None
    assert datastore_files(client) == before


# --- Linked clones --------------------------------------------------------------------------------

LINKED = vim.vm.RelocateSpec(diskMoveType="createNewChildDiskBacking")


def test_linked_clones_keep_what_they_stand_on(client, original, copies):
    snapshot = take(client, original, "then")
    text = content(client, original).read()
    with fault(vmodl.fault.InvalidArgument, "snapshot"):
        clone(client, original, "copy", LINKED)
    copy = clone(client, original, "copy", LINKED, snapshot=snapshot)
    assert chain(copy) == ["copy.vmdk", "original.vmdk"]
    assert backing(copy).parent.fileName == client.path("original/original.vmdk")
    assert backing(copy).uuid != backing(copy).parent.uuid
    assert content(client, copy).read() == text and allocated(client, copy) < MIB
    content(client, copy).write(MIB, "c", MIB)
    content(client, original).write(0, "o", MIB)
    mine = content(client, copy).read()

    # A snapshot of the copy, and a copy of that.
    child = clone(client, copy, "second copy", LINKED, snapshot=take(client, copy, "mine"))
    assert chain(child) == ["second copy.vmdk", "copy.vmdk", "original.vmdk"]
    assert chain(copy) == ["copy-000001.vmdk", "copy.vmdk", "original.vmdk"]
    whole = clone(client, child, "third copy")
    copies.append("third copy")
    assert content(client, whole).read() == mine and len(chain(whole)) == 1

    # What others stand on is neither merged nor removed, whoever asks.
    for vm in (original, copy):
        client.wait(vm.RemoveAllSnapshots_Task(None))
        assert vm.snapshot is None and not vm.runtime.consolidationNeeded
    assert len(chain(original)) == 2 and len(chain(copy)) == 3
    manager = client.content.virtualDiskManager
    for path in ("original/original.vmdk", "copy/copy.vmdk"):
        with fault(vim.fault.FileLocked, "linked clone"):
            client.wait(manager.DeleteVirtualDisk_Task(client.path(path), client.datacenter))
    with fault(vim.fault.FileLocked, "linked clone"):
        client.wait(client.content.fileManager.DeleteDatastoreFile_Task(
            client.path("original"), client.datacenter))
    for vm in (original, copy):
        machines.destroy(client, vm)
    assert content(client, child).read() == mine
    client.wait(child.PowerOnVM_Task())
    client.wait(child.PowerOffVM_Task())
    machines.destroy(client, child)
    root = pathlib.Path(client.datastore.info.path)
    assert not [name for name in ("original", "copy", "second copy") if (root / name).exists()]


def test_a_source_that_is_not_in_the_inventory_keeps_its_disks(client, original, copies):
    snapshot = take(client, original, "then")
    copy = clone(client, original, "copy", LINKED, snapshot=snapshot)
    text, path = content(client, original).read(), original.config.files.vmPathName
    original.UnregisterVM()
    machines.destroy(client, copy)
    original = client.wait(client.datacenter.vmFolder.RegisterVM_Task(
        path, None, False, client.pool))
    assert content(client, original).read() == text


def test_killed_while_linking(client, host, original, copies):
    take(client, original, "then")
    text, before = content(client, original).read(), datastore_files(client)

    def link(client):
        vm = the_vm(client, "original")
        clone(client, vm, "copy", LINKED, snapshot=vm.rootSnapshot[0])

    for client in crash_everywhere(host, link):
        copy = client.vm("copy")
        if copy is not None:
            assert content(client, copy).read() == text
            machines.destroy(client, copy)
        assert datastore_files(client) - {"original/vmware.log"} == before - {"original/vmware.log"}


# --- Of a guest that runs on ----------------------------------------------------------------------

def test_a_copy_of_a_running_guest(client, make_vm, boot_guest, copies):
    vm = make_vm("source", extra=[disk(1000, 1, client.path(""), mib=16),
                                  disk(1000, 2, client.path(""), mib=64)])
    make_file_system(client, vm, 2)
    guest = find_data_disk(find_data_disk(boot_guest(vm)), 2, "mounted")
    mount(guest.console, "mounted")
    guest.console.output("dd if=/dev/urandom of=/run/mounted/kept bs=1M count=8 conv=fsync")
    checksum = guest.console.output("sha256sum </run/mounted/kept")
    identity = "cat /sys/class/dmi/id/product_uuid /sys/class/net/eth0/address"
    own = guest.console.output(identity)
    boot_id = guest.console.output("cat /proc/sys/kernel/random/boot_id")
    writer = Writer(guest.console)
    told = writer.told()
    shown = vm.config.modified, [device.backing.fileName for device in devices(vm, Disk)]
    copy = clone(client, vm, "copy")
    writer.go_on()
    assert vm.snapshot is None and not vm.runtime.consolidationNeeded
    assert shown[1] == [device.backing.fileName for device in devices(vm, Disk)]
    assert [len(chain(vm, unit)) for unit in (0, 1, 2)] == [1, 1, 1]
    assert not [name for name in files(client, vm) if "-0000" in name or "Snapshot" in name]
    assert copy.runtime.powerState == "poweredOff" and not files(client, copy) & {"vmware.log.1"}
    assert allocated(client, copy, 2) < 32 * MIB
    numbers = [int(number) for number in
               content(client, copy, 1).read()[:1000 * 512].replace(b"\0", b"").split()]
    assert numbers == expected(max(numbers) + 1) and max(numbers) >= told    # of one moment

    twin = find_data_disk(boot_guest(copy), 2, "mounted")
    mount(twin.console, "mounted")
    assert twin.console.output("sha256sum </run/mounted/kept") == checksum
    assert not set(twin.console.output(identity).split()) & set(own.split())
    count = writer.stop()
    assert guest.console.output("cat /proc/sys/kernel/random/boot_id") == boot_id
    client.wait(vm.PowerOffVM_Task())
    numbers = content(client, vm, 1).read()[:1000 * 512].replace(b"\0", b"").split()
    assert [int(number) for number in numbers] == expected(count)


def test_disks_that_nobody_else_can_read_now(client, make_vm, copies):
    independent = disk(1000, 0, "", mib=1)
    independent.device.backing.diskMode = "independent_persistent"
    vm = make_vm("apart", controller("pvscsi"), independent)
    client.wait(vm.PowerOnVM_Task())
    with fault(vim.fault.DeviceNotSupported, "independent"):
        clone(client, vm, "copy")
    client.wait(vm.PowerOffVM_Task())
    assert backing(clone(client, vm, "copy")).diskMode == "independent_persistent"


# --- kill -9 --------------------------------------------------------------------------------------

STRIDE, STRIDE_OF_GUESTS = 3, 7


def test_killed_while_copying(client, host, original, copies):
    snapshots = [take(client, original, "one")]
    content(client, original).write(MIB, "b", MIB)
    text, before = content(client, original).read(), datastore_files(client)

    for client in crash_everywhere(host, lambda client: clone(
            client, the_vm(client, "original"), "copy"), stride=STRIDE):
        copy = client.vm("copy")
        if copy is not None:
            assert content(client, copy).read() == text
            assert copy.runtime.connectionState == "connected"
            machines.destroy(client, copy)
        assert datastore_files(client) - {"original/vmware.log"} == before - {"original/vmware.log"}
        vm = the_vm(client, "original")
        assert content(client, vm).read() == text and vm.rootSnapshot == snapshots


def test_killed_while_copying_beside_a_guest(client, host, make_vm, copies):
    vm = make_vm("original", controller("pvscsi"), disk(1000, 0, "", mib=1))
    content(client, vm).write(0, "a")
    text = content(client, vm).read()
    client.wait(vm.PowerOnVM_Task())
    before = {name for name in datastore_files(client) if not name.endswith(".log")}

    for client in crash_everywhere(host, lambda client: clone(
            client, the_vm(client, "original"), "copy"), stride=STRIDE_OF_GUESTS):
        copy = client.vm("copy")
        if copy is not None:
            assert content(client, copy).read() == text
            machines.destroy(client, copy)
        vm = the_vm(client, "original")
        assert is_on(vm) and vm.snapshot is None
        assert vm.runtime.consolidationNeeded == (len(chain(vm)) > 1)
        if vm.runtime.consolidationNeeded:
            client.wait(vm.ConsolidateVMDisks_Task())
        assert chain(vm) == ["original.vmdk"]
        left = {name for name in datastore_files(client) if not name.endswith(".log")}
        assert left == before
