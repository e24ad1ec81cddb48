"""Resource pools on the host: their tree, who is in them, and what is reserved there."""

import pytest
from pyVmomi import vim, vmodl

from harness import machines
from harness.client import Client, fault
from harness.machines import change


def allocation(reservation=0, limit=-1, expandable=False, level="normal", shares=0):
    return vim.ResourceAllocationInfo(
        reservation=reservation, limit=limit, expandableReservation=expandable,
        shares=vim.SharesInfo(level=level, shares=shares))


def config(cpu=None, memory=None, **fields):
    return vim.ResourceConfigSpec(cpuAllocation=cpu or allocation(expandable=True),
                                  memoryAllocation=memory or allocation(expandable=True), **fields)


@pytest.fixture
def make_pool(client, host):
    def make(name, parent=None, **allocations):
        return (parent or client.pool).CreateResourcePool(name, config(**allocations))

    yield make
    cleaner = Client(host)    # the test may have ended the client's session with its host
    cleaner.pool.DestroyChildren()
    cleaner.logout()


def names(pools):
    return sorted(pool.name for pool in pools)


def test_pools_are_made_changed_moved_and_removed(client, make_pool):
    gold = make_pool("gold", cpu=allocation(100, 500, False, "high"))
    silver = make_pool("silver")
    lead = make_pool("lead", gold)
    assert names(client.pool.resourcePool) == ["gold", "silver"]
    assert (lead.parent, lead.owner, names(gold.resourcePool)) == \
        (gold, client.pool.owner, ["lead"])
    assert (gold.config.cpuAllocation.limit, gold.config.cpuAllocation.shares.shares) == (500, 8000)
    assert gold.runtime.cpu.unreservedForPool == 100
    assert gold.summary.config.cpuAllocation.reservation == 100
    view = client.content.viewManager.CreateContainerView(
        client.content.rootFolder, [vim.ResourcePool], True)
    assert names(view.view) == ["Resources", "gold", "lead", "silver"]
    view.Destroy()

    for refused in (lambda: make_pool("gold"), lambda: silver.UpdateConfig("gold", None)):
        with fault(vim.fault.DuplicateName):
            refused()
    with fault(vim.fault.InvalidName):
        make_pool(" ")
    with fault(vmodl.fault.InvalidArgument, "shares"):
        client.pool.CreateResourcePool("incomplete", vim.ResourceConfigSpec(
            cpuAllocation=vim.ResourceAllocationInfo(reservation=0, limit=-1,
                                                     expandableReservation=True),
            memoryAllocation=allocation()))
    with fault(vmodl.fault.NotSupported, "root"):
        client.pool.UpdateConfig("other", None)

    version = silver.config.changeVersion
    silver.UpdateConfig("bronze", config(memory=allocation(limit=64), changeVersion=version))
    assert (silver.name, silver.config.memoryAllocation.limit) == ("bronze", 64)
    with fault(vim.fault.ConcurrentAccess):
        silver.UpdateConfig(None, config(changeVersion=version))

    with fault(vmodl.fault.InvalidArgument, "into itself"):
        lead.MoveIntoResourcePool([gold])
    silver.MoveIntoResourcePool([lead])
    assert (lead.parent, names(gold.resourcePool)) == (silver, [])
    client.pool.UpdateChildResourceConfiguration(
        [config(entity=gold, cpu=allocation(shares=123, level="custom"))])
    assert gold.config.cpuAllocation.shares.shares == 123
    client.wait(silver.Destroy_Task())
    assert lead.parent == client.pool
    client.pool.DestroyChildren()
    assert not client.pool.resourcePool
    with fault(vmodl.fault.ManagedObjectNotFound):
        lead.name


def test_pools_and_who_is_in_them_survive_the_daemon(client, host, make_pool, make_vm):
    outer = make_pool("outer", cpu=allocation(50, expandable=True))
    inner = make_pool("inner", outer)
    vm = make_vm("pooled", bare=True)
    inner.MoveIntoResourcePool([vm])
    spec = machines.spec(client, "born-pooled")
    born = client.wait(outer.CreateChildVM_Task(spec, None))
    host.restart()
    again = Client(host)
    try:
        assert again.vm("pooled").resourcePool.name == "inner"
        [inner] = again.vm("born-pooled").resourcePool.resourcePool
        assert [held.name for held in inner.vm] == ["pooled"]
        assert inner.parent.config.cpuAllocation.reservation == 50
        # What a pool held is its parent's when it goes.
        again.wait(inner.Destroy_Task())
        assert again.vm("pooled").resourcePool.name == "outer"
        again.vm("pooled").MarkAsTemplate()
        assert again.vm("pooled").resourcePool is None
        again.vm("pooled").MarkAsVirtualMachine(again.pool.resourcePool[0], None)
        assert again.vm("pooled").resourcePool.name == "outer"
        path = again.vm("born-pooled").config.files.vmPathName
        again.vm("born-pooled").UnregisterVM()
        born = again.wait(again.pool.resourcePool[0].RegisterChildVM_Task(path, None, None))
        assert born.resourcePool.name == "outer"
        again.pool.DestroyChildren()
        assert born.resourcePool == again.pool
        machines.destroy(again, born)
    finally:
        again.logout()


def test_admission_refuses_what_is_not_there(client, make_pool, make_vm):
    pool = make_pool("small", cpu=allocation(300), memory=allocation(96))
    vms = [make_vm(name, bare=True) for name in ("first", "second")]
    for vm in vms:
        change(client, vm, cpuAllocation=vim.ResourceAllocationInfo(reservation=200),
               memoryAllocation=vim.ResourceAllocationInfo(reservation=48))
    pool.MoveIntoResourcePool(vms)
    first, second = vms
    client.wait(first.PowerOnVM_Task())
    assert pool.runtime.cpu.reservationUsedForVm == 200
    assert pool.runtime.memory.unreservedForVm == 48 << 20
    with fault(vim.fault.InsufficientCpuResourcesFault, "small") as raised:
        client.wait(second.PowerOnVM_Task())
    assert (raised.value.unreserved, raised.value.requested) == (100, 200)
    assert second.runtime.powerState == "poweredOff"

    change(client, second, cpuAllocation=vim.ResourceAllocationInfo(reservation=100))
    client.wait(second.PowerOnVM_Task())
    with fault(vim.fault.InsufficientMemoryResourcesFault) as raised:
        change(client, second, memoryAllocation=vim.ResourceAllocationInfo(reservation=64))
    assert (raised.value.unreserved, raised.value.requested) == (0, 16 << 20)
    assert second.config.memoryAllocation.reservation == 48
    with fault(vim.fault.InsufficientCpuResourcesFault):
        pool.UpdateConfig(None, config(cpu=allocation(299), memory=allocation(96)))

    # An expandable reservation takes from the pool above.
    pool.UpdateConfig(None, config(cpu=allocation(300), memory=allocation(96, expandable=True)))
    change(client, second, memoryAllocation=vim.ResourceAllocationInfo(reservation=64))
    assert pool.runtime.memory.reservationUsed == 112 << 20
    client.wait(first.PowerOffVM_Task())
    assert pool.runtime.cpu.reservationUsed == 100
    root = client.pool.runtime.cpu
    assert root.reservationUsed == 300
    with fault(vim.fault.InsufficientCpuResourcesFault, "Resources"):
        make_pool("too-much", cpu=allocation(root.unreservedForPool + 1))
