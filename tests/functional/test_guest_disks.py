"""What guests' disks are made of, and what holds for them while a guest runs."""

import contextlib
import json
import pathlib
import re
import socket
import subprocess
import time

import pytest
from pyVmomi import vim, vmodl

from harness import isolation, machines, nfs_server, qemu
from harness.client import Client, fault
from harness.console import Console
from harness.machines import change, disk_at, edited, local

MIB = 1 << 20


def folder_of(client, vm):
    return local(client, vm.config.files.vmPathName).parent


def again(client, vm):
    """The console of a guest that ran on."""
    console = Console(client, vm)
    console.socket.send("\n")
    return console


# --- Changes that are discarded ------------------------------------------------------------------

def discarding(make_vm, client, name, **options):
    """A VM with a second disk in mode independent_nonpersistent."""
    second = machines.disk(machines.SCSI_KEY, 1, client.path(""), mib=8)
    second.device.backing.diskMode = "independent_nonpersistent"
    return make_vm(name, extra=[second], **options)


def redos(client, vm):
    return sorted(file.name for file in folder_of(client, vm).glob("*.REDO_*"))


# Guests name their disks in the order in which they happen to find them.
SECOND = f"/dev/{machines.block_device(8)}"


def write(console):
    console.output(f"echo of this run | dd of={SECOND} bs=512 seek=7 conv=fsync 2>/dev/null")


def read(console):
    return console.output(
        f"dd if={SECOND} bs=512 skip=7 count=1 2>/dev/null | tr -d '\\0'").strip()


def test_what_a_run_wrote_is_gone_after_power_off_and_reset(client, make_vm, boot_guest):
    vm = discarding(make_vm, client, "discards")
    disk = disk_at(vm, 1)
    assert disk.backing.diskMode == "independent_nonpersistent"
    base = local(client, disk.backing.fileName.replace(".vmdk", "-flat.vmdk"))
    guest = boot_guest(vm)
    write(guest.console)
    assert read(guest.console) == "of this run"
    assert base.read_bytes() == bytes(8 * MIB)
    [before] = redos(client, vm)
    layout = [file.name for file in vm.layoutEx.file]
    assert any(name.endswith(before) for name in layout), layout

    client.wait(vm.ResetVM_Task())
    guest.console.booted()
    assert read(guest.console) == ""
    [after] = redos(client, vm)
    assert after != before
    write(guest.console)
    guest.console.socket.send("reboot -f\n")    # from within, it is the same run
    guest.console.booted()
    assert read(guest.console) == "of this run"

    client.wait(vm.PowerOffVM_Task())
    assert redos(client, vm) == []
    assert "REDO" not in local(client, vm.config.files.vmPathName).read_text()
    assert base.read_bytes() == bytes(8 * MIB)


def test_what_a_run_wrote_outlives_the_daemon_and_a_suspend(client, host, make_vm, boot_guest):
    vm = discarding(make_vm, client, "discards-later")
    guest = boot_guest(vm)
    write(guest.console)
    host.kill()
    host.start()
    client = Client(host)
    vm = client.vm("discards-later")
    console = again(client, vm)
    assert read(console) == "of this run"
    console.close()
    client.wait(vm.SuspendVM_Task())
    host.restart()
    client = Client(host)
    vm = client.vm("discards-later")
    assert len(redos(client, vm)) == 1
    client.wait(vm.PowerOnVM_Task())
    console = again(client, vm)
    assert read(console) == "of this run"
    console.close()
    client.wait(vm.SuspendVM_Task())
    client.wait(vm.PowerOffVM_Task())
    assert redos(client, vm) == []
    client.logout()


def test_nothing_is_left_of_a_run_whose_process_died(client, host, make_vm):
    vm = discarding(make_vm, client, "discards-dead")
    client.wait(vm.PowerOnVM_Task())
    assert len(redos(client, vm)) == 1
    qemu.of(vm).kill()
    client.wait_for(vm, "runtime.powerState", lambda state: state == "poweredOff")
    assert redos(client, vm) == []
    client.wait(vm.PowerOnVM_Task())
    process = qemu.of(vm)
    host.kill()
    process.kill()
    host.start()
    client = Client(host)
    vm = client.vm("discards-dead")
    assert vm.runtime.powerState == "poweredOff"
    assert redos(client, vm) == []
    client.logout()


@pytest.mark.parametrize("mode", ["nonpersistent", "undoable", "append"])
def test_modes_of_old_are_refused_by_name(client, make_vm, mode):
    vm = make_vm(f"mode-{mode}", machines.controller("pvscsi"),
                 machines.disk(machines.SCSI_KEY, 0, client.path(""), mib=1))
    disk = disk_at(vm, 0)
    disk.backing.diskMode = mode
    with fault(vmodl.fault.NotSupported, mode):
        change(client, vm, edited(disk))


# --- Disks of hosted products --------------------------------------------------------------------

@pytest.fixture
def hosted_vm(client, make_vm):
    """A VM whose disk is a copy of the guest's, of that type and size."""
    disks = client.content.virtualDiskManager

    def make(kind, mib):
        image, _ = machines.upload_image(client)
        larger, own = (client.path(f"images/{name}-{kind}.vmdk") for name in ("larger", "hosted"))
        client.wait(disks.CopyVirtualDisk_Task(image, client.datacenter, larger, client.datacenter,
            vim.VirtualDiskManager.VirtualDiskSpec(diskType="thin", adapterType="lsiLogic")))
        client.wait(disks.ExtendVirtualDisk_Task(larger, client.datacenter, mib * 1024, False))
        client.wait(disks.CopyVirtualDisk_Task(
            larger, client.datacenter, own, client.datacenter,
            vim.VirtualDiskManager.VirtualDiskSpec(diskType=kind, adapterType="lsiLogic")))
        client.wait(disks.DeleteVirtualDisk_Task(larger, client.datacenter))
        return make_vm(f"hosted-{kind}", machines.controller("pvscsi"),
                       machines.disk(machines.SCSI_KEY, 0, own), machines.serial_port())
    return make


def guests_write(console, word, mib):
    """Into a sector that far from the beginning."""
    console.output(f"echo {word} | dd of=/dev/sda bs=1M seek={mib} conv=fsync 2>/dev/null")


# Split every 2047 MiB.
@pytest.mark.parametrize("kind, mib", [("thick2Gb", 2200), ("sparse2Gb", 2200),
                                       ("sparseMonolithic", 80)])
def test_a_guest_runs_from_a_disk_of_a_hosted_product(client, hosted_vm, boot_guest, kind, mib):
    vm = hosted_vm(kind, mib)
    guest = boot_guest(vm)
    guests_write(guest.console, "before", mib - 1)
    snapshot = client.wait(vm.CreateSnapshot_Task("one", "", False, False))
    guests_write(guest.console, "after", mib - 1)
    assert "-000001.vmdk" in disk_at(vm, 0).backing.fileName
    client.wait(snapshot.RemoveSnapshot_Task(False))
    name = disk_at(vm, 0).backing.fileName
    assert "-000001.vmdk" not in name
    grown = disk_at(vm, 0)
    grown.capacityInKB *= 2
    grown.capacityInBytes = grown.capacityInKB * 1024
    with fault(vmodl.fault.NotSupported, name):
        change(client, vm, edited(grown))
    client.wait(vm.PowerOffVM_Task())
    read_back = subprocess.run(["qemu-io", "-f", "vmdk", "-r", "-c", f"read -v {mib - 1}M 8",
                                local(client, name)], capture_output=True, text=True, check=True)
    assert "after" in read_back.stdout
    text = local(client, name).read_bytes()
    assert b"/dev/fdset" not in text


def test_a_stream_optimized_disk_runs_when_its_changes_are_discarded(client, make_vm, boot_guest):
    machines.upload_image(client)
    folder = local(client, client.path("images/guest.vmdk")).parent
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o",
                    "subformat=streamOptimized", folder / "guest-flat.vmdk",
                    folder / "stream.vmdk"], check=True)
    vm = make_vm("streamed", machines.controller("pvscsi"),
                 machines.disk(machines.SCSI_KEY, 0, client.path("images/stream.vmdk")),
                 machines.serial_port())
    with fault(vmodl.fault.NotSupported, "images/stream.vmdk"):
        client.wait(vm.PowerOnVM_Task())
    disk = disk_at(vm, 0)
    disk.backing.diskMode = "independent_nonpersistent"
    change(client, vm, edited(disk))
    guests_write(boot_guest(vm).console, "gone", 60)


# --- Limits --------------------------------------------------------------------------------------

def limits_in_force(pid):
    """By disks, as the QEMU has them; the host must not be running, for QEMU has one ear."""
    [record] = [path for path in pathlib.Path("/run/virga").glob("*/vm/*/machine.json")
                if json.loads(path.read_text())["pid"] == pid]
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as monitor:
        monitor.settimeout(20)
        monitor.connect(str(record.parent / "qmp.sock"))
        stream = monitor.makefile("rw")
        stream.readline()
        for command in ("qmp_capabilities", "query-block"):
            stream.write(json.dumps({"execute": command}) + "\n")
            stream.flush()
            while "return" not in (reply := json.loads(stream.readline())):
                pass
    return {device["qdev"]: device["inserted"]["iops"] for device in reply["return"]
            if "inserted" in device}


def limited(disk, iops, shares=None):
    disk.storageIOAllocation = vim.StorageResourceManager.IOAllocationInfo(
        limit=iops, shares=shares and vim.SharesInfo(level="custom", shares=shares))
    return edited(disk)


def test_a_limit_holds_at_once_and_over_power_cycles(client, host, make_vm):
    vm = make_vm("limited", machines.controller("pvscsi"),
                 *(machines.disk(machines.SCSI_KEY, unit, client.path(""), mib=1)
                   for unit in (0, 1)))
    change(client, vm, limited(disk_at(vm, 0), 100, shares=700))
    config = local(client, vm.config.files.vmPathName)
    assert re.search(r'sched\.scsi0:0\.throughputCap = "100"', config.read_text())
    assert re.search(r'sched\.scsi0:0\.shares = "700"', config.read_text())
    client.wait(vm.PowerOnVM_Task())
    change(client, vm, limited(disk_at(vm, 1), 64))
    shown = [disk_at(vm, unit).storageIOAllocation for unit in (0, 1)]
    assert [(io.limit, io.shares.shares) for io in shown] == [(100, 700), (64, 1000)]
    pid = qemu.of(vm).pid
    host.kill()
    assert limits_in_force(pid) == {"disk-2000": 100, "disk-2001": 64}
    host.start()
    client = Client(host)
    vm = client.vm("limited")
    change(client, vm, limited(disk_at(vm, 0), -1))
    client.wait(vm.PowerOffVM_Task())
    client.wait(vm.PowerOnVM_Task())
    pid = qemu.of(vm).pid
    host.kill()
    assert limits_in_force(pid) == {"disk-2000": 0, "disk-2001": 64}
    host.start()


def test_a_limit_below_what_vsphere_takes_is_refused(client, make_vm):
    vm = make_vm("hardly", machines.controller("pvscsi"),
                 machines.disk(machines.SCSI_KEY, 0, client.path(""), mib=1))
    with fault(vim.fault.InvalidDeviceSpec, "storageIOAllocation.limit"):
        change(client, vm, limited(disk_at(vm, 0), 5))


# --- Shares --------------------------------------------------------------------------------------

@pytest.fixture
def slow_store(host, client, tmp_path):
    """A datastore at the end of a thin cable: what two disks ask of it is more than it can do."""
    with isolation.neighbour("192.0.2.5", nfs_server.ADDRESS) as namespace:
        server = nfs_server.Server(namespace, tmp_path).start()
        system = client.host_system.configManager.datastoreSystem
        store = system.CreateNasDatastore(vim.host.NasVolume.Specification(
            remoteHost=nfs_server.ADDRESS, remotePath=str(server.path), localPath="slow",
            accessMode="readWrite", type="NFS"))
        cable = pathlib.Path(namespace).name
        thin = f"tc qdisc add dev {cable} root tbf rate 4mbit burst 16kb latency 400ms"
        subprocess.run(thin.split(), check=True)
        yield store
        subprocess.run(f"tc qdisc del dev {cable} root".split(), check=True)
        again = Client(host)
        [store] = [store for store in again.datacenter.datastore if store.name == "slow"]
        again.host_system.configManager.datastoreSystem.RemoveDatastore(store)
        again.logout()
        server.remove()


class Log:
    """What the host says from now on."""

    def __init__(self, host):
        self.path, self.read_to = host.log, host.log.stat().st_size

    def read_until(self, words, seconds=60):
        deadline = time.monotonic() + seconds
        while (at := self.path.read_bytes().find(words.encode(), self.read_to)) < 0:
            assert time.monotonic() < deadline, f"the host does not say {words!r}"
            time.sleep(0.1)
        self.read_to = at + len(words)


HEAVY, LIGHT = machines.block_device(16), machines.block_device(24)


def write_on_and_on(console, disk):
    """As fast as it goes, four requests at a time."""
    console.output(f"disk={disk}; touch /tmp/$disk; for i in 0 1 2 3; do (while [ -e /tmp/$disk ]; do "
                   "dd if=/dev/zero of=/dev/$disk bs=4k count=32 seek=$((512*i)) oflag=direct "
                   "2>/dev/null; done) & done")


def writes(console):
    """How many each disk has done: the guest's own count."""
    heavy, light = (console.output(f"cat /sys/block/{disk}/stat").split()[4]
                    for disk in (HEAVY, LIGHT))
    return int(heavy), int(light)


def test_shares_hold_while_disks_contend(client, host, slow_store, make_vm, boot_guest):
    assert slow_store.capability.storageIORMSupported
    control = slow_store.iormConfiguration
    assert (control.enabled, control.congestionThreshold) == (True, 30)
    vm = make_vm("contends", extra=[machines.disk(machines.SCSI_KEY, 1, "[slow] heavy.vmdk", 16),
                                    machines.disk(machines.SCSI_KEY, 2, "[slow] light.vmdk", 24)])
    console = boot_guest(vm).console
    change(client, vm, limited(disk_at(vm, 1), -1, shares=2000),
           limited(disk_at(vm, 2), 5000, shares=500))
    log = Log(host)
    for disk in (HEAVY, LIGHT):
        write_on_and_on(console, disk)
    log.read_until("slow: contended")
    heavy, light = before = writes(console)
    while light < before[1] + 200:
        heavy, light = writes(console)
    ratio = (heavy - before[0]) / (light - before[1])
    assert ratio > 2.2, f"{heavy - before[0]} : {light - before[1]}"

    console.output(f"rm /tmp/{HEAVY}")
    log.read_until("slow: no more contention")
    pid = qemu.of(vm).pid
    host.kill()
    assert limits_in_force(pid) == {"disk-2000": 0, "disk-2001": 0, "disk-2002": 5000}
    host.start()
