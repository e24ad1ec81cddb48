"""The commands of `virga`, from the first start of a host to its end."""

import pathlib
import re
import signal
import stat
import subprocess
import time

import pytest

from harness import isolation
from harness.cli import PROGRAM, WELCOME_IMAGE, Home, Terminal
from harness.client import Client
from harness.console import Console


@pytest.fixture
def home():
    """A machine on which Virga never ran."""
    with isolation.neighbour("192.0.2.9", "192.0.2.10") as namespace:
        home = Home(namespace, "192.0.2.10")
        home.network_before = home.network()
        yield home
        home.remove()


@pytest.fixture(scope="module")
def inhabited_home():
    with isolation.neighbour("192.0.2.5", "192.0.2.6") as namespace:
        home = Home(namespace, "192.0.2.6")
        home.network_before = home.network()
        yield home
        home.remove()


@pytest.fixture
def welcome(inhabited_home):
    """A host with the VM welcome, its guest running."""
    home = inhabited_home
    if not home.ups or home.ups[-1].process.poll() is not None:
        home.up("--welcome-image", WELCOME_IMAGE).line("see its console")
    client = Client(home)
    vm = client.vm("welcome")
    if vm.runtime.powerState != "poweredOn":
        home("vm", "on", "welcome")
    client.wait_for(vm, "guest.ipAddress", seconds=180)
    client.logout()
    return home


@pytest.fixture
def client_of():
    clients = []

    def make(home):
        clients.append(Client(home))
        return clients[-1]

    yield make
    for client in clients:
        client.logout()


def assert_nothing_left(home):
    assert home.processes() == {}
    assert home.network() == home.network_before


def carriers(home):
    """What a running guest lives on: QEMU, the switch, DHCP."""
    return [home.pids(program) for program in ("qemu-system", "ovs", "dnsmasq")]


def session_keys(client):
    return {session.key for session in client.content.sessionManager.sessionList}


# ---- virga up


def test_the_first_start_makes_authority_certificate_and_password(home, client_of):
    up = home.up("--no-welcome")
    ready = up.ready()
    assert ready == f"ready {home.url}/ user root password-file {home.password_file}"
    assert stat.S_IMODE(home.password_file.stat().st_mode) == 0o600
    assert len(home.password) >= 20
    client = client_of(home)    # trusts no authority but the host's own
    assert client.content.sessionManager.currentSession.userName == "root"
    assert client.datacenter.vmFolder.childEntity == []
    assert up.interrupt() == 0
    assert up.output == [ready]


def test_the_second_start_finds_what_the_first_made(home, client_of):
    found = []
    for _ in range(2):
        up = home.up("--no-welcome")
        ready = up.ready()
        uuid = client_of(home).host_system.hardware.systemInfo.uuid
        found.append((ready, home.password, home.ca.read_text(), uuid))
        assert up.interrupt() == 0
    assert found[0] == found[1]


def test_without_a_word_it_listens_on_the_loopback_device(home):
    up = home.up()
    up.kill()
    process = subprocess.Popen(home.command("up", "--no-welcome"), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    line = process.stdout.readline()
    assert line.startswith("ready https://127.0.0.1:8444/ user root password-file ")
    assert home("vm", "list").split() == ["id", "name", "state", "address"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert_nothing_left(home)


def test_the_password_may_come_from_a_file(home, client_of):
    given = home.directory / "given"
    given.write_text("correct horse battery\n")
    up = home.up("--no-welcome", "--password-file", given)
    assert up.ready().endswith(f" password-file {given}")
    assert not home.password_file.exists()
    home("vm", "list")
    home.password_file = given
    client_of(home)
    assert up.interrupt() == 0


def test_the_password_shows_neither_in_arguments_nor_in_logs(home):
    up = home.up("--no-welcome")
    up.ready()
    secret = home.password.encode()
    home("vm", "list")
    for pid in home.processes():
        for file in ("cmdline", "environ"):
            assert secret not in pathlib.Path(f"/proc/{pid}/{file}").read_bytes()
    assert up.interrupt() == 0
    assert home.password not in up.log()
    for path in home.state.rglob("*"):
        if path.is_file() and path != home.password_file:
            assert secret not in path.read_bytes(), path


def test_a_closed_terminal_ends_the_host_in_order(home):
    up = home.up("--no-welcome")
    up.ready()
    up.signal(signal.SIGHUP)
    assert up.ended() == 0
    assert_nothing_left(home)


def test_ctrl_c_while_starting_leaves_nothing(home):
    """The signal goes to all of the terminal's group: the tools that set the switch up too."""
    for delay in range(0, 100, 10):
        up = home.up("--no-welcome")
        up.line("ovsdb-server", up.errors)
        time.sleep(delay / 1000)
        assert up.interrupt() == 0, up.log()
        assert_nothing_left(home)


# ---- starts that fail


def failed(up):
    """The line in which a start that must fail says why."""
    assert up.ended() not in (0, None)
    assert up.output == []
    [line] = [line for line in up.errors if line.startswith("virga")][1:]
    return line


def test_a_port_in_use_is_named_and_nothing_is_left(home):
    listener = subprocess.Popen(
        home.here("socat", f"TCP-LISTEN:{home.port},bind={home.address},fork", "PIPE"))
    try:
        subprocess.run(home.here("socat", "-T1", "/dev/null",
                                 f"TCP:{home.address}:{home.port},retry=50,interval=0.1"), check=True)
        assert f"{home.address}:{home.port}" in failed(home.up("--no-welcome"))
        assert set(home.processes()) == {listener.pid}
        assert home.network() == home.network_before
    finally:
        listener.kill()
        listener.wait()


def test_a_torn_network_configuration_is_named_and_nothing_is_left(home):
    up = home.up("--no-welcome")
    up.ready()
    up.interrupt()
    configuration = home.state / "network" / "switching.json"
    configuration.write_text(configuration.read_text()[:20])
    assert str(configuration) in failed(home.up("--no-welcome"))
    assert_nothing_left(home)


def test_a_missing_password_file_is_named(home):
    missing = home.directory / "missing"
    assert str(missing) in failed(home.up("--no-welcome", "--password-file", missing))
    assert_nothing_left(home)


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "nowhere:1"])
def test_an_address_that_is_none_is_named(home, listen):
    run = home.run("up", "--no-welcome", "--listen", listen)
    assert run.returncode not in (0, None) and listen.split(":")[0] in run.stderr.splitlines()[-1]
    assert_nothing_left(home)


def test_a_second_host_of_the_same_folder_is_refused(home):
    up = home.up("--no-welcome")
    up.ready()
    assert str(home.state) in failed(home.up("--no-welcome"))
    home("vm", "list")
    assert up.interrupt() == 0


# ---- commands without a host


def test_without_a_host_commands_say_so(home):
    for words in (("vm", "list"), ("vm", "on", "any"), ("vm", "console", "any"), ("down",)):
        assert str(home.state) in home.refused(*words)
    assert not home.state.exists()


def test_after_the_host_has_ended_commands_say_so(home):
    up = home.up("--no-welcome")
    up.ready()
    up.interrupt()
    assert str(home.state) in home.refused("vm", "list")
    up = home.up("--no-welcome")
    up.ready()
    up.kill()
    assert str(home.state) in home.refused("vm", "list")
    home("down")
    assert_nothing_left(home)


# ---- the VM welcome


def test_a_start_killed_while_making_the_welcome_vm_is_made_good(inhabited_home, client_of):
    home = inhabited_home
    up = home.up("--welcome-image", WELCOME_IMAGE)
    up.line("creating the virtual machine welcome", up.errors)
    up.kill()
    up = home.up("--welcome-image", WELCOME_IMAGE)
    told = up.line("see its console")
    assert told.endswith(f" --state {home.state} vm console welcome")
    client = client_of(home)
    [vm] = client.datacenter.vmFolder.childEntity
    assert (vm.name, vm.runtime.powerState, vm.config.annotation) == ("welcome", "poweredOn", "")
    address = client.wait_for(vm, "guest.ipAddress", seconds=180)
    assert vm.guest.hostName == "welcome"
    [_, row] = home("vm", "list").splitlines()
    assert row.split() == [vm._moId, "welcome", "on", address]


@pytest.fixture
def terminal(welcome):
    terminal = Terminal(welcome.command("vm", "console", "welcome"))
    yield terminal
    terminal.close()


def test_the_console_is_the_guests(welcome, terminal):
    terminal.read_until(r"console of welcome; Ctrl-\] ends\n")
    terminal.type("echo $((6 * 7)) from $(hostname)\n")
    terminal.read_until(r"42 from welcome\n")
    terminal.type("\x03")
    terminal.read_until(r"\^C")    # what the guest's terminal says of Ctrl-C
    terminal.type("\x1d")
    assert terminal.ended() == 0
    assert terminal.state() == terminal.before


def test_a_terminated_console_leaves_terminal_and_sessions_in_order(welcome, terminal, client_of):
    terminal.read_until("ends\n")
    client = client_of(welcome)
    during = session_keys(client)
    terminal.process.terminate()
    assert terminal.ended() == 128 + signal.SIGTERM
    assert terminal.state() == terminal.before
    assert len(during - session_keys(client)) == 1


def test_commands_leave_no_sessions(welcome, client_of):
    client = client_of(welcome)
    before = session_keys(client)
    welcome("vm", "list")
    welcome.refused("vm", "on", "welcome")
    welcome.refused("vm", "off", "nobody")
    assert session_keys(client) == before


def test_what_cannot_be_done_is_said_in_a_line(welcome):
    assert "'nobody'" in welcome.refused("vm", "on", "nobody")
    assert "welcome" in welcome.refused("vm", "on", "welcome")


def test_commands_change_the_power_state(welcome, client_of):
    client = client_of(welcome)
    vm = client.vm("welcome")
    states = []
    for action in ("suspend", "on", "off", "on"):
        welcome("vm", action, "welcome")
        states.append((vm.runtime.powerState, welcome("vm", "list").split()[6]))
    assert states == [("suspended", "suspended"), ("poweredOn", "on"), ("poweredOff", "off"),
                      ("poweredOn", "on")]


def test_a_machine_that_is_off_has_no_console(welcome):
    welcome("vm", "off", "welcome")
    assert "welcome is not powered on" in welcome.refused("vm", "console", "welcome")


@pytest.mark.parametrize("action", ["reset", "reboot"])
def test_the_guest_starts_again(welcome, client_of, action):
    client = client_of(welcome)
    console = Console(client, client.vm("welcome"))
    welcome("vm", action, "welcome")
    console.booted()
    console.close()


def test_a_guest_that_is_shut_down_ends(welcome, client_of):
    client = client_of(welcome)
    welcome("vm", "shutdown", "welcome")
    client.wait_for(client.vm("welcome"), "runtime.powerState", lambda state: state == "poweredOff")


# ---- the end


def test_ctrl_c_leaves_guests_and_their_network_running(welcome, client_of):
    client = client_of(welcome)
    console = Console(client, client.vm("welcome"))
    console.output("left=behind")
    console.close()
    left = carriers(welcome)
    assert all(left)
    assert welcome.ups[-1].interrupt() == 0
    assert welcome.pids("virga") == []
    assert carriers(welcome) == left

    # A start that fails leaves them alone too.
    assert "nowhere" in failed(welcome.up("--no-welcome", "--password-file", "/nowhere"))
    assert carriers(welcome) == left

    welcome.up("--welcome-image", WELCOME_IMAGE).line("see its console")
    assert carriers(welcome) == left
    client = client_of(welcome)
    console = Console(client, client.vm("welcome"))
    assert console.output("echo $left").strip() == "behind"
    console.close()


@pytest.mark.parametrize("serving", [True, False])
def test_down_shuts_the_guests_down_and_leaves_nothing(welcome, serving):
    up = welcome.ups[-1]
    log = welcome.state / "datastore1" / "welcome" / "vmware.log"
    before = log.read_text()
    [run_directory] = {pathlib.Path(found) for line in welcome.processes().values()
                       for found in re.findall(r"/run/virga/\w+", " ".join(line))}
    assert run_directory.exists()
    if not serving:
        up.interrupt()
    welcome("down")
    assert not serving or up.ended() == 0
    assert_nothing_left(welcome)
    told = log.read_text().removeprefix(before)
    assert "shut down" in told and "powered off" not in told, told
    assert not run_directory.exists()
    welcome("down")    # there is nothing more to do
    assert_nothing_left(welcome)


# ---- virga host check


def check(home, setup=""):
    """The exit status, and by requirement the verdict, what was found, and the reason.

    `setup` is done before, by a shell in mounts of its own.
    """
    run = subprocess.run(
        home.here("unshare", "--mount", "sh", "-ec", f'{setup} exec "$@"', "sh",
                  PROGRAM, "--state", home.state, "host", "check"),
        text=True, capture_output=True, timeout=120)
    found, name = {}, None
    for line in run.stdout.splitlines():
        if told := re.fullmatch(r"(ok|degraded|MISSING) +([^:]+): (.+)", line):
            name = told[2]
            found[name] = [told[1], told[3], ""]
        else:
            assert line.startswith("          ") and name, line
            found[name][2] += line.strip()
    assert run.stderr == ""
    return run.returncode, found


def test_a_check_tells_what_the_machine_has(home):
    status, found = check(home)
    assert set(found) == {
        "64-bit x86 processor", "processor cores", "no-execute bit", "processor virtualization",
        "hypervisor", "memory", "network adapter", "storage adapter", "disk space"}
    verdicts = {name: verdict for name, (verdict, _, _) in found.items()}
    assert status == (1 if "MISSING" in verdicts.values() else 0)
    assert all(reason for verdict, _, reason in found.values() if verdict != "ok")
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    assert found["64-bit x86 processor"][1] == model
    assert found["hypervisor"][1].startswith("qemu ")
    assert not home.state.exists()


@pytest.mark.parametrize("setup, lacks, reason", [
    ("echo MemTotal: 1000000 kB >{own}; mount --bind {own} /proc/meminfo;", "memory", "4 GiB"),
    ("echo processor: 0 >{own}; mount --bind {own} /proc/cpuinfo;", "no-execute bit", "firmware"),
    ("mkdir {state}; mount -t tmpfs -o size=64m tmpfs {state};", "disk space", "8 GiB"),
    ("mount -t sysfs sysfs /sys;", "network adapter", "clients"),    # those of this machine: none
    ("mount -t tmpfs tmpfs /sys;", "storage adapter", "disks"),
    ("PATH=/nowhere;", "hypervisor", "qemu-system-x86_64"),
])
def test_a_check_names_what_is_missing_and_why(home, setup, lacks, reason):
    status, found = check(home, setup.format(own=home.directory / "own", state=home.state))
    verdict, _, why = found[lacks]
    assert (status, verdict) == (1, "MISSING")
    assert reason in why
