"""A network and mounts of our own: what the tests start cannot touch the machine's."""

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import time

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000


class CannotIsolate(Exception):
    pass


def enter():
    """Moves this process, which must have one thread, into new network and mount namespaces."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise CannotIsolate(f"the functional tests need root and network namespaces: {reason}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


_neighbours = []
_numbers = itertools.count()


@contextlib.contextmanager
def neighbour(ours, theirs):
    """Another machine, as far as the network goes: a namespace with a cable to ours.

    Open vSwitch's userspace datapath exists once in a namespace, so there is one host in each.
    Gives the path to enter it by; `ours` and `theirs` are the addresses at the cable's ends.
    """
    name = f"vg-{os.getpid()}-{next(_numbers)}"
    path = f"/run/netns/{name}"
    for command in (f"ip netns add {name}",
                    f"ip link add {name} type veth peer name cable netns {name}",
                    f"ip address add {ours}/30 dev {name}",
                    f"ip link set {name} up",
                    f"ip -n {name} address add {theirs}/30 dev cable",
                    f"ip -n {name} link set cable up",
                    f"ip -n {name} link set lo up"):
        subprocess.run(command.split(), check=True)
    inode = os.stat(path).st_ino
    _neighbours.append(inode)
    try:
        yield path
    finally:
        _end(lambda: processes_in(path))
        _neighbours.remove(inode)
        subprocess.run(["ip", "netns", "delete", name], check=True)


def processes():
    """The processes in our namespaces, ourselves left out: all descend from the tests."""
    return _in({os.stat("/proc/self/ns/net").st_ino, *_neighbours})


def processes_in(namespace):
    """The processes in the namespace at that path."""
    return _in({os.stat(namespace).st_ino})


def _in(namespaces):
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if os.stat(f"/proc/{entry}/ns/net").st_ino in namespaces:
                yield int(entry)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass


def end_processes():
    """Ends what is left of hosts and guests."""
    _end(processes)


def _end(processes_left):
    """Ends the processes that the function tells of, in peace or by force."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 5
        for pid in list(processes_left()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, name)
        while list(processes_left()) and time.monotonic() < deadline:
            time.sleep(0.05)
