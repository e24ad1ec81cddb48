"""A real NFS server, nfs-ganesha, on a machine of its own."""

import socket
import subprocess
import time

ADDRESS = "192.0.2.6"

# By NFS 4 an export is known by its pseudo path, by NFS 3 by its path: here one. What hosts held
# open before a restart may be reclaimed for a while; nobody has to wait for long here.
CONFIGURATION = """
NFS_CORE_PARAM {{ Protocols = 3, 4; Enable_NLM = false; Enable_RQUOTA = false; MNT_Port = 20048;
                  NFS_Port = 2049; }}
NFSV4 {{ Grace_Period = 6; Lease_Lifetime = 5; RecoveryBackend = fs; }}
EXPORT {{ Export_Id = 1; Path = "{path}"; Pseudo = "{path}"; Protocols = 3, 4; Transports = TCP;
          Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL {{ Name = VFS; }} }}
EXPORT {{ Export_Id = 2; Path = "{private}"; Pseudo = "{private}"; Protocols = 3, 4;
          Transports = TCP; Access_Type = None; SecType = sys; FSAL {{ Name = VFS; }}
          CLIENT {{ Clients = 203.0.113.1; Access_Type = RW; }} }}
"""


class Server:
    """ganesha.nfsd and rpcbind in a network namespace, serving one folder and hiding another."""

    def __init__(self, namespace, directory):
        self.namespace, self.directory, self.process = namespace, directory, None
        self.path, self.private = directory / "export", directory / "private"
        for folder in (self.path, self.private):
            folder.mkdir()
        self.configuration, self.log = directory / "ganesha.conf", directory / "ganesha.log"
        self.configuration.write_text(CONFIGURATION.format(path=self.path, private=self.private))
        self.rpcbind = self._start_rpcbind()

    def _start_rpcbind(self):
        """With a /run of its own, which ganesha then shares: a server's records are its own."""
        script = ("mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib/nfs && "
                  "mkdir -p /run/ganesha /var/lib/nfs/ganesha && echo ready && exec rpcbind -f")
        process = subprocess.Popen(
            ["nsenter", f"--net={self.namespace}", "unshare", "-m", "bash", "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout.readline() == b"ready\n"
        self._wait_for(111, process)
        return process

    def start(self):
        entering = ["nsenter", f"--net={self.namespace}",
                    f"--mount=/proc/{self.rpcbind.pid}/ns/mnt"]
        self.process = subprocess.Popen(
            [*entering, "ganesha.nfsd", "-F", "-L", self.log,
             "-f", self.configuration, "-p", "/run/ganesha/pid"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_for(2049, self.process)
        return self

    def _wait_for(self, port, process):
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((ADDRESS, port), timeout=5).close()
                return
            except OSError:
                log = self.log.read_text()[-2000:] if self.log.exists() else ""
                assert process.poll() is None, f"it ended: {process.args}\n{log}"
                assert time.monotonic() < deadline, f"nobody listens to {port}"
                time.sleep(0.05)

    def stop(self):
        """As if its power was cut."""
        self.process.kill()
        self.process.wait()

    def remove(self):
        self.stop()
        self.rpcbind.kill()
        self.rpcbind.wait()
