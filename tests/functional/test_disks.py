"""Virtual disks by themselves."""

import os
import pathlib
import subprocess

import pytest
from pyVmomi import vim, vmodl

from harness import machines
from harness.client import fault

MIB = 1 << 20


@pytest.fixture
def disks(client):
    return client.content.virtualDiskManager


@pytest.fixture
def make(client, disks):
    made = []

    def create(name, kind="thin", mib=8):
        if name not in made:
            made.append(name)
        client.wait(disks.CreateVirtualDisk_Task(
            client.path(name), client.datacenter, disk_spec(kind, mib)))
        return client.path(name)

    yield create
    for name in made:
        if client.http("HEAD", name).status_code == 200:
            client.wait(disks.DeleteVirtualDisk_Task(client.path(name), client.datacenter))


def root(client):
    return pathlib.Path(client.datastore.info.path)


def allocated(client, name):
    """Bytes the file system gave to the disk's data."""
    return (root(client) / name.replace(".vmdk", "-flat.vmdk")).stat().st_blocks * 512


def occupied(client, stem):
    """The same of all files of the disk."""
    return sum(file.stat().st_blocks for file in root(client).glob(f"{stem}*.vmdk")) * 512


def files_of(client, stem):
    return sorted(file.name for file in root(client).glob(f"{stem}*"))


def write_to_disk(client, name, at, data):
    """The disk's bytes, of one whose extent is flat."""
    with open(root(client) / name.replace(".vmdk", "-flat.vmdk"), "r+b") as extent:
        extent.seek(at)
        extent.write(data)


def content(client, name, tmp_path):
    """The disk's bytes as QEMU reads them from VMware's formats."""
    raw = tmp_path / "content"
    subprocess.run(["qemu-img", "convert", "-f", "vmdk", "-O", "raw", root(client) / name, raw],
                   check=True, capture_output=True)
    return raw.read_bytes()


def disk_spec(kind, mib=8, adapter="lsiLogic"):
    return vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
        diskType=kind, adapterType=adapter, capacityKb=mib * 1024)


@pytest.mark.parametrize("kind, full", [("thin", False), ("preallocated", True),
                                        ("eagerZeroedThick", True)])
def test_kinds_of_disks(client, make, kind, full):
    make("kind.vmdk", kind)
    assert (allocated(client, "kind.vmdk") >= 8 * MIB) == full
    text = client.http("GET", "kind.vmdk").text
    assert f"RW {8 * MIB // 512} VMFS \"kind-flat.vmdk\"" in text
    assert client.http("GET", "kind-flat.vmdk").content == bytes(8 * MIB)
    [found] = client.wait(client.datastore.browser.SearchDatastore_Task(
        client.path(""), vim.host.DatastoreBrowser.SearchSpec(
            matchPattern=["kind.vmdk"],
            query=[vim.host.DatastoreBrowser.VmDiskQuery(
                details=vim.host.DatastoreBrowser.VmDiskQuery.Details(
                    diskType=True, capacityKb=True, hardwareVersion=False, controllerType=True,
                    diskExtents=False, thin=True))]))).file
    assert (found.capacityKb, found.thin) == (8 * 1024, kind == "thin")


LAYOUTS = [("flatMonolithic", "monolithicFlat", ["a-flat.vmdk", "a.vmdk"]),
           ("thick2Gb", "twoGbMaxExtentFlat", ["a-f001.vmdk", "a.vmdk"]),
           ("sparse2Gb", "twoGbMaxExtentSparse", ["a-s001.vmdk", "a.vmdk"]),
           ("sparseMonolithic", "monolithicSparse", ["a.vmdk"])]


@pytest.mark.parametrize("kind, create_type, files", LAYOUTS)
def test_disks_as_hosted_products_lay_them_out(client, make, tmp_path, kind, create_type, files):
    make("a.vmdk", kind)
    assert files_of(client, "a") == files
    with open(root(client) / "a.vmdk", "rb") as disk:
        assert f'createType="{create_type}"'.encode() in disk.read(4096)
    assert content(client, "a.vmdk", tmp_path) == bytes(8 * MIB)
    assert (occupied(client, "a") >= 8 * MIB) == ("sparse" not in kind)


@pytest.mark.parametrize("kind", ["seSparse", "rdm", "rdmp", "raw", "delta"])
def test_types_that_need_what_is_not_here_are_refused_by_name(client, make, kind):
    with fault(vmodl.fault.NotSupported, kind):
        make("refused.vmdk", kind)
    with fault(vmodl.fault.InvalidArgument, "no such type"):
        make("refused.vmdk", "no such type")
    assert files_of(client, "refused") == []


@pytest.mark.parametrize("kind, create_type, files", LAYOUTS)
def test_a_copy_changes_the_format_and_back(client, disks, make, tmp_path, kind, create_type, files):
    make("from.vmdk", mib=4)
    write_to_disk(client, "from.vmdk", MIB, b"\x5a" * 100_000)
    expected = (root(client) / "from-flat.vmdk").read_bytes()
    for source, copy, to in (("from", "a", kind), ("a", "back", "eagerZeroedThick")):
        client.wait(disks.CopyVirtualDisk_Task(
            client.path(f"{source}.vmdk"), client.datacenter, client.path(f"{copy}.vmdk"),
            client.datacenter, vim.VirtualDiskManager.VirtualDiskSpec(diskType=to,
                                                                      adapterType="ide")))
    assert files_of(client, "a") == files
    assert content(client, "a.vmdk", tmp_path) == expected
    assert (root(client) / "back-flat.vmdk").read_bytes() == expected
    assert allocated(client, "back.vmdk") >= 4 * MIB
    assert 'adapterType = "ide"' in client.http("GET", "back.vmdk").text
    for copy in ("a", "back"):
        client.wait(disks.DeleteVirtualDisk_Task(client.path(f"{copy}.vmdk"), client.datacenter))
        assert files_of(client, copy) == []


def test_a_copy_has_the_size_of_its_source(client, disks, make):
    source = make("small.vmdk", mib=2)
    with fault(vmodl.fault.InvalidArgument, "2048 KiB"):
        client.wait(disks.CopyVirtualDisk_Task(source, client.datacenter, client.path("larger.vmdk"),
                                               client.datacenter, disk_spec("thin", mib=4)))
    assert files_of(client, "larger") == []


def test_a_disk_is_not_made_over_another(client, make):
    make("once.vmdk")
    with fault(vim.fault.FileAlreadyExists, "once.vmdk"):
        make("once.vmdk")


def test_extend_inflate_and_zero(client, disks, make):
    path = make("grows.vmdk")
    client.wait(disks.ExtendVirtualDisk_Task(path, client.datacenter, 16 * 1024, False))
    assert client.http("HEAD", "grows-flat.vmdk").headers["Content-Length"] == str(16 * MIB)
    assert f"RW {16 * MIB // 512} " in client.http("GET", "grows.vmdk").text
    with fault(vmodl.fault.InvalidArgument):
        client.wait(disks.ExtendVirtualDisk_Task(path, client.datacenter, 1024, False))
    client.wait(disks.InflateVirtualDisk_Task(path, client.datacenter))
    assert allocated(client, "grows.vmdk") >= 16 * MIB


def test_zero_filling_forgets_the_data(client, disks, make):
    path = make("erased.vmdk", mib=2)
    client.http("PUT", "erased-flat.vmdk", data=b"\xff" * (2 * MIB)).raise_for_status()
    client.wait(disks.ZeroFillVirtualDisk_Task(path, client.datacenter))
    assert client.http("GET", "erased-flat.vmdk").content == bytes(2 * MIB)


def test_copy_move_and_delete_take_both_files(client, disks, make):
    make("first.vmdk", mib=2)
    client.http("PUT", "first-flat.vmdk", data=b"\x5a" * (2 * MIB)).raise_for_status()
    client.wait(disks.CopyVirtualDisk_Task(client.path("first.vmdk"), client.datacenter,
                                           client.path("copy.vmdk"), client.datacenter))
    assert client.http("GET", "copy-flat.vmdk").content == b"\x5a" * (2 * MIB)
    client.wait(disks.MoveVirtualDisk_Task(client.path("copy.vmdk"), client.datacenter,
                                           client.path("moved.vmdk"), client.datacenter, False))
    assert "moved-flat.vmdk" in client.http("GET", "moved.vmdk").text
    assert client.http("HEAD", "copy-flat.vmdk").status_code == 404
    client.wait(disks.DeleteVirtualDisk_Task(client.path("moved.vmdk"), client.datacenter))
    for name in ("moved.vmdk", "moved-flat.vmdk"):
        assert client.http("HEAD", name).status_code == 404


def test_a_disk_has_a_uuid_of_its_own_and_takes_another(client, disks, make):
    path = make("named.vmdk", mib=2)
    wanted = "60 00 C2 91 6d 4f 4e 0a-5b 1c 2d 3e 4f 5a 6b 7c"
    first = disks.QueryVirtualDiskUuid(path, client.datacenter)
    assert first.startswith("60 00 C2 9")
    disks.SetVirtualDiskUuid(path, client.datacenter, wanted)
    assert disks.QueryVirtualDiskUuid(path, client.datacenter).lower() == wanted.lower()


def test_a_disk_without_a_uuid_is_given_one_for_good(client, disks, make):
    path = make("nameless.vmdk", mib=2)
    descriptor = client.http("GET", "nameless.vmdk").text
    without = "".join(line for line in descriptor.splitlines(True) if "ddb.uuid" not in line)
    client.http("PUT", "nameless.vmdk", data=without).raise_for_status()
    given = disks.QueryVirtualDiskUuid(path, client.datacenter)
    assert given.startswith("60 00 C2 9")
    assert f'ddb.uuid = "{given}"' in client.http("GET", "nameless.vmdk").text
    assert disks.QueryVirtualDiskUuid(path, client.datacenter) == given


def test_shrinking_gives_back_what_is_zero(client, disks, make):
    path = make("shrinks.vmdk", mib=4)
    write_to_disk(client, "shrinks.vmdk", 0, bytes(3 * MIB) + b"\x5a" * MIB)
    assert allocated(client, "shrinks.vmdk") >= 4 * MIB
    client.wait(disks.ShrinkVirtualDisk_Task(path, client.datacenter, False))
    assert MIB <= allocated(client, "shrinks.vmdk") < 2 * MIB
    assert (root(client) / "shrinks-flat.vmdk").read_bytes() == bytes(3 * MIB) + b"\x5a" * MIB


def test_a_sparse_disk_shrinks_by_a_copy_only(client, disks, make, tmp_path):
    path = make("grains.vmdk", "sparseMonolithic", mib=4)
    for pattern in ("0x5a", "0"):
        subprocess.run(["qemu-io", "-f", "vmdk", "-c", f"write -P {pattern} 0 3M",
                        root(client) / "grains.vmdk"], check=True, capture_output=True)
    held = occupied(client, "grains")
    with fault(vmodl.fault.NotSupported, "sparse"):
        client.wait(disks.ShrinkVirtualDisk_Task(path, client.datacenter, False))
    client.wait(disks.ShrinkVirtualDisk_Task(path, client.datacenter))
    assert held >= 3 * MIB > occupied(client, "grains")
    assert content(client, "grains.vmdk", tmp_path) == bytes(4 * MIB)


def test_a_thick_disk_does_not_shrink(client, disks, make):
    path = make("thick.vmdk", "preallocated", mib=2)
    with fault(vmodl.fault.NotSupported, "thick.vmdk"):
        client.wait(disks.ShrinkVirtualDisk_Task(path, client.datacenter, False))


def test_defragmenting_keeps_the_content(client, disks, make):
    path = make("scattered.vmdk", mib=4)
    with open(root(client) / "scattered-flat.vmdk", "r+b") as extent:
        for block in range(1023, -1, -2):    # backwards, with holes between: nothing adjoins
            extent.seek(block * 4096)
            extent.write(bytes([block % 255 + 1]) * 4096)
            os.fsync(extent.fileno())
    before = (root(client) / "scattered-flat.vmdk").read_bytes()
    fragmentation = disks.QueryVirtualDiskFragmentation(path, client.datacenter)
    assert 0 <= fragmentation <= 100
    client.wait(disks.DefragmentVirtualDisk_Task(path, client.datacenter))
    assert disks.QueryVirtualDiskFragmentation(path, client.datacenter) <= fragmentation
    assert (root(client) / "scattered-flat.vmdk").read_bytes() == before


def test_a_cancelled_operation_leaves_nothing(client, disks, make):
    source = make("whole.vmdk", "thin", mib=1)
    client.wait(disks.ExtendVirtualDisk_Task(source, client.datacenter, 1 << 20, False))
    for begin in (lambda: disks.CreateVirtualDisk_Task(
                      client.path("stopped.vmdk"), client.datacenter,
                      disk_spec("eagerZeroedThick", 2048)),
                  lambda: disks.CopyVirtualDisk_Task(
                      source, client.datacenter, client.path("stopped.vmdk"), client.datacenter,
                      disk_spec("eagerZeroedThick", 1024))):
        task = begin()
        client.wait_for(task, "info.progress")
        task.CancelTask()
        with fault(vmodl.fault.RequestCanceled):
            client.wait(task)
        assert files_of(client, "stopped") == []
        assert not list((root(client) / ".virga" / "drafts").glob("*"))


def test_geometry_covers_the_disk(client, disks, make):
    path = make("shaped.vmdk")
    shape = disks.QueryVirtualDiskGeometry(path, client.datacenter)
    assert shape.cylinder * shape.head * shape.sector * 512 <= 8 * MIB
    assert shape.cylinder > 0


def test_a_disk_in_use_is_neither_deleted_nor_moved(client, disks, guest):
    disk = next(device for device in guest.vm.config.hardware.device
                if isinstance(device, vim.vm.device.VirtualDisk))
    for operation in (
            lambda: disks.DeleteVirtualDisk_Task(disk.backing.fileName, client.datacenter),
            lambda: disks.ExtendVirtualDisk_Task(disk.backing.fileName, client.datacenter,
                                                 1 << 20, False)):
        with fault((vim.fault.FileLocked, vim.fault.ResourceInUse, vim.fault.FileFault)):
            client.wait(operation())
    assert guest.console.output("dd if=/dev/sda of=/dev/null bs=1M count=1 2>&1")


@pytest.fixture
def hot_disk(client, guest):
    """Adds a disk of that kind to the running guest; its name there and its path."""
    added = []

    def add(mib, **backing):
        spec = machines.disk(1000, 9, client.path(""), mib=mib, thin=backing.get("thin", True))
        if backing.get("eager"):
            spec.device.backing.eagerlyScrub = True
        client.wait(guest.vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[spec])))
        [disk] = [device for device in guest.vm.config.hardware.device
                  if isinstance(device, vim.vm.device.VirtualDisk) and device.unitNumber == 9]
        added.append(disk)
        name = guest.console.read_until(rf"virga-witness disk (\w+) size={mib * MIB} ")[1]
        return name, disk.backing.fileName.split("] ")[1]

    yield add
    for disk in added:
        client.wait(guest.vm.ReconfigVM_Task(vim.vm.ConfigSpec(
            deviceChange=[machines.removed(disk, "destroy")])))


def test_a_thin_disk_grows_as_it_is_written_and_gives_back_what_the_guest_discards(
        client, guest, hot_disk):
    name, path = hot_disk(64)
    assert allocated(client, path) < MIB
    run = guest.console.output
    run(f"modprobe ext4; mke2fs -q /dev/{name} && mount -t ext4 /dev/{name} /mnt")
    run("dd if=/dev/urandom of=/mnt/data bs=1M count=24 conv=fsync 2>/dev/null; sync")
    filled = allocated(client, path)
    assert 24 * MIB <= filled < 40 * MIB
    assert "trimmed" in run("rm /mnt/data; sync; fstrim -v /mnt")
    assert allocated(client, path) < 8 * MIB
    run(f"umount /mnt; dd if=/dev/urandom of=/dev/{name} bs=1M count=16 conv=fsync 2>/dev/null")
    assert allocated(client, path) >= 16 * MIB
    run(f"blkdiscard /dev/{name}")
    assert allocated(client, path) < MIB


@pytest.mark.parametrize("eager", [False, True])
def test_a_thick_disk_has_its_blocks_before_the_guest_writes(client, hot_disk, eager):
    _, path = hot_disk(16, thin=False, eager=eager)
    assert allocated(client, path) >= 16 * MIB
