"""A VM's disks as files of the host: what a guest would read, without one."""

import pathlib
import re
import subprocess
import tempfile

MIB = 1 << 20


class Disk:
    """The content of a virtual disk and of all it is a delta of; nothing may have it open."""

    def __init__(self, client, path):
        """`path`: "[ds] folder/name.vmdk"."""
        store, relative = re.fullmatch(r"\[(.*)\] (.*)", path).groups()
        [datastore] = [ds for ds in client.datacenter.datastore if ds.name == store]
        self.descriptor = pathlib.Path(datastore.info.path) / relative

    def image(self):
        """The file the content lies in, and its format."""
        extent = re.search(r'^RW \d+ (\w+) "(.*)"', self.descriptor.read_text(), re.M)
        return (self.descriptor.parent / extent[2], {"VMFS": "raw", "QCOW2": "qcow2"}[extent[1]])

    def write(self, at, letter, length=65536):
        """Fills bytes from `at` with a letter."""
        path, kind = self.image()
        run("qemu-io", "-f", kind, "-c", f"write -P {ord(letter)} {at} {length}", path)

    def read(self):
        """All of it."""
        path, kind = self.image()
        with tempfile.NamedTemporaryFile() as raw:
            run("qemu-img", "convert", "-f", kind, "-O", "raw", path, raw.name)
            return pathlib.Path(raw.name).read_bytes()

    def check(self):
        """Every image of the chain is sound and below it lies what its descriptor says."""
        text = self.descriptor.read_text()
        parent = re.search(r'^parentFileNameHint="(.*)"', text, re.M)
        if not parent:
            return 1
        path, kind = self.image()
        run("qemu-img", "check", "-q", "-f", kind, path)
        below = Disk.__new__(Disk)
        below.descriptor = self.descriptor.parent / parent[1]
        backing = run("qemu-img", "info", path)
        assert f"backing file: {below.image()[0].name} " in backing, backing
        return 1 + below.check()


def run(*words):
    done = subprocess.run(list(map(str, words)), text=True, capture_output=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout
