"""Speed and memory of the API over simulated VMs: reads, watchers, rates, memory, growth."""
import argparse
import asyncio
import select
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


def new_vm(name):
    return (f"<config><name>{name}</name><guestId>debian11_64Guest</guestId>"
            "<files><vmPathName>[datastore1]</vmPathName></files>"
            f"<numCPUs>1</numCPUs><memoryMB>128</memoryMB></config>{POOL}")


async def create_vms(daemon, count, clients=8):
    numbers = iter(range(count))

    async def worker():
        client = await Client(daemon.port, daemon.ca).connect()
        await client.login(daemon.password)
        for number in numbers:
            await client.call("Folder", "ha-folder-vm", "CreateVM_Task", new_vm(f"vm{number:05}"))
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
    poll = select.epoll()
    for watcher in waiting:
        poll.register(watcher.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
    cpu, times = daemon.cpu_seconds(), []
    # When the answers arrive, not when this client comes to read them: nothing is awaited until all
    # are there.
    start = time.perf_counter()
    await client.send("VirtualMachine", value(vm), "ReconfigVM_Task",
                      "<spec><annotation>changed</annotation></spec>")
    while len(times) < len(waiting):
        arrived = poll.poll(maxevents=len(waiting))
        times += [time.perf_counter() - start] * len(arrived)
    cpu = daemon.cpu_seconds() - cpu
    for watcher in waiting:
        assert b">changed<" in await watcher.receive()
    print(f"watchers: one change reached the first after {times[0] * 1e3:.1f} ms, half after "
          f"{statistics.median(times) * 1e3:.1f} ms, all {len(times)} after {times[-1] * 1e3:.1f} ms; "
          f"server CPU {cpu:.3f} s")


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
        task = await sessions[i].call("VirtualMachine", refs[i], "ReconfigVM_Task",
                                      f"<spec><annotation>{time.time()}</annotation></spec>")
        await sessions[i].wait(value(task))
    for clients in (1, 16):
        await timed("logins on new connections", clients, login)
        await timed("CurrentTime", clients, current_time)
        await timed("reconfigure until its task succeeded", clients, reconfigure)


async def memory(daemon, options):
    before = daemon.resident_bytes()
    await create_vms(daemon, options.vms)
    grown = daemon.resident_bytes() - before
    print(f"memory: {grown / options.vms / 1024:.1f} KiB a VM ({options.vms} VMs, "
          f"{daemon.resident_bytes() / 2**20:.0f} MiB in all)")


async def growth(daemon, options):
    """What a long life costs: VMs come, run and go, each in a session of its own."""
    numbers = iter(range(options.cycles))
    done = 0

    async def task(client, type_, moid, method, body=""):
        await client.wait(value(await client.call(type_, moid, method, body)))

    async def cycle(name):
        client = await Client(daemon.port, daemon.ca).connect()
        await client.login(daemon.password)
        await task(client, "Folder", "ha-folder-vm", "CreateVM_Task", new_vm(name))
        vm = value(await client.call("SearchIndex", "ha-searchindex", "FindByInventoryPath",
                                     f"<inventoryPath>ha-datacenter/vm/{name}</inventoryPath>"))
        await task(client, "VirtualMachine", vm, "PowerOnVM_Task")
        await task(client, "VirtualMachine", vm, "ReconfigVM_Task",
                   f"<spec><annotation>{name}</annotation></spec>")
        await client.call("PropertyCollector", "ha-property-collector", "RetrieveProperties",
                          f"<specSet>{filter_spec(['name', 'summary', 'config'])}</specSet>")
        await task(client, "VirtualMachine", vm, "PowerOffVM_Task")
        await task(client, "VirtualMachine", vm, "Destroy_Task")
        await client.call("SessionManager", "ha-sessionmgr", "Logout")
        client.close()

    def tell():
        print(f"growth: {done:6} cycles ({done * 5} tasks): {daemon.resident_bytes() / 2**20:.1f} MiB "
              f"resident, {daemon.descriptors()} descriptors, database "
              f"{daemon.database_bytes() / 2**20:.1f} MiB", flush=True)

    async def worker():
        nonlocal done
        for number in numbers:
            await cycle(f"vm{number:05}")
            done += 1
            if done % (options.cycles // 10) == 0:
                tell()
    tell()
    await asyncio.gather(*(worker() for _ in range(8)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    benchmarks = {f.__name__: f for f in (reads, watchers, rates, memory, growth)}
    parser.add_argument("benchmark", choices=benchmarks)
    parser.add_argument("--vms", type=int, default=10_000)
    parser.add_argument("--watchers", type=int, default=1_000)
    parser.add_argument("--cycles", type=int, default=4_000)
    options = parser.parse_args()
    daemon = Daemon("--simulate")
    try:
        asyncio.run(benchmarks[options.benchmark](daemon, options))
    finally:
        daemon.stop()


if __name__ == "__main__":
    main()
