"""Speed and memory of the API over simulated VMs: reads, watchers, rates, memory."""
import argparse
import asyncio
import statistics
import time

from daemon import Daemon
from soap import Client, value

POOL = '<pool type="ResourcePool">ha-root-pool</pool>'


def filter_spec(path_sets):
    paths = "".join(f"<pathSet>{p}</pathSet>" for p in path_sets)
    return (f"<propSet><type>VirtualMachine</type><all>false</all>{paths}</propSet>"
            '<objectSet><obj type="Folder">ha-folder-vm</obj><skip>true</skip>'
            '<selectSet xsi:type="TraversalSpec"><type>Folder</type><path>childEntity</path>'
            "<skip>false</skip></selectSet></objectSet>")


async def create_vms(daemon, count, clients=8):
    numbers = iter(range(count))

    async def worker():
        client = await Client(daemon.port, daemon.ca).connect()
        await client.login(daemon.password)
        for number in numbers:
            await client.call("Folder", "ha-folder-vm", "CreateVM_Task",
                              f"<config><name>vm{number:05}</name><guestId>debian11_64Guest</guestId>"
                              "<files><vmPathName>[datastore1]</vmPathName></files>"
                              f"<numCPUs>1</numCPUs><memoryMB>128</memoryMB></config>{POOL}")
        client.close()
    await asyncio.gather(*(worker() for _ in range(clients)))
    client = await Client(daemon.port, daemon.ca).connect()
    await client.login(daemon.password)
    while True:
        body = await client.call("PropertyCollector", "ha-property-collector", "RetrieveProperties",
                                 f"<specSet>{filter_spec(['name'])}</specSet>")
        if body.count(b"<obj ") >= count:
            return client
        await asyncio.sleep(0.2)


async def reads(daemon, options):
    client = await create_vms(daemon, options.vms)
    body = f"<specSet>{filter_spec(['name', 'runtime.powerState', 'summary'])}</specSet><options/>"
    latencies, size = [], 0
    cpu = daemon.cpu_seconds()
    for _ in range(5):
        start = time.perf_counter()
        answer = await client.call("PropertyCollector", "ha-property-collector",
                                   "RetrievePropertiesEx", body)
        latencies.append(time.perf_counter() - start)
        size = len(answer)
    print(f"reads: {options.vms} VMs, {size / 1e6:.1f} MB, server CPU "
          f"{(daemon.cpu_seconds() - cpu) / 5:.3f} s, latency median {statistics.median(latencies):.3f} s")


async def watchers(daemon, options):
    client = await create_vms(daemon, 10)
    waiting = []
    for _ in range(options.watchers):
        watcher = await Client(daemon.port, daemon.ca).connect()
        waiting.append(watcher)
        watcher.cookie = ""
        ticket = value(await client.call("SessionManager", "ha-sessionmgr", "AcquireCloneTicket"))
        await watcher.call("SessionManager", "ha-sessionmgr", "CloneSession",
                           f"<cloneTicket>{ticket}</cloneTicket>")
        await watcher.call("PropertyCollector", "ha-property-collector", "CreateFilter",
                           f"<spec>{filter_spec(['name', 'config.annotation'])}</spec>"
                           "<partialUpdates>true</partialUpdates>")
        version = value(await watcher.call("PropertyCollector", "ha-property-collector",
                                           "WaitForUpdatesEx", "<version></version>"), "version")
        await watcher.send("PropertyCollector", "ha-property-collector", "WaitForUpdatesEx",
                           f"<version>{version}</version>")
    idle = daemon.cpu_seconds()
    await asyncio.sleep(5)
    print(f"watchers: {options.watchers} waiting cost {daemon.cpu_seconds() - idle:.2f} s of CPU in 5 s")
    vm = (await client.call("SearchIndex", "ha-searchindex", "FindByInventoryPath",
                            "<inventoryPath>ha-datacenter/vm/vm00000</inventoryPath>"))
    cpu, times = daemon.cpu_seconds(), []

    async def wait(watcher, start):
        await watcher.receive()
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    pending = [asyncio.create_task(wait(w, start)) for w in waiting]
    await client.call("VirtualMachine", value(vm), "ReconfigVM_Task",
                      "<spec><annotation>changed</annotation></spec>")
    await asyncio.gather(*pending)
    times.sort()
    print(f"watchers: one change reached the first in {times[0] * 1e3:.1f} ms, all "
          f"{len(times)} in {times[-1] * 1e3:.1f} ms, server CPU {daemon.cpu_seconds() - cpu:.3f} s "
          "(times include this client's own reading)")


async def timed(name, clients, operation, seconds=3):
    done = 0
    end = time.perf_counter() + seconds

    async def worker(i):
        nonlocal done
        while time.perf_counter() < end:
            await operation(i)
            done += 1
    start = time.perf_counter()
    await asyncio.gather(*(worker(i) for i in range(clients)))
    print(f"rates: {name}, {clients} clients: {done / (time.perf_counter() - start):.0f}/s")


async def rates(daemon, options):
    first = await create_vms(daemon, 16)
    refs = [value(await first.call("SearchIndex", "ha-searchindex", "FindByInventoryPath",
                                   f"<inventoryPath>ha-datacenter/vm/vm{i:05}</inventoryPath>"))
            for i in range(16)]
    sessions = []
    for _ in range(16):
        client = await Client(daemon.port, daemon.ca).connect()
        await client.login(daemon.password)
        sessions.append(client)

    async def login(_):
        client = await Client(daemon.port, daemon.ca).connect()
        await client.login(daemon.password)
        await client.call("SessionManager", "ha-sessionmgr", "Logout")
        client.close()

    async def current_time(i):
        await sessions[i].call("ServiceInstance", "ServiceInstance", "CurrentTime")

    async def reconfigure(i):
        await sessions[i].call("VirtualMachine", refs[i], "ReconfigVM_Task",
                               f"<spec><annotation>{time.time()}</annotation></spec>")
    for clients in (1, 16):
        await timed("logins on new connections", clients, login)
        await timed("CurrentTime", clients, current_time)
        await timed("reconfigure", clients, reconfigure)


async def memory(daemon, options):
    before = daemon.resident_bytes()
    await create_vms(daemon, options.vms)
    grown = daemon.resident_bytes() - before
    print(f"memory: {grown / options.vms / 1024:.1f} KiB a VM ({options.vms} VMs, "
          f"{daemon.resident_bytes() / 2**20:.0f} MiB in all)")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    benchmarks = {f.__name__: f for f in (reads, watchers, rates, memory)}
    parser.add_argument("benchmark", choices=benchmarks)
    parser.add_argument("--vms", type=int, default=10_000)
    parser.add_argument("--watchers", type=int, default=1_000)
    options = parser.parse_args()
    daemon = Daemon("--simulate")
    try:
        asyncio.run(benchmarks[options.benchmark](daemon, options))
    finally:
        daemon.stop()


if __name__ == "__main__":
    main()
