"""A guest's serial console: the guest is the witness of the hardware it was given.

What the guest prints: tools/guest/root/etc/witness.
"""

import re
import shlex
import time

import websocket

BOOT_SECONDS = 180
# One read's time limit: less than the host's interval of pings, each of which starts it anew.
PATIENCE = 5
# What the guest says of its own accord: its hot plug and its kernel write between a command's lines.
UNASKED = re.compile(r"virga-witness .*\n|\[ *\d+\.\d{6}\] .*\n")


def connect(client, path, session=True):
    """A WebSocket to the host, in the client's session or none."""
    return websocket.create_connection(
        f"wss://{client.host.address}:{client.host.port}{path}", subprotocols=["binary"], timeout=20,
        sslopt={"ca_certs": str(client.host.ca)}, cookie=client.cookie if session else None)


class Witness:
    """One line `virga-witness KIND NAME... key=value...`."""

    def __init__(self, line):
        self.kind, *words = shlex.split(line)
        self.names = [word for word in words if "=" not in word]
        self.values = dict(word.split("=", 1) for word in words if "=" in word)

    def __getitem__(self, key):
        return self.values[key]

    def __repr__(self):
        return f"<{self.kind} {' '.join(self.names)} {self.values}>"


class Console:
    """The serial console by WebSocket. Reads only when asked to: all that was said is kept."""

    def __init__(self, client, vm):
        self.socket = connect(client, f"/console/{vm._moId}/serial")
        self.text = ""
        self.read_to = 0

    def close(self):
        self.socket.close()

    def read_until(self, pattern, seconds=BOOT_SECONDS):
        """Reads until the pattern appears in what was not passed yet; returns the match."""
        deadline = time.monotonic() + seconds
        while not (match := re.compile(pattern).search(self.text, self.read_to)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} on the console in {seconds} s:\n{self.text[-2000:]}"
            self.socket.settimeout(min(left, PATIENCE))
            try:
                data = self.socket.recv()
            except websocket.WebSocketTimeoutException:
                continue
            if isinstance(data, bytes):
                data = data.decode(errors="replace")
            self.text += data.replace("\r", "")
        self.read_to = match.end()
        return match

    def booted(self, seconds=BOOT_SECONDS):
        """Waits until the guest has started and its shell listens; returns what it found."""
        start = self.read_to
        self.read_until(r"virga-witness ready\n", seconds)
        self.read_until(r"# ", seconds)    # what is typed before the prompt is lost
        return self.witnesses(start)

    def witnesses(self, start=0):
        return [Witness(line) for line in
                re.findall(r"virga-witness (.*)\n", self.text[start:self.read_to])]

    def address(self, interface="eth0"):
        """The IPv4 address that DHCP gave; waits for it."""
        show = f"ip -4 -o address show {interface}"
        lines = self.output(f"until {show} | grep -q inet; do sleep 1; done; {show}")
        return re.search(r"inet ([\d.]+)/", lines)[1]

    def run(self, command, seconds=60):
        """Types a command into the root shell; returns its exit status and its output."""
        # The quotes keep the marks apart from the echo of the line that was typed.
        self.socket.send(f"echo vir''ga-begin; {command}; echo vir''ga-end $?\n")
        self.read_until(r"virga-begin\n", seconds)
        start = self.read_to
        status = self.read_until(r"virga-end (\d+)\n", seconds)
        return int(status[1]), UNASKED.sub("", self.text[start:status.start()])

    def output(self, command, seconds=60):
        """As run(), for a command that must succeed."""
        status, output = self.run(command, seconds)
        assert status == 0, f"{command}: {status}\n{output}"
        return output


def of_kind(witnesses, kind):
    return [witness for witness in witnesses if witness.kind == kind]
