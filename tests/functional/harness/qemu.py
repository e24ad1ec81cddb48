"""The QEMU process behind a VM, as the operating system sees it."""

import os
import pathlib
import signal

from harness import isolation


class Process:
    def __init__(self, pid):
        self.pid = pid

    def status(self):
        """/proc/PID/status by field."""
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def alive(self):
        try:
            return self.status()["State"][0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def running():
    """All guests' processes, of every host the tests have started."""
    return [Process(pid) for pid in isolation.processes()
            if "qemu-system" in pathlib.Path(command_line(pid)[0] if command_line(pid) else "").name]


def of(vm):
    """The one process whose command line bears the VM's UUID."""
    found = [process for process in running()
             if any(vm.config.uuid in argument for argument in command_line(process.pid))]
    assert len(found) == 1, f"{len(found)} processes run {vm.name}"
    return found[0]
