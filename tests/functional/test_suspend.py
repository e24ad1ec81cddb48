"""Suspend to a file and go on from it."""

from pyVmomi import vim

from harness.client import Client, fault
from harness.console import Console


def test_a_suspended_guest_goes_on_where_it_was(client, guest):
    guest.console.output("echo kept >/run/memory; (while :; do usleep 100000; done) & "
                         "echo $! >/run/pid")
    boot_id = guest.console.output("cat /proc/sys/kernel/random/boot_id").strip()
    client.wait(guest.vm.SuspendVM_Task())
    assert guest.vm.runtime.powerState == "suspended"
    assert guest.vm.runtime.suspendTime is not None
    saved = [file.path for file in files_of(client, guest.vm) if file.path.endswith(".vmss")]
    assert len(saved) == 1

    client.wait(guest.vm.PowerOnVM_Task())
    console = Console(client, guest.vm)
    console.socket.send("\n")
    assert console.output("cat /run/memory").strip() == "kept"
    assert console.output("cat /proc/sys/kernel/random/boot_id").strip() == boot_id
    console.output("kill $(cat /run/pid)")
    console.close()
    assert guest.vm.runtime.powerState == "poweredOn"
    assert not [file for file in files_of(client, guest.vm) if file.path.endswith(".vmss")]


def files_of(client, vm):
    folder = vm.config.files.vmPathName.rpartition("/")[0]
    return client.wait(client.datastore.browser.SearchDatastore_Task(folder, None)).file


def test_a_suspended_vm_can_be_powered_off_and_forgets(client, make_vm):
    vm = make_vm("suspended-off", bare=True)
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.SuspendVM_Task())
    with fault(vim.fault.InvalidPowerState):
        client.wait(vm.SuspendVM_Task())
    client.wait(vm.PowerOffVM_Task())
    assert vm.runtime.powerState == "poweredOff"
    assert not [file for file in files_of(client, vm) if file.path.endswith(".vmss")]


def test_a_suspended_state_survives_the_daemon(client, host, make_vm):
    vm = make_vm("suspended-restart", bare=True)
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.SuspendVM_Task())
    host.restart()
    again = Client(host)
    vm = again.vm("suspended-restart")
    assert vm.runtime.powerState == "suspended"
    again.wait(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "poweredOn"
    again.wait(vm.PowerOffVM_Task())
    again.logout()


def test_a_suspended_vm_is_not_reconfigured(client, make_vm):
    vm = make_vm("suspended-fixed", bare=True)
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.SuspendVM_Task())
    with fault(vim.fault.InvalidPowerState):
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(numCPUs=2)))
