"""Changed block tracking: a backup that is kept up to date by QueryChangedDiskAreas alone."""

import random
import re

import pytest
from pyVmomi import vim, vmodl

from harness import images, machines, qemu
from harness.backup import Backup, areas
from harness.client import fault
from harness.images import MIB
from harness.machines import controller, disk
from harness.snapshots import backing, chain, files, find_data_disk, reconnect, take

BLOCK = 65536
BLOCKS = 32 * MIB // BLOCK


def track(client, vm, enabled=True):
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(changeTrackingEnabled=enabled)))
    assert vm.config.changeTrackingEnabled == enabled


class Guest:
    """Writes what no other time was written, at places of its choice."""

    def __init__(self):
        self.chance, self.console = random.Random(11), None

    def write(self, areas=4):
        """Returns how many bytes it may have changed, in whole blocks."""
        blocks = set()
        for _ in range(areas):
            at, count = self.chance.randrange(BLOCKS * 16 - 64), self.chance.randrange(1, 64)
            self.console.output(f"dd if=/dev/urandom of=/dev/data bs=4096 seek={at} count={count} "
                                "conv=notrunc,fsync 2>/dev/null")
            blocks.update(range(at // 16, (at + count - 1) // 16 + 1))
        return len(blocks) * BLOCK


def test_a_backup_through_the_life_of_a_guest(client, host, make_vm, boot_guest):
    vm = make_vm("tracked", nics=[], extra=[disk(1000, 1, client.path(""), mib=32)])
    guest, backup = Guest(), Backup()
    guest.console = find_data_disk(boot_guest(vm)).console
    guest.write()
    assert vm.capability.changeTrackingSupported and not vm.config.changeTrackingEnabled

    # It takes effect with the next snapshot.
    track(client, vm)
    assert backing(vm, 1).changeId is None
    snapshot = take(client, vm, "first")
    assert re.fullmatch(r"([0-9a-f]{2}[ -]){15}[0-9a-f]{2}/\d+", backing(snapshot, 1).changeId)
    assert backing(vm, 1).changeId == backing(snapshot, 1).changeId
    assert files(client, vm) >= {"tracked-ctk.vmdk", "tracked-000001-ctk.vmdk"}
    shown = {file.name.rpartition("/")[2] for file in vm.layoutEx.file}
    assert shown >= {"tracked-ctk.vmdk", "tracked-000001-ctk.vmdk"}
    text = client.http("GET", "tracked/tracked-000001.vmdk").text
    assert 'changeTrackPath="tracked-000001-ctk.vmdk"' in text
    assert 'scsi0:1.ctkEnabled = "TRUE"' in client.http("GET", "tracked/tracked.vmx").text
    assert backup.of(client, vm, snapshot) is None
    assert len(areas(vm, snapshot, 2001, "*")) < BLOCKS

    # Snapshots above each other, and merged in the middle and at the top.
    written = guest.write()
    second = take(client, vm, "second")
    assert backup.of(client, vm, second) <= written
    written = guest.write()
    client.wait(second.RemoveSnapshot_Task(False, None))
    written += guest.write()
    assert backup.run(client, vm) <= written
    client.wait(vm.RemoveAllSnapshots_Task(None))
    assert chain(vm, 1) == ["tracked.vmdk"]
    written = guest.write()
    assert 0 < backup.run(client, vm) <= written
    assert backup.run(client, vm) == 0

    # Suspended; a daemon killed; a memory kept; powered off with two snapshots, which are merged then.
    guest.write()
    client.wait(vm.SuspendVM_Task())
    client.wait(vm.PowerOnVM_Task())
    guest.console.close()
    guest.console = reconnect(client, vm)
    guest.write()
    host.kill()
    host.start()
    client.__init__(host)
    vm = client.vm("tracked")
    guest.console.close()
    guest.console = reconnect(client, vm)
    guest.write()
    kept = take(client, vm, "kept", memory=True)
    assert backup.of(client, vm, kept) is not None
    guest.write()
    take(client, vm, "another")
    guest.write()
    guest.console.close()
    client.wait(vm.PowerOffVM_Task())
    client.wait(vm.RemoveAllSnapshots_Task(None))
    assert chain(vm, 1) == ["tracked.vmdk"]
    assert 0 < backup.run(client, vm) < 32 * MIB
    guest.console = find_data_disk(boot_guest(vm)).console
    written = guest.write()
    guest.console.socket.send("poweroff -f\n")
    client.wait_for(vm, "runtime.powerState", lambda state: state == "poweredOff")
    assert 0 < backup.run(client, vm) <= written

    # Going back is another epoch, and so is a guest that came to a sudden end.
    before = take(client, vm, "before")
    assert backup.of(client, vm, before) == 0
    client.wait(before.RevertToSnapshot_Task(None, None))
    assert backup.run(client, vm) is None
    assert backup.run(client, vm) == 0
    guest.console = find_data_disk(boot_guest(vm)).console
    guest.write()
    qemu.of(vm).kill()
    client.wait_for(vm, "runtime.powerState", lambda state: state == "poweredOff")
    assert backup.run(client, vm) is None
    assert backup.run(client, vm) == 0


@pytest.fixture
def idle_vm(client, make_vm):
    vm = make_vm("tracked", controller("pvscsi"), disk(1000, 1, "", mib=8))
    track(client, vm)
    return vm


def base(client, vm):
    return images.Disk(client, backing(vm, 1).fileName)


def test_what_others_write_ends_the_epoch(client, idle_vm):
    backup = Backup()
    assert backup.run(client, idle_vm) is None
    assert backup.run(client, idle_vm) == 0
    base(client, idle_vm).write(3 * BLOCK, "a")
    assert backup.run(client, idle_vm) is None
    [device] = [device for device in idle_vm.config.hardware.device if device.key == 2001]
    device.capacityInKB, device.capacityInBytes = 16 * 1024, 16 * MIB
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[machines.edited(device)])))
    assert backup.run(client, idle_vm) is None
    assert len(backup.data) == 16 * MIB


def test_areas_by_pieces(client, idle_vm):
    for block in range(1, 128, 2):
        base(client, idle_vm).write(block * BLOCK, "a")
    snapshot = take(client, idle_vm, "one")
    odd = [(block * BLOCK, BLOCK) for block in range(1, 128, 2)]
    assert areas(idle_vm, snapshot, 2001, "*") == odd
    info = idle_vm.QueryChangedDiskAreas(snapshot, 2001, BLOCK + 512, "*")
    assert (info.startOffset, info.length) == (BLOCK + 512, 8 * MIB - BLOCK - 512)
    assert (info.changedArea[0].start, info.changedArea[0].length) == (BLOCK + 512, BLOCK - 512)


def test_what_is_refused(client, idle_vm):
    snapshot = take(client, idle_vm, "one")
    change_id = backing(snapshot, 1).changeId

    def ask(snapshot=snapshot, key=2001, start=0, change_id=change_id):
        return idle_vm.QueryChangedDiskAreas(snapshot, key, start, change_id)

    assert not ask().changedArea
    for wrong in ({"key": 2002}, {"start": -1}, {"start": 8 * MIB}, {"change_id": "42"}):
        with fault(vmodl.fault.InvalidArgument):
            ask(**wrong)
    uuid, sequence = change_id.split("/")
    for unknown in (f"{uuid}/{int(sequence) + 1}", f"{uuid[::-1]}/{sequence}"):
        with fault(vim.fault.FileFault, "tracked.vmdk"):
            ask(change_id=unknown)
    with fault(vim.fault.NotFound):
        ask(snapshot=vim.vm.Snapshot("1-snapshot-99"))
    # Without a snapshot, the disk as it is now.
    assert not idle_vm.QueryChangedDiskAreas(None, 2001, 0, change_id).changedArea
    independent = disk(1000, 2, "", mib=8)
    independent.device.backing.diskMode = "independent_persistent"
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[independent])))
    with fault(vmodl.fault.NotSupported):
        idle_vm.QueryChangedDiskAreas(None, 2002, 0, "*")
    # Switched off, by its other name.
    client.wait(idle_vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        extraConfig=[vim.option.OptionValue(key="ctkEnabled", value="FALSE")])))
    assert not idle_vm.config.changeTrackingEnabled
    client.wait(idle_vm.PowerOnVM_Task())
    with fault(vim.fault.InvalidPowerState):
        ask(snapshot=None)
    client.wait(idle_vm.PowerOffVM_Task())
    assert backing(idle_vm, 1).changeId is None
    with fault(vim.fault.FileFault):
        ask(snapshot=None, change_id="*")
    assert "tracked-000001-ctk.vmdk" not in files(client, idle_vm)
