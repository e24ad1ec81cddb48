"""Virtual disks by themselves."""

import pathlib

import pytest
from pyVmomi import vim, vmodl

from harness.client import fault

MIB = 1 << 20


@pytest.fixture
def disks(client):
    return client.content.virtualDiskManager


@pytest.fixture
def make(client, disks):
    made = []

    def create(name, kind="thin", mib=8):
        made.append(name)
        client.wait(disks.CreateVirtualDisk_Task(
            client.path(name), client.datacenter,
            vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
                diskType=kind, adapterType="lsiLogic", capacityKb=mib * 1024)))
        return client.path(name)

    yield create
    for name in made:
        if client.http("HEAD", name).status_code == 200:
            client.wait(disks.DeleteVirtualDisk_Task(client.path(name), client.datacenter))


def allocated(client, name):
    """Bytes the file system gave to the disk's data."""
    path = pathlib.Path(client.datastore.info.path) / name.replace(".vmdk", "-flat.vmdk")
    return path.stat().st_blocks * 512


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
