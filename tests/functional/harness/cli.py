"""The program `virga`, as somebody at a terminal uses it."""

import fcntl
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import ssl
import subprocess
import tempfile
import termios
import threading
import time

from harness import isolation, qemu
from harness.host import BUILD

PROGRAM = BUILD / "bin" / "virga"
WELCOME_IMAGE = BUILD / "guest" / "welcome.img"
PATIENCE = 180


class Home:
    """A host's state folder and the commands for it, on a machine of its own: see neighbour()."""

    user = "root"

    def __init__(self, namespace, address, port=8444):
        self.namespace, self.address, self.port = namespace, address, port
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="virga-functional-"))
        self.state = self.directory / "state"
        self.password_file = self.state / "root-password"
        self.ups = []

    @property
    def url(self):
        return f"https://{self.address}:{self.port}"

    @property
    def ca(self):
        return self.state / "ca.pem"

    @property
    def password(self):
        return self.password_file.read_text().strip()

    def tls(self):
        return ssl.create_default_context(cafile=self.ca)

    def here(self, *words):
        """The command line of a program on this machine."""
        return ["nsenter", f"--net={self.namespace}", *map(str, words)]

    def command(self, *words):
        return self.here(PROGRAM, "--state", self.state, *words)

    def run(self, *words):
        return subprocess.run(self.command(*words), text=True, capture_output=True, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL)

    def __call__(self, *words):
        """What the command printed; it must succeed."""
        run = self.run(*words)
        assert run.returncode == 0, f"virga {' '.join(words)}: {run.stderr}"
        return run.stdout

    def refused(self, *words):
        """The one line that a command which must fail printed."""
        run = self.run(*words)
        assert run.returncode not in (0, None) and run.stdout == "", run
        [line] = run.stderr.splitlines()
        return line

    def up(self, *options):
        self.ups.append(Up(self.command("up", "--listen", f"{self.address}:{self.port}", *options)))
        return self.ups[-1]

    def processes(self):
        """The command lines of all that runs on this machine, by process."""
        lines = {pid: qemu.command_line(pid) for pid in isolation.processes_in(self.namespace)}
        return {pid: line for pid, line in lines.items() if any(line)}

    def pids(self, program):
        """The processes of programs whose names begin so."""
        return sorted(pid for pid, line in self.processes().items()
                      if pathlib.Path(line[0]).name.startswith(program))

    def network(self):
        """Names of network devices, routes and packet filters of this machine."""
        links, routes, rules = (
            subprocess.run(self.here(*command), check=True, text=True, capture_output=True).stdout
            for command in (("ip", "-brief", "link"), ("ip", "route"), ("nft", "list", "ruleset")))
        return sorted(line.split()[0] for line in links.splitlines()), routes, rules

    def remove(self):
        for up in self.ups:
            up.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Up:
    """A `virga up` in the foreground."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True)
        self.output, self.errors = [], []
        self.changed = threading.Condition()
        self.followers = [
            threading.Thread(target=self._follow, args=each, daemon=True)
            for each in ((self.process.stdout, self.output), (self.process.stderr, self.errors))]
        for follower in self.followers:
            follower.start()

    def _follow(self, stream, lines):
        for line in stream:
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def line(self, pattern, lines=None):
        """Waits for a line of standard output, or of `lines`, that is of this form."""
        lines = self.output if lines is None else lines

        def found():
            return next((line for line in lines if re.search(pattern, line)), None)

        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while not found():
                ended = self.process.poll() is not None
                assert not ended and time.monotonic() < deadline, f"no {pattern!r}:\n{self.log()}"
                self.changed.wait(1)
            return found()

    def ready(self):
        return self.line("^ready ")

    def log(self):
        return "\n".join(self.output + self.errors)

    def signal(self, number):
        """To all that the terminal would send it to."""
        os.killpg(self.process.pid, number)

    def interrupt(self):
        """Ctrl-C; returns the exit status."""
        self.signal(signal.SIGINT)
        return self.ended()

    def ended(self):
        """Waits for the end; returns the exit status. What it said is all there then."""
        status = self.process.wait(PATIENCE)
        for follower in self.followers:
            follower.join(PATIENCE)
        return status

    def kill(self):
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command):
        self.screen, self.keyboard = pty.openpty()
        self.before = self.state()
        self.process = subprocess.Popen(command, stdin=self.keyboard, stdout=self.keyboard,
                                        stderr=self.keyboard, start_new_session=True)
        self.text = ""

    def state(self):
        """What a program must leave as it found it."""
        return (termios.tcgetattr(self.keyboard),
                fcntl.fcntl(self.keyboard, fcntl.F_GETFL) & os.O_NONBLOCK)

    def type(self, keys):
        os.write(self.screen, keys.encode())

    def read_until(self, pattern):
        deadline = time.monotonic() + PATIENCE
        while not (match := re.search(pattern, self.text)):
            readable, _, _ = select.select([self.screen], [], [], deadline - time.monotonic())
            assert readable, f"no {pattern!r} on the terminal:\n{self.text[-2000:]}"
            self.text += os.read(self.screen, 4096).decode(errors="replace").replace("\r", "")
        self.text = self.text[match.end():]
        return match

    def ended(self):
        """Waits for the program's end; returns its exit status."""
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.screen)
        os.close(self.keyboard)
