"""Reading and watching properties, by every way the PropertyCollector offers."""

import threading
import time

import pytest
from pyVmomi import vim, vmodl

from harness.client import Client, PropertyCollector, fault, filter_spec
from harness.machines import controller, disk

Traversal = PropertyCollector.TraversalSpec
Selection = PropertyCollector.SelectionSpec


@pytest.fixture
def collector(client):
    return client.content.propertyCollector


@pytest.fixture
def vm(client, make_vm):
    return make_vm("properties", controller("pvscsi"),
                   disk(1000, 0, client.path(""), mib=4))


def values(result):
    """{moId: {path: value}} of a RetrieveResult or a list of ObjectContent."""
    contents = getattr(result, "objects", result)
    return {content.obj._moId: {prop.name: prop.val for prop in content.propSet}
            for content in contents}


def retrieve(collector, specification, **options):
    return collector.RetrievePropertiesEx([specification],
                                          PropertyCollector.RetrieveOptions(**options))


def test_paths_may_be_nested_and_indexed(collector, vm):
    paths = ["name", "config.hardware.numCPU", "config.hardware.device[2000].capacityInKB",
             'config.hardware.device[1000]', "runtime.powerState"]
    got = values(retrieve(collector, filter_spec([vm], paths)))[vm._moId]
    assert got["name"] == "properties"
    assert got["config.hardware.numCPU"] == 1
    assert got["config.hardware.device[2000].capacityInKB"] == 4096
    assert isinstance(got["config.hardware.device[1000]"],
                      vim.vm.device.ParaVirtualSCSIController)
    assert got["runtime.powerState"] == "poweredOff"


def test_all_properties(collector, vm):
    specification = filter_spec([vm], [])
    specification.propSet[0].all = True
    got = values(retrieve(collector, specification))[vm._moId]
    assert got["config"].name == got["summary"].config.name == got["name"]


def test_a_path_that_cannot_be_is_an_invalid_property(collector, vm):
    for path in ("nonsense", "config.nonsense", "config.hardware.device[", "name.x", ""):
        with fault(vmodl.query.InvalidProperty) as raised:
            retrieve(collector, filter_spec([vm], [path]))
        assert raised.value.name == path


def test_an_unset_path_is_simply_absent(collector, vm):
    got = values(retrieve(collector, filter_spec([vm], ["name", "guest.ipAddress",
                                                        "config.hardware.device[9999]"])))
    assert set(got[vm._moId]) == {"name"}


def inventory_traversals():
    """Root folder to everything, by selection sets that name each other."""
    again = Selection(name="folders")
    return [Traversal(name="folders", type=vim.Folder, path="childEntity", skip=False, selectSet=[
        again, Selection(name="vms"), Selection(name="hosts"), Selection(name="compute"),
    ]), Traversal(name="vms", type=vim.Datacenter, path="vmFolder", skip=False, selectSet=[again]),
        Traversal(name="hosts", type=vim.Datacenter, path="hostFolder", skip=False,
                  selectSet=[again]),
        Traversal(name="compute", type=vim.ComputeResource, path="host", skip=False)]


def test_recursive_selection_reaches_the_whole_inventory(client, collector, vm):
    got = values(retrieve(collector, filter_spec([client.content.rootFolder], ["name"],
                                                 inventory_traversals())))
    for reached in (client.content.rootFolder, client.datacenter, client.datacenter.vmFolder,
                    client.compute_resource, client.host_system, vm):
        assert reached._moId in got
    assert got[vm._moId]["name"] == "properties"


def test_skipped_objects_lead_on_but_are_not_returned(client, collector, vm):
    specification = PropertyCollector.FilterSpec(
        objectSet=[PropertyCollector.ObjectSpec(
            obj=client.datacenter.vmFolder, skip=True,
            selectSet=[Traversal(type=vim.Folder, path="childEntity", skip=False)])],
        propSet=[PropertyCollector.PropertySpec(type=vim.ManagedEntity, pathSet=["name"])])
    got = values(retrieve(collector, specification))
    assert vm._moId in got
    assert client.datacenter.vmFolder._moId not in got


def test_large_results_come_in_pages(client, collector, make_vm):
    for number in range(5):
        make_vm(f"page-{number}", bare=True)
    specification = filter_spec([client.content.rootFolder], ["name"], inventory_traversals())
    whole = values(retrieve(collector, specification))
    page = retrieve(collector, specification, maxObjects=2)
    paged = {}
    while page is not None:
        assert len(page.objects) <= 2
        paged.update(values(page))
        page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    assert paged == whole
    with fault(vmodl.fault.InvalidArgument, "no-such-token"):
        collector.ContinueRetrievePropertiesEx("no-such-token")


def test_the_old_call_answers_the_same(collector, vm):
    specification = filter_spec([vm], ["name", "runtime.powerState"])
    assert values(collector.RetrieveProperties([specification])) == values(
        retrieve(collector, specification))


# Watching.


@pytest.fixture
def watcher(client):
    """A collector of one's own, so that filters of other tests do not mix in."""
    own = client.content.propertyCollector.CreatePropertyCollector()
    yield own
    own.DestroyPropertyCollector()


def changes(update):
    return [(entry.obj._moId, entry.kind, change.name, change.op, change.val)
            for filter_update in update.filterSet for entry in filter_update.objectSet
            for change in entry.changeSet]


def rename(client, vm, name):
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation=name)))


def test_the_first_update_enters_and_later_ones_modify(client, watcher, vm):
    watcher.CreateFilter(filter_spec([vm], ["config.annotation", "name"]), True)
    first = watcher.WaitForUpdatesEx("")
    assert {(kind, name) for _, kind, name, _, _ in changes(first)} >= {("enter", "name")}
    assert watcher.CheckForUpdates(first.version) is None
    rename(client, vm, "changed")
    second = watcher.WaitForUpdatesEx(first.version)
    assert (vm._moId, "modify", "config.annotation", "assign", "changed") in changes(second)
    assert all(name != "name" for _, _, name, _, _ in changes(second))


def test_a_waiting_client_is_woken_by_another_ones_change(client, host, watcher, vm):
    watcher.CreateFilter(filter_spec([vm], ["config.annotation"]), True)
    version = watcher.WaitForUpdatesEx("").version
    other = Client(host)
    change = threading.Thread(target=rename, args=(
        other, vim.VirtualMachine(vm._moId, other.instance._stub), "from elsewhere"))
    change.start()
    update = watcher.WaitForUpdatesEx(version, PropertyCollector.WaitOptions(maxWaitSeconds=60))
    change.join()
    assert [value for *_, value in changes(update)] == ["from elsewhere"]
    other.logout()


def test_nothing_changed_is_an_empty_answer_after_the_wait(watcher, vm):
    watcher.CreateFilter(filter_spec([vm], ["name"]), True)
    version = watcher.WaitForUpdatesEx("").version
    start = time.monotonic()
    options = PropertyCollector.WaitOptions(maxWaitSeconds=1)
    assert watcher.WaitForUpdatesEx(version, options) is None
    assert time.monotonic() - start >= 0.9


def test_an_element_of_a_list_is_updated_alone_when_partial_updates_are_wanted(
        client, watcher, vm):
    watcher.CreateFilter(filter_spec([vm], ["config.hardware.device"]), True)
    version = watcher.WaitForUpdatesEx("").version
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[
        disk(1000, 1, client.path(""), mib=4)])))
    operations = {}
    while "config.hardware.device[2001]" not in operations:
        update = watcher.WaitForUpdatesEx(version)
        version = update.version
        operations |= {name: op for _, _, name, op, _ in changes(update)}
    assert operations["config.hardware.device[2001]"] in ("add", "assign")
    assert "config.hardware.device" not in operations


def test_whole_lists_are_sent_when_partial_updates_are_not_wanted(client, watcher, vm):
    watcher.CreateFilter(filter_spec([vm], ["config.hardware.device"]), False)
    version = watcher.WaitForUpdatesEx("").version
    client.wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[
        disk(1000, 1, client.path(""), mib=4)])))
    keys = []
    while 2001 not in keys:
        update = watcher.WaitForUpdatesEx(version)
        version = update.version
        for _, _, name, _, value in changes(update):
            assert name == "config.hardware.device"
            keys = [device.key for device in value]


def test_objects_enter_and_leave_a_filter_by_traversal(client, watcher, make_vm):
    specification = PropertyCollector.FilterSpec(
        objectSet=[PropertyCollector.ObjectSpec(
            obj=client.datacenter.vmFolder, skip=True,
            selectSet=[Traversal(type=vim.Folder, path="childEntity", skip=False)])],
        propSet=[PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])])
    watcher.CreateFilter(specification, True)
    options = PropertyCollector.WaitOptions(maxWaitSeconds=1)
    update = watcher.WaitForUpdatesEx("", options)
    version = update.version if update else ""

    def kinds_until(wanted, moid):
        nonlocal version
        seen = set()
        while (wanted, moid) not in seen:
            update = watcher.WaitForUpdatesEx(version)
            version = update.version
            seen |= {(entry.kind, entry.obj._moId) for filter_update in update.filterSet
                     for entry in filter_update.objectSet}

    vm = make_vm("comes-and-goes", bare=True)
    kinds_until("enter", vm._moId)
    client.wait(vm.Destroy_Task())
    kinds_until("leave", vm._moId)


def test_long_updates_are_truncated_and_go_on(client, watcher, make_vm):
    vms = [make_vm(f"truncated-{number}", bare=True) for number in range(5)]
    watcher.CreateFilter(filter_spec(vms, ["name"]), True)
    options = PropertyCollector.WaitOptions(maxObjectUpdates=2, maxWaitSeconds=5)
    version, entered, truncated = "", set(), []
    while len(entered) < 5:
        update = watcher.WaitForUpdatesEx(version, options)
        version = update.version
        truncated.append(bool(update.truncated))
        found = {moid for moid, *_ in changes(update)}
        assert len(found) <= 2
        entered |= found
    assert truncated == [True, True, False]


def test_an_unknown_version_is_refused(watcher, vm):
    watcher.CreateFilter(filter_spec([vm], ["name"]), True)
    with fault(vmodl.query.InvalidCollectorVersion):
        watcher.WaitForUpdatesEx("never-given-out")


def test_a_wait_can_be_cancelled_from_another_connection(client, host, watcher, vm):
    watcher.CreateFilter(filter_spec([vm], ["name"]), True)
    version = watcher.WaitForUpdatesEx("").version
    raised = []

    def wait():
        try:
            watcher.WaitForUpdatesEx(version, PropertyCollector.WaitOptions(maxWaitSeconds=60))
        except vmodl.MethodFault as error:
            raised.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    # The wait may not have arrived yet: cancelling again until it ended does no harm.
    while waiting.is_alive():
        watcher.CancelWaitForUpdates()
        waiting.join(0.1)
    assert isinstance(raised[0], vmodl.fault.RequestCanceled)


def test_filters_are_listed_and_end(watcher, vm):
    one = watcher.CreateFilter(filter_spec([vm], ["name"]), True)
    assert [entry._moId for entry in watcher.filter] == [one._moId]
    assert one.partialUpdates is True
    one.DestroyPropertyFilter()
    assert not watcher.filter
    with fault(vmodl.fault.ManagedObjectNotFound):
        one.DestroyPropertyFilter()


def test_a_destroyed_object_is_reported_missing(client, watcher, make_vm):
    vm = make_vm("goes-away", bare=True)
    watcher.CreateFilter(filter_spec([vm], ["name"]), True)
    version = watcher.WaitForUpdatesEx("").version
    client.wait(vm.Destroy_Task())
    update = watcher.WaitForUpdatesEx(version)
    assert [(entry.kind, entry.obj._moId) for filter_update in update.filterSet
            for entry in filter_update.objectSet] == [("leave", vm._moId)]
