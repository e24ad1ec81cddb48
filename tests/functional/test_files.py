"""The files of a VM: named as vSphere names them, and told of in the file system's own figures."""

import os
import pathlib
import re

import pytest
from pyVmomi import vim

from harness import machines, qemu
from harness.client import Client
from harness.machines import controller, disk


def real_path(client, path):
    """[name] path as the machine's."""
    name, rest = re.fullmatch(r"\[(.*)\] (.*)", path).groups()
    store = next(store for store in client.datacenter.datastore if store.name == name)
    return pathlib.Path(store.info.path) / rest


def used(path):
    """The bytes of a file that blocks are held for."""
    status = os.stat(path)
    return min(status.st_size, status.st_blocks * 512)


def folder_of(client, vm):
    return real_path(client, vm.config.files.vmPathName).parent


def files(vm, kind):
    return [file.name.rpartition("/")[2] for file in vm.layoutEx.file if file.type == kind]


def assert_true_to_the_file_system(client, vm):
    vm.RefreshStorageInfo()
    layout = vm.layoutEx
    assert [file.key for file in layout.file] == list(range(len(layout.file)))
    for file in layout.file:
        path = real_path(client, file.name)
        assert file.accessible and file.size == used(path), file.name
        if file.uniqueSize is not None:
            assert file.uniqueSize <= file.size
        assert file.backingObjectId is None
    told = {file.name.rpartition("/")[2] for file in layout.file}
    there = {name for name in os.listdir(folder_of(client, vm))
             if not name.endswith((".lck", "serial0.log"))}
    assert told == there

    committed = sum(file.size for file in layout.file)
    assert vm.summary.storage.committed == committed
    assert vm.summary.storage.unshared <= committed
    usage, = vm.storage.perDatastoreUsage
    assert usage.datastore == client.datastore and usage.committed == committed
    growth = 0
    for of_disk in layout.disk:
        for key in of_disk.chain[-1].fileKey[1:]:
            path = real_path(client, layout.file[key].name)
            growth += os.stat(path).st_size - used(path)
    if vm.runtime.powerState == "poweredOn":
        swap, = (file for file in layout.file if file.type == "swap")
        path = real_path(client, swap.name)
        growth += os.stat(path).st_size - used(path)
    else:
        growth += vm.config.hardware.memoryMB << 20
    assert vm.summary.storage.uncommitted == usage.uncommitted == growth


@pytest.fixture
def vm(make_vm, client):
    return make_vm("files", controller("pvscsi"), disk(1000, 0, "", mib=8),
                   disk(1000, 1, "", mib=4, thin=False), firmware="efi")


def test_files_of_a_vm_that_is_off_running_and_suspended(client, vm):
    assert_true_to_the_file_system(client, vm)
    assert files(vm, "config") == ["files.vmx"]
    assert files(vm, "extendedConfig") == ["files.vmxf"]
    assert files(vm, "snapshotList") == ["files.vmsd"]
    assert files(vm, "diskDescriptor") == ["files.vmdk", "files_1.vmdk"]
    assert files(vm, "diskExtent") == ["files-flat.vmdk", "files_1-flat.vmdk"]
    assert files(vm, "swap") == []

    client.wait(vm.PowerOnVM_Task())
    assert_true_to_the_file_system(client, vm)
    swap, = files(vm, "swap")
    assert re.fullmatch(r"files-[0-9a-f]{8}\.vswp", swap)
    assert os.stat(folder_of(client, vm) / swap).st_size == machines.GUEST_MEMORY_MIB << 20
    assert files(vm, "nvram") == ["files.nvram"]
    derived = next(option.value for option in vm.config.extraConfig
                   if option.key == "sched.swap.derivedName")
    assert derived == f"/vmfs/volumes/{client.datastore.summary.url.split('/')[-2]}/files/{swap}"

    client.wait(vm.SuspendVM_Task())
    assert_true_to_the_file_system(client, vm)
    assert files(vm, "suspend") == ["files.vmss"]
    assert files(vm, "swap") == []

    client.wait(vm.PowerOnVM_Task())
    assert files(vm, "suspend") == [] and files(vm, "swap") == [swap]
    client.wait(vm.PowerOffVM_Task())
    assert_true_to_the_file_system(client, vm)


def test_the_old_layout_names_the_same_files(client, vm):
    client.wait(vm.PowerOnVM_Task())
    layout = vm.layout
    assert sorted(layout.configFile) == ["files.nvram", "files.vmsd", "files.vmxf"]
    assert set(layout.logFile) == set(files(vm, "log"))
    assert [entry.diskFile for entry in layout.disk] == [
        [client.path("files/files.vmdk")], [client.path("files/files_1.vmdk")]]
    assert layout.swapFile == client.path(f"files/{files(vm, 'swap')[0]}")


def test_the_swap_file_is_what_is_not_reserved(client, vm):
    memory = machines.GUEST_MEMORY_MIB
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        memoryAllocation=vim.ResourceAllocationInfo(reservation=memory - 32))))
    client.wait(vm.PowerOnVM_Task())
    swap, = files(vm, "swap")
    assert os.stat(folder_of(client, vm) / swap).st_size == 32 << 20
    client.wait(vm.PowerOffVM_Task())
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        memoryAllocation=vim.ResourceAllocationInfo(reservation=memory))))
    client.wait(vm.PowerOnVM_Task())
    assert files(vm, "swap") == []


def test_a_reconfiguration_is_told_of_at_once(client, vm):
    before = vm.summary.storage
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        deviceChange=[disk(1000, 2, client.path(""), mib=4, thin=False)])))
    assert vm.summary.storage.committed >= before.committed + (4 << 20)
    assert len(vm.layoutEx.disk) == 3
    assert_true_to_the_file_system(client, vm)


def test_a_disk_two_vms_have_is_shared(client, vm, make_vm):
    make_vm("files-sharer", controller("pvscsi"),
            disk(1000, 0, client.path("files/files_1.vmdk")))
    vm.RefreshStorageInfo()
    both = sum(file.size for file in vm.layoutEx.file if "files_1" in file.name)
    assert both >= 4 << 20
    assert vm.summary.storage.unshared <= vm.summary.storage.committed - both
    sharer = client.vm("files-sharer")
    client.wait(sharer.ReconfigVM_Task(vim.vm.ConfigSpec(
        deviceChange=[machines.removed(machines.device(sharer, vim.vm.device.VirtualDisk))])))
    vm.RefreshStorageInfo()
    assert vm.summary.storage.unshared > vm.summary.storage.committed - both


def test_each_run_has_a_log_and_six_old_ones_stay(client, vm):
    for _ in range(8):
        client.wait(vm.PowerOnVM_Task())
        client.wait(vm.PowerOffVM_Task())
    assert sorted(files(vm, "log")) == sorted(
        ["vmware.log", *(f"vmware-{number}.log" for number in range(3, 9))])
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        extraConfig=[vim.option.OptionValue(key="log.keepOld", value="1")])))
    client.wait(vm.PowerOnVM_Task())
    assert sorted(files(vm, "log")) == ["vmware-9.log", "vmware.log"]
    log = (folder_of(client, vm) / "vmware.log").read_text()
    assert log.count("Powering on") == 1


def test_nothing_of_a_run_outlives_guest_and_daemon(client, host, vm):
    client.wait(vm.PowerOnVM_Task())
    folder = folder_of(client, vm)
    process = qemu.of(vm)
    host.kill()
    process.kill()
    assert list(folder.glob("*.vswp")) and list(folder.glob("*.lck"))
    host.start()
    again = Client(host)
    assert again.vm("files").runtime.powerState == "poweredOff"
    assert not list(folder.glob("*.vswp")) and not list(folder.glob("*.lck"))
    assert_true_to_the_file_system(again, again.vm("files"))
    again.logout()


def test_nothing_is_left_of_a_destroyed_vm(client, vm):
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    folder = folder_of(client, vm)
    client.wait(vm.Destroy_Task())
    assert not folder.exists()


# --- A datastore that gets another name ---------------------------------------------------------


@pytest.fixture
def other_store(client, host, tmp_path):
    system = client.host_system.configManager.datastoreSystem
    store = system.CreateLocalDatastore("other", str(tmp_path))
    yield store
    cleaner = Client(host)    # the test restarts the host
    cleaner.host_system.configManager.datastoreSystem.RemoveDatastore(
        vim.Datastore(store._moId, cleaner.instance._stub))
    cleaner.logout()


def test_references_hold_when_a_datastore_is_renamed(client, host, vm, other_store, make_vm):
    """A VM on the renamed datastore, and one elsewhere that has a disk there."""
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(
        deviceChange=[disk(1000, 2, "[other] far.vmdk", mib=4)])))
    config = machines.spec(client, "on-other", [controller("pvscsi"), disk(1000, 0, "", mib=4)])
    config.files.vmPathName = "[other]"
    there = machines.create(client, config)
    uuid = other_store.summary.url.split("/")[-2]
    text = (folder_of(client, vm) / "files.vmx").read_text()
    assert f'scsi0:2.fileName = "/vmfs/volumes/{uuid}/far.vmdk"' in text

    def names():
        far = [device.backing.fileName for device in vm.config.hardware.device
               if isinstance(device, vim.vm.device.VirtualDisk)]
        return far[-1], there.config.files.vmPathName, there.summary.config.vmPathName

    client.wait(there.PowerOnVM_Task())
    other_store.RenameDatastore("another")
    expected = ("[another] far.vmdk", *["[another] on-other/on-other.vmx"] * 2)
    assert names() == expected
    assert "[another] far.vmdk" in [file.name for file in vm.layoutEx.file]
    assert_true_to_the_file_system_by_size(client, there)
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    host.restart()
    again = Client(host)
    vm, there = again.vm("files"), again.vm("on-other")
    assert names() == expected and there.runtime.powerState == "poweredOn"
    machines.destroy(again, there)
    machines.destroy(again, vm)
    again.logout()


def assert_true_to_the_file_system_by_size(client, vm):
    vm.RefreshStorageInfo()
    for file in vm.layoutEx.file:
        assert file.size == used(real_path(client, file.name)), file.name
