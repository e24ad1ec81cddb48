"""Templates: marked, unmarked, registered as such, and refused what only VMs can do."""

import pathlib

import pytest
from pyVmomi import vim, vmodl

from harness.client import Client, fault
from harness.crash import crash_everywhere
from harness.machines import controller, disk
from test_crash import the_vm


@pytest.fixture
def vm(make_vm):
    return make_vm("mould", controller("pvscsi"), disk(1000, 0, "", mib=4))


def folder_of(client):
    return pathlib.Path(client.datastore.info.path) / "mould"


def configs(client):
    return sorted(path.name for path in folder_of(client).glob("mould.vm*x"))


def test_a_vm_becomes_a_template_and_a_vm_again(client, vm):
    assert vm.config.template is False and vm in client.pool.vm
    vm.MarkAsTemplate()
    assert configs(client) == ["mould.vmtx"]
    assert vm.config.template is True and vm.summary.config.template is True
    assert vm.config.files.vmPathName == client.path("mould/mould.vmtx")
    assert vm.resourcePool is None and vm not in client.pool.vm
    assert vm in client.datacenter.vmFolder.childEntity and vm in client.datastore.vm
    assert vm.runtime.host == client.host_system
    assert "config" in [file.type for file in vm.layoutEx.file if file.name.endswith(".vmtx")]
    assert vm.summary.storage.uncommitted == 4 << 20    # no swap file comes

    vm.MarkAsVirtualMachine(client.pool, client.host_system)
    assert configs(client) == ["mould.vmx"]
    assert vm.config.template is False and vm.resourcePool == client.pool
    assert vm in client.pool.vm
    client.wait(vm.PowerOnVM_Task())


def test_tasks_tell_of_it(client, vm):
    vm.MarkAsTemplate()
    vm.MarkAsVirtualMachine(client.pool)
    told = [task.info.descriptionId for task in vm.recentTask]
    assert told == ["VirtualMachine.markAsVirtualMachine", "VirtualMachine.markAsTemplate"]
    assert all(task.info.state == "success" for task in vm.recentTask)


def test_what_a_template_cannot_do_is_refused(client, vm):
    with fault(vim.fault.InvalidState, "no template"):
        vm.MarkAsVirtualMachine(client.pool)
    client.wait(vm.PowerOnVM_Task())
    with fault(vim.fault.InvalidPowerState):
        vm.MarkAsTemplate()
    client.wait(vm.PowerOffVM_Task())
    vm.MarkAsTemplate()
    with fault(vim.fault.InvalidState, "template already"):
        vm.MarkAsTemplate()
    for operation in (vm.PowerOnVM_Task, vm.PowerOffVM_Task, vm.SuspendVM_Task, vm.ResetVM_Task):
        with fault(vmodl.fault.NotSupported, "the template mould"):
            client.wait(operation())
    with fault(vmodl.fault.NotSupported, "the template mould"):
        client.wait(vm.CreateSnapshot_Task("no", None, False, False))
    for change in (vim.vm.ConfigSpec(numCPUs=2),
                   vim.vm.ConfigSpec(deviceChange=[disk(1000, 1, client.path(""), mib=4)]),
                   vim.vm.ConfigSpec(extraConfig=[vim.option.OptionValue(key="a.b", value="c")])):
        with fault(vmodl.fault.NotSupported, "hardware of the template mould"):
            client.wait(vm.ReconfigVM_Task(change))
    with fault(vmodl.fault.ManagedObjectNotFound):
        vm.MarkAsVirtualMachine(vim.ResourcePool("none", client.instance._stub))
    assert configs(client) == ["mould.vmtx"]
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="of the best clay")))
    client.wait(vm.Rename_Task("form"))
    assert (vm.name, vm.config.annotation) == ("form", "of the best clay")
    client.wait(vm.Rename_Task("mould"))


def test_a_name_that_is_taken_changes_nothing(client, vm):
    (folder_of(client) / "mould.vmtx").write_text("another")
    with fault(vim.fault.FileAlreadyExists, "mould.vmtx"):
        vm.MarkAsTemplate()
    assert vm.config.template is False and vm in client.pool.vm
    assert (folder_of(client) / "mould.vmtx").read_text() == "another"
    (folder_of(client) / "mould.vmtx").unlink()
    client.wait(vm.PowerOnVM_Task())


@pytest.mark.parametrize("as_template", [True, False])
def test_registered_as_what_the_caller_says(client, vm, as_template):
    folder = client.datacenter.vmFolder
    for _ in range(2):    # from the other kind, and from its own
        vm.UnregisterVM()
        path = client.path(f"mould/{configs(client)[0]}")
        vm = client.wait(folder.RegisterVM_Task(
            path, None, as_template, None if as_template else client.pool))
        assert vm.config.template is as_template
        assert configs(client) == ["mould.vmtx" if as_template else "mould.vmx"]
        assert (vm in client.pool.vm) is not as_template


def test_a_template_is_one_after_a_restart(client, host, vm):
    vm.MarkAsTemplate()
    host.restart()
    again = Client(host)
    vm = again.vm("mould")
    assert vm.config.template is True and vm not in again.pool.vm and vm.resourcePool is None
    again.logout()


def test_killed_while_becoming_a_template_and_back(host, vm):
    def mark(client):
        the_vm(client, "mould").MarkAsTemplate()
        client.vm("mould").MarkAsVirtualMachine(client.pool)

    for client in crash_everywhere(host, mark):
        vm = the_vm(client, "mould")
        assert configs(client) == ["mould.vmtx" if vm.config.template else "mould.vmx"]
        assert (vm in client.pool.vm) is not vm.config.template
        if vm.config.template:
            vm.MarkAsVirtualMachine(client.pool)
        client.wait(vm.PowerOnVM_Task())
        client.wait(vm.PowerOffVM_Task())
