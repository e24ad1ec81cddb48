"""A real iSCSI target, tgt, on a machine of its own."""

import os
import socket
import subprocess
import time

from harness import isolation

ADDRESS = "10.99.3.2"
PORTAL = f"{ADDRESS}:3260"
CONTROL = str(os.getpid() % 30000)


class Target:
    """tgtd in a network namespace. Targets and LUNs are told anew to each start."""

    def __init__(self, namespace, directory):
        self.entering = ["nsenter", f"--net={namespace}"]
        self.directory, self.process, self.commands = directory, None, []

    def start(self):
        os.makedirs("/run/tgtd", exist_ok=True)
        self.process = subprocess.Popen(
            [*self.entering, "tgtd", "-f", "-C", CONTROL, "--iscsi", f"portal={PORTAL}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while self._tell("--op", "show", "--mode", "target", check=False).returncode:
            assert time.monotonic() < deadline, "tgtd does not answer"
            time.sleep(0.05)
        for command in self.commands:
            self._tell(*command)
        while True:
            try:
                socket.create_connection((ADDRESS, 3260), timeout=5).close()
                return self
            except OSError:
                assert time.monotonic() < deadline, "tgtd does not listen"
                time.sleep(0.05)

    def stop(self):
        """As if its power was cut."""
        self.process.kill()
        self.process.wait()

    def add(self, number, name, mebibytes=64, user=None, outgoing=None):
        """A target with LUN 1; returns the file that holds its content."""
        backing = self.directory / f"lun{number}"
        with open(backing, "wb") as file:
            file.truncate(mebibytes << 20)
        tid = ("--tid", str(number))
        self.tell("--op", "new", "--mode", "target", *tid, "-T", name)
        self.tell("--op", "new", "--mode", "logicalunit", *tid, "--lun", "1", "-b", str(backing))
        for account, option in ((user, ()), (outgoing, ("--outgoing",))):
            if account:
                self.tell("--op", "new", "--mode", "account", "--user", account[0],
                          "--password", account[1])
                self.tell("--op", "bind", "--mode", "account", *tid, "--user", account[0], *option)
        self.tell("--op", "bind", "--mode", "target", *tid, "-I", "ALL")
        return backing

    def tell(self, *command):
        self.commands.append(command)
        self._tell(*command)

    def _tell(self, *command, check=True):
        return subprocess.run([*self.entering, "tgtadm", "-C", CONTROL, "--lld", "iscsi", *command],
                              check=check, capture_output=True, text=True)


def machine():
    return isolation.neighbour("10.99.3.1", ADDRESS)
