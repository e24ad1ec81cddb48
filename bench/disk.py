"""A disk's throughput in a guest of the host, against the same guest in a QEMU started bare.

Both guests boot from a copy of one image and work on a copy of one file each, in one folder; the bare
QEMU has the command line anybody would write. They take turns, and the guests time themselves.
"""
import argparse
import contextlib
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

import websocket

from own_host import own_host
from harness import machines, qemu
from harness.client import Client
from harness.console import Console

MIB = 1 << 20
# What is done, the command that does it, and the bytes of a request.
WORK = {
    "write, 1 MiB": ("dd if=/dev/zero of={disk} bs=1M count={count} oflag=direct conv=fsync", MIB),
    "read, 1 MiB": ("dd if={disk} of=/dev/null bs=1M count={count} iflag=direct", MIB),
    "write, 4 KiB": ("dd if=/dev/zero of={disk} bs=4k count={count} oflag=direct", 4096),
    "read, 4 KiB": ("dd if={disk} of=/dev/null bs=4k count={count} iflag=direct", 4096),
}


class SerialSocket:
    """A serial port's Unix socket in the place of the host's WebSocket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))

    def send(self, text):
        self.socket.sendall(text.encode())

    def recv(self):
        try:
            return self.socket.recv(65536)
        except TimeoutError as error:
            raise websocket.WebSocketTimeoutException() from error

    def settimeout(self, seconds):
        self.socket.settimeout(seconds)

    def close(self):
        self.socket.close()


@contextlib.contextmanager
def bare_guest(system, disk, folder):
    """The console of a guest in a QEMU with these two images, and the process."""
    serial = folder / "serial"
    drives = [word for number, image in enumerate((system, disk)) for word in (
        "-drive", f"file={image},format=raw,if=none,id=drive{number}",
        "-device", f"scsi-hd,drive=drive{number},bus=scsi.0,scsi-id={number}")]
    process = subprocess.Popen(
        ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg",
         "-cpu", "max,la57=off", "-m", str(machines.GUEST_MEMORY_MIB), "-device", "pvscsi,id=scsi",
         *drives, "-serial", f"unix:{serial},server=on,wait=on"], start_new_session=True)
    try:
        console = Console.__new__(Console)
        while not serial.exists():
            time.sleep(0.01)
        console.socket, console.text, console.read_to = SerialSocket(serial), "", 0
        console.booted()
        yield console, process.pid
    finally:
        process.kill()
        process.wait()


def disk_of_size(console, size):
    """Guests name their disks in the order in which they happen to find them."""
    return console.output(f"grep -lx {size // 512} /sys/block/sd*/size | cut -d/ -f4").strip()


def processor_seconds(process):
    """What all threads of a QEMU have used."""
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{process}/task").iterdir()) / 1e9


def measure_work(console, process, command, request, count):
    """MB/s by the guest's clock, and the processor's microseconds for each request."""
    used = processor_seconds(process)
    output = console.output(f"cat /proc/uptime; {command} 2>/dev/null; cat /proc/uptime", seconds=600)
    used = processor_seconds(process) - used
    begin, end = (float(up) for up in re.findall(r"^([\d.]+) [\d.]+$", output, re.M))
    return request * count / 1e6 / (end - begin), used * 1e6 / count


def report(runs):
    for number, unit in enumerate(("MB/s", "us of the processor")):
        print(f"disk: {unit + ', median of ' + str(len(runs)) + ' rounds':40}{'virga':>9}{'bare':>9}"
              f"{'ratio':>9}")
        for what in WORK:
            pairs = [[side[number] for side in run[what]] for run in runs]
            served, bare = (statistics.median(side) for side in zip(*pairs))
            ratio = statistics.median(ours / theirs for ours, theirs in pairs)
            print(f"disk: {what:40}{served:9.1f}{bare:9.1f}{ratio:9.3f}")


def measure(client, rounds, mib, folder):
    disk = machines.disk(machines.SCSI_KEY, 1, client.path("images/work.vmdk"), mib=mib, thin=False)
    vm = machines.deploy(client, "bench", extra=[disk])
    images = pathlib.Path(client.datastore.info.path) / "images"
    system, work = images / "bare-system", images / "bare-work"
    shutil.copy(images / "bench-flat.vmdk", system)
    with open(work, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, mib * MIB)
    client.wait(vm.PowerOnVM_Task())
    served = Console(client, vm)
    served.booted()
    with bare_guest(system, work, folder) as bare:
        sides = (served, qemu.of(vm).pid), bare
        disks = [f"/dev/{disk_of_size(console, mib * MIB)}" for console, _ in sides]
        runs = []
        for number in range(rounds + 1):
            run = {}
            for what, (command, request) in WORK.items():
                count = mib if request == MIB else mib * MIB // 16 // request
                run[what] = [None, None]
                for side in (0, 1) if number % 2 else (1, 0):
                    run[what][side] = measure_work(*sides[side], command.format(
                        disk=disks[side], count=count), request, count)
            print(f"disk: round {number}: " + ", ".join(
                f"{what} {ours[0]:.1f}/{theirs[0]:.1f}" for what, (ours, theirs) in run.items()),
                file=sys.stderr)
            if number:    # round 0 writes every block for the first time
                runs.append(run)
    report(runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=128)
    options = parser.parse_args()
    with own_host() as host:
        folder = host.directory / "bare"
        folder.mkdir()
        measure(Client(host), options.rounds, options.mib, folder)


if __name__ == "__main__":
    main()
