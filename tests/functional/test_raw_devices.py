"""Disks that are logical units (RDM): a block device of the host, and a LUN behind iSCSI."""

import contextlib
import json
import os
import pathlib
import subprocess

import pytest
from pyVmomi import vim, vmodl

from harness import iscsi_target, machines, qemu
from harness.client import fault
from harness.machines import added, change, disk_at, edited, local, removed

MIB = 1 << 20
Disk = vim.vm.device.VirtualDisk
Backing = Disk.RawDiskMappingVer1BackingInfo
TARGET = "iqn.2026-01.org.example:raw"
USER = ("alice", "alice-secret-12")
LOOP_MIB, LUN_MIB = 12, 20


def raw_disk(client, unit, device, mode, path=None, **more):
    backing = Backing(fileName=path or client.path(""), deviceName=device, compatibilityMode=mode,
                      diskMode="persistent", **more)
    disk = Disk(key=-100 - unit, controllerKey=machines.SCSI_KEY, unitNumber=unit, backing=backing)
    return added(disk, None if path else "create")


def mapping_file(client, disk):
    """Of a disk without snapshots, its extent."""
    suffix = "rdmp" if disk.backing.compatibilityMode == "physicalMode" else "rdm"
    return local(client, disk.backing.fileName.replace(".vmdk", f"-{suffix}.vmdk"))


@pytest.fixture
def storage(client):
    return client.host_system.configManager.storageSystem


@pytest.fixture
def loop(client, storage, tmp_path):
    """A block device of the host and the file it is made of."""
    image = tmp_path / "unit"
    image.write_bytes(bytes(LOOP_MIB * MIB))
    device = subprocess.check_output(["losetup", "--show", "-f", image], text=True).strip()
    storage.RefreshStorageSystem()
    yield device, image
    subprocess.run(["losetup", "-d", device], check=True)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with iscsi_target.machine() as namespace:
        target = iscsi_target.Target(namespace, tmp_path_factory.mktemp("target")).start()
        target.image = target.add(1, TARGET, mebibytes=LUN_MIB, user=USER)
        yield target
        target.stop()


@pytest.fixture
def lun(storage, target):
    """A LUN of a target that asks who we are, as the API knows it, and the file it is made of."""
    hba = vim.host.InternetScsiHba
    storage.UpdateSoftwareInternetScsiEnabled(True)
    storage.UpdateInternetScsiAuthenticationProperties("vmhba64", hba.AuthenticationProperties(
        chapAuthEnabled=True, chapName=USER[0], chapSecret=USER[1],
        chapAuthenticationType="chapRequired"))
    portal = hba.SendTarget(address=iscsi_target.ADDRESS, port=3260)
    storage.AddInternetScsiSendTargets("vmhba64", [portal])
    storage.RescanHba("vmhba64")
    [unit] = [unit for unit in storage.storageDeviceInfo.scsiLun
              if isinstance(unit, vim.host.ScsiDisk) and "IET" in (unit.vendor or "")]
    yield unit, target.image
    storage.RemoveInternetScsiSendTargets("vmhba64", [portal])
    storage.UpdateInternetScsiAuthenticationProperties(
        "vmhba64", hba.AuthenticationProperties(chapAuthEnabled=False))
    storage.UpdateSoftwareInternetScsiEnabled(False)


class OnDisk:
    """A guest's disk of that size."""

    def __init__(self, console, mib):
        self.console = console
        self.block = machines.block_device(mib)

    def appeared(self):
        self.console.output(f"until [ -n \"{self.block}\" ]; do usleep 100000; done")
        return self

    def write(self, word):
        self.console.output(f"echo {word} | dd of=/dev/{self.block} bs=512 seek=7 conv=fsync "
                            "2>/dev/null")

    def vendor(self):
        return self.console.output(f"cat /sys/block/{self.block}/device/vendor").strip()


def word_in(image):
    with open(image, "rb") as file:
        file.seek(7 * 512)
        return file.read(512).split(b"\n")[0].decode()


def test_a_guest_writes_to_raw_devices(client, make_vm, boot_guest, loop, lun):
    device, image = loop
    unit, lun_image = lun
    vm = make_vm("raw", extra=[raw_disk(client, 1, device, "virtualMode"),
                               raw_disk(client, 2, unit.canonicalName, "physicalMode")])
    virtual, physical = disk_at(vm, 1), disk_at(vm, 2)
    assert [disk.capacityInBytes for disk in (virtual, physical)] == \
        [LOOP_MIB * MIB, LUN_MIB * MIB]
    assert (physical.backing.lunUuid, physical.backing.deviceName) == \
        (unit.uuid, "vml." + unit.uuid)
    texts = [local(client, disk.backing.fileName).read_text() for disk in (virtual, physical)]
    assert 'createType="vmfsRawDeviceMap"' in texts[0]
    assert 'createType="vmfsPassthroughRawDeviceMap"' in texts[1]

    guest = boot_guest(vm)
    on_loop, on_lun = (OnDisk(guest.console, mib) for mib in (LOOP_MIB, LUN_MIB))
    on_loop.write("on the loop")
    on_lun.write("on the target")
    assert (word_in(image), word_in(lun_image)) == ("on the loop", "on the target")
    assert (on_loop.vendor(), on_lun.vendor()) == ("VMware", "IET")
    assert not any(USER[1] in argument for argument in qemu.command_line(qemu.of(vm).pid))
    with fault(vim.fault.SnapshotIncompatibleDeviceInVm, "physical mode"):
        client.wait(vm.CreateSnapshot_Task("none", "", False, False))

    # The unit outlives the disk, and comes back as another.
    mapping = mapping_file(client, physical)
    assert mapping.exists()
    change(client, vm, removed(physical, "destroy"))
    assert not mapping.exists() and word_in(lun_image) == "on the target"
    change(client, vm, raw_disk(client, 3, unit.canonicalName, "virtualMode"))
    on_lun.appeared()
    assert on_lun.vendor() == "VMware"

    snapshot = client.wait(vm.CreateSnapshot_Task("one", "", False, False))
    for disk in (on_loop, on_lun):
        disk.write("later")
    assert (word_in(image), word_in(lun_image)) == ("on the loop", "on the target")
    above = disk_at(vm, 3).backing
    assert isinstance(above, Backing) and above.parent.compatibilityMode == "virtualMode"
    client.wait(snapshot.RemoveSnapshot_Task(False))
    assert (word_in(image), word_in(lun_image)) == ("later", "later")

    client.wait(vm.PowerOffVM_Task())
    mappings = [mapping_file(client, disk_at(vm, unit)) for unit in (1, 3)]
    assert all(file.exists() for file in mappings)
    client.wait(vm.Destroy_Task())
    assert not any(file.exists() for file in mappings)
    assert (word_in(image), word_in(lun_image)) == ("later", "later")


def test_a_snapshot_of_a_vm_that_is_off_is_merged_into_its_lun(client, make_vm, lun):
    unit, image = lun
    vm = make_vm("raw-off", machines.controller("pvscsi"),
                 raw_disk(client, 0, "vml." + unit.uuid, "virtualMode"))
    usage, = vm.storage.perDatastoreUsage
    assert usage.uncommitted == vm.config.hardware.memoryMB * MIB    # the swap file, not the LUN
    snapshot = client.wait(vm.CreateSnapshot_Task("one", "", False, False))
    delta = local(client, disk_at(vm, 0).backing.fileName.replace(".vmdk", "-delta.vmdk"))
    delta_alone = {"driver": "qcow2", "file": {"driver": "file", "filename": str(delta)},
                   "backing": None}
    subprocess.run(["qemu-io", "-c", "write -P 65 1M 64k", "json:" + json.dumps(delta_alone)],
                   check=True, stdout=subprocess.DEVNULL)
    client.wait(snapshot.RemoveSnapshot_Task(False))
    with open(image, "rb") as file:
        file.seek(MIB)
        assert file.read(64 << 10) == b"A" * (64 << 10)
    assert not delta.exists() and disk_at(vm, 0).backing.parent is None


@contextlib.contextmanager
def held(device):
    """As a mount holds it."""
    descriptor = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        yield
    finally:
        os.close(descriptor)


def candidates(client):
    browser = client.compute_resource.environmentBrowser
    return {info.disk.deviceName: info for info in browser.QueryConfigTarget(None).scsiDisk}


def mapping_is_kept(client, vm):
    """As long as the guest runs."""
    disk = disk_at(vm, 0)
    descriptor, extent = local(client, disk.backing.fileName), mapping_file(client, disk)
    files, disks = client.content.fileManager, client.content.virtualDiskManager
    folder = disk.backing.fileName.rsplit("/", 1)[0]
    for path in (disk.backing.fileName, f"{folder}/{extent.name}", folder):
        with fault(vim.fault.FileLocked, vm.name):
            client.wait(files.DeleteDatastoreFile_Task(path, client.datacenter))
        with fault(vim.fault.FileLocked, vm.name):
            client.wait(files.MoveDatastoreFile_Task(path, client.datacenter,
                                                     client.path("elsewhere"), client.datacenter))
        reply = client.http("DELETE", path.split("] ")[1])
        assert reply.status_code == 409 and vm.name in reply.text
    with fault(vim.fault.FileLocked, vm.name):
        client.wait(disks.DeleteVirtualDisk_Task(disk.backing.fileName, client.datacenter))
    with fault(vim.fault.FileLocked, vm.name):
        client.wait(disks.MoveVirtualDisk_Task(disk.backing.fileName, client.datacenter,
                                               client.path("elsewhere.vmdk"), client.datacenter))
    assert descriptor.exists() and extent.exists()


def twin_of(client, disk):
    """Another mapping file of the same unit, as who may write files can make one."""
    name = pathlib.Path(disk.backing.fileName).stem
    for file in (local(client, disk.backing.fileName), mapping_file(client, disk)):
        twin = local(client, client.path("")) / file.name.replace(name, "twin")
        twin.write_text(file.read_text().replace(name, "twin"))
    return client.path("twin.vmdk")


def test_a_unit_that_somebody_has_is_refused_by_name(client, make_vm, loop):
    device, _ = loop
    name = candidates(client)[device].name
    vm = make_vm("raw-first", machines.controller("pvscsi"))
    other = make_vm("raw-second", machines.controller("pvscsi"))
    with held(device):
        assert device not in candidates(client)
        with fault(vim.fault.InvalidDeviceBacking, device):
            change(client, vm, raw_disk(client, 0, name, "virtualMode"))
    change(client, vm, raw_disk(client, 0, name, "virtualMode"))
    assert candidates(client)[device].vm == [vm]
    with fault(vim.fault.InvalidDeviceBacking, "raw-first"):
        change(client, other, raw_disk(client, 0, name, "virtualMode"))
    with held(device), fault(vim.fault.FileLocked, device):
        client.wait(vm.PowerOnVM_Task())

    change(client, other, raw_disk(client, 0, None, None, disk_at(vm, 0).backing.fileName))
    client.wait(vm.PowerOnVM_Task())
    assert device not in candidates(client)    # the guest has it
    with fault(vim.fault.FileLocked, "raw-first"):
        client.wait(other.PowerOnVM_Task())
    mapping_is_kept(client, vm)
    change(client, other, removed(disk_at(other, 0)))
    change(client, other, raw_disk(client, 0, None, None, twin_of(client, disk_at(vm, 0))))
    with fault(vim.fault.FileLocked, "raw-first"):
        client.wait(other.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    change(client, other, removed(disk_at(other, 0), "destroy"))


def test_a_mapping_is_a_disk_by_itself(client, make_vm, loop):
    device, image = loop
    disks = client.content.virtualDiskManager
    path = client.path("mapped.vmdk")

    def create(kind, on=device):
        client.wait(disks.CreateVirtualDisk_Task(
            path, client.datacenter, vim.VirtualDiskManager.DeviceBackedVirtualDiskSpec(
                diskType=kind, adapterType="lsiLogic", device=on)))

    with fault(vmodl.fault.InvalidArgument, "/dev/none"):
        create("rdm", "/dev/none")
    with fault(vmodl.fault.InvalidArgument, "thin"):
        create("thin")
    create("rdmp")
    vm = make_vm("mapped", machines.controller("pvscsi"))
    for backing, field in ((dict(mode="virtualMode", device=None), "compatibilityMode"),
                           (dict(mode=None, device="/dev/none"), "deviceName"),
                           (dict(mode=None, device=None, lunUuid="0200"), "lunUuid")):
        with fault(vim.fault.InvalidDeviceBacking, field):
            change(client, vm, raw_disk(client, 0, path=path, **backing))
    change(client, vm, raw_disk(client, 0, None, "physicalMode", path))
    disk = disk_at(vm, 0)
    assert disk.backing.compatibilityMode == "physicalMode"
    with fault(vmodl.fault.NotSupported, "vmfsPassthroughRawDeviceMap"):
        disk.capacityInKB *= 2
        disk.capacityInBytes = disk.capacityInKB * 1024
        change(client, vm, edited(disk))
    change(client, vm, removed(disk_at(vm, 0)))
    assert local(client, path).exists()
    client.wait(disks.DeleteVirtualDisk_Task(path, client.datacenter))
    assert not list(local(client, path).parent.glob("mapped*.vmdk"))
    assert image.stat().st_size == LOOP_MIB * MIB
