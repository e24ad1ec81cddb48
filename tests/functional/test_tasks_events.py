"""Tasks and events: what was done, by whom, when and with what result."""

from pyVmomi import vim, vmodl

from harness import machines
from harness.client import fault
from harness.machines import controller, disk


def test_a_task_tells_who_did_what_to_whom(client, host, make_vm):
    vm = make_vm("task-info", bare=True)
    task = vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="x"))
    client.wait(task)
    info = task.info
    assert info.entity._moId == vm._moId and info.entityName == vm.name
    assert info.descriptionId == "VirtualMachine.reconfigure"
    assert info.reason.userName == host.user
    assert info.state == "success" and info.error is None
    assert info.queueTime <= info.startTime <= info.completeTime
    assert info.key in info.task._moId


def test_a_failed_task_bears_its_fault(client, make_vm):
    vm = make_vm("task-fails", bare=True)
    task = vm.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=-1))
    with fault((vmodl.fault.InvalidArgument, vim.fault.VmConfigFault)):
        client.wait(task)
    assert task.info.state == "error"
    assert task.info.error.msg


def test_a_long_task_shows_its_progress(client):
    manager = client.content.virtualDiskManager
    path = client.path("progress.vmdk")
    spec = vim.VirtualDiskManager.FileBackedVirtualDiskSpec(
        diskType="eagerZeroedThick", adapterType="lsiLogic", capacityKb=256 * 1024)
    task = manager.CreateVirtualDisk_Task(path, client.datacenter, spec)
    seen = [value for value in _until_done(client, task)]
    client.wait(task)
    assert seen == sorted(seen)
    client.wait(manager.DeleteVirtualDisk_Task(path, client.datacenter))


def _until_done(client, task):
    for value in client.updates(task, "info", 60):
        if value.progress is not None:
            yield value.progress
        if value.state in ("success", "error"):
            return


def test_recent_tasks_hold_the_latest(client, make_vm):
    vm = make_vm("task-recent", bare=True)
    task = vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="recent"))
    client.wait(task)
    assert task._moId in [entry._moId for entry in client.content.taskManager.recentTask]
    assert task._moId in [entry._moId for entry in vm.recentTask]


def test_every_entity_lists_its_own_recent_tasks(client, make_vm):
    folder, store = client.datacenter.vmFolder, client.datastore
    task = folder.CreateVM_Task(machines.spec(client, "task-of-a-folder"), client.pool)
    vm = client.wait(task)
    renaming = store.Rename_Task(store.name)
    client.wait(renaming)
    assert folder.recentTask[0]._moId == task._moId
    assert store.recentTask[0]._moId == renaming._moId
    assert not vm.recentTask
    client.wait(vm.Destroy_Task())
    assert task in folder.recentTask and renaming not in folder.recentTask


def test_a_task_collector_reads_history_in_pages(client, make_vm):
    vm = make_vm("task-history", bare=True)
    for number in range(4):
        client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation=str(number))))
    collector = client.content.taskManager.CreateCollectorForTasks(vim.TaskFilterSpec(
        entity=vim.TaskFilterSpec.ByEntity(entity=vm, recursion="self")))
    collector.RewindCollector()
    read = []
    while page := collector.ReadNextTasks(2):
        assert len(page) <= 2
        read += page
    kinds = [info.descriptionId for info in read]
    assert kinds.count("VirtualMachine.reconfigure") == 4
    collector.DestroyCollector()
    with fault(vmodl.fault.ManagedObjectNotFound):
        collector.latestPage


def events_of(client, entity, *kinds):
    return client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=entity, recursion="self"),
        eventTypeId=list(kinds)))


def test_a_vms_story_is_told_by_typed_events_with_text(client, host, make_vm):
    vm = make_vm("event-story", controller("pvscsi"), disk(1000, 0, client.path(""), mib=4))
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="story")))
    client.wait(vm.PowerOnVM_Task())
    client.wait(vm.PowerOffVM_Task())
    events = events_of(client, vm)
    kinds = [type(event) for event in sorted(events, key=lambda event: event.key)]
    story = [vim.event.VmCreatedEvent, vim.event.VmReconfiguredEvent,
             vim.event.VmPoweredOnEvent, vim.event.VmPoweredOffEvent]
    assert [kind for kind in kinds if kind in story] == story
    for event in events:
        if type(event) in story:
            assert event.userName == host.user
            assert "event-story" in event.fullFormattedMessage
            assert event.vm.name == "event-story"
            assert event.host.name == client.host_system.name


def test_logins_are_events_too(client, host):
    events = client.content.eventManager.QueryEvents(vim.event.EventFilterSpec(
        eventTypeId=["UserLoginSessionEvent"]))
    assert any(event.userName == host.user for event in events)


def test_an_event_collector_pages_both_ways(client, make_vm):
    vm = make_vm("event-pages", bare=True)
    for number in range(3):
        client.content.eventManager.LogUserEvent(vm, f"note {number}")
    collector = client.content.eventManager.CreateCollectorForEvents(vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=vm, recursion="self"),
        eventTypeId=["GeneralUserEvent"]))
    def read(page):
        return [event.message for event in page]

    assert read(collector.ReadNextEvents(2)) == ["note 0", "note 1"]
    assert read(collector.ReadNextEvents(2)) == ["note 2"]
    assert not collector.ReadNextEvents(2)
    collector.RewindCollector()
    assert read(collector.ReadNextEvents(10)) == ["note 0", "note 1", "note 2"]
    # Reset goes before the latest page, which the client has already.
    collector.SetCollectorPageSize(1)
    assert read(collector.latestPage) == ["note 2"]
    collector.ResetCollector()
    assert read(collector.ReadPreviousEvents(1)) == ["note 1"]
    assert read(collector.ReadPreviousEvents(10)) == ["note 0"]
    collector.DestroyCollector()


def test_the_latest_event_moves_on(client, make_vm):
    vm = make_vm("event-latest", bare=True)
    client.content.eventManager.LogUserEvent(vm, "the very last")
    assert client.content.eventManager.latestEvent.fullFormattedMessage.find("the very last") >= 0


def test_a_running_task_refuses_a_second_operation_on_the_vm(client, make_vm):
    vm = make_vm("task-in-progress", bare=True)
    first = vm.PowerOnVM_Task()
    outcomes = []
    try:
        second = vm.PowerOnVM_Task()
        client.wait(second)
        outcomes.append("success")
    except (vim.fault.TaskInProgress, vim.fault.InvalidPowerState) as error:
        outcomes.append(type(error))
    client.wait(first)
    assert outcomes != ["success"]
    assert vm.runtime.powerState == "poweredOn"
