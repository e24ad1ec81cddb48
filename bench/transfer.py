"""What ExportVm sends and ImportVApp receives a second, against qemu-img convert of the same disk.

Half of the disk is written, half of that compresses well; the rest are holes. Both sides take
turns, and write what comes to a file.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import time

from own_host import own_host
from pyVmomi import vim
from harness import leases, machines
from harness.client import Client
from harness.machines import controller, disk

MIB = 1 << 20


def report(what, values, unit):
    print(f"transfer: {what:43}" + "".join(f"{x:10.2f}" for x in (
        min(values), statistics.median(values), max(values))) + f"  {unit}")


def timed(action):
    os.sync()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def convert(source, target, kind, *options):
    subprocess.run(["qemu-img", "convert", "-O", kind, *options, source, target], check=True)
    with open(target, "rb") as opened:
        os.fsync(opened.fileno())


def curl(client, device, *options):
    """Requests spends more on a megabyte than the host does."""
    subprocess.run(["curl", "-sSf", "--cacert", client.host.ca, *options,
                    leases.url(client, device)], check=True)


def send(client, vm, file):
    lease = vm.ExportVm()
    [device] = leases.ready(client, lease).deviceUrl
    curl(client, device, "-o", file)
    lease.HttpNfcLeaseComplete()


def receive(client, mib, file):
    config = machines.spec(client, "received", [
        controller("pvscsi"), disk(1000, 0, client.path(""), mib=mib)])
    lease = client.pool.ImportVApp(vim.vm.VmImportSpec(configSpec=config))
    [device] = leases.ready(client, lease).deviceUrl
    curl(client, device, "-T", file)
    lease.HttpNfcLeaseComplete()


def peak_memory(host):
    """Of the daemon, MiB."""
    status = pathlib.Path(f"/proc/{host.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(host, client, options):
    print(f"transfer: {'of ' + str(options.rounds) + ' rounds':43}"
          + "".join(f"{x:>10}" for x in ("min", "median", "max")))
    vm = machines.create(client, machines.spec(client, "source", [
        controller("pvscsi"), disk(1000, 0, "", mib=2 * options.mib)]))
    flat = host.state / client.datastore.name / "source/source-flat.vmdk"
    text = b"".join(b"line %d of what compresses well\n" % i for i in range(40_000))[:MIB]
    with open(flat, "r+b") as file:
        for i in range(options.mib):
            file.write(os.urandom(MIB) if i % 2 else text)
    stream, theirs, raw = (host.state / name for name in ("ours.vmdk", "theirs.vmdk", "raw"))
    speeds = {what: [] for what in ("export", "import", "qemu out", "qemu in")}
    for _ in range(options.rounds):
        speeds["qemu out"].append(options.mib / timed(
            lambda: convert(flat, theirs, "vmdk", "-o", "subformat=streamOptimized")))
        speeds["export"].append(options.mib / timed(lambda: send(client, vm, stream)))
        speeds["qemu in"].append(options.mib / timed(lambda: convert(stream, raw, "raw")))
        speeds["import"].append(options.mib / timed(
            lambda: receive(client, 2 * options.mib, stream)))
        machines.destroy(client, client.vm("received"))
        theirs.unlink()
        raw.unlink()
    for ours, other, name in (("export", "qemu out", "ExportVm"),
                              ("import", "qemu in", "ImportVApp")):
        report(f"{name} of {options.mib} MiB", speeds[ours], "MiB/s")
        report("qemu-img convert of the same disk", speeds[other], "MiB/s")
        report("  ratio, round by round", [one / two for one, two in zip(
            speeds[ours], speeds[other])], "")
    report("the daemon's memory at its peak", [peak_memory(host)], "MiB")
    machines.destroy(client, vm)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=512, help="what is sent and received")
    options = parser.parse_args()
    with own_host() as host:
        measure(host, Client(host), options)


if __name__ == "__main__":
    main()
