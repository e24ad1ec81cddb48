"""Starts virga-host for a benchmark, in a folder that goes with it."""
import os
import pathlib
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("VIRGA_BUILD", ROOT / "build"))


class Daemon:
    def __init__(self, *options):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="virga-bench-"))
        self.process = subprocess.Popen(
            [BUILD / "bin/virga-host", "--state", self.state, "--listen", "127.0.0.1:0",
             "--log", "error", *options], stdout=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        if not ready.startswith("ready "):
            raise RuntimeError("virga-host did not start")
        self.port = int(ready.split("/")[2].rsplit(":", 1)[1])
        self.ca = self.state / "ca.pem"
        self.password = (self.state / "root-password").read_text().strip()

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def resident_bytes(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def database_bytes(self):
        return sum(file.stat().st_size for file in self.state.glob("virga.db*"))

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.state, ignore_errors=True)
