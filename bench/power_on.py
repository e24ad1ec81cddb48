"""Power-on through the API, against the same QEMU command line started bare.

Both ends start from a machine that is off and are timed to the same two points: the guest's
processor runs (for the API: its task has succeeded), and the guest says on its serial port that it
is up. The bare side does the least anybody would: it makes the sockets and the tap beforehand,
executes QEMU with the arguments the host gave it and sends "cont".
"""
import argparse
import asyncio
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import struct
import sys
import time

import soap
from own_host import own_host
from harness import machines, qemu
from harness.client import Client

GUEST_IS_UP = b"virga-witness ready"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 0x2, 0x1000


class Bare:
    """A guest's command line, executed with a disk, sockets and a tap of our own."""

    def __init__(self, arguments, disk, folder):
        self.arguments, self.disk, self.folder = arguments, disk, folder
        self.pid = None

    async def power_on(self):
        """When QEMU was executed, when the processor ran, when the guest was up."""
        descriptors = dict(self.open(argument) for argument in self.arguments
                           if re.search(r"\bfd=\d+", argument))
        # Out of the way of the numbers that QEMU wants.
        above = {wanted: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
                 for wanted, fd in descriptors.items()}
        start = time.perf_counter()
        # In a session of its own, as the host's guests are: the scheduler shares the processors out
        # by session.
        self.pid = os.posix_spawnp(
            self.arguments[0], self.arguments, os.environ, setsid=True,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, wanted) for wanted, fd in above.items()])
        for fd in (*descriptors.values(), *above.values()):
            os.close(fd)
        await self.run_processor()
        running = time.perf_counter()
        await guest_is_up(self.folder / "serial")
        return {"running": running - start, "guest up": time.perf_counter() - start}

    def open(self, argument):
        """What stands behind the `fd=` of an argument, by its number."""
        number = int(re.search(r"\bfd=(\d+)", argument)[1])
        if match := re.search(r"\bset=(\d+)", argument):
            if any(f"/dev/fdset/{match[1]}" in other and "node-name" in other
                   for other in self.arguments):
                return number, os.open(self.disk, os.O_RDWR | os.O_CLOEXEC)
            log = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            return number, os.open(self.folder / "serial.log", log)
        if argument.startswith("tap,"):
            return number, open_tap()
        name = re.search(r"\bid=([a-z]+)", argument)[1]    # qmp, agent, serial-PORT-line
        return number, listen(self.folder / name)

    async def run_processor(self):
        reader, writer = await asyncio.open_unix_connection(self.folder / "qmp")
        await reader.readline()
        for command in ("qmp_capabilities", "cont"):
            writer.write(json.dumps({"execute": command}).encode())
            while "return" not in json.loads(await reader.readline()):
                pass
        writer.close()

    def power_off(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Served:
    """The same machine by the API, over a connection that is there already."""

    def __init__(self, connection, vm, run_directory):
        self.connection, self.vm, self.run_directory = connection, vm, run_directory

    async def power_on(self):
        start = time.perf_counter()
        task = soap.value(await self.connection.call("VirtualMachine", self.vm, "PowerOnVM_Task"))
        answered = time.perf_counter()
        await self.connection.wait(task)
        running = time.perf_counter()
        [serial] = self.run_directory.glob("vm/*/serial*.sock")
        await guest_is_up(serial)
        return {"answered": answered - start, "running": running - start,
                "guest up": time.perf_counter() - start}

    async def power_off(self):
        task = soap.value(await self.connection.call("VirtualMachine", self.vm, "PowerOffVM_Task"))
        await self.connection.wait(task)


async def guest_is_up(serial):
    reader, writer = await asyncio.open_unix_connection(serial)
    await reader.readuntil(GUEST_IS_UP)
    writer.close()


def listen(path):
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        return listener.detach()


def open_tap():
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"bench%d", IFF_TAP | IFF_NO_PI))
    return tap


def report(runs):
    """`runs`: of each round, the times of both."""
    def line(what, seconds):
        print(f"power-on: {what:34}" + "".join(f"{x:9.3f}" for x in (
            min(seconds), statistics.median(seconds), max(seconds))))

    print(f"power-on: {'seconds, of ' + str(len(runs)) + ' rounds':34}"
          + "".join(f"{x:>9}" for x in ("min", "median", "max")))
    line("API, call answered", [served["answered"] for served, _ in runs])
    for point, of_api in (("running", "API, task succeeded"), ("guest up", "API, guest up")):
        line(of_api, [served[point] for served, _ in runs])
        line(f"bare QEMU, {point}", [bare[point] for _, bare in runs])
        line("  ratio, round by round", [served[point] / bare[point] for served, bare in runs])


async def measure(host, client, rounds, folder):
    vm = machines.deploy(client, "bench")
    client.wait(vm.PowerOnVM_Task())
    arguments = [a for a in qemu.command_line(qemu.of(vm).pid) if a]
    client.wait(vm.PowerOffVM_Task())
    disk = folder / "disk"
    shutil.copy(host.state / client.datastore.name / "images/bench-flat.vmdk", disk)

    connection = await soap.Client(host.port, host.ca).connect()
    connection.cookie = f"Cookie: {client.cookie}\r\n"
    uuid = client.host_system.hardware.systemInfo.uuid
    served = Served(connection, vm._moId, pathlib.Path("/run/virga") / uuid[:8])
    bare = Bare(arguments, disk, folder)

    async def by_api():
        try:
            return await served.power_on()
        finally:
            await served.power_off()

    async def by_hand():
        try:
            return await bare.power_on()
        finally:
            bare.power_off()

    runs = []
    for number in range(rounds + 1):
        if number % 2:
            times = await by_api(), await by_hand()
        else:
            times = tuple(reversed((await by_hand(), await by_api())))
        print(f"power-on: round {number}: " + ", ".join(
            f"{side} {t['running']:.3f}/{t['guest up']:.3f} s"
            for side, t in zip(("API", "bare"), times)), file=sys.stderr)
        if number:    # round 0 warms the caches
            runs.append(times)
    report(runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with own_host() as host:
        folder = host.directory / "bare"
        folder.mkdir()
        asyncio.run(measure(host, Client(host), options.rounds, folder))


if __name__ == "__main__":
    main()
