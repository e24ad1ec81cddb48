"""Power on, off and reset, and guests that end themselves."""

from pyVmomi import vim

from harness.client import fault
from harness.console import Console
from harness.machines import controller, disk


def test_power_state_follows_and_is_dated(client, make_vm):
    vm = make_vm("power", bare=True)
    assert vm.runtime.bootTime is None
    client.wait(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "poweredOn"
    assert vm.runtime.bootTime is not None
    with fault(vim.fault.InvalidPowerState) as raised:
        client.wait(vm.PowerOnVM_Task())
    assert raised.value.existingState == "poweredOn"
    client.wait(vm.PowerOffVM_Task())
    assert vm.runtime.powerState == "poweredOff"
    assert vm.runtime.bootTime is None


def test_reset_starts_the_guest_anew_in_the_same_process(client, guest):
    guest.console.output("touch /run/was-here")
    client.wait(guest.vm.ResetVM_Task())
    guest.console.booted()
    status, _ = guest.console.run("test -e /run/was-here")
    assert status == 1
    assert guest.vm.runtime.powerState == "poweredOn"


def test_a_guest_that_powers_itself_off_is_seen_at_once(client, guest):
    guest.console.socket.send("shutdown -h\n")
    client.wait_for(guest.vm, "runtime.powerState", lambda state: state == "poweredOff")


def test_a_guest_that_reboots_itself_stays_on(client, guest):
    guest.console.socket.send("shutdown -r\n")
    guest.console.booted()
    assert guest.vm.runtime.powerState == "poweredOn"


def test_terminate_ends_a_machine_without_asking(client, make_vm):
    vm = make_vm("terminated", bare=True)
    client.wait(vm.PowerOnVM_Task())
    vm.TerminateVM()
    client.wait_for(vm, "runtime.powerState", lambda state: state == "poweredOff")


def test_guests_run_as_an_unprivileged_user_in_a_sandbox(client, make_vm, qemu_of):
    vm = make_vm("confined", bare=True)
    client.wait(vm.PowerOnVM_Task())
    status = qemu_of(vm).status()
    assert status["Uid"].split()[0] != "0" and status["Uid"].split()[1] != "0"
    assert int(status["CapEff"], 16) == 0
    assert status["Seccomp"] == "2"


def test_the_vm_keeps_a_log_of_its_story(client, make_vm):
    vm = make_vm("diarist", bare=True)
    assert f"Created by {client.host.user}" in client.http("GET", "diarist/vmware.log").text
    client.wait(vm.PowerOnVM_Task())
    assert "Powering on diarist with 1 vCPU" in client.http("GET", "diarist/vmware.log").text
    assert f"Created by {client.host.user}" in client.http("GET", "diarist/vmware-1.log").text


def test_a_power_on_that_cannot_be_leaves_the_machine_off(client, make_vm):
    vm = make_vm("lost-disk", controller("pvscsi"), disk(1000, 0, client.path(""), mib=4))
    client.http("DELETE", "lost-disk/lost-disk-flat.vmdk").raise_for_status()
    with fault((vim.fault.FileNotFound, vim.fault.FileFault), "lost-disk"):
        client.wait(vm.PowerOnVM_Task())
    assert vm.runtime.powerState == "poweredOff"


def test_a_console_opened_late_still_finds_a_shell(client, guest):
    guest.console.close()
    late = Console(client, guest.vm)
    assert "virga-guest" in late.output("hostname")
    late.close()
