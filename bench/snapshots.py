"""What snapshots, merges and suspending cost a guest and its user.

Stun: a program in the guest writes to its serial port without end; the longest time in which nothing
came is how long the guest stood still. Its own clock cannot tell, for it stands still too. The same
is measured while nothing happens, and that is what the guest stands still of itself.
"""
import argparse
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import threading
import time

from own_host import own_host
from harness import machines
from harness.client import Client
from harness.console import Console
from harness.machines import controller, disk
from harness.snapshots import take

MIB = 1 << 20
USERFAULTFD = pathlib.Path("/proc/sys/vm/unprivileged_userfaultfd")


def report(what, values, unit):
    print(f"snapshots: {what:46}" + "".join(f"{x:10.3f}" for x in (
        min(values), statistics.median(values), max(values))) + f"  {unit}")


def timed(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class Ticker:
    """Hears a guest that talks all the time."""

    SCRIPT = "while [ ! -e /run/quiet ]; do echo tick; done &\n"

    def __init__(self, serial):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(serial))
        self.socket.sendall(self.SCRIPT.encode())
        self.longest, self.ended = 0, False
        self.thread = threading.Thread(target=self.hear, daemon=True)
        self.thread.start()

    def hear(self):
        last = time.perf_counter()
        while not self.ended and self.socket.recv(65536):
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now

    def longest_gap(self, action):
        """Milliseconds, from now until a moment after the action."""
        time.sleep(0.2)
        self.longest = 0
        action()
        time.sleep(0.2)
        return self.longest * 1000

    def close(self):
        self.ended = True
        self.socket.close()


def stun(client, vm, serial, rounds):
    ticker = Ticker(serial)
    gaps = {}

    def measure(what, action):
        gaps.setdefault(what, []).append(ticker.longest_gap(action))

    for _ in range(rounds):
        measure("nothing happens", lambda: time.sleep(1))
        measure("a snapshot of its disks", lambda: take(client, vm, "disks"))
        measure("merging what it writes", lambda: client.wait(vm.RemoveAllSnapshots_Task(None)))
        for allowed, how in (("1", "with userfaultfd"), ("0", "without userfaultfd")):
            USERFAULTFD.write_text(allowed)
            measure(f"a snapshot of its memory {how}",
                    lambda: take(client, vm, "memory", memory=True))
            client.wait(vm.RemoveAllSnapshots_Task(None))
    ticker.close()
    for what, values in gaps.items():
        report("longest gap, " + what, values, "ms")


def suspend(client, vm, folder, rounds):
    """Against a program that does nothing but write as many bytes, and read them."""
    times = {"suspend": [], "resume": [], "write": [], "read": []}
    state, plain = folder / "bench.vmss", folder / "plain"
    for _ in range(rounds):
        seconds = timed(lambda: client.wait(vm.SuspendVM_Task()))
        gib = state.stat().st_size / 1024**3
        times["suspend"].append(seconds / gib)
        times["write"].append(timed(lambda: run(
            "dd", f"if={state}", f"of={plain}", "bs=1M", "conv=fsync")) / gib)
        times["read"].append(timed(lambda: run("dd", f"if={plain}", "of=/dev/null", "bs=1M")) / gib)
        times["resume"].append(timed(lambda: client.wait(vm.PowerOnVM_Task())) / gib)
        plain.unlink()
    for what, peer in (("suspend", "write"), ("resume", "read")):
        report(f"{what}, of what it saved", times[what], "s/GiB")
        report(f"dd, {peer} of as much", times[peer], "s/GiB")
        report("  ratio, round by round", ratios(times[what], times[peer]), "")


def merge(client, folder, mib, rounds):
    """A VM that is off, against qemu-img commit on a copy of its files."""
    vm = machines.create(client, machines.spec(client, "merged", [
        controller("pvscsi"), disk(1000, 0, "", mib=mib)]))
    place = folder.parent / "merged"
    speeds = {"API": [], "qemu-img": []}
    for _ in range(rounds):
        take(client, vm, "below")
        [delta] = place.glob("*-delta.vmdk")
        run("qemu-io", "-f", "qcow2", "-c", f"write -P 7 0 {mib}M", delta)
        copy = folder.parent / "copy"
        shutil.copytree(place, copy)
        os.sync()
        speeds["qemu-img"].append(mib / timed(lambda: run(
            "qemu-img", "commit", "-q", "-f", "qcow2", copy / delta.name)))
        shutil.rmtree(copy)
        speeds["API"].append(mib / timed(lambda: client.wait(vm.RemoveAllSnapshots_Task(None))))
    report(f"merge of {mib} MiB by the API", speeds["API"], "MiB/s")
    report("qemu-img commit of the same chain", speeds["qemu-img"], "MiB/s")
    report("  ratio, round by round", ratios(speeds["API"], speeds["qemu-img"]), "")
    machines.destroy(client, vm)


def ratios(ones, others):
    return [one / other for one, other in zip(ones, others)]


def run(*words):
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


def measure(host, client, options):
    print(f"snapshots: {'of ' + str(options.rounds) + ' rounds':46}"
          + "".join(f"{x:>10}" for x in ("min", "median", "max")))
    vm = machines.deploy(client, "bench", nics=[], memory_mib=options.memory)
    folder = host.state / client.datastore.name / "bench"
    merge(client, folder, options.disk, options.rounds)
    client.wait(vm.PowerOnVM_Task())
    console = Console(client, vm)
    console.booted()
    # Memory that is not all zeros.
    console.output(f"dd if=/dev/urandom of=/run/full bs=1M count={options.memory // 3}")
    console.close()
    suspend(client, vm, folder, options.rounds)
    uuid = client.host_system.hardware.systemInfo.uuid
    [serial] = (pathlib.Path("/run/virga") / uuid[:8]).glob("vm/*/serial*.sock")
    stun(client, vm, serial, options.rounds)
    machines.destroy(client, vm)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, default=512, help="MiB of the guest")
    parser.add_argument("--disk", type=int, default=512, help="MiB that are merged")
    options = parser.parse_args()
    allowed = USERFAULTFD.read_text()
    try:
        with own_host() as host:
            measure(host, Client(host), options)
    finally:
        USERFAULTFD.write_text(allowed)


if __name__ == "__main__":
    main()
