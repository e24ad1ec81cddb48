"""A real virga-host: started, killed, started again."""

import os
import pathlib
import queue
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = pathlib.Path(os.environ.get("VIRGA_BUILD", ROOT / "build"))
PROGRAM = BUILD / "bin" / "virga-host"
CRASH_POINT = BUILD / "lib" / "libcrash_point.so"
READY_SECONDS = 60


class HostProcess:
    """One host with a state folder of its own, which outlives the process."""

    user = "root"
    password = "correct horse <&> \"battery\" staple"

    def __init__(self, port=8444, address="127.0.0.1", namespace=None):
        """`namespace`: the network namespace it lives in, by path, if not in ours."""
        self.port, self.address = port, address
        self.entering = ["nsenter", f"--net={namespace}"] if namespace else []
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="virga-functional-"))
        self.state = self.directory / "state"
        self.log = self.directory / "host.log"
        self.password_file = self.directory / "password"
        self.password_file.write_text(self.password + "\n")
        self.process = None

    @property
    def url(self):
        return f"https://{self.address}:{self.port}"

    @property
    def ca(self):
        return self.state / "ca.pem"

    def tls(self):
        """A context that trusts the host's own certificate authority and nothing else."""
        return ssl.create_default_context(cafile=self.ca)

    def start(self, *options, crash_step=None):
        """Starts the host and returns once it serves.

        `crash_step`: which of the steps it does after begin_to_count() it dies before; a step is
        whatever outlives it (tests/crash_point).
        """
        log = open(self.log, "ab")
        environment = {}
        if crash_step is not None:
            environment = {"LD_PRELOAD": str(CRASH_POINT), "VIRGA_CRASH_STEP": str(crash_step)}
        self.process = subprocess.Popen(
            [*self.entering, PROGRAM, "--state", self.state,
             "--listen", f"{self.address}:{self.port}", "--password-file", self.password_file, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            env={**os.environ, **environment})
        ready = queue.SimpleQueue()
        threading.Thread(target=_follow, args=(self.process.stdout, log, ready),
                         daemon=True).start()
        try:
            line = ready.get(timeout=READY_SECONDS)
        except queue.Empty:
            line = None
        if not line:
            raise AssertionError(f"virga-host did not become ready; its log ends:\n{self.log_end()}")
        return self

    def begin_to_count(self):
        self.process.send_signal(signal.SIGUSR2)

    def kill(self):
        """As a crash would end it: no time to clean up."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As a service manager would: SIGTERM. Guests run on."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(timeout=30)
            assert status == 0, f"virga-host ended with status {status}:\n{self.log_end()}"

    def restart(self):
        self.kill()
        return self.start()

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_end(self):
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


def _follow(stream, log, ready):
    """Copies the host's output to its log; puts the ready line, or None at its end, in `ready`."""
    for line in stream:
        log.write(line)
        log.flush()
        if line.startswith(b"ready "):
            ready.put(line.decode())
    ready.put(None)
