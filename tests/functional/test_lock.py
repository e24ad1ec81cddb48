"""Two hosts, one folder: a machine runs on one of them, and one of them at a time changes it."""

import contextlib
import json
import pathlib
import signal
import subprocess
import time

import pytest
from pyVmomi import vim

from harness import isolation, machines, qemu
from harness.client import Client, fault
from harness.host import HostProcess

FILE_LOCKS, LEASES = None, {"interval": 200, "owner_stops": 2000, "others_take": 5000}
LOCKED = vim.fault.FileLocked


@pytest.fixture
def second_host():
    with isolation.neighbour("192.0.2.1", "192.0.2.2") as namespace:
        host = HostProcess(address="192.0.2.2", namespace=namespace).start()
        yield host
        host.stop()
    host.remove()


class SharedFolder:
    """A folder that both hosts have as their datastore `common`."""

    def __init__(self, client, other, path):
        self.client, self.other, self.path = client, other, path

    def make(self, name, *devices):
        """A VM that the first host made."""
        config = machines.spec(self.client, name, devices)
        config.files.vmPathName = "[common]"
        return machines.create(self.client, config)

    def register(self, name):
        """The VM, in the second host's inventory, too."""
        return self.other.wait(self.other.datacenter.vmFolder.RegisterVM_Task(
            f"[common] {name}/{name}.vmx", None, False, self.other.pool))

    def make_on_both(self, name, *devices):
        return self.make(name, *devices), self.register(name)

    def files(self, name):
        """What lies in the VM's folder, logs left out."""
        return {path.name for path in (self.path / name).iterdir() if path.suffix != ".log"}

    def locks(self):
        return [path.name for path in self.path.rglob("*.lck*")]


@contextlib.contextmanager
def shared(host, second_host, path, leases):
    if leases:
        (path / ".virga").mkdir(exist_ok=True)
        (path / ".virga" / "leases").write_text(json.dumps(leases))
    stores, clients = [], [Client(host), Client(second_host)]
    for client in clients:
        system = client.host_system.configManager.datastoreSystem
        stores.append((system, system.CreateLocalDatastore("common", str(path))))
    yield SharedFolder(*clients, path)
    for process in (host, second_host):
        if not process.running:
            process.start()
    for process in (host, second_host):
        client = Client(process)
        for vm in client.datacenter.vmFolder.childEntity:
            if not vm.config or vm.config.files.vmPathName.startswith("[common]"):
                if vm.runtime.powerState != "poweredOff":
                    client.wait(vm.PowerOffVM_Task())
                vm.UnregisterVM()
        store = next(store for store in client.datacenter.datastore if store.name == "common")
        client.host_system.configManager.datastoreSystem.RemoveDatastore(store)
        client.logout()


@pytest.fixture(params=[FILE_LOCKS, LEASES], ids=["file-locks", "leases"])
def common(request, host, second_host, tmp_path):
    with shared(host, second_host, tmp_path, request.param) as folder:
        yield folder


@pytest.fixture
def leased(host, second_host, tmp_path):
    with shared(host, second_host, tmp_path, LEASES) as folder:
        yield folder


def test_a_machine_that_runs_here_does_not_start_there(host, common):
    here, there = common.make_on_both("contested")
    owner = common.client.host_system.name
    common.client.wait(here.PowerOnVM_Task())
    with fault(LOCKED, owner):
        common.other.wait(there.PowerOnVM_Task())
    assert there.runtime.powerState == "poweredOff"

    # The lock is the guest's: it holds while the daemon is dead.
    host.kill()
    with fault(LOCKED, owner):
        common.other.wait(there.PowerOnVM_Task())
    host.start()
    again = Client(host)
    with fault(LOCKED):
        common.other.wait(there.PowerOnVM_Task())
    again.wait(again.vm("contested").PowerOffVM_Task())
    common.other.wait(there.PowerOnVM_Task())
    assert there.runtime.powerState == "poweredOn"
    with fault(LOCKED):
        again.wait(again.vm("contested").PowerOnVM_Task())
    common.other.wait(there.PowerOffVM_Task())
    assert common.locks() == []
    again.logout()


def test_what_runs_here_is_not_changed_there(common):
    here, there = common.make_on_both("contested", machines.controller("pvscsi"),
                                      machines.disk(1000, 0, "", mib=4))
    before = common.files("contested")
    common.client.wait(here.PowerOnVM_Task())
    config = (common.path / "contested" / "contested.vmx").read_text()
    for change in (lambda: there.ReconfigVM_Task(vim.vm.ConfigSpec(numCPUs=2)),
                   lambda: there.Rename_Task("mine"),
                   lambda: there.CreateSnapshot_Task("mine", None, False, False),
                   lambda: there.UpgradeVM_Task("vmx-21"),
                   there.Destroy_Task):
        with fault(LOCKED, "contested.vmx"):
            common.other.wait(change())
    with fault(LOCKED, "contested.vmx"):
        there.MarkAsTemplate()
    assert (common.path / "contested" / "contested.vmx").read_text() == config
    assert there.name == "contested" and there.runtime.powerState == "poweredOff"
    common.client.wait(here.PowerOffVM_Task())
    assert common.files("contested") == before


def test_a_machine_that_runs_here_becomes_no_template_there(common):
    here = common.make("contested")
    common.client.wait(here.PowerOnVM_Task())
    with fault(LOCKED, "contested.vmx"):
        common.other.wait(common.other.datacenter.vmFolder.RegisterVM_Task(
            "[common] contested/contested.vmx", None, True, None))
    assert common.other.vm("contested") is None
    assert (common.path / "contested" / "contested.vmx").exists()


def test_what_was_changed_here_is_seen_there(common):
    here, there = common.make_on_both("handed-over")
    common.client.wait(here.ReconfigVM_Task(vim.vm.ConfigSpec(numCPUs=2, annotation="of here")))
    common.client.wait(here.CreateSnapshot_Task("of here", None, False, False))
    common.other.wait(there.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=256)))
    assert (there.config.hardware.numCPU, there.config.hardware.memoryMB) == (2, 256)
    assert there.config.annotation == "of here"
    assert [root.name for root in there.snapshot.rootSnapshotList] == ["of here"]
    there.snapshot.currentSnapshot.RenameSnapshot("of there", None)
    common.client.wait(here.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="")))
    assert here.config.hardware.memoryMB == 256
    assert [root.name for root in here.snapshot.rootSnapshotList] == ["of there"]


def keepers(namespace="/proc/self/ns/net"):
    """The processes that keep the leases of the host in that namespace."""
    return [qemu.Process(pid) for pid in isolation.processes_in(namespace)
            if (qemu.command_line(pid) or [""])[0].endswith("virga-lease")]


def wait_until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_a_dead_machines_guest_is_taken_over(host, leased):
    here, there = leased.make_on_both("contested")
    leased.client.wait(here.PowerOnVM_Task())
    with fault(LOCKED):
        leased.other.wait(there.PowerOnVM_Task())
    guest = qemu.of(here)
    host.kill()
    for process in (*keepers(), guest):
        process.kill()
    leased.other.wait(there.PowerOnVM_Task())
    assert there.runtime.powerState == "poweredOn"

    # The machine comes back.
    host.start()
    again = Client(host)
    vm = again.vm("contested")
    assert vm.runtime.powerState == "poweredOff"
    with fault(LOCKED):
        again.wait(vm.PowerOnVM_Task())
    assert qemu.of(there)    # one, and not two
    again.logout()


def test_a_guest_whose_lock_was_taken_is_ended(leased):
    """Against all assumptions, its own host noticed nothing meanwhile."""
    here, there = leased.make_on_both("contested")
    leased.client.wait(here.PowerOnVM_Task())
    guest = qemu.of(here)
    keeper, = keepers()
    keeper.kill(signal.SIGSTOP)
    leased.other.wait(there.PowerOnVM_Task())
    assert guest.alive()
    keeper.kill(signal.SIGCONT)
    leased.client.wait_for(here, "runtime.powerState", lambda state: state == "poweredOff")
    assert not guest.alive() and there.runtime.powerState == "poweredOn"
    with fault(LOCKED):
        leased.client.wait(here.PowerOnVM_Task())


def test_another_keeper_follows_one_that_died(leased):
    here, there = leased.make_on_both("contested")
    leased.client.wait(here.PowerOnVM_Task())
    keeper, = keepers()
    keeper.kill()
    wait_until(lambda: [process.pid for process in keepers()] not in ([], [keeper.pid]),
               "another keeper")
    with fault(LOCKED):
        leased.other.wait(there.PowerOnVM_Task())
    assert here.runtime.powerState == "poweredOn"


@pytest.fixture
def freezable(tmp_path):
    """A file system of its own, which can be kept from being written to."""
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    subprocess.run(["truncate", "-s", "64M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-E", "nodiscard", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    yield folder
    subprocess.run(["fsfreeze", "-u", folder], stderr=subprocess.DEVNULL)
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_guest_stands_still_while_its_datastore_does_not_answer(host, second_host, freezable):
    with shared(host, second_host, freezable, LEASES) as folder:
        vm = folder.make("patient")
        folder.client.wait(vm.PowerOnVM_Task())
        guest = qemu.of(vm)
        subprocess.run(["fsfreeze", "-f", freezable], check=True)
        wait_until(lambda: guest.status()["State"].startswith("T"), "the guest stands still")
        subprocess.run(["fsfreeze", "-u", freezable], check=True)
        wait_until(lambda: not guest.status()["State"].startswith("T"), "the guest goes on")
        assert vm.runtime.powerState == "poweredOn"
