"""Snapshots: taken, gone back to, removed; with guests that write, and without."""

import pathlib
import random
import re

import pytest
from pyVmomi import vim, vmodl

from harness import images, machines
from harness.client import fault
from harness.images import MIB
from harness.machines import controller, disk
from harness.snapshots import (Writer, backing, chain, expected, files, find_data_disk, nodes, take,
                               written)


@pytest.fixture
def idle_vm(make_vm):
    """A VM that is off, with a disk of 8 MiB."""
    return make_vm("snapped", controller("pvscsi"), disk(1000, 0, "", mib=8))


def content(client, vm):
    return images.Disk(client, backing(vm).fileName)


# --- Without a guest ------------------------------------------------------------------------------

def test_a_snapshot_and_its_files(client, idle_vm):
    content(client, idle_vm).write(0, "a")
    snapshot = take(client, idle_vm, "first", description="before\nall else")
    node = nodes(idle_vm)["first"]
    assert (node.snapshot, node.vm, node.id) == (snapshot, idle_vm, 1)
    assert (node.description, node.state, node.quiesced) == ("before\nall else", "poweredOff", False)
    assert abs((node.createTime - client.instance.CurrentTime()).total_seconds()) < 60
    assert idle_vm.snapshot.currentSnapshot == snapshot
    assert idle_vm.rootSnapshot == [snapshot]
    assert snapshot.config.name == "snapped" and snapshot.vm == idle_vm
    assert chain(idle_vm) == ["snapped-000001.vmdk", "snapped.vmdk"]
    assert backing(idle_vm).deltaDiskFormat == "redoLogFormat"
    assert backing(idle_vm).uuid == backing(idle_vm).parent.uuid
    assert files(client, idle_vm) >= {
        "snapped-Snapshot1.vmsn", "snapped.vmsd", "snapped-000001.vmdk"}
    text = client.http("GET", "snapped/snapped.vmsd").text
    assert 'snapshot0.disk0.fileName = "snapped.vmdk"' in text
    text = client.http("GET", "snapped/snapped-000001.vmdk").text
    assert 'parentFileNameHint="snapped.vmdk"' in text
    assert 'createType="custom"' in text
    assert content(client, idle_vm).check() == 2
    assert content(client, idle_vm).read()[:65536] == b"a" * 65536

    client.wait(snapshot.RemoveSnapshot_Task(False, None))
    assert idle_vm.snapshot is None and not idle_vm.rootSnapshot
    assert chain(idle_vm) == ["snapped.vmdk"]
    assert not idle_vm.runtime.consolidationNeeded
    left = files(client, idle_vm)
    assert not [name for name in left if "0000" in name or name.endswith(".vmsn")], left
    with fault(vmodl.fault.ManagedObjectNotFound):
        snapshot.RevertToSnapshot_Task(None, None)


def test_going_back_restores_disk_and_settings(client, idle_vm):
    content(client, idle_vm).write(0, "a")
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="then")))
    snapshot = take(client, idle_vm, "then")
    content(client, idle_vm).write(0, "b")
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        memoryMB=512, numCPUs=2, annotation="now", name="snapped anew",
        deviceChange=[disk(1000, 1, client.path(""), mib=4)])))
    assert snapshot.config.hardware.memoryMB == machines.GUEST_MEMORY_MIB
    uuid = idle_vm.config.uuid
    client.wait(idle_vm.RevertToCurrentSnapshot_Task(None, None))
    assert idle_vm.config.hardware.memoryMB == machines.GUEST_MEMORY_MIB
    assert idle_vm.config.hardware.numCPU == 1
    assert idle_vm.config.annotation == "then"
    assert (idle_vm.config.uuid, idle_vm.name) == (uuid, "snapped anew")
    assert not [device for device in idle_vm.config.hardware.device
                if isinstance(device, vim.vm.device.VirtualDisk) and device.unitNumber == 1]
    assert content(client, idle_vm).read()[:65536] == b"a" * 65536
    assert chain(idle_vm)[1:] == ["snapped.vmdk"]
    # What was written since is gone for good.
    assert len([name for name in files(client, idle_vm) if name.startswith("snapped-0")]) == 1
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(name="snapped")))
    # The disk that came later is nobody's now, but it is there.
    client.wait(client.content.virtualDiskManager.DeleteVirtualDisk_Task(
        client.path("snapped/snapped_1.vmdk"), client.datacenter))


class Model:
    """What the disk must read as, now and in each snapshot."""

    def __init__(self, blocks):
        self.now, self.current = ["\0"] * blocks, None
        self.then, self.parent = {}, {}

    def take(self, name):
        self.then[name], self.parent[name] = list(self.now), self.current
        self.current = name

    def revert(self, name):
        self.now, self.current = list(self.then[name]), name

    def remove(self, name):
        for other, parent in self.parent.items():
            if parent == name:
                self.parent[other] = self.parent[name]
        if self.current == name:
            self.current = self.parent[name]
        del self.then[name], self.parent[name]

    def remove_subtree(self, name):
        for child in [child for child, parent in self.parent.items() if parent == name]:
            self.remove_subtree(child)
        self.remove(name)


def test_trees_of_any_shape(client, idle_vm):
    """Random operations; after each, the disk reads as it must, and so does every snapshot in the
    end."""
    chance, block = random.Random(7), 65536
    model = Model(8 * MIB // block)
    disk_of = lambda: content(client, idle_vm)    # noqa: E731
    for step in range(60):
        known = sorted(model.then)
        for _ in range(2):
            at, letter = chance.randrange(len(model.now)), chance.choice("abcdefghij")
            disk_of().write(at * block, letter)
            model.now[at] = letter
        operation = chance.choice(["take", "take", "take", "revert", "remove", "remove", "branch"])
        if operation == "take" or not known:
            take(client, idle_vm, f"s{step}")
            model.take(f"s{step}")
        else:
            name = chance.choice(known)
            snapshot = nodes(idle_vm)[name].snapshot
            if operation == "revert":
                client.wait(snapshot.RevertToSnapshot_Task(None, None))
                model.revert(name)
            elif operation == "remove":
                client.wait(snapshot.RemoveSnapshot_Task(False, None))
                model.remove(name)
            else:
                client.wait(snapshot.RemoveSnapshot_Task(True, None))
                model.remove_subtree(name)
        assert set(nodes(idle_vm)) == set(model.then)
        assert not idle_vm.runtime.consolidationNeeded
        disk_of().check()
        expected = b"".join(letter.encode() * block for letter in model.now)
        assert disk_of().read() == expected, f"step {step}: {operation}"
    for name in sorted(model.then):
        client.wait(nodes(idle_vm)[name].snapshot.RevertToSnapshot_Task(None, None))
        expected = b"".join(letter.encode() * block for letter in model.then[name])
        assert disk_of().read() == expected, name
    client.wait(idle_vm.RemoveAllSnapshots_Task(None))
    assert chain(idle_vm) == ["snapped.vmdk"]
    assert disk_of().read() == expected
    assert not [name for name in files(client, idle_vm) if "-0000" in name or "Snapshot" in name]


def test_as_deep_as_vsphere_allows(client, idle_vm):
    for level in range(32):
        take(client, idle_vm, f"level {level}")
    with fault(vim.fault.TooManySnapshotLevels, "32"):
        take(client, idle_vm, "too deep")
    assert len(chain(idle_vm)) == 33
    client.wait(idle_vm.PowerOnVM_Task())
    client.wait(idle_vm.PowerOffVM_Task())
    client.wait(idle_vm.RemoveAllSnapshots_Task(True))
    assert chain(idle_vm) == ["snapped.vmdk"]


def test_snapshots_survive_the_daemon_and_the_inventory(client, host, idle_vm):
    take(client, idle_vm, "one")
    take(client, idle_vm, "two")
    moids = {name: node.snapshot._moId for name, node in nodes(idle_vm).items()}
    client.logout()
    host.restart()
    client.__init__(host)
    vm = client.vm("snapped")
    assert {name: node.snapshot._moId for name, node in nodes(vm).items()} == moids
    vm.UnregisterVM()
    vm = client.wait(client.datacenter.vmFolder.RegisterVM_Task(
        client.path("snapped/snapped.vmx"), None, False, client.pool))
    assert set(nodes(vm)) == {"one", "two"}
    client.wait(nodes(vm)["one"].snapshot.RevertToSnapshot_Task(None, None))
    assert vm.snapshot.currentSnapshot == nodes(vm)["one"].snapshot


def test_renaming(client, idle_vm):
    snapshot = take(client, idle_vm, "old", description="words")
    snapshot.RenameSnapshot("new", None)
    assert nodes(idle_vm)["new"].description == "words"
    snapshot.RenameSnapshot(None, "other words")
    assert nodes(idle_vm)["new"].description == "other words"
    with fault(vim.fault.InvalidName):
        snapshot.RenameSnapshot("", None)


def test_what_is_refused(client, idle_vm):
    with fault(vim.fault.NotFound):
        idle_vm.RevertToCurrentSnapshot_Task(None, None)
    with fault(vim.fault.InvalidName):
        take(client, idle_vm, "")
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        extraConfig=[vim.option.OptionValue(key="snapshot.maxSnapshots", value="0")])))
    with fault(vim.fault.SnapshotDisabled, "snapped"):
        take(client, idle_vm, "never")
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        extraConfig=[vim.option.OptionValue(key="snapshot.maxSnapshots", value="1")])))
    take(client, idle_vm, "only")
    with fault(vim.fault.SnapshotFault):
        take(client, idle_vm, "another")


def test_a_disk_with_snapshots_does_not_grow(client, idle_vm):
    take(client, idle_vm, "small")
    [device] = [device for device in idle_vm.config.hardware.device
                if isinstance(device, vim.vm.device.VirtualDisk)]
    device.capacityInKB = 16 * 1024
    device.capacityInBytes = 16 * MIB
    with fault(vim.fault.InvalidDeviceSpec, "snapshots"):
        client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(
            deviceChange=[machines.edited(device)])))
    client.wait(idle_vm.RemoveAllSnapshots_Task(None))
    device.backing = backing(idle_vm)
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[machines.edited(device)])))
    assert len(content(client, idle_vm).read()) == 16 * MIB


def test_independent_disks_go_their_own_way(client, make_vm):
    independent = disk(1000, 1, "", mib=8)
    independent.device.backing.diskMode = "independent_persistent"
    vm = make_vm("snapped", controller("pvscsi"), disk(1000, 0, "", mib=8), independent)
    snapshot = take(client, vm, "one")
    assert len(chain(vm, 0)) == 2 and len(chain(vm, 1)) == 1
    own = images.Disk(client, backing(vm, 1).fileName)
    own.write(0, "x")
    client.wait(snapshot.RevertToSnapshot_Task(None, None))
    assert own.read()[:4] == b"xxxx"


def test_destroying_leaves_nothing(client, make_vm):
    vm = make_vm("snapped", controller("pvscsi"), disk(1000, 0, "", mib=8))
    folder = pathlib.Path(client.datastore.info.path) / "snapped"
    first = take(client, vm, "one")
    take(client, vm, "two")
    client.wait(first.RevertToSnapshot_Task(None, None))
    take(client, vm, "three")
    machines.destroy(client, vm)
    assert not folder.exists(), list(folder.iterdir())


def test_a_delta_left_behind_is_told_and_repaired(client, idle_vm):
    content(client, idle_vm).write(0, "a")
    snapshot = take(client, idle_vm, "one")
    content(client, idle_vm).write(65536, "b")
    client.wait(snapshot.RemoveSnapshot_Task(False, False))    # do not consolidate
    assert idle_vm.snapshot is None
    assert idle_vm.runtime.consolidationNeeded
    assert len(chain(idle_vm)) == 2
    client.wait(idle_vm.ConsolidateVMDisks_Task())
    assert not idle_vm.runtime.consolidationNeeded
    assert chain(idle_vm) == ["snapped.vmdk"]
    assert content(client, idle_vm).read()[:131072] == b"a" * 65536 + b"b" * 65536
    client.wait(idle_vm.ConsolidateVMDisks_Task())    # nothing to do is no error


# --- Guard rails ----------------------------------------------------------------------------------

def issues(vm):
    return {issue.eventTypeId for issue in vm.configIssue}


def events(client, vm):
    told = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")))
    return [event.eventTypeId for event in told if isinstance(event, vim.event.EventEx)]


def test_a_long_chain_is_told(client, idle_vm):
    for name in ("one", "two", "three"):
        take(client, idle_vm, name)
    assert not idle_vm.configIssue
    for name in ("four", "five"):
        take(client, idle_vm, name)
        assert issues(idle_vm) == {"virga.vm.snapshot.LongChain"}
    assert events(client, idle_vm).count("virga.vm.snapshot.LongChain") == 1
    client.wait(idle_vm.RemoveAllSnapshots_Task(None))
    assert not idle_vm.configIssue


def test_an_old_snapshot_is_told(client, host, idle_vm):
    take(client, idle_vm, "forgotten")
    path = pathlib.Path(client.datastore.info.path) / "snapped" / "snapped.vmsd"
    client.logout()
    host.kill()
    text = path.read_text()
    high, low = (int(re.search(f'createTime{half} = "(-?\\d+)"', text)[1])
                 for half in ("High", "Low"))
    created = (high << 32 | low & 0xffffffff) - 73 * 3600 * 10 ** 6
    low = created & 0xffffffff
    text = re.sub('createTimeHigh = "[^"]*"', f'createTimeHigh = "{created >> 32}"', text)
    text = re.sub('createTimeLow = "[^"]*"',
                  f'createTimeLow = "{low - (1 << 32) if low >> 31 else low}"', text)
    path.write_text(text)
    host.start()
    client.__init__(host)
    vm = client.vm("snapped")
    assert issues(vm) == {"virga.vm.snapshot.Old"}
    assert "73 hours" in vm.configIssue[0].fullFormattedMessage
    assert "virga.vm.snapshot.Old" in events(client, vm)


def test_a_delta_larger_than_its_base_is_told(client, idle_vm):
    content(client, idle_vm).write(0, "a")
    take(client, idle_vm, "small")
    idle_vm.RefreshStorageInfo()
    assert "virga.vm.snapshot.LargeDelta" not in issues(idle_vm)
    content(client, idle_vm).write(0, "b", 4 * MIB)
    idle_vm.RefreshStorageInfo()
    assert issues(idle_vm) == {"virga.vm.snapshot.LargeDelta"}
    assert "snapped-000001.vmdk" in idle_vm.configIssue[0].fullFormattedMessage


def test_disks_to_be_consolidated_are_told(client, idle_vm):
    snapshot = take(client, idle_vm, "one")
    client.wait(snapshot.RemoveSnapshot_Task(False, False))
    assert idle_vm.runtime.consolidationNeeded
    assert issues(idle_vm) == {"com.vmware.vc.VmDiskConsolidationNeeded"}
    client.wait(idle_vm.ConsolidateVMDisks_Task())
    assert not idle_vm.configIssue


# --- With a guest that writes ---------------------------------------------------------------------

def test_a_running_guest_goes_back(client, make_vm, boot_guest):
    vm = make_vm("snapped", nics=[], extra=[disk(1000, 1, client.path(""), mib=16)])
    console = find_data_disk(boot_guest(vm)).console
    console.output("echo first | dd of=/dev/data conv=fsync,notrunc")
    snapshot = take(client, vm, "running")
    assert nodes(vm)["running"].state == "poweredOff"    # without memory
    assert vm.runtime.powerState == "poweredOn"
    console.output("echo later | dd of=/dev/data conv=fsync,notrunc")
    assert console.output("head -c 5 /dev/data") == "later"
    client.wait(snapshot.RevertToSnapshot_Task(None, None))
    assert vm.runtime.powerState == "poweredOff"
    console = find_data_disk(boot_guest(vm)).console
    assert console.output("head -c 5 /dev/data") == "first"


def test_merging_while_the_guest_writes(client, make_vm, boot_guest):
    vm = make_vm("snapped", nics=[], extra=[disk(1000, 1, client.path(""), mib=16)])
    guest = find_data_disk(boot_guest(vm))
    writer = Writer(guest.console)
    snapshots = []
    for number in range(4):
        snapshots.append(take(client, vm, str(number)))
        writer.go_on()
    assert len(chain(vm, 1)) == 5
    client.wait(snapshots[2].RemoveSnapshot_Task(False, None))    # in the middle
    assert len(chain(vm, 1)) == 4
    client.wait(snapshots[3].RemoveSnapshot_Task(False, None))    # the one the guest writes
    assert len(chain(vm, 1)) == 3
    writer.go_on()
    client.wait(snapshots[0].RemoveSnapshot_Task(False, None))    # into the base
    assert len(chain(vm, 1)) == 2
    take(client, vm, "again")
    writer.go_on()
    client.wait(vm.RemoveAllSnapshots_Task(None))
    assert len(chain(vm, 1)) == 1
    assert not vm.runtime.consolidationNeeded
    writer.go_on()
    count = writer.stop()
    assert written(guest.console) == expected(count)
    client.wait(vm.PowerOffVM_Task())
    assert written(find_data_disk(boot_guest(vm)).console) == expected(count)
