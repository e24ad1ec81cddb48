"""Real hosts, real guests, in a network of their own."""

import pytest

from harness import isolation, machines, qemu
from harness.client import Client
from harness.console import Console
from harness.host import PROGRAM, HostProcess


def pytest_sessionstart(session):
    if session.config.option.collectonly:
        return
    for needed in (PROGRAM, machines.GUEST_IMAGE):
        if not needed.exists():
            pytest.exit(f"{needed} is not there: ./test builds it", returncode=3)
    try:
        isolation.enter()
    except isolation.CannotIsolate as error:
        pytest.exit(str(error), returncode=3)


def pytest_sessionfinish(session):
    if not session.config.option.collectonly:
        isolation.end_processes()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    host = item.funcargs.get("host")
    if report.failed and host is not None:
        report.sections.append(("the host's log ends", host.log_end()))


@pytest.fixture(scope="session")
def shared_host():
    host = HostProcess().start()
    yield host
    host.stop()
    isolation.end_processes()
    host.remove()


@pytest.fixture
def host(shared_host):
    """The host that most tests share; a test that killed it need not bring it back."""
    if not shared_host.running:
        shared_host.start()
    return shared_host


@pytest.fixture
def client(host):
    client = Client(host)
    yield client
    client.logout()


@pytest.fixture
def make_vm(client, host):
    """deploy() or create() for one test: what it makes is destroyed afterwards."""
    names = []

    def make(name, *devices, **options):
        names.append(name)
        if devices or options.pop("bare", False):
            return machines.create(client, machines.spec(client, name, devices, **options))
        return machines.deploy(client, name, **options)

    yield make
    machines.destroy_all(host, names)


@pytest.fixture
def arrivals(host):
    """Names of VMs that the test receives: they are destroyed afterwards."""
    names = []
    yield names
    machines.destroy_all(host, names)


class Guest:
    """A running guest: its VM, its console, and what it found when it started."""

    def __init__(self, client, vm, console, found):
        self.client, self.vm, self.console, self.found = client, vm, console, found


def boot(client, vm):
    client.wait(vm.PowerOnVM_Task())
    console = Console(client, vm)
    return Guest(client, vm, console, console.booted())


@pytest.fixture
def boot_guest(client):
    """Powers a VM on and waits for its guest; consoles are closed afterwards."""
    guests = []

    def start(vm):
        guests.append(boot(client, vm))
        return guests[-1]

    yield start
    for guest in guests:
        guest.console.close()


_found_by_shared_guests = {}


def shared_guest(client, name, **options):
    """A guest many tests use: started when first wanted, and again when a test ended it."""
    vm = client.vm(name) or machines.deploy(client, name, **options)
    if vm.runtime.powerState == "suspended":
        client.wait(vm.PowerOnVM_Task())
    if vm.runtime.powerState == "poweredOff":
        guest = boot(client, vm)
        _found_by_shared_guests[name] = guest.found
        return guest
    return Guest(client, vm, Console(client, vm), _found_by_shared_guests[name])


@pytest.fixture
def guest(client):
    """The shared guest: PVSCSI, VMXNET3 and a SATA CD-ROM with the guest's own ISO."""
    _, iso = machines.upload_image(client)
    guest = shared_guest(client, "shared", extra=[
        machines.controller("sata"), machines.cdrom(machines.SATA_KEY, 0, iso)])
    yield guest
    guest.console.close()


@pytest.fixture
def second_guest(client):
    """A second one, on the same network, with another NIC."""
    guest = shared_guest(client, "second", nics=["e1000e"])
    yield guest
    guest.console.close()


@pytest.fixture
def qemu_of():
    return qemu.of
