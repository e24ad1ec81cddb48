"""Two hosts, one folder: a machine runs on one of them."""

import pathlib

import pytest
from pyVmomi import vim

from harness import isolation
from harness.client import Client, fault
from harness.host import HostProcess


@pytest.fixture
def second(client):
    """Another host whose datastore `common` is the first one's own folder."""
    with isolation.neighbour("192.0.2.1", "192.0.2.2") as namespace:
        host = HostProcess(address="192.0.2.2", namespace=namespace).start()
        other = Client(host)
        folder = pathlib.Path(client.datastore.info.path)
        other.host_system.configManager.datastoreSystem.CreateLocalDatastore("common", str(folder))
        yield other
        for vm in other.datacenter.vmFolder.childEntity:
            if vm.runtime.powerState == "poweredOn":
                other.wait(vm.PowerOffVM_Task())
        other.logout()
        host.stop()
    host.remove()


def register(other, name):
    return other.wait(other.datacenter.vmFolder.RegisterVM_Task(
        f"[common] {name}/{name}.vmx", None, False, other.pool))


def test_a_machine_that_runs_here_does_not_start_there(client, host, second, make_vm):
    here = make_vm("contested", bare=True)
    there = register(second, "contested")
    client.wait(here.PowerOnVM_Task())
    with fault((vim.fault.FileLocked, vim.fault.InvalidPowerState, vim.fault.FileFault)) as raised:
        second.wait(there.PowerOnVM_Task())
    assert client.host_system.name in str(raised.value) or "contested" in str(raised.value)
    assert there.runtime.powerState == "poweredOff"

    # The lock is the guest's: it holds while the daemon is dead.
    host.kill()
    with fault((vim.fault.FileLocked, vim.fault.InvalidPowerState, vim.fault.FileFault)):
        second.wait(there.PowerOnVM_Task())
    host.start()
    again = Client(host)
    again.wait(again.vm("contested").PowerOffVM_Task())
    second.wait(there.PowerOnVM_Task())
    assert there.runtime.powerState == "poweredOn"
    with fault((vim.fault.FileLocked, vim.fault.InvalidPowerState, vim.fault.FileFault)):
        again.wait(again.vm("contested").PowerOnVM_Task())
    second.wait(there.PowerOffVM_Task())
    there.UnregisterVM()
    again.logout()
