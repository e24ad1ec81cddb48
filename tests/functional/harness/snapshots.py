"""What tests of snapshots have in common."""

import re

from pyVmomi import vim

from harness import images
from harness.console import Console, of_kind


def take(client, vm, name, memory=False, quiesce=False, description=""):
    return client.wait(vm.CreateSnapshot_Task(name, description, memory, quiesce))


def nodes(vm):
    """Every node of the tree by name."""
    found = {}

    def walk(branch):
        for node in branch:
            found[node.name] = node
            walk(node.childSnapshotList)

    walk(vm.snapshot.rootSnapshotList if vm.snapshot else [])
    return found


def backing(vm, unit=0):
    [found] = [device.backing for device in vm.config.hardware.device
               if isinstance(device, vim.vm.device.VirtualDisk) and device.unitNumber == unit]
    return found


def chain(vm, unit=0):
    """The names of the disk's files, the one written first."""
    names, at = [], backing(vm, unit)
    while at:
        names.append(at.fileName.rpartition("/")[2])
        at = at.parent
    return names


def files(client, vm):
    folder = vm.config.files.vmPathName.rpartition("/")[0]
    return {file.path for file in
            client.wait(client.datastore.browser.SearchDatastore_Task(folder, None)).file}


def find_data_disk(guest, unit=1, name="data"):
    """Gives the second disk, whichever the guest found first, the name /dev/data."""
    [disk] = [disk for disk in of_kind(guest.found, "disk")
              if disk["address"].endswith(f":{unit}:0")]
    guest.console.output(f"ln -s /dev/{disk.names[0]} /dev/{name}")
    return guest


def make_file_system(client, vm, unit=1):
    """On a disk of a VM that is off."""
    path, _ = images.Disk(client, backing(vm, unit).fileName).image()
    images.run("mkfs.ext4", "-q", "-F", "-b", "1024", path)


def mount(console, name="data", options=""):
    """The file system of /dev/NAME, at /run/NAME."""
    console.output("modprobe crc32c_generic; modprobe ext4; mkdir -p /run/" + name)
    console.output(f"mount -t ext4 {options} /dev/{name} /run/{name}")


class Writer:
    """A program in a guest that numbers the sectors of its second disk, over and over.

    Sector N of the first 1000 gets the numbers N, N + 1000, N + 2000, … Each is on the disk before it
    is told on the console and before the next is written.
    """

    SCRIPT = """cat >/run/writer <<'END'
i=$1
while [ ! -e /run/stop ]; do
  printf '%-511d\\n' $i | dd of=/dev/data bs=512 seek=$((i % 1000)) conv=fsync,notrunc 2>/dev/null
  echo "written $i."
  i=$((i + 1))
done
echo "stopped $i."
END
rm -f /run/stop; sh /run/writer {first} &"""

    def __init__(self, console, first=0):
        self.console = console
        console.socket.send(self.SCRIPT.replace("{first}", str(first)) + "\n")
        self.past(first)

    def past(self, number):
        """Waits until that number is written."""
        while True:
            told = self.console.read_until(r"written (\d+)\.\n")
            if int(told[1]) >= number:
                return

    def told(self):
        """The last number the console has told of, as far as it was read."""
        return int(re.findall(r"written (\d+)\.\n", self.console.text)[-1])

    def go_on(self, numbers=20):
        """Waits until so many more are written."""
        self.past(self.told() + numbers)

    def stop(self):
        """How many numbers were written."""
        self.console.socket.send("touch /run/stop\n")
        return int(self.console.read_until(r"stopped (\d+)\.\n")[1])


def written(console):
    """The numbers on the disk, by sector; read from the disk, not from memory."""
    console.output("echo 3 >/proc/sys/vm/drop_caches")
    text = console.output("dd if=/dev/data bs=512 count=1000 2>/dev/null | tr -d ' \\0'")
    return [int(number) for number in text.split()]


def expected(count):
    """What Writer has left once it has written `count` numbers."""
    return [max(range(n, count, 1000)) for n in range(min(1000, count))]


def reconnect(client, vm):
    """A console of a guest that was up already."""
    console = Console(client, vm)
    console.socket.send("\n")
    return console
