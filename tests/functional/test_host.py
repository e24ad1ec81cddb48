"""The host itself: the real machine's hardware, its counters and options."""

import datetime
import os
import pathlib
import re
import time

import pytest
import requests
from pyVmomi import vim, vmodl

from harness.client import fault


def test_the_hardware_is_the_machines_own(client):
    hardware = client.host_system.hardware
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    assert hardware.cpuInfo.numCpuThreads == os.cpu_count()
    assert hardware.cpuPkg[0].description == re.search(r"model name\s*: (.*)", cpu)[1]
    memory = re.search(r"MemTotal:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    assert hardware.memorySize == int(memory[1]) * 1024
    assert client.host_system.summary.hardware.memorySize == hardware.memorySize
    assert client.host_system.runtime.connectionState == "connected"


def test_the_host_stands_in_the_inventory(client):
    assert client.content.rootFolder.name == "ha-folder-root"
    assert isinstance(client.datacenter, vim.Datacenter)
    assert client.host_system.parent._moId == client.compute_resource._moId
    assert client.pool.owner._moId == client.compute_resource._moId


def test_quick_statistics_are_real(client, guest):
    stats = client.wait_for(client.host_system, "summary.quickStats",
                            lambda stats: stats.overallMemoryUsage is not None)
    assert 0 < stats.overallMemoryUsage <= client.host_system.hardware.memorySize >> 20
    stats = client.wait_for(guest.vm, "summary.quickStats", lambda stats: stats.hostMemoryUsage)
    assert 0 < stats.hostMemoryUsage <= client.host_system.hardware.memorySize >> 20
    assert 0 < stats.guestMemoryUsage <= guest.vm.config.hardware.memoryMB


@pytest.fixture
def counters(client):
    """Counter ids by `group.name.rollup`."""
    return {f"{info.groupInfo.key}.{info.nameInfo.key}.{info.rollupType}": info.key
            for info in client.content.perfManager.perfCounter}


def query(client, entity, counter):
    manager = client.content.perfManager
    provider = manager.QueryPerfProviderSummary(entity)
    assert provider.currentSupported
    [sampled] = manager.QueryPerf([vim.PerformanceManager.QuerySpec(
        entity=entity, intervalId=provider.refreshRate, maxSample=1,
        metricId=[vim.PerformanceManager.MetricId(counterId=counter, instance="")])])
    return sampled


def test_a_busy_guest_shows_in_the_counters(client, guest, counters):
    usage = counters["cpu.usage.average"]

    def available():
        metrics = client.content.perfManager.QueryAvailablePerfMetric(guest.vm, None, None, 20)
        return usage in {metric.counterId for metric in metrics}

    _eventually(available)
    guest.console.output("(while :; do :; done) & echo $! >/run/busy")
    try:
        def busy():
            sampled = query(client, guest.vm, usage)
            return bool(sampled.value and sampled.value[0].value
                        and sampled.value[0].value[-1] > 2000)   # hundredths of a percent
        _eventually(busy)
    finally:
        guest.console.output("kill $(cat /run/busy)")


def _eventually(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1)


def test_host_counters_are_served(client, counters):
    for name in ("cpu.usage.average", "mem.usage.average", "net.usage.average",
                 "disk.usage.average"):
        assert name in counters, name
    _eventually(lambda: query(client, client.host_system,
                              counters["mem.usage.average"]).sampleInfo)


def test_options_are_read_and_written(client):
    options = client.host_system.configManager.advancedOption
    every = options.QueryOptions(None)
    assert every
    chosen = next(option for option in every if isinstance(option.value, int)
                  and not isinstance(option.value, bool))
    [one] = options.QueryOptions(chosen.key)
    assert one.value == chosen.value
    try:
        options.UpdateOptions([vim.option.OptionValue(key=one.key, value=one.value + 1)])
        [changed] = options.QueryOptions(one.key)
        assert changed.value == one.value + 1
    finally:
        options.UpdateOptions([one])
    with fault(vim.fault.InvalidName):
        options.QueryOptions("No.Such.Option")


def power_off_all(client):
    for vm in client.datacenter.vmFolder.childEntity:
        if vm.runtime.powerState == "poweredOn":
            client.wait(vm.PowerOffVM_Task())


def test_maintenance_mode_starts_no_guests(client, make_vm):
    vm = make_vm("maintained", bare=True)
    power_off_all(client)
    client.wait(client.host_system.EnterMaintenanceMode_Task(0, False, None))
    try:
        assert client.host_system.runtime.inMaintenanceMode
        with fault(vim.fault.InvalidState):
            client.wait(vm.PowerOnVM_Task())
    finally:
        client.wait(client.host_system.ExitMaintenanceMode_Task(0))
    client.wait(vm.PowerOnVM_Task())


def test_maintenance_mode_waits_for_guests(client, make_vm):
    running, other = make_vm("awaited", bare=True), make_vm("held-back", bare=True)
    power_off_all(client)
    client.wait(running.PowerOnVM_Task())
    with fault(vim.fault.Timedout, "awaited"):
        client.wait(client.host_system.EnterMaintenanceMode_Task(1, False, None))
    task = client.host_system.EnterMaintenanceMode_Task(0, False, None)
    with fault(vim.fault.InvalidState):
        client.wait(other.PowerOnVM_Task())
    task.CancelTask()
    with fault(vmodl.fault.RequestCanceled):
        client.wait(task)
    client.wait(other.PowerOnVM_Task())

    task = client.host_system.EnterMaintenanceMode_Task(0, False, None)
    power_off_all(client)
    client.wait(task)
    assert client.host_system.runtime.inMaintenanceMode
    client.wait(client.host_system.ExitMaintenanceMode_Task(0))


def test_metrics_are_told_to_prometheus(host, client):
    answer = requests.get(f"{host.url}/metrics", verify=host.ca, timeout=10,
                          headers={"Cookie": client.cookie})
    assert answer.status_code == 200
    assert re.search(r"^# TYPE virga_\w+ (counter|gauge|histogram|summary)$", answer.text, re.M)


def test_the_clock_is_right(client):
    now = datetime.datetime.now(datetime.timezone.utc)
    assert abs(client.instance.CurrentTime() - now) < datetime.timedelta(seconds=5)
