"""A program that backs a disk up as those for vSphere do: by what was changed since the last time."""

import pathlib
import subprocess
import tempfile

from pyVmomi import vim

from harness import images
from harness.snapshots import backing, take


def areas(vm, snapshot, key, change_id):
    """What QueryChangedDiskAreas tells of the whole disk, as (start, length)."""
    [disk] = [device for device in snapshot.config.hardware.device if device.key == key]
    found, at = [], 0
    while at < disk.capacityInBytes:
        info = vm.QueryChangedDiskAreas(snapshot, key, at, change_id)
        assert info.startOffset == at and info.length > 0
        found += [(area.start, area.length) for area in info.changedArea]
        at += info.length
    assert at == disk.capacityInBytes
    return found


def content(client, path):
    """Of a disk that a guest may have open below what it writes."""
    image, kind = images.Disk(client, path).image()
    with tempfile.NamedTemporaryFile() as raw:
        subprocess.run(["qemu-img", "convert", "-U", "-f", kind, "-O", "raw", image, raw.name],
                       check=True)
        return pathlib.Path(raw.name).read_bytes()


class Backup:
    """Of the disk at `unit` of the first SCSI controller."""

    def __init__(self, unit=1):
        self.unit, self.key = unit, 2000 + unit
        self.data, self.change_id = bytearray(), None

    def of(self, client, vm, snapshot):
        """Brought up to date with the snapshot, and held against what it holds. Returns how many
        bytes were read; None when it had to begin anew."""
        disk = backing(snapshot, self.unit)
        there = content(client, disk.fileName)
        changed = None
        if self.change_id:
            try:
                changed = areas(vm, snapshot, self.key, self.change_id)
            except vim.fault.FileFault:
                pass
        anew = changed is None
        if anew:
            changed = areas(vm, snapshot, self.key, "*")
            self.data = bytearray(len(there))
        for start, length in changed:
            self.data[start:start + length] = there[start:start + length]
        wrong = [at for at in range(0, len(there), 65536)
                 if self.data[at:at + 65536] != there[at:at + 65536]]
        assert not wrong, f"not backed up at {wrong}, since {self.change_id}"
        self.change_id = disk.changeId
        return None if anew else sum(length for _, length in changed)

    def run(self, client, vm):
        """As of(), with a snapshot for the purpose."""
        snapshot = take(client, vm, "backup")
        done = self.of(client, vm, snapshot)
        client.wait(snapshot.RemoveSnapshot_Task(False, True))
        return done
