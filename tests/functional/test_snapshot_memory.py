"""Snapshots with the guest's memory, of a guest brought to rest, and with the firmware's variables."""

import pathlib

import pytest
from pyVmomi import vim, vmodl

from harness import images, machines
from harness.client import fault
from harness.machines import controller, disk
from harness.snapshots import (Writer, backing, chain, expected, files, find_data_disk, nodes,
                               make_file_system, mount, reconnect, take, written)

# Whether QEMU, which has no privileges, may hold back what its guest writes.
USERFAULTFD = pathlib.Path("/proc/sys/vm/unprivileged_userfaultfd")


@pytest.fixture
def running(client, make_vm, boot_guest):
    """A guest with a second disk, /dev/data."""
    vm = make_vm("remembered", nics=[], extra=[disk(1000, 1, client.path(""), mib=16)])
    return find_data_disk(boot_guest(vm))


@pytest.fixture(params=["0", "1"], ids=["stopped", "in-the-background"])
def userfaultfd(request):
    before = USERFAULTFD.read_text()
    USERFAULTFD.write_text(request.param)
    yield
    USERFAULTFD.write_text(before)


def test_going_back_resumes_where_it_was(client, running, userfaultfd):
    vm, console = running.vm, running.console
    boot_id = console.output("cat /proc/sys/kernel/random/boot_id")
    writer = Writer(console)
    snapshot = take(client, vm, "with memory", memory=True)
    assert nodes(vm)["with memory"].state == "poweredOn"
    assert vm.runtime.powerState == "poweredOn"
    saved = "remembered-Snapshot1.vmem"
    assert saved in files(client, vm)
    [layout] = vm.layoutEx.snapshot
    named = {file.key: file for file in vm.layoutEx.file}
    assert named[layout.memoryKey].name.endswith(saved)
    assert named[layout.memoryKey].type == "snapshotMemory"
    writer.go_on()    # so does the guest
    later = writer.stop()
    assert written(console) == expected(later)
    console.output("touch /run/later")

    for _ in range(2):    # as often as one likes
        client.wait(snapshot.RevertToSnapshot_Task(None, None))
        assert vm.runtime.powerState == "poweredOn"
        writer.console.close()
        writer.console = console = reconnect(client, vm)
        writer.past(0)    # the program in its memory goes on by itself
        count = writer.stop()
        assert not console.output("ls /run | grep later || true").strip()
        # Memory and disk are of one instant: all the program knows of is on the disk, and no more.
        assert written(console) == expected(count)
        assert console.output("cat /proc/sys/kernel/random/boot_id") == boot_id
        assert saved in files(client, vm)
    console.close()


def test_going_back_without_going_on(client, running):
    vm = running.vm
    running.console.output("echo then >/run/state")
    snapshot = take(client, vm, "held", memory=True)
    client.wait(snapshot.RevertToSnapshot_Task(None, True))
    assert vm.runtime.powerState == "suspended"
    client.wait(vm.PowerOffVM_Task())
    assert vm.runtime.powerState == "poweredOff"
    # To throw the memory away is not to throw the snapshot's away. Nor does the VM's own hardware
    # keep the guest from going on with what it had then.
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=256, numCPUs=2)))
    client.wait(snapshot.RevertToSnapshot_Task(None, None))
    assert vm.config.hardware.memoryMB == machines.GUEST_MEMORY_MIB
    console = reconnect(client, vm)
    assert console.output("cat /run/state; nproc").split() == ["then", "1"]
    console.close()
    client.wait(snapshot.RevertToSnapshot_Task(None, True))
    client.wait(snapshot.RemoveSnapshot_Task(False, None))
    assert vm.runtime.powerState == "suspended"
    client.wait(vm.PowerOnVM_Task())    # in the memory of a snapshot that is no more
    console = reconnect(client, vm)
    assert console.output("cat /run/state").strip() == "then"
    console.close()
    assert not [name for name in files(client, vm) if "Snapshot" in name]


def test_a_suspended_vm_keeps_its_memory_in_a_snapshot(client, running):
    vm = running.vm
    running.console.output("echo then >/run/state")
    client.wait(vm.SuspendVM_Task())
    snapshot = take(client, vm, "asleep", memory=True)
    assert nodes(vm)["asleep"].state == "suspended"
    client.wait(vm.PowerOnVM_Task())
    console = reconnect(client, vm)
    console.output("echo now >/run/state")
    console.close()
    client.wait(snapshot.RevertToSnapshot_Task(None, None))
    assert vm.runtime.powerState == "suspended"
    client.wait(vm.PowerOnVM_Task())
    console = reconnect(client, vm)
    assert console.output("cat /run/state").strip() == "then"
    console.close()


def test_what_a_memory_cannot_be_kept_with(client, make_vm):
    independent = disk(1000, 1, "", mib=8)
    independent.device.backing.diskMode = "independent_persistent"
    vm = make_vm("independent", controller("pvscsi"), disk(1000, 0, "", mib=8), independent)
    client.wait(vm.PowerOnVM_Task())
    with fault(vim.fault.MemorySnapshotOnIndependentDisk, "Hard disk 2"):
        take(client, vm, "never", memory=True)
    take(client, vm, "disks only")
    client.wait(vm.PowerOffVM_Task())
    take(client, vm, "off", memory=True)    # no memory to speak of
    assert nodes(vm)["off"].state == "poweredOff"

    fast = make_vm("fast", controller("nvme"), disk(31000, 0, "", mib=8))
    client.wait(fast.PowerOnVM_Task())
    with fault(vmodl.fault.NotSupported, "NVME controller 0"):
        take(client, fast, "never", memory=True)
    assert fast.snapshot is None


def test_shared_disks_are_not_kept(client, make_vm):
    shared = disk(1000, 0, "", mib=8, thin=False)
    shared.device.backing.eagerlyScrub = True
    shared.device.backing.sharing = "sharingMultiWriter"
    one = make_vm("sharer", controller("pvscsi"), shared)
    with fault(vim.fault.SnapshotIncompatibleDeviceInVm, "Hard disk 1") as refused:
        take(client, one, "never")
    assert isinstance(refused.value.fault, vim.fault.DeviceNotSupported)
    assert refused.value.fault.device == "Hard disk 1"

    bus = controller("pvscsi")
    bus.device.sharedBus = "virtualSharing"
    other = make_vm("clustered", bus, disk(1000, 0, "", mib=8, thin=False))
    with fault(vim.fault.SnapshotIncompatibleDeviceInVm, "Hard disk 1"):
        take(client, other, "never")
    assert one.snapshot is None and other.snapshot is None


def test_the_firmware_s_variables_go_back(client, make_vm):
    vm = make_vm("variable", controller("sata"), disk(15000, 0, "", mib=8), firmware="efi")
    store = pathlib.Path(client.datastore.info.path) / "variable"
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    then = (store / "variable.nvram").read_bytes()
    snapshot = take(client, vm, "then")
    assert "variable-Snapshot1.nvram" in files(client, vm)
    (store / "variable.nvram").write_bytes(then[:-512] + b"\x5a" * 512)
    client.wait(snapshot.RevertToSnapshot_Task(None, None))
    assert (store / "variable.nvram").read_bytes() == then
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    client.wait(snapshot.RemoveSnapshot_Task(False, None))
    assert not [name for name in files(client, vm) if "Snapshot" in name]


# --- Quiesced -------------------------------------------------------------------------------------

@pytest.fixture
def mounted(client, make_vm, boot_guest):
    """A guest with an agent, and a file system on its second disk."""
    vm = make_vm("remembered", nics=[], extra=[disk(1000, 1, client.path(""), mib=16)])
    make_file_system(client, vm)
    guest = find_data_disk(boot_guest(vm))
    mount(guest.console)
    client.wait_for(vm, "guest.toolsRunningStatus", lambda status: status == "guestToolsRunning")
    return guest


def test_a_quiesced_guest_has_written_everything(client, mounted, boot_guest):
    vm, console = mounted.vm, mounted.console
    console.output("echo 100000 >/proc/sys/vm/dirty_writeback_centisecs; "
                   "echo unsynced >/run/data/file")
    snapshot = take(client, vm, "at rest", quiesce=True)
    assert nodes(vm)["at rest"].quiesced
    console.output("echo thawed >/run/data/file; sync")    # writes go through again
    client.wait(snapshot.RevertToSnapshot_Task(None, None))
    again = find_data_disk(boot_guest(vm))
    mount(again.console, options="-o ro")
    assert again.console.output("cat /run/data/file").strip() == "unsynced"


def test_an_agent_that_does_not_answer_fails_the_snapshot(client, mounted):
    vm, console = mounted.vm, mounted.console
    console.output("kill -STOP $(cat /run/qemu-ga.pid)")
    with fault(vim.fault.FilesystemQuiesceFault, "remembered"):
        take(client, vm, "never", quiesce=True)
    assert vm.snapshot is None and len(chain(vm, 1)) == 1
    console.output("kill -CONT $(cat /run/qemu-ga.pid); echo written >/run/data/file; sync")
    take(client, vm, "now", quiesce=True)
    assert nodes(vm)["now"].quiesced
    console.output("echo written >/run/data/file; sync")


def test_without_an_agent_the_wish_is_ignored(client, make_vm):
    """"If the virtual machine is powered off or VMware Tools are not available, the quiesce flag is
    ignored", says the public API's reference of CreateSnapshot_Task."""
    vm = make_vm("speechless", controller("pvscsi"), disk(1000, 0, "", mib=8))
    take(client, vm, "off", quiesce=True)
    client.wait(vm.PowerOnVM_Task())
    take(client, vm, "no tools", quiesce=True)
    spec = vim.vm.GuestQuiesceSpec(timeout=5)
    client.wait(vm.CreateSnapshotEx_Task("no tools either", None, False, spec))
    assert [node.quiesced for node in nodes(vm).values()] == [False] * 3
    with fault(vmodl.fault.InvalidArgument, "240"):
        vm.CreateSnapshotEx_Task("never", None, False, vim.vm.GuestQuiesceSpec(timeout=241))
