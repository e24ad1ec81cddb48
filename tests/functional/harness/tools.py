"""Stock clients that are programs: virsh and Ruby's rbvmomi."""

import os
import subprocess
import tempfile

AUTHENTICATION = """[credentials-virga]
username={user}
password={password}

[auth-esx-127.0.0.1]
credentials=virga
"""


class Virsh:
    """virsh on libvirt's ESX driver; the host's password comes from a file, as users give it."""

    def __init__(self, host, user, password):
        self.uri = f"esx://{user}@127.0.0.1:{host.port}/?no_verify=1"
        self.file = tempfile.NamedTemporaryFile("w", suffix=".conf")
        self.file.write(AUTHENTICATION.format(user=user, password=password))
        self.file.flush()

    def __call__(self, *words, check=True):
        run = subprocess.run(
            ["virsh", "-q", "-c", self.uri, *words], text=True, capture_output=True, timeout=120,
            env={**os.environ, "LIBVIRT_AUTH_FILE": self.file.name, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL)
        assert not check or run.returncode == 0, f"virsh {' '.join(words)}: {run.stderr}"
        return run.stdout if run.returncode == 0 else run.stderr

    def rows(self, *words):
        return [line.split() for line in self(*words).splitlines() if line.strip()]

    def fields(self, *words):
        """Output of the form `Key:  value`."""
        lines = (line.split(":", 1) for line in self(*words).splitlines() if ":" in line)
        return {key.strip(): value.strip() for key, value in lines}


def rbvmomi(host, script):
    """Runs Ruby with `vim` connected; returns what it printed."""
    program = f"""
require 'rbvmomi'
vim = RbVmomi::VIM.connect(host: '127.0.0.1', port: {host.port}, insecure: true,
                           user: ENV['VIRGA_USER'], password: ENV['VIRGA_PASSWORD'])
dc = vim.serviceInstance.find_datacenter
{script}
"""
    run = subprocess.run(["ruby", "-W0", "-e", program], text=True, capture_output=True, timeout=120,
                         env={**os.environ, "VIRGA_USER": host.user,
                              "VIRGA_PASSWORD": host.password})
    assert run.returncode == 0, run.stderr
    return run.stdout
