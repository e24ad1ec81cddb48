"""kill -9 in the middle of everything: nothing lost, nothing left behind, a clear state after."""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import threading

import pytest
from pyVmomi import vim

from harness import machines, qemu
from harness.client import Client, fault
from harness.console import Console
from harness.crash import crash_everywhere
from harness.machines import controller, disk


def restart_after_kill(host):
    """A client of the daemon, started again."""
    host.start()
    return Client(host)


def test_guests_run_on_and_are_found_again(host, guest):
    guest.console.output("echo alive >/run/before")
    process = qemu.of(guest.vm)
    moid, uuid = guest.vm._moId, guest.vm.config.uuid
    guest.console.close()
    host.kill()
    client = restart_after_kill(host)
    vm = client.vm("shared")
    assert (vm._moId, vm.config.uuid) == (moid, uuid)
    assert vm.runtime.powerState == "poweredOn"
    assert qemu.of(vm).pid == process.pid
    console = Console(client, vm)
    console.socket.send("\n")
    assert console.output("cat /run/before").strip() == "alive"
    console.close()
    client.wait_for(vm, "guest.toolsRunningStatus", lambda status: status == "guestToolsRunning")


def test_a_guest_that_died_meanwhile_is_known_to_be_off(client, host, make_vm):
    vm = make_vm("died-unseen", bare=True)
    client.wait(vm.PowerOnVM_Task())
    process = qemu.of(vm)
    host.kill()
    process.kill()
    client = restart_after_kill(host)
    vm = client.vm("died-unseen")
    assert vm.runtime.powerState == "poweredOff"
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    client.logout()


def test_a_guest_process_that_dies_is_reported_at_once(client, make_vm):
    vm = make_vm("died-seen", bare=True)
    client.wait(vm.PowerOnVM_Task())
    qemu.of(vm).kill()
    client.wait_for(vm, "runtime.powerState", lambda state: state == "poweredOff", seconds=10)
    events = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self")))
    assert any("kill" in event.fullFormattedMessage.lower()
               or "signal" in event.fullFormattedMessage.lower() for event in events)
    client.wait(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "poweredOn"


def datastore_files(client):
    """All the host's first datastore holds, what it keeps for itself left out."""
    root = pathlib.Path(client.datastore.info.path)
    private = root / ".virga"
    assert not [draft for draft in private.glob("drafts/*")]
    return {str(path.relative_to(root)) for path in root.rglob("*")
            if path != private and private not in path.parents}


def the_vm(client, name):
    vm = client.vm(name)
    assert vm is not None and vm.runtime.connectionState == "connected"
    return vm


def processes_of(vm):
    return [process for process in qemu.running()
            if any(vm.config.uuid in word for word in qemu.command_line(process.pid))]


def is_on(vm):
    """Whether it is powered on, and whether what the host says of it is true."""
    on = vm.runtime.powerState == "poweredOn"
    assert len(processes_of(vm)) == (1 if on else 0)
    return on


def test_killed_while_creating(client, host):
    before = datastore_files(client)

    def make(client):
        machines.create(client, machines.spec(client, "half-made", [
            controller("pvscsi"), disk(1000, 0, client.path(""), mib=8, thin=False)]))

    for client in crash_everywhere(host, make):
        vm = client.vm("half-made")
        if vm is not None:
            assert (pathlib.Path(client.datastore.info.path) / "half-made" /
                    "half-made-flat.vmdk").stat().st_size == 8 << 20
            machines.destroy(client, vm)
        assert datastore_files(client) == before


def test_killed_while_powering_on(host, make_vm):
    make_vm("interrupted", controller("pvscsi"), disk(1000, 0, "", mib=16))
    for client in crash_everywhere(host, lambda client: client.wait(
            the_vm(client, "interrupted").PowerOnVM_Task())):
        vm = the_vm(client, "interrupted")
        if is_on(vm):
            client.wait(vm.PowerOffVM_Task())
        assert not is_on(vm)
        assert not [name for name in datastore_files(client)
                    if name.startswith("interrupted/") and name.endswith((".lck", ".vswp"))]


def test_killed_while_powering_off(host, make_vm):
    make_vm("interrupted", controller("pvscsi"), disk(1000, 0, "", mib=16))
    for client in crash_everywhere(host, lambda client: client.wait(
            the_vm(client, "interrupted").PowerOffVM_Task())):
        vm = the_vm(client, "interrupted")
        if not is_on(vm):
            client.wait(vm.PowerOnVM_Task())
        assert is_on(vm)


class Memory:
    """What a guest remembers only as long as its memory is kept."""

    def __init__(self, client, vm):
        with self.console(client, vm) as console:
            console.booted()
            console.output("echo kept >/run/memory")
            self.boot_id = self.read(console)

    @staticmethod
    def console(client, vm):
        return contextlib.closing(Console(client, vm))

    @staticmethod
    def read(console):
        return console.output("cat /run/memory /proc/sys/kernel/random/boot_id")

    def is_intact(self, client, vm):
        with self.console(client, vm) as console:
            console.socket.send("\n")
            return self.read(console) == self.boot_id


def saved_states(client):
    return {path for path in datastore_files(client) if ".vmss" in path}


def test_killed_while_suspending(client, host, make_vm):
    vm = make_vm("enduring", nics=[])
    client.wait(vm.PowerOnVM_Task())
    memory = Memory(client, vm)
    for client in crash_everywhere(host, lambda client: client.wait(
            the_vm(client, "enduring").SuspendVM_Task())):
        vm = the_vm(client, "enduring")
        if not is_on(vm):
            assert vm.runtime.powerState == "suspended"
            assert saved_states(client) == {"enduring/enduring.vmss"}
            client.wait(vm.PowerOnVM_Task())
        assert saved_states(client) == set()
        assert memory.is_intact(client, vm)


def test_killed_while_resuming(client, host, make_vm):
    vm = make_vm("enduring", nics=[])
    client.wait(vm.PowerOnVM_Task())
    memory = Memory(client, vm)
    for client in crash_everywhere(host, lambda client: client.wait(
            the_vm(client, "enduring").PowerOnVM_Task())):
        vm = the_vm(client, "enduring")
        if is_on(vm):
            assert saved_states(client) == set()
            assert memory.is_intact(client, vm)
            client.wait(vm.SuspendVM_Task())
        assert vm.runtime.powerState == "suspended"
        assert saved_states(client) == {"enduring/enduring.vmss"}


def test_killed_while_discarding_a_memory(host, make_vm):
    make_vm("interrupted", bare=True)
    for client in crash_everywhere(host, lambda client: client.wait(
            the_vm(client, "interrupted").PowerOffVM_Task())):
        vm = the_vm(client, "interrupted")
        assert not is_on(vm)
        if vm.runtime.powerState == "poweredOff":
            assert saved_states(client) == set()
            client.wait(vm.PowerOnVM_Task())
            client.wait(vm.SuspendVM_Task())
        assert saved_states(client) == {"interrupted/interrupted.vmss"}


def test_killed_while_changes_are_discarded(host, make_vm):
    """A run from power on over a reset to power off: it has one file for what it writes, in use,
    and none is left of a run that is over."""
    discarding = disk(1000, 0, "", mib=1)
    discarding.device.backing.diskMode = "independent_nonpersistent"
    make_vm("discarding", controller("pvscsi"), discarding)

    def run(client):
        vm = client.vm("discarding")
        for operation in (vm.PowerOnVM_Task, vm.ResetVM_Task, vm.PowerOffVM_Task):
            client.wait(operation())

    for client in crash_everywhere(host, run):
        vm = the_vm(client, "discarding")
        folder = pathlib.Path(client.datastore.info.path) / vm.name
        if is_on(vm):
            [file] = folder.glob("*.REDO_*")
            [process] = processes_of(vm)
            assert str(file) in [os.readlink(fd) for fd in
                                 pathlib.Path(f"/proc/{process.pid}/fd").iterdir()]
            client.wait(vm.PowerOffVM_Task())
        assert not list(folder.glob("*.REDO_*"))


def test_killed_while_reconfiguring(client, host, make_vm):
    make_vm("interrupted", controller("pvscsi"), disk(1000, 0, "", mib=16))
    before = datastore_files(client)
    for client in crash_everywhere(host, lambda client: client.wait(
            the_vm(client, "interrupted").ReconfigVM_Task(vim.vm.ConfigSpec(
                numCPUs=2, memoryMB=256,
                deviceChange=[disk(1000, 1, client.path(""), mib=8, thin=False)])))):
        vm = the_vm(client, "interrupted")
        disks = [device for device in vm.config.hardware.device
                 if isinstance(device, vim.vm.device.VirtualDisk)]
        whole = (vm.config.hardware.numCPU, vm.config.hardware.memoryMB, len(disks))
        assert whole in ((1, machines.GUEST_MEMORY_MIB, 1), (2, 256, 2))
        if len(disks) == 2:
            client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(
                numCPUs=1, memoryMB=machines.GUEST_MEMORY_MIB,
                deviceChange=[machines.removed(disks[1], "destroy")])))
        assert datastore_files(client) == before


def test_killed_while_destroying(client, host, make_vm):
    before = datastore_files(client)
    devices = [controller("pvscsi"), disk(1000, 0, "", mib=8)]
    make_vm("interrupted", *devices)
    for client in crash_everywhere(host, lambda client: client.wait(
            the_vm(client, "interrupted").Destroy_Task())):
        if client.vm("interrupted") is None:
            assert datastore_files(client) == before
            machines.create(client, machines.spec(client, "interrupted", devices))


def test_killed_while_copying_a_disk(client, host):
    machines.upload_image(client)
    before = datastore_files(client)
    for client in crash_everywhere(host, lambda client: client.wait(
            client.content.virtualDiskManager.CopyVirtualDisk_Task(
                client.path("images/guest.vmdk"), client.datacenter,
                client.path("half-copied.vmdk"), client.datacenter))):
        if client.http("HEAD", "half-copied.vmdk").status_code == 200:
            copied = client.http("GET", "half-copied-flat.vmdk").content
            assert copied == machines.GUEST_IMAGE.read_bytes()
            client.wait(client.content.virtualDiskManager.DeleteVirtualDisk_Task(
                client.path("half-copied.vmdk"), client.datacenter))
        assert datastore_files(client) == before


def test_a_torn_vmx_harms_no_other_vm_and_is_told(client, host, make_vm):
    make_vm("whole", bare=True)
    torn = make_vm("torn", bare=True)
    path = pathlib.Path(client.datastore.info.path) / "torn" / "torn.vmx"
    text = path.read_bytes()
    host.kill()
    path.write_bytes(text[:len(text) // 2] + b"\0\xff garbage")
    client = restart_after_kill(host)
    assert client.vm("whole").runtime.connectionState == "connected"
    states = {vm._moId: vm.runtime.connectionState for vm in client.datacenter.vmFolder.childEntity}
    assert states[torn._moId] in ("invalid", "inaccessible")
    with fault((vim.fault.InvalidState, vim.fault.InvalidVmConfig, vim.fault.VmConfigFault,
                vim.fault.FileFault)):
        client.wait(vim.VirtualMachine(torn._moId, client.instance._stub).PowerOnVM_Task())
    vim.VirtualMachine(torn._moId, client.instance._stub).UnregisterVM()
    path.write_bytes(text)
    vm = client.wait(client.datacenter.vmFolder.RegisterVM_Task(
        client.path("torn/torn.vmx"), None, False, client.pool))
    assert vm.runtime.connectionState == "connected"
    client.logout()


@pytest.fixture
def small_datastore(client, host, tmp_path):
    """A datastore of 64 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", tmp_path],
                   check=True)
    system = client.host_system.configManager.datastoreSystem
    store = system.CreateLocalDatastore("small", str(tmp_path))
    yield tmp_path
    system.RemoveDatastore(store)
    subprocess.run(["umount", tmp_path], check=True)


def fill(folder):
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(b"\xff" * 4096):
                pass
        except OSError:
            pass
    return filler


def test_a_full_disk_fails_what_needs_space_and_leaves_nothing(client, small_datastore):
    config = machines.spec(client, "too-large", [
        controller("pvscsi"), disk(1000, 0, "", mib=128, thin=False)])
    config.files.vmPathName = "[small]"
    with fault((vim.fault.NoDiskSpace, vim.fault.InsufficientStorageSpace)):
        client.wait(client.datacenter.vmFolder.CreateVM_Task(config, client.pool))
    assert client.vm("too-large") is None
    assert not (small_datastore / "too-large").exists()

    store = next(store for store in client.datacenter.datastore if store.name == "small")
    answer = client.http("PUT", client.folder_url("large.bin", store),
                         data=(bytes(1 << 20) for _ in range(100)))
    assert answer.status_code == 507
    assert not (small_datastore / "large.bin").exists()


def test_a_configuration_survives_a_full_disk(client, small_datastore):
    config = machines.spec(client, "on-full")
    config.files.vmPathName = "[small]"
    vm = client.wait(client.datacenter.vmFolder.CreateVM_Task(config, client.pool))
    before = (small_datastore / "on-full" / "on-full.vmx").read_text()
    filler = fill(small_datastore)
    with fault(vim.fault.NoDiskSpace):
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="x" * 5000)))
    assert (small_datastore / "on-full" / "on-full.vmx").read_text() == before
    assert not vm.config.annotation
    filler.unlink()
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="now there is room")))
    fill(small_datastore)
    client.wait(vm.Destroy_Task())


def test_a_full_disk_keeps_a_memory_from_being_saved_or_used_up(client, small_datastore):
    config = machines.spec(client, "on-full")
    config.files.vmPathName = "[small]"
    vm = client.wait(client.datacenter.vmFolder.CreateVM_Task(config, client.pool))
    client.wait(vm.PowerOnVM_Task())
    process = qemu.of(vm)
    filler = fill(small_datastore)
    with fault(vim.fault.NoDiskSpace):
        client.wait(vm.SuspendVM_Task())
    assert vm.runtime.powerState == "poweredOn" and process.alive()
    assert not list(small_datastore.glob("on-full/*.vmss*"))

    filler.unlink()
    client.wait(vm.SuspendVM_Task())
    filler = fill(small_datastore)
    with fault(vim.fault.NoDiskSpace):
        client.wait(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "suspended" and not processes_of(vm)
    assert not list(small_datastore.glob("on-full/*.lck"))
    filler.unlink()
    client.wait(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "poweredOn"
    assert not list(small_datastore.glob("on-full/*.vmss*"))
    machines.destroy(client, vm)


def test_a_guest_whose_disk_is_full_waits_and_goes_on(client, small_datastore, boot_guest):
    image, _ = machines.upload_image(client)
    vm = machines.deploy(client, "thirsty", nics=[])
    config = vim.vm.ConfigSpec(deviceChange=[
        disk(1000, 1, "[small] thirsty.vmdk", mib=128)])
    client.wait(vm.ReconfigVM_Task(config))
    guest = boot_guest(vm)
    thirsty = f"/dev/{machines.block_device(128)}"
    guest.console.socket.send("dd if=/dev/zero bs=1M count=100 | tr '\\0' x | "
                              f"dd of={thirsty} bs=1M conv=fsync; echo vir''ga-written $?\n")
    question = client.wait_for(vm, "runtime.question", lambda question: question is not None,
                               seconds=180)
    assert "space" in question.text.lower() and "thirsty" in question.text
    subprocess.run(["mount", "-o", "remount,size=256m", small_datastore], check=True)
    retry = next(choice for choice in question.choice.choiceInfo
                 if "retry" in choice.label.lower())
    vm.AnswerVM(question.id, retry.key)
    guest.console.read_until("virga-written 0")
    machines.destroy(client, vm)


def wait_until_it_is_gone(client, vm):
    with contextlib.suppress(Exception):
        client.wait_for(vm, "runtime.powerState", lambda state: False)


def test_the_daemon_ends_cleanly_when_asked(client, host, guest, make_vm):
    """With a guest whose agent is watched, a console, and a client that waits for updates."""
    vm = make_vm("outlives", bare=True)
    client.wait(vm.PowerOnVM_Task())
    process = qemu.of(vm)
    waiting = Client(host)
    thread = threading.Thread(target=wait_until_it_is_gone, args=(waiting, vm))
    thread.start()
    host.stop()
    thread.join()
    assert process.alive()
    client = restart_after_kill(host)
    assert client.vm("outlives").runtime.powerState == "poweredOn"
    client.logout()


def test_a_daemon_whose_port_is_taken_says_so_and_ends(client, host, make_vm):
    vm = make_vm("outlives", bare=True)
    client.wait(vm.PowerOnVM_Task())
    process = qemu.of(vm)
    host.stop()
    with socket.create_server((host.address, host.port)):
        with pytest.raises(AssertionError):
            host.start()
        assert host.process.wait(timeout=30) == 1
    assert re.search(f"virga-host: .*{host.port}.*in use", host.log_end())
    assert process.alive()
    client = Client(host.start())
    assert client.vm("outlives").runtime.powerState == "poweredOn"
    client.logout()
