"""Datastores on a real NFS server: mounted, written to by guests, there again after all that ends."""

import pathlib
import subprocess
import time

import pytest
from pyVmomi import vim

from harness import isolation, machines, qemu
from harness.client import Client, fault
from harness.crash import crash_everywhere
from harness.host import HostProcess
from harness.machines import controller, disk
from harness.nfs_server import ADDRESS, Server


@pytest.fixture
def server(tmp_path):
    with isolation.neighbour("192.0.2.5", ADDRESS) as namespace:
        server = Server(namespace, tmp_path).start()
        yield server
        server.remove()


NFS3, NFS41 = "NFS", "NFS41"
UNREACHABLE = "198.51.100.1"


def spec(path, name="nfs", type=NFS3, **fields):
    """NFS 4.1 is told of an address, too, that leads nowhere."""
    hosts = {"remoteHostNames": [ADDRESS, UNREACHABLE]} if type == NFS41 else {}
    return vim.host.NasVolume.Specification(
        remoteHost=ADDRESS, remotePath=str(path), localPath=name, accessMode="readWrite", type=type,
        **{**hosts, **fields})


def datastore_system(client):
    return client.host_system.configManager.datastoreSystem


def datastore(client, name="nfs"):
    return next((store for store in client.datacenter.datastore if store.name == name), None)


def mounts():
    return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
            if f"{ADDRESS}:" in line]


def helpers():
    return [qemu.Process(pid) for pid in isolation.processes()
            if (qemu.command_line(pid) or [""])[0].endswith("virga-nfs")]


@pytest.fixture(params=[NFS3, NFS41])
def kind(request):
    return request.param


@pytest.fixture
def store(host, client, server, kind):
    yield datastore_system(client).CreateNasDatastore(spec(server.path, type=kind))
    if not host.running:
        host.start()
    if server.process.poll() is not None:
        server.start()
    again = Client(host)
    for vm in datastore(again).vm:
        machines.destroy(again, vm)
    datastore_system(again).RemoveDatastore(datastore(again))
    again.logout()
    assert mounts() == []
    deadline = time.monotonic() + 10
    while helpers():
        assert time.monotonic() < deadline, "the helper of the mount does not end"
        time.sleep(0.02)


def test_an_export_is_a_datastore(client, server, store, kind):
    assert store.summary.type == kind and store.summary.accessible
    assert store.summary.multipleHostAccess and store.summary.capacity > 0
    nas = store.info.nas
    assert (nas.remoteHost, nas.remotePath, nas.type) == (ADDRESS, str(server.path), kind)
    assert nas.remoteHostNames == ([ADDRESS] if kind == NFS3 else [ADDRESS, UNREACHABLE])
    assert store.host[0].mountInfo.accessible and store.host[0].mountInfo.accessMode == "readWrite"
    volumes = [mount.volume for mount in client.host_system.config.fileSystemVolume.mountInfo]
    assert [volume.remotePath for volume in volumes
            if isinstance(volume, vim.host.NasVolume)] == [str(server.path)]
    content = bytes(range(256)) * 5000
    client.http("PUT", client.folder_url("some.bin", store), data=content).raise_for_status()
    assert (server.path / "some.bin").read_bytes() == content
    assert client.http("GET", client.folder_url("some.bin", store)).content == content


def test_what_cannot_be_mounted_is_refused_by_name(client, server, store, kind):
    system = datastore_system(client)
    other_kind = NFS3 if kind == NFS41 else NFS41
    # By NFS 3 ganesha does not tell what it does not export, by NFS 4 it hides what it forbids.
    hidden = vim.fault.NoPermissionOnNasVolume if kind == NFS3 else vim.fault.InvalidNetworkResource
    for wanted, kind_of_fault, named in (
            (spec(server.path, "again", kind), vim.fault.AlreadyExists, str(server.path)),
            (spec(server.path, "again", other_kind), vim.fault.AlreadyExists, str(server.path)),
            (spec(server.private, "nfs", kind), vim.fault.DuplicateName, "nfs"),
            (spec("/nowhere", "other", kind), hidden, "/nowhere"),
            (spec(server.private, "other", kind), hidden, "private"),
            (spec(server.private, "other", "CIFS"), vim.fault.PlatformConfigFault, "CIFS"),
            (spec(server.private, "other", kind, securityType="SEC_KRB5"),
             vim.fault.PlatformConfigFault, "SEC_KRB5")):
        with fault(kind_of_fault, named):
            system.CreateNasDatastore(wanted)
    server.stop()
    with fault(vim.fault.NetworkInaccessible, UNREACHABLE if kind == NFS41 else ADDRESS):
        system.CreateNasDatastore(spec(server.private, "other", kind))
    assert len(mounts()) == len(helpers()) == 1


def test_a_server_that_does_not_answer_is_shown(client, server, store):
    config = machines.spec(client, "there")
    config.files.vmPathName = "[nfs]"
    vm = machines.create(client, config)
    server.stop()
    client.wait_for(store, "summary.accessible", lambda accessible: not accessible)
    assert not store.host[0].mountInfo.accessible
    with fault(vim.fault.InaccessibleDatastore, "nfs"):
        client.wait(vm.PowerOnVM_Task())
    server.start()
    client.wait_for(store, "summary.accessible")
    client.wait(vm.PowerOnVM_Task())


def test_a_guest_outlives_the_servers_restart_and_the_daemon(host, client, server, store,
                                                             boot_guest):
    image, _ = machines.upload_image(client)
    client.wait(client.content.virtualDiskManager.CopyVirtualDisk_Task(
        image, client.datacenter, "[nfs] boot.vmdk", client.datacenter))
    config = machines.spec(client, "afloat", [
        controller("pvscsi"), disk(1000, 0, "[nfs] boot.vmdk"),
        disk(1000, 1, "[nfs]", mib=16), machines.serial_port()])
    config.files.vmPathName = "[nfs]"
    vm = machines.create(client, config)
    guest = boot_guest(vm)
    guest.console.socket.send(
        f"disk={machines.block_device(16)}; "
        "i=0; while [ $i -lt 2000 ]; do echo line-$i; i=$((i+1)); done | "
        "dd of=/dev/$disk bs=512 conv=sync,fsync 2>/dev/null; echo vir''ga-2000\n")
    server.stop()
    client.wait_for(store, "summary.accessible", lambda accessible: not accessible)
    server.start()
    guest.console.read_until("virga-2000")

    helper, = helpers()
    process = qemu.of(vm)
    host.kill()
    host.start()
    client = Client(host)
    vm = client.vm("afloat")
    assert vm.runtime.powerState == "poweredOn" and qemu.of(vm).pid == process.pid
    assert [helper.pid for helper in helpers()] == [helper.pid] and len(mounts()) == 1
    assert datastore(client).summary.accessible
    client.wait(vm.PowerOffVM_Task())
    written = (server.path / "afloat" / "afloat-flat.vmdk").read_bytes().replace(b"\0", b"")
    assert [line for line in written.split(b"\n") if line] == [b"line-%d" % i for i in range(2000)]
    client.logout()


@pytest.fixture
def second_host(server):
    """A host with a cable to the first, which lends it the way to the server."""
    with isolation.neighbour("192.0.2.1", "192.0.2.2") as namespace:
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        for there, network, router in ((namespace, "192.0.2.4/30", "192.0.2.1"),
                                       (server.namespace, "192.0.2.0/30", "192.0.2.5")):
            subprocess.run(["ip", "-n", pathlib.Path(there).name, "route", "add", network, "via",
                            router], check=True)
        host = HostProcess(address="192.0.2.2", namespace=namespace).start()
        yield host
        host.stop()
    host.remove()


@pytest.mark.parametrize("kind", [NFS41], indirect=True)
def test_a_vm_that_runs_here_does_not_start_there(client, server, store, second_host):
    config = machines.spec(client, "contested")
    config.files.vmPathName = "[nfs]"
    here = machines.create(client, config)
    other = Client(second_host)
    system = datastore_system(other)
    there_store = system.CreateNasDatastore(spec(server.path, type=NFS41))
    assert there_store.info.url == store.info.url
    there = other.wait(other.datacenter.vmFolder.RegisterVM_Task(
        "[nfs] contested/contested.vmx", None, False, other.pool))
    client.wait(here.PowerOnVM_Task())
    with fault(vim.fault.FileLocked, client.host_system.name):
        other.wait(there.PowerOnVM_Task())
    client.wait(here.PowerOffVM_Task())
    other.wait(there.PowerOnVM_Task())
    with fault(vim.fault.FileLocked):
        client.wait(here.PowerOnVM_Task())
    other.wait(there.PowerOffVM_Task())
    there.UnregisterVM()
    system.RemoveDatastore(there_store)
    other.logout()


@pytest.mark.parametrize("kind", [NFS41], indirect=True)
def test_a_host_that_starts_before_its_server(host, client, server, store):
    config = machines.spec(client, "early")
    config.files.vmPathName = "[nfs]"
    machines.create(client, config)
    host.kill()
    server.stop()
    helper, = helpers()
    helper.kill()    # as if the machine had started anew
    host.start()
    client = Client(host)
    store, vm = datastore(client), client.vm("early")
    assert (store.info.nas.type, store.summary.accessible) == (NFS41, False)
    assert vm.runtime.connectionState == "inaccessible"
    with fault(vim.fault.InvalidState, "early.vmx"):
        client.wait(vm.PowerOnVM_Task())
    with fault(vim.fault.InaccessibleDatastore, "nfs"):
        store.RenameDatastore("other")
    server.start()
    client.wait_for(store, "summary.accessible")
    client.wait_for(vm, "runtime.connectionState", lambda state: state == "connected")
    assert store.summary.capacity > 0 and store.summary.multipleHostAccess
    client.wait(vm.PowerOnVM_Task())
    client.logout()


def test_killed_while_making_and_removing_a_datastore(host, server):
    (server.path / "kept").write_text("kept")

    def make_and_remove(client):
        system = datastore_system(client)
        system.RemoveDatastore(datastore(client) or system.CreateNasDatastore(spec(server.path)))

    for client in crash_everywhere(host, make_and_remove):
        store = datastore(client)
        assert len(mounts()) == (1 if store else 0)
        if store:
            assert store.summary.type == "NFS"
        assert (server.path / "kept").read_text() == "kept"
    assert mounts() == []
