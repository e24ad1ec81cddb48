"""Processors and memory that come while the guest runs; the guest brings them online itself."""

import pytest
from pyVmomi import vim

from harness.client import Client, fault
from harness.console import of_kind
from harness.machines import change
from harness.snapshots import reconnect, take

START_MIB = 256
AGENT = "qemu-ga -d -t /run -f /run/qemu-ga.pid -p /dev/virtio-ports/org.qemu.guest_agent.0"


class Growing:
    """A guest with room to grow, and how much of it the guest uses."""

    NAME = "growing"

    def __init__(self, client, vm, console):
        self.client, self.vm, self.console = client, vm, console
        self.at_start_kib = self.memory_kib()

    def memory_kib(self):
        return int(self.console.output("sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo"))

    def sees(self, cpus, more_mib):
        """That much more memory than at first, as the guest keeps account of it."""
        assert int(self.console.output("nproc")) == cpus
        more_kib = self.memory_kib() - self.at_start_kib
        assert more_kib == pytest.approx(more_mib * 1024, rel=0.05, abs=1024)
        hardware = self.vm.config.hardware
        assert (hardware.numCPU, hardware.memoryMB) == (cpus, START_MIB + more_mib)

    def wait_for(self, cpus, block):
        """Until the guest has brought them online."""
        state = f"/sys/devices/system/memory/{block}/state"
        self.console.output(f"until [ $(nproc) = {cpus} ] && grep -qx online {state}; "
                            "do usleep 100000; done")

    def wait_for_tools(self):
        self.client.wait_for(self.vm, "guest.toolsRunningStatus",
                             lambda status: status == "guestToolsRunning")

    def follow(self, client=None):
        """The console of a VM that was started, or whose host was."""
        self.console.close()
        if client:
            self.client, self.vm = client, client.vm(self.NAME)
        self.console = reconnect(self.client, self.vm)


@pytest.fixture
def growing(client, make_vm, boot_guest):
    vm = make_vm(Growing.NAME, memory_mib=START_MIB)
    assert vm.config.hotPlugMemoryLimit is None
    change(client, vm, cpuHotAddEnabled=True, memoryHotAddEnabled=True)
    assert (vm.config.hotPlugMemoryLimit, vm.config.hotPlugMemoryIncrementSize) == (3072, 128)
    guest = boot_guest(vm)
    growing = Growing(client, vm, guest.console)
    growing.wait_for_tools()
    return growing


def check_refusals(client, growing):
    vm = growing.vm
    with fault(vim.fault.InvalidPowerState, "cpuHotAddEnabled"):
        change(client, vm, cpuHotAddEnabled=False)
    with fault(vim.fault.MemoryHotPlugNotSupported, "hotPlugMemoryLimit of 3072 MB"):
        change(client, vm, memoryMB=4096)
    with fault(vim.fault.MemoryHotPlugNotSupported, "128 MB"):
        change(client, vm, memoryMB=START_MIB + 4)
    with fault(vim.fault.MemoryHotPlugNotSupported, "none of it can go"):
        change(client, vm, memoryMB=128)
    with fault(vim.fault.CpuHotPlugNotSupported, "room for"):
        change(client, vm, numCPUs=200)
    growing.console.output("kill $(pidof qemu-ga)")
    client.wait_for(vm, "guest.toolsRunningStatus", lambda status: status == "guestToolsNotRunning")
    with fault(vim.fault.CpuHotPlugNotSupported, "tools are not running"):
        change(client, vm, numCPUs=2)
    growing.console.output(AGENT)
    growing.wait_for_tools()
    growing.sees(1, 0)


def test_processors_and_memory_come_and_stay(client, host, growing):
    vm, console = growing.vm, growing.console
    check_refusals(client, growing)
    change(client, vm, numCPUs=3, memoryMB=START_MIB + 128)
    growing.wait_for(3, "memory32")
    growing.sees(3, 128)
    assert vm.runtime.maxMemoryUsage == START_MIB + 128
    with fault(vim.fault.CpuHotPlugNotSupported, "takes none away"):
        change(client, vm, numCPUs=2)
    boot_id = console.output("cat /proc/sys/kernel/random/boot_id")

    client.wait(vm.SuspendVM_Task())
    client.wait(vm.PowerOnVM_Task())
    growing.follow()
    growing.sees(3, 128)

    take(client, vm, "grown", memory=True)
    growing.wait_for_tools()
    change(client, vm, memoryMB=START_MIB + 256)    # what came after a restore, too
    growing.wait_for(3, "memory33")
    host.kill()
    host.start()
    again = Client(host)
    growing.follow(again)
    growing.sees(3, 256)

    growing.wait_for_tools()
    growing.vm.RebootGuest()
    found = growing.console.booted()
    [machine] = of_kind(found, "machine")
    assert machine["cpus"] == "3"
    growing.sees(3, 256)

    again.wait(growing.vm.RevertToCurrentSnapshot_Task(None, None))
    growing.follow()
    growing.sees(3, 128)
    assert growing.console.output("cat /proc/sys/kernel/random/boot_id") == boot_id

    again.wait(growing.vm.PowerOffVM_Task())
    again.wait(growing.vm.PowerOnVM_Task())
    growing.follow()
    [machine] = of_kind(growing.console.booted(), "machine")
    assert machine["cpus"] == "3"
    growing.console.output("test ! -e /sys/devices/system/memory/memory32")
    growing.sees(3, 128)
    growing.console.close()
    again.logout()
