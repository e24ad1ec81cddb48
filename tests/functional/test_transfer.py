"""VMs sent and received through leases: what travels is the disk, whole or not at all."""

import hashlib
import pathlib
import subprocess

import pytest
import requests
from pyVmomi import vim, vmodl

from harness import images, leases, machines
from harness.client import Client, fault
from harness.console import Console
from harness.crash import crash_everywhere
from harness.machines import GUEST_IMAGE, controller, disk, local

MIB = 1 << 20


@pytest.fixture
def vm(client, make_vm):
    """Off, with two disks, one of which has content."""
    vm = make_vm("traveller", controller("pvscsi"), disk(1000, 0, client.path(""), mib=64),
                 controller("sata"), disk(15000, 3, client.path(""), mib=8, thin=False))
    content = images.Disk(client, machines.disk_at(vm, 0).backing.fileName)
    content.write(4096, "a")
    content.write(33 * MIB + 512, "b", 3 * MIB)
    return vm


def flat(client, vm, unit):
    path = local(client, machines.disk_at(vm, unit).backing.fileName)
    return path.with_name(path.stem + "-flat.vmdk")


def is_same(vmdk, raw):
    return subprocess.run(["qemu-img", "compare", "-f", "vmdk", "-F", "raw", vmdk, raw],
                          capture_output=True).returncode == 0


def test_a_vm_is_sent_while_its_lease_lasts(client, vm, tmp_path):
    lease = vm.ExportVm()
    info = leases.ready(client, lease)
    assert (info.entity, info.lease, info.leaseTimeout) == (vm, lease, 300)
    assert info.totalDiskCapacityInKB == 72 * 1024
    first, second = info.deviceUrl
    assert [(url.key, url.targetId, url.disk) for url in info.deviceUrl] == [
        (f"/{vm._moId}/ParaVirtualSCSIController0:0", "disk-0.vmdk", True),
        (f"/{vm._moId}/VirtualAHCIController0:3", "disk-1.vmdk", True)]
    lease.HttpNfcLeaseSetManifestChecksumType([vim.KeyValue(key=first.key, value="sha256")])

    for unit, device in ((0, first), (3, second)):
        answer = leases.get(client, device)
        assert answer.headers["Content-Type"] == "application/x-vnd.vmware-streamVmdk"
        file = tmp_path / device.targetId
        file.write_bytes(answer.content)
        assert is_same(file, flat(client, vm, unit))
    assert (tmp_path / "disk-1.vmdk").stat().st_size < MIB
    lease.HttpNfcLeaseProgress(50)
    assert lease.transferProgress == 50

    of_first, of_second = sorted(lease.HttpNfcLeaseGetManifest(), key=lambda entry: entry.key)
    sent = (tmp_path / "disk-0.vmdk").read_bytes()
    assert (of_first.key, of_first.size, of_first.disk) == (first.key, len(sent), True)
    assert of_first.sha1 == hashlib.sha1(sent).hexdigest()
    assert (of_first.checksumType, of_first.checksum) == (
        "sha256", hashlib.sha256(sent).hexdigest())
    assert (of_first.capacity, of_first.populatedSize) == (64 * MIB, 3 * MIB + 3 * 65536)
    assert (of_second.checksumType, of_second.checksum) == ("sha1", of_second.sha1)

    with fault(vim.fault.TaskInProgress):
        client.wait(vm.PowerOnVM_Task())
    lease.HttpNfcLeaseComplete()
    assert lease.state == "done" and lease.error is None
    assert leases.get(client, first).status_code >= 400
    with fault(vim.fault.InvalidState):
        lease.HttpNfcLeaseProgress(60)
    client.wait(vm.PowerOnVM_Task())
    with fault(vim.fault.InvalidPowerState):
        vm.ExportVm()


def test_nothing_else_is_there_to_be_had(client, vm):
    lease = vm.ExportVm()
    device = leases.ready(client, lease).deviceUrl[0]
    address = leases.url(client, device)
    for other, status in ((address.replace("disk-0", "disk-7"), 404),
                          (address.replace("/nfc/", "/nfc/0"), 404),
                          (address.rpartition("/")[0], 404)):
        assert requests.get(other, verify=client.host.ca, timeout=20).status_code == status
    assert leases.put(client, device, b"x").status_code == 405
    assert leases.get(client, device, "HEAD").status_code == 200
    lease.HttpNfcLeaseAbort()
    assert lease.state == "error" and isinstance(lease.error, vmodl.fault.RequestCanceled)


def test_a_lease_ends_with_its_session_or_its_task(client, host, vm):
    other = Client(host)
    lease = other.vm("traveller").ExportVm()
    device = leases.ready(other, lease).deviceUrl[0]
    answer = leases.get(client, device, stream=True)
    [task] = [task for task in vm.recentTask if task.info.state == "running"]
    other.logout()
    with fault(vmodl.fault.RequestCanceled):
        client.wait(task)
    answer.close()

    lease = vm.ExportVm()
    leases.ready(client, lease)
    [task] = [task for task in vm.recentTask if task.info.state == "running"]
    task.CancelTask()
    assert client.wait_for(lease, "state", lambda state: state != "ready") == "error"
    client.wait(vm.PowerOnVM_Task())


def import_spec(client, name, *devices, **options):
    return vim.vm.VmImportSpec(configSpec=machines.spec(client, name, devices, **options))


def begin(client, name, *devices, **options):
    lease = client.pool.ImportVApp(import_spec(client, name, *devices, **options),
                                   client.datacenter.vmFolder)
    return lease, leases.ready(client, lease)


@pytest.fixture
def stream(tmp_path):
    """The guest's disk as it travels."""
    return leases.stream_optimized(GUEST_IMAGE, tmp_path / "guest.vmdk")


def guest_disk(client, unit=0, thin=True):
    return disk(1000, unit, client.path(""), mib=GUEST_IMAGE.stat().st_size // MIB, thin=thin)


def test_a_guest_that_was_received_boots(client, arrivals, stream):
    arrivals.append("arrived")
    lease, info = begin(client, "arrived", controller("pvscsi"), guest_disk(client),
                        machines.serial_port())
    [device] = info.deviceUrl
    assert device.importKey == "/arrived/ParaVirtualSCSIController0:0"
    assert client.vm("arrived") is None
    assert leases.put(client, device, stream).status_code == 200
    lease.HttpNfcLeaseProgress(100)
    lease.HttpNfcLeaseComplete()
    vm = client.vm("arrived")
    assert vm == info.entity and lease.state == "done"
    assert flat(client, vm, 0).read_bytes() == GUEST_IMAGE.read_bytes()
    assert flat(client, vm, 0).stat().st_blocks * 512 < GUEST_IMAGE.stat().st_size
    client.wait(vm.PowerOnVM_Task())
    console = Console(client, vm)
    console.booted()
    console.close()


def files(client):
    root = pathlib.Path(client.datastore.info.path)
    return {path.relative_to(root) for path in root.rglob("*") if ".virga" not in path.parts}


def test_what_is_not_completed_leaves_nothing(client, host, stream):
    before = files(client)
    tasks = client.content.taskManager

    lease, info = begin(client, "refused", controller("pvscsi"), guest_disk(client))
    leases.put(client, info.deviceUrl[0], stream)
    assert files(client) != before
    lease.HttpNfcLeaseAbort(vim.fault.Timedout())
    assert isinstance(lease.error, vim.fault.Timedout)
    assert files(client) == before

    other = Client(host)
    _, info = begin(other, "refused", controller("pvscsi"), guest_disk(client))
    leases.put(client, info.deviceUrl[0], stream[:len(stream) // 2])
    [task] = [task for task in tasks.recentTask if task.info.state == "running"]
    other.logout()
    with fault(vmodl.fault.RequestCanceled):
        client.wait(task)
    assert files(client) == before


def test_a_name_that_is_taken_meanwhile_is_refused_at_the_end(client, make_vm):
    before = files(client)
    lease, _ = begin(client, "namesake", controller("pvscsi"), disk(1000, 0, "", mib=1))
    make_vm("namesake", bare=True)
    with fault(vim.fault.DuplicateName):
        lease.HttpNfcLeaseComplete()
    assert isinstance(lease.error, vim.fault.DuplicateName)
    with fault(vim.fault.DuplicateName):
        client.pool.ImportVApp(import_spec(client, "namesake"))
    machines.destroy(client, client.vm("namesake"))
    assert files(client) == before


def test_what_comes_must_be_the_disk(client, arrivals, stream):
    arrivals.append("choosy")
    lease, info = begin(client, "choosy", controller("pvscsi"),
                        disk(1000, 0, client.path(""), mib=1), guest_disk(client, 1, thin=False))
    small, large = info.deviceUrl
    answer = leases.put(client, small, stream)
    assert answer.status_code == 400 and "it has 1048576" in answer.text
    answer = leases.put(client, large, stream[:len(stream) // 2], method="POST")
    assert answer.status_code == 500 and "is cut off" in answer.text
    with fault(vim.fault.InvalidState, mentions="has not been received as a whole"):
        lease.HttpNfcLeaseComplete()
    assert leases.put(client, small, b"x" * MIB).status_code == 200
    assert leases.put(client, large, b"y" * GUEST_IMAGE.stat().st_size).status_code == 200
    assert leases.put(client, large, stream).status_code == 200
    lease.HttpNfcLeaseComplete()
    vm = client.vm("choosy")
    assert flat(client, vm, 0).read_bytes() == b"x" * MIB
    assert flat(client, vm, 1).read_bytes() == GUEST_IMAGE.read_bytes()


def test_killed_while_receiving(client, host):
    before = files(client)

    def receive(client):
        lease, info = begin(client, "half-here", controller("pvscsi"),
                            disk(1000, 0, client.path(""), mib=1))
        leases.put(client, info.deviceUrl[0], b"z" * MIB).raise_for_status()
        lease.HttpNfcLeaseComplete()

    for client in crash_everywhere(host, receive):
        vm = client.vm("half-here")
        if vm is not None:
            assert flat(client, vm, 0).read_bytes() == b"z" * MIB
            machines.destroy(client, vm)
        assert files(client) == before
