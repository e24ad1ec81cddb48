"""Views and the search index: finding things without walking the inventory."""

import pytest
from pyVmomi import vim, vmodl

from harness.client import PropertyCollector, fault


@pytest.fixture
def views(client):
    return client.content.viewManager


@pytest.fixture
def vms(make_vm):
    return [make_vm(f"viewed-{number}", bare=True) for number in range(3)]


def ids(objects):
    return {entry._moId for entry in objects}


def test_a_container_view_holds_what_lies_below_and_follows_it(client, views, vms, make_vm):
    view = views.CreateContainerView(client.content.rootFolder, [vim.VirtualMachine], True)
    assert ids(vms) <= ids(view.view)
    more = make_vm("viewed-later", bare=True)
    assert more._moId in ids(view.view)
    client.wait(more.Destroy_Task())
    assert more._moId not in ids(view.view)
    view.DestroyView()
    with fault(vmodl.fault.ManagedObjectNotFound):
        view.view


def test_a_shallow_view_stays_in_its_container(client, views, vms):
    shallow = views.CreateContainerView(client.content.rootFolder, [], False)
    assert ids(shallow.view) == ids(client.content.rootFolder.childEntity)
    shallow.DestroyView()


def test_a_view_of_one_type_holds_that_type_and_its_heirs(client, views, vms):
    view = views.CreateContainerView(client.content.rootFolder, [vim.ComputeResource], True)
    assert ids(view.view) == {client.compute_resource._moId}
    everything = views.CreateContainerView(client.content.rootFolder, [], True)
    assert ids(view.view) | ids(vms) <= ids(everything.view)
    view.DestroyView()
    everything.DestroyView()


def test_a_view_is_a_starting_point_for_reading(client, views, vms):
    view = views.CreateContainerView(client.content.rootFolder, [vim.VirtualMachine], True)
    traversal = PropertyCollector.TraversalSpec(type=vim.view.ContainerView, path="view",
                                                skip=False)
    result = client.content.propertyCollector.RetrievePropertiesEx([PropertyCollector.FilterSpec(
        objectSet=[PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
        propSet=[PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=["name"])])],
        PropertyCollector.RetrieveOptions())
    names = {content.propSet[0].val for content in result.objects}
    assert {"viewed-0", "viewed-1", "viewed-2"} <= names
    view.DestroyView()


def test_a_list_view_holds_what_it_is_given(views, vms):
    view = views.CreateListView(vms[:2])
    assert ids(view.view) == ids(vms[:2])
    view.ModifyListView([vms[2]], [vms[0]])
    assert ids(view.view) == ids(vms[1:])
    view.ResetListView([vms[0]])
    assert ids(view.view) == ids(vms[:1])
    copy = views.CreateListViewFromView(view)
    assert ids(copy.view) == ids(vms[:1])
    view.DestroyView()
    copy.DestroyView()


def test_what_a_list_view_cannot_resolve_is_given_back(client, views, vms):
    view = views.CreateListView([])
    ghost = vim.VirtualMachine("vm-no-such", client.instance._stub)
    assert ids(view.ModifyListView([vms[0], ghost], [])) == {ghost._moId}
    assert ids(view.view) == {vms[0]._moId}
    view.DestroyView()


def test_an_inventory_view_opens_folders_as_asked(client, views, vms):
    view = views.CreateInventoryView()
    assert client.content.rootFolder._moId in ids(view.view)
    assert vms[0]._moId not in ids(view.view)
    view.OpenInventoryViewFolder([client.content.rootFolder])
    view.OpenInventoryViewFolder([client.datacenter])
    view.OpenInventoryViewFolder([client.datacenter.vmFolder])
    assert ids(vms) <= ids(view.view)
    view.CloseInventoryViewFolder([client.datacenter.vmFolder])
    assert not ids(vms) & ids(view.view)
    view.DestroyView()


def test_the_search_index_finds_a_vm_by_all_its_names(client, vms):
    index = client.content.searchIndex
    vm = vms[1]
    assert index.FindByUuid(client.datacenter, vm.config.uuid, True, False)._moId == vm._moId
    assert index.FindByUuid(None, vm.config.instanceUuid, True, True)._moId == vm._moId
    assert ids(index.FindAllByUuid(None, vm.config.uuid, True, False)) == {vm._moId}
    assert index.FindByDatastorePath(client.datacenter,
                                     vm.config.files.vmPathName)._moId == vm._moId
    path = f"{client.datacenter.name}/{client.datacenter.vmFolder.name}/{vm.name}"
    assert index.FindByInventoryPath(path)._moId == vm._moId
    assert index.FindChild(client.datacenter.vmFolder, vm.name)._moId == vm._moId


def test_the_search_index_finds_nothing_where_there_is_nothing(client):
    index = client.content.searchIndex
    assert index.FindByUuid(None, "00000000-0000-0000-0000-000000000000", True, False) is None
    assert index.FindByInventoryPath("no/such/path") is None
    assert index.FindByIp(None, "192.0.2.1", True) is None
    assert index.FindChild(client.content.rootFolder, "no-such") is None


def test_the_host_is_found_by_its_uuid(client):
    uuid = client.host_system.summary.hardware.uuid
    found = client.content.searchIndex.FindByUuid(None, uuid, False, False)
    assert found._moId == client.host_system._moId
