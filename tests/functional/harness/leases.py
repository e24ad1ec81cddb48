"""VMs that travel, as vSphere's clients do it: a lease, and HTTPS for the files."""

import requests

from harness.images import run


def ready(client, lease):
    """The lease's info, once it is there; raises the fault of one that never was."""
    state = client.wait_for(lease, "state", lambda state: state in ("ready", "error"))
    if state == "error":
        raise lease.error
    return lease.info


def url(client, device):
    """As pyVmomi's samples have it: the star is for the host's name."""
    return device.url.replace("*", client.host.address)


def get(client, device, method="GET", **options):
    """Without a session: the address is the proof."""
    return requests.request(method, url(client, device), verify=client.host.ca, timeout=120,
                            **options)


def put(client, device, data, method="PUT"):
    return requests.request(method, url(client, device), data=data, verify=client.host.ca,
                            timeout=120,
                            headers={"Content-Type": "application/x-vnd.vmware-streamVmdk"})


def stream_optimized(raw, to):
    """An image as the file that a client sends."""
    run("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, to)
    return to.read_bytes()
