"""kill -9 in the middle of everything: nothing lost, nothing left behind, a clear state after."""

import pathlib
import subprocess
import threading
import time

import pytest
from pyVmomi import vim

from harness import machines, qemu
from harness.client import Client, fault
from harness.console import Console
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


def in_the_middle(operation, host, seconds):
    """Starts an operation in its own session, kills the daemon a moment later."""
    client = Client(host)

    def run():
        try:
            operation(client)
        except Exception:
            pass    # the daemon is gone: whatever the client makes of that

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(seconds)
    host.kill()
    thread.join()


# Early, in the middle and late in operations that take some 10 to 500 ms.
MOMENTS = (0.003, 0.02, 0.08, 0.2)


def test_killed_while_creating(host):
    for number, moment in enumerate(MOMENTS):
        name = f"half-made-{number}"

        def make(client):
            machines.create(client, machines.spec(client, name, [
                controller("pvscsi"), disk(1000, 0, client.path(""), mib=256, thin=False)]))

        in_the_middle(make, host, moment)
        client = restart_after_kill(host)
        vm = client.vm(name)
        if vm is None:
            assert client.http("HEAD", f"{name}/{name}.vmx").status_code == 404
            assert client.http("HEAD", f"{name}/{name}-flat.vmdk").status_code == 404
            machines.create(client, machines.spec(client, name))
            vm = client.vm(name)
        machines.destroy(client, vm)
        assert client.http("HEAD", f"{name}/{name}.vmx").status_code == 404
        client.logout()


@pytest.fixture
def idle_vm(make_vm):
    return make_vm("interrupted", controller("pvscsi"), disk(1000, 0, "", mib=16))


def find(client):
    vm = client.vm("interrupted")
    assert vm is not None and vm.config is not None
    assert vm.runtime.connectionState == "connected"
    return vm


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_powering_on(host, idle_vm, moment):
    in_the_middle(lambda client: client.wait(find(client).PowerOnVM_Task()), host, moment)
    client = restart_after_kill(host)
    vm = find(client)
    processes = [process for process in qemu.running()
                 if any(vm.config.uuid in word for word in qemu.command_line(process.pid))]
    assert len(processes) == (1 if vm.runtime.powerState == "poweredOn" else 0)
    if vm.runtime.powerState == "poweredOff":
        client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    client.logout()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_powering_off(client, host, idle_vm, moment):
    client.wait(idle_vm.PowerOnVM_Task())
    in_the_middle(lambda client: client.wait(find(client).PowerOffVM_Task()), host, moment)
    client = restart_after_kill(host)
    vm = find(client)
    if vm.runtime.powerState == "poweredOn":
        assert qemu.of(vm).alive()
        client.wait(vm.PowerOffVM_Task())
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    client.logout()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_suspending(client, host, idle_vm, moment):
    client.wait(idle_vm.PowerOnVM_Task())
    in_the_middle(lambda client: client.wait(find(client).SuspendVM_Task()), host, moment)
    client = restart_after_kill(host)
    vm = find(client)
    assert vm.runtime.powerState in ("poweredOn", "suspended")
    if vm.runtime.powerState == "suspended":
        client.wait(vm.PowerOnVM_Task())
    assert qemu.of(vm).alive()
    client.wait(vm.SuspendVM_Task())
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    client.logout()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_reconfiguring(host, idle_vm, moment):
    in_the_middle(lambda client: client.wait(find(client).ReconfigVM_Task(vim.vm.ConfigSpec(
        numCPUs=2, memoryMB=256,
        deviceChange=[disk(1000, 1, client.path(""), mib=64, thin=False)]))), host, moment)
    client = restart_after_kill(host)
    vm = find(client)
    disks = [device for device in vm.config.hardware.device
             if isinstance(device, vim.vm.device.VirtualDisk)]
    whole = (vm.config.hardware.numCPU, vm.config.hardware.memoryMB, len(disks))
    assert whole in ((1, machines.GUEST_MEMORY_MIB, 1), (2, 256, 2))
    left = client.http("HEAD", "interrupted/interrupted_1-flat.vmdk").status_code
    assert left == (200 if len(disks) == 2 else 404)
    client.logout()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_destroying(client, host, make_vm, moment):
    make_vm("interrupted", controller("pvscsi"), disk(1000, 0, "", mib=16))
    in_the_middle(lambda client: client.wait(find(client).Destroy_Task()), host, moment)
    client = restart_after_kill(host)
    vm = client.vm("interrupted")
    if vm is not None:
        client.wait(vm.Destroy_Task())
    for name in ("interrupted.vmx", "interrupted.vmdk", "interrupted-flat.vmdk"):
        assert client.http("HEAD", f"interrupted/{name}").status_code == 404
    client.logout()


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_copying_a_disk(client, host, moment):
    machines.upload_image(client)
    in_the_middle(lambda client: client.wait(
        client.content.virtualDiskManager.CopyVirtualDisk_Task(
            client.path("images/guest.vmdk"), client.datacenter,
            client.path("half-copied.vmdk"), client.datacenter)), host, moment)
    client = restart_after_kill(host)
    if client.http("HEAD", "half-copied.vmdk").status_code == 200:
        copied = client.http("GET", "half-copied-flat.vmdk").content
        assert copied == machines.GUEST_IMAGE.read_bytes()
        client.wait(client.content.virtualDiskManager.DeleteVirtualDisk_Task(
            client.path("half-copied.vmdk"), client.datacenter))
    assert client.http("HEAD", "half-copied-flat.vmdk").status_code == 404
    client.logout()


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
    filler = small_datastore / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(b"\xff" * 4096):
                pass
        except OSError:
            pass
    with fault(vim.fault.NoDiskSpace):
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="x" * 5000)))
    assert (small_datastore / "on-full" / "on-full.vmx").read_text() == before
    assert not vm.config.annotation
    filler.unlink()
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="now there is room")))
    client.wait(vm.Destroy_Task())


def test_a_guest_whose_disk_is_full_waits_and_goes_on(client, small_datastore, boot_guest):
    image, _ = machines.upload_image(client)
    vm = machines.deploy(client, "thirsty", nics=[])
    config = vim.vm.ConfigSpec(deviceChange=[
        disk(1000, 1, "[small] thirsty.vmdk", mib=128)])
    client.wait(vm.ReconfigVM_Task(config))
    guest = boot_guest(vm)
    guest.console.socket.send("dd if=/dev/zero bs=1M count=100 | tr '\\0' x | "
                              "dd of=/dev/sdb bs=1M conv=fsync; echo vir''ga-written $?\n")
    question = client.wait_for(vm, "runtime.question", lambda question: question is not None)
    assert "space" in question.text.lower() and "thirsty" in question.text
    subprocess.run(["mount", "-o", "remount,size=256m", small_datastore], check=True)
    retry = next(choice for choice in question.choice.choiceInfo
                 if "retry" in choice.label.lower())
    vm.AnswerVM(question.id, retry.key)
    guest.console.read_until("virga-written 0")
    machines.destroy(client, vm)


def test_the_daemon_ends_cleanly_when_asked(client, host, make_vm):
    vm = make_vm("outlives", bare=True)
    client.wait(vm.PowerOnVM_Task())
    process = qemu.of(vm)
    host.stop()
    assert host.process.returncode == 0
    assert process.alive()
    client = restart_after_kill(host)
    assert client.vm("outlives").runtime.powerState == "poweredOn"
    client.logout()
