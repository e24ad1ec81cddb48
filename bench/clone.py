"""What CloneVM_Task copies a second, against cp of the same files.

Half of the disk is written, the rest are holes; both sides leave the holes out. They take turns, and
what they made has reached the disk when the time is taken.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import time

from own_host import own_host
from pyVmomi import vim
from harness import machines
from harness.client import Client
from harness.machines import controller, disk


def report(what, values, unit):
    print(f"clone: {what:46}" + "".join(f"{x:10.2f}" for x in (
        min(values), statistics.median(values), max(values))) + f"  {unit}")


def timed(action):
    os.sync()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def copy_files(source, target):
    subprocess.run(["cp", "-r", "--reflink=auto", "--sparse=auto", source, target], check=True)
    for file in target.iterdir():
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())


def clone(client, vm):
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), template=False, powerOn=False)
    return client.wait(vm.CloneVM_Task(client.datacenter.vmFolder, "copy", spec), seconds=600)


def measure(host, client, options):
    print(f"clone: {'of ' + str(options.rounds) + ' rounds':46}"
          + "".join(f"{x:>10}" for x in ("min", "median", "max")))
    vm = machines.create(client, machines.spec(client, "source", [
        controller("pvscsi"), disk(1000, 0, "", mib=2 * options.mib)]))
    folder = host.state / client.datastore.name
    with open(folder / "source/source-flat.vmdk", "r+b") as flat:
        for _ in range(options.mib):
            flat.write(os.urandom(1 << 20))
    for state in ("powered off", "powered on"):
        if state == "powered on":
            client.wait(vm.PowerOnVM_Task())
        speeds = {"CloneVM_Task": [], "cp": []}
        for _ in range(options.rounds):
            speeds["cp"].append(options.mib / timed(
                lambda: copy_files(folder / "source", folder / "plain")))
            shutil.rmtree(folder / "plain")
            speeds["CloneVM_Task"].append(options.mib / timed(lambda: clone(client, vm)))
            machines.destroy(client, client.vm("copy"))
        report(f"CloneVM_Task of {options.mib} MiB, {state}", speeds["CloneVM_Task"], "MiB/s")
        report("cp of the same files", speeds["cp"], "MiB/s")
        report("  ratio, round by round", [one / other for one, other in zip(
            speeds["CloneVM_Task"], speeds["cp"])], "")
    machines.destroy(client, vm)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=512, help="what is copied")
    options = parser.parse_args()
    with own_host() as host:
        measure(host, Client(host), options)


if __name__ == "__main__":
    main()
