"""A network and mounts of our own: what the tests start cannot touch the machine's."""

import ctypes
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


def processes():
    """The processes in our network namespace, ourselves left out: all descend from the tests."""
    ours = os.stat("/proc/self/ns/net").st_ino
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if os.stat(f"/proc/{entry}/ns/net").st_ino == ours:
                yield int(entry)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass


def end_processes():
    """Ends what is left of hosts and guests."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 5
        left = list(processes())
        for pid in left:
            try:
                os.kill(pid, name)
            except ProcessLookupError:
                pass
        while list(processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
