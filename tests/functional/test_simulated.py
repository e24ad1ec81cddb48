"""The simulated hypervisor: what real machines do, thousandfold and without a process of theirs."""

import pytest
from pyVmomi import vim, vmodl

from harness import isolation, machines
from harness.client import Client, fault, filter_spec
from harness.host import HostProcess
from harness.machines import added, cdrom, change, controller, disk, edited, nic, removed

THOUSAND = 1000
PropertyCollector = vmodl.query.PropertyCollector


@pytest.fixture(scope="module")
def host():
    with isolation.neighbour("192.0.2.13", "192.0.2.14") as namespace:
        host = HostProcess(address="192.0.2.14", namespace=namespace)
        host.namespace = namespace
        host.start("--simulate")
        yield host
        host.stop()
    host.remove()


@pytest.fixture
def vm(client, make_vm):
    """A machine with a disk and a NIC."""
    return make_vm("simulated", controller("pvscsi"), disk(1000, 0, client.path(""), mib=16),
                   nic("vmxnet3", "VM Network"))


def of_type(vm, kind):
    return [device for device in vm.config.hardware.device if isinstance(device, kind)]


def test_nothing_but_the_daemon_runs(client, host, vm):
    client.wait(vm.PowerOnVM_Task())
    assert list(isolation.processes_in(host.namespace)) == [host.process.pid]


def test_a_machine_lives_as_a_real_one_does(client, vm):
    states = []
    for operation in (vm.PowerOnVM_Task, vm.SuspendVM_Task, vm.PowerOnVM_Task, vm.ResetVM_Task,
                      vm.PowerOffVM_Task):
        client.wait(operation())
        states.append(vm.runtime.powerState)
    assert states == ["poweredOn", "suspended", "poweredOn", "poweredOn", "poweredOff"]
    with fault(vim.fault.InvalidPowerState):
        client.wait(vm.PowerOffVM_Task())


def test_its_guest_is_told_of_and_obeys(client, vm):
    client.wait(vm.PowerOnVM_Task())
    client.wait_for(vm, "guest.toolsRunningStatus", lambda status: status == "guestToolsRunning")
    address = client.wait_for(vm, "guest.ipAddress")
    assert address in vm.guest.net[0].ipAddress
    vm.RebootGuest()
    vm.ShutdownGuest()
    client.wait_for(vm, "runtime.powerState", lambda state: state == "poweredOff")


def test_it_is_reconfigured_while_off(client, vm):
    change(client, vm, added(vim.vm.device.VirtualLsiLogicController(
        key=-1, busNumber=1, sharedBus="noSharing")), nic("e1000", "VM Network"),
        numCPUs=2, memoryMB=512, annotation="changed")
    hardware = vm.config.hardware
    assert (hardware.numCPU, hardware.memoryMB, vm.config.annotation) == (2, 512, "changed")
    assert len(of_type(vm, vim.vm.device.VirtualLsiLogicController)) == 1
    assert len(of_type(vm, vim.vm.device.VirtualEthernetCard)) == 2


def test_devices_come_and_go_while_it_runs(client, vm):
    client.wait(vm.PowerOnVM_Task())
    change(client, vm, disk(1000, 1, client.path(""), mib=16), nic("vmxnet3", "VM Network"))
    new_disk = of_type(vm, vim.vm.device.VirtualDisk)[1]
    new_nic = of_type(vm, vim.vm.device.VirtualEthernetCard)[1]
    new_disk.capacityInKB *= 2
    change(client, vm, edited(new_disk))
    assert of_type(vm, vim.vm.device.VirtualDisk)[1].capacityInKB == 32 * 1024
    change(client, vm, removed(new_disk, "destroy"), removed(new_nic))
    assert len(of_type(vm, vim.vm.device.VirtualDisk)) == 1
    assert len(of_type(vm, vim.vm.device.VirtualEthernetCard)) == 1
    with fault(vim.fault.CpuHotPlugNotSupported, "hot add is not enabled"):
        change(client, vm, numCPUs=4)


def test_a_medium_changes_while_it_runs(client, make_vm):
    client.http("PUT", "some.iso", data=bytes(1 << 20)).raise_for_status()
    vm = make_vm("with-cdrom", controller("sata"), cdrom(machines.SATA_KEY, 0))
    client.wait(vm.PowerOnVM_Task())
    [drive] = of_type(vm, vim.vm.device.VirtualCdrom)
    drive.backing = machines.iso_backing(client.path("some.iso"))
    drive.connectable.connected = True
    change(client, vm, edited(drive))
    [drive] = of_type(vm, vim.vm.device.VirtualCdrom)
    assert drive.backing.fileName == client.path("some.iso")


def test_an_entity_lists_those_of_the_newest_200_tasks_that_are_its_own(client, make_vm):
    busy, idle = make_vm("busy", bare=True), make_vm("idle", bare=True)
    client.wait(idle.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="once")))
    for number in range(199):
        client.wait(busy.ReconfigVM_Task(vim.vm.ConfigSpec(annotation=str(number))))
    assert len(idle.recentTask) == 1
    last = busy.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="last"))
    client.wait(last)
    assert not idle.recentTask
    assert len(busy.recentTask) == 200
    assert busy.recentTask[0] == last


def test_screen_and_serial_line_are_refused_by_name(client, vm):
    client.wait(vm.PowerOnVM_Task())
    with fault(vmodl.fault.NotSupported, "simulated"):
        client.wait(vm.CreateScreenshot_Task())


def test_machines_run_on_without_the_daemon_as_real_ones_do(client, host, vm):
    client.wait(vm.PowerOnVM_Task())
    host.kill()
    host.start("--simulate")
    again = Client(host)
    vm = again.vm("simulated")
    assert vm.runtime.powerState == "poweredOn"
    again.wait_for(vm, "guest.toolsRunningStatus", lambda status: status == "guestToolsRunning")
    again.wait(vm.PowerOffVM_Task())
    host.kill()
    host.start("--simulate")
    again = Client(host)
    assert again.vm("simulated").runtime.powerState == "poweredOff"
    again.logout()


# ---- a thousand


def wait_for_all(client, tasks):
    """The results of all tasks, in their order."""
    collector = client.content.propertyCollector.CreatePropertyCollector()
    collector.CreateFilter(filter_spec(tasks, ["info.state"]), False)
    version, ended = "", {}
    while len(ended) < len(tasks):
        update = collector.WaitForUpdatesEx(version, PropertyCollector.WaitOptions(maxWaitSeconds=120))
        assert update, f"{len(tasks) - len(ended)} of {len(tasks)} tasks have not ended"
        version = update.version
        for change in update.filterSet[0].objectSet:
            state = change.changeSet[0].val
            assert state != "error", change.obj.info.error
            if state == "success":
                ended[change.obj._moId] = True
    collector.DestroyPropertyCollector()
    return [task.info.result for task in tasks]


@pytest.fixture(scope="module")
def thousand(host):
    client = Client(host)
    folder, pool = client.datacenter.vmFolder, client.pool
    vms = wait_for_all(client, [
        folder.CreateVM_Task(machines.spec(client, f"one-of-many-{number:04}"), pool)
        for number in range(THOUSAND)])
    yield vms
    client = Client(host)
    wait_for_all(client, [vm.Destroy_Task() for vm in client.datacenter.vmFolder.childEntity])
    assert client.datacenter.vmFolder.childEntity == []
    client.logout()


def of_all(client, paths):
    """Those properties of every VM, by reference; in one request."""
    view = client.content.viewManager.CreateContainerView(client.content.rootFolder,
                                                          [vim.VirtualMachine], True)
    spec = PropertyCollector.FilterSpec(
        objectSet=[PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[
            PropertyCollector.TraversalSpec(name="members", type=vim.view.ContainerView,
                                            path="view", skip=False)])],
        propSet=[PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=paths)])
    found = client.content.propertyCollector.RetrieveContents([spec])
    view.DestroyView()
    return {each.obj._moId: {prop.name: prop.val for prop in each.propSet} for each in found}


def test_a_thousand_are_made_started_and_stopped(client, thousand):
    thousand = [vim.VirtualMachine(vm._moId, client.instance._stub) for vm in thousand]
    for operation, state in (("PowerOnVM_Task", "poweredOn"), ("SuspendVM_Task", "suspended"),
                             ("PowerOnVM_Task", "poweredOn"), ("PowerOffVM_Task", "poweredOff")):
        wait_for_all(client, [getattr(vm, operation)() for vm in thousand])
        found = of_all(client, ["name", "runtime.powerState"])
        assert len({each["name"] for each in found.values()}) == THOUSAND
        assert {each["runtime.powerState"] for each in found.values()} == {state}


def test_of_a_thousand_the_one_that_changed_is_told(client, host, thousand):
    collector = client.content.propertyCollector.CreatePropertyCollector()
    collector.CreateFilter(filter_spec(
        [vim.VirtualMachine(vm._moId, client.instance._stub) for vm in thousand],
        ["name", "config.annotation", "runtime.powerState"]), True)
    version, told = "", 0
    while told < THOUSAND:
        update = collector.WaitForUpdatesEx(version, PropertyCollector.WaitOptions(maxWaitSeconds=60))
        version, told = update.version, told + len(update.filterSet[0].objectSet)
    other = Client(host)
    chosen = vim.VirtualMachine(thousand[517]._moId, other.instance._stub)
    change(other, chosen, annotation="the chosen one")
    update = collector.WaitForUpdatesEx(version, PropertyCollector.WaitOptions(maxWaitSeconds=60))
    [changed] = update.filterSet[0].objectSet
    assert changed.obj._moId == chosen._moId
    assert [(each.name, each.val) for each in changed.changeSet] == [
        ("config.annotation", "the chosen one")]
    collector.DestroyPropertyCollector()
    other.logout()


def test_a_restart_finds_a_thousand_again(host, thousand):
    host.stop()
    host.start("--simulate")
    client = Client(host)
    found = of_all(client, ["name", "summary.config.vmPathName"])
    assert {each["name"] for each in found.values()} == {
        f"one-of-many-{number:04}" for number in range(THOUSAND)}
    client.logout()
