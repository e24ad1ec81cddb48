"""kill -9 of the daemon inside every operation on snapshots: what the disk and each snapshot held is
there afterwards, a merge that is still due is told, and nothing else is left."""

import pathlib

import pytest
from pyVmomi import vim

from conftest import boot
from harness import images, qemu
from harness.backup import Backup
from harness.crash import crash_everywhere
from harness.machines import controller, disk
from harness.snapshots import (Writer, backing, chain, expected, files, find_data_disk, nodes,
                               make_file_system, mount, reconnect, take, written)

BLOCK = 65536
# The operations take some hundred steps; every single one of those without a guest was tried once.
STRIDE, STRIDE_OF_WRITERS, STRIDE_OF_GUESTS, STRIDE_OF_BOOTS = 11, 41, 23, 97


def settle(client, vm):
    """Forgets every snapshot and merges what is left; then nothing is there any more."""
    client.wait(vm.RemoveAllSnapshots_Task(None))
    if vm.runtime.consolidationNeeded:
        client.wait(vm.ConsolidateVMDisks_Task())
    assert not vm.runtime.consolidationNeeded
    assert vm.snapshot is None and not vm.rootSnapshot


class Life:
    """Everything that can happen to the snapshots of a VM that is off, once.

    A letter stands for a block of the disk; `now` is what the disk must read as, `then` what each
    snapshot must. While an operation is under way, either side of it is right.
    """

    NAME = "cut"

    def __init__(self):
        self.begin({})

    def begin(self, now):
        self.now, self.after, self.then = now, now, {}

    def __call__(self, client):
        vm = client.vm(self.NAME)
        self.write(client, vm, 0, "a")
        self.take(client, vm, "one")
        self.write(client, vm, 1, "b")
        self.take(client, vm, "two")
        self.write(client, vm, 2, "c")
        client.wait(nodes(vm)["one"].snapshot.RemoveSnapshot_Task(False, None))
        self.write(client, vm, 3, "d")
        self.take(client, vm, "three")
        self.write(client, vm, 1, "e")
        self.revert(client, vm, "two")
        self.write(client, vm, 4, "f")
        self.take(client, vm, "branch")
        self.write(client, vm, 2, "g")
        client.wait(nodes(vm)["branch"].snapshot.RemoveSnapshot_Task(False, None))
        client.wait(nodes(vm)["two"].snapshot.RemoveSnapshot_Task(True, False))
        client.wait(vm.ConsolidateVMDisks_Task())
        self.take(client, vm, "four")
        self.write(client, vm, 5, "h")
        self.take(client, vm, "five")
        self.write(client, vm, 6, "i")
        client.wait(vm.RemoveAllSnapshots_Task(None))

    def write(self, client, vm, block, letter):
        images.Disk(client, backing(vm).fileName).write(block * BLOCK, letter, BLOCK)
        self.now = self.after = {**self.now, block: letter}

    def take(self, client, vm, name):
        self.then[name] = self.now
        take(client, vm, name)

    def revert(self, client, vm, name):
        self.after = self.then[name]
        client.wait(nodes(vm)[name].snapshot.RevertToSnapshot_Task(None, None))
        self.now = self.after

    @staticmethod
    def read(client, vm):
        text = images.Disk(client, backing(vm).fileName).read()
        return {block: chr(text[block * BLOCK]) for block in range(len(text) // BLOCK)
                if text[block * BLOCK]}

    def check(self, client, vm):
        found = self.read(client, vm)
        assert found in (self.now, self.after)
        left = set(nodes(vm))
        assert left <= set(self.then)
        # What is not merged yet, and belongs to no snapshot, is told.
        if not left:
            assert vm.runtime.consolidationNeeded == (len(chain(vm)) > 1)
        for name in left:
            client.wait(nodes(vm)[name].snapshot.RevertToSnapshot_Task(None, None))
            assert self.read(client, vm) == self.then[name], name
            found = self.then[name]
        settle(client, vm)
        assert images.Disk(client, backing(vm).fileName).check() == 1
        assert self.read(client, vm) == found
        self.begin(found)


def test_a_vm_that_is_off(client, host, make_vm):
    vm = make_vm(Life.NAME, controller("pvscsi"), disk(1000, 0, "", mib=1))
    whole = files(client, vm)
    life = Life()
    for client in crash_everywhere(host, life, stride=STRIDE):
        vm = client.vm(life.NAME)
        life.check(client, vm)
        assert files(client, vm) - {"cut.vmsd", "vmware.log"} == whole - {"cut.vmsd", "vmware.log"}
    client = type(client)(host)
    client.wait(client.vm(life.NAME).PowerOnVM_Task())
    client.logout()


def live(client):
    """Everything that can happen to the snapshots of a guest that runs, once."""
    vm = client.vm("cut")
    take(client, vm, "one")
    take(client, vm, "two")
    client.wait(nodes(vm)["one"].snapshot.RemoveSnapshot_Task(False, None))    # in the middle
    client.wait(nodes(vm)["two"].snapshot.RemoveSnapshot_Task(False, False))
    client.wait(vm.ConsolidateVMDisks_Task())    # into what the guest writes
    take(client, vm, "three")
    take(client, vm, "four")
    client.wait(vm.RemoveAllSnapshots_Task(None))


def test_a_guest_that_writes_on(client, host, make_vm, boot_guest):
    vm = make_vm("cut", nics=[], extra=[disk(1000, 1, client.path(""), mib=16)])
    guest = find_data_disk(boot_guest(vm))
    boot_id = guest.console.output("cat /proc/sys/kernel/random/boot_id")
    writer, backup = Writer(guest.console), Backup()
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(changeTrackingEnabled=True)))
    assert backup.run(client, vm) is None

    for client in crash_everywhere(host, live, stride=STRIDE_OF_WRITERS):
        vm = client.vm("cut")
        assert vm.runtime.powerState == "poweredOn"
        assert backup.run(client, vm) is not None    # nobody has lost count of what was changed
        if not nodes(vm):
            lengths = {len(chain(vm, unit)) for unit in (0, 1)}
            assert vm.runtime.consolidationNeeded == (lengths != {1})
        settle(client, vm)
        assert len(chain(vm, 0)) == len(chain(vm, 1)) == 1
        assert not [name for name in files(client, vm) if "-0000" in name or "Snapshot" in name]
        writer.console.close()
        writer.console = reconnect(client, vm)
        writer.past(0)    # it writes on
    client = type(client)(host)
    vm = client.vm("cut")
    writer.console.close()
    writer.console = console = reconnect(client, vm)
    count = writer.stop()
    assert written(console) == expected(count)
    assert console.output("cat /proc/sys/kernel/random/boot_id") == boot_id
    console.close()
    client.wait(vm.PowerOffVM_Task())
    assert numbers_on(client, vm) == expected(count)
    client.logout()


def test_a_guest_that_dies_with_the_daemon(client, host, make_vm):
    vm = make_vm("cut", nics=[], extra=[disk(1000, 1, client.path(""), mib=16)])
    uuid = vm.config.uuid
    writer, found = None, []

    def kill_the_guest():
        for process in qemu.running():
            if any(uuid in word for word in qemu.command_line(process.pid)):
                process.kill()

    for client in crash_everywhere(host, live, stride=STRIDE_OF_BOOTS, then=kill_the_guest):
        vm = client.vm("cut")
        if writer:
            if vm.runtime.powerState == "poweredOn":    # nothing was killed any more
                client.wait(vm.PowerOffVM_Task())
            found = numbers_on(client, vm)
            assert found == expected(max(found) + 1)
            assert max(found) >= writer.told()
            writer.console.close()
        assert vm.runtime.powerState == "poweredOff"
        settle(client, vm)
        assert numbers_on(client, vm) == found
        writer = Writer(find_data_disk(boot(client, vm)).console, max(found, default=-1) + 1)
    writer.console.close()


def test_a_memory_that_is_kept_and_a_guest_at_rest(client, host, make_vm, boot_guest):
    vm = make_vm("cut", nics=[], extra=[disk(1000, 1, client.path(""), mib=16),
                                        disk(1000, 2, client.path(""), mib=16)])
    make_file_system(client, vm, 2)
    guest = find_data_disk(find_data_disk(boot_guest(vm)), 2, "mounted")
    mount(guest.console, "mounted")
    client.wait_for(vm, "guest.toolsRunningStatus", lambda status: status == "guestToolsRunning")
    boot_id = guest.console.output("cat /proc/sys/kernel/random/boot_id")
    writer = Writer(guest.console)
    # Nothing that is killed loses this one.
    take(client, vm, "kept", memory=True)

    def live(client):
        vm = client.vm("cut")
        client.wait_for(vm, "guest.toolsRunningStatus",
                        lambda status: status == "guestToolsRunning")
        take(client, vm, "at rest", quiesce=True)
        take(client, vm, "with memory", memory=True)
        client.wait(nodes(vm)["with memory"].snapshot.RevertToSnapshot_Task(None, None))
        client.wait(nodes(vm)["at rest"].snapshot.RemoveSnapshot_Task(True, None))

    for client in crash_everywhere(host, live, stride=STRIDE_OF_GUESTS):
        vm = client.vm("cut")
        if vm.runtime.powerState == "poweredOff":    # killed on the way back
            client.wait(nodes(vm)["with memory"].snapshot.RevertToSnapshot_Task(None, None))
        # A revert that cannot be undone any more is finished.
        client.wait_for(vm, "runtime.powerState", lambda state: state == "poweredOn")
        writer.console.close()
        writer.console = console = reconnect(client, vm)
        writer.past(0)
        console.output("echo written >/run/mounted/file; sync")    # nothing is frozen
        if "at rest" in nodes(vm):
            client.wait(nodes(vm)["at rest"].snapshot.RemoveSnapshot_Task(True, None))
        elif vm.runtime.consolidationNeeded:
            client.wait(vm.ConsolidateVMDisks_Task())
        assert set(nodes(vm)) == {"kept"} and not vm.runtime.consolidationNeeded
        assert {name for name in files(client, vm) if "Snapshot" in name} == {
            "cut-Snapshot1.vmem", "cut-Snapshot1.vmsn"}
    client = type(client)(host)
    vm = client.vm("cut")
    for _ in range(2):
        writer.console.close()
        writer.console = console = reconnect(client, vm)
        count = writer.stop()
        assert written(console) == expected(count)
        assert console.output("cat /proc/sys/kernel/random/boot_id") == boot_id
        client.wait(nodes(vm)["kept"].snapshot.RevertToSnapshot_Task(None, None))
    console.close()
    client.logout()


def numbers_on(client, vm):
    """What written() reads, without the guest."""
    text = images.Disk(client, backing(vm, 1).fileName).read()[:1000 * 512]
    return [int(number) for number in text.replace(b"\0", b"").split()]
