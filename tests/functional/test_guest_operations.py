"""What clients do inside a guest, as root and as a user of it."""

import datetime
import http.client
import re
import time
import urllib.parse

import pytest
from pyVmomi import vim, vmodl

from harness.client import Client, fault

SECRET = "correct horse"  # of both users of the guest


def credentials(name, password=SECRET):
    return vim.vm.guest.NamePasswordAuthentication(
        username=name, password=password, interactiveSession=False)


ROOT, ANN = credentials("root"), credentials("ann")


@pytest.fixture
def inside(client, guest):
    """The guest with two users that have passwords: its image has none."""
    client.wait_for(guest.vm, "guest.guestOperationsReady", bool)
    guest.console.output(
        "grep -q ^ann: /etc/passwd || {"
        " echo ann:x:1000:1000::/home/ann:/bin/sh >>/etc/passwd; echo ann:x:1000: >>/etc/group;"
        " mkdir -p /home/ann; chown 1000:1000 /home/ann; chmod 1777 /tmp;"
        f" hash=$(mkpasswd -m sha512 '{SECRET}'); sed -i s/^root::/root:x:/ /etc/passwd;"
        " for user in root ann; do echo \"$user:$hash:19000::::::\"; done >/etc/shadow;"
        " chmod 600 /etc/shadow; }")
    return guest


@pytest.fixture
def operations(client):
    return client.content.guestOperationsManager


@pytest.fixture
def files(operations, inside):
    return Bound(operations.fileManager, inside.vm)


@pytest.fixture
def processes(operations, inside):
    return Bound(operations.processManager, inside.vm)


class Bound:
    """A manager whose methods are about one VM."""

    def __init__(self, manager, vm):
        self.manager, self.vm = manager, vm

    def __getattr__(self, method):
        return lambda *arguments: getattr(self.manager, method)(self.vm, *arguments)


def program(path, arguments="", **more):
    return vim.vm.guest.ProcessManager.ProgramSpec(programPath=path, arguments=arguments, **more)


def ended(processes, auth, pid):
    """The program's entry once it has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        [process] = processes.ListProcessesInGuest(auth, [pid])
        if process.endTime is not None:
            return process
    raise AssertionError(f"program {pid} does not end")


def request(client, method, url, body=None):
    """By a client that put the host's name in the star's place."""
    parts = urllib.parse.urlsplit(url.replace("*", client.host.address))
    connection = http.client.HTTPSConnection(parts.hostname, parts.port or 443,
                                             context=client.host.tls(), timeout=120)
    connection.request(method, f"{parts.path}?{parts.query}", body=body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


# ---- Who comes in


def test_a_user_is_known_by_the_password_only(operations, inside):
    validate = operations.authManager.ValidateCredentialsInGuest
    for auth in ROOT, ANN:
        assert validate(inside.vm, auth) is None
    for name, password in (("root", "wrong"), ("root", ""), ("nobody-here", SECRET),
                           ("root:x", SECRET), ("", SECRET)):
        with fault(vim.fault.InvalidGuestLogin):
            validate(inside.vm, credentials(name, password))


def test_an_account_that_has_expired_or_is_locked_does_not_come_in(operations, inside):
    validate = operations.authManager.ValidateCredentialsInGuest
    for change, back in (("s/^ann:/ann:!/", "s/^ann:!/ann:/"),
                         ("/^ann:/s/::::::$/:::::100:/", "/^ann:/s/:::::100:$/::::::/")):
        inside.console.output(f"sed -i '{change}' /etc/shadow")
        with fault(vim.fault.InvalidGuestLogin):
            validate(inside.vm, ANN)
        inside.console.output(f"sed -i '{back}' /etc/shadow")
        assert validate(inside.vm, ANN) is None


def test_other_credentials_are_refused_by_name(operations, inside):
    validate = operations.authManager.ValidateCredentialsInGuest
    interactive = credentials("root")
    interactive.interactiveSession = True
    for auth in (interactive,
                 vim.vm.guest.SAMLTokenAuthentication(token="x", interactiveSession=False)):
        with fault(vim.fault.OperationNotSupportedByGuest):
            validate(inside.vm, auth)


@pytest.fixture
def observer(client, host):
    """A client that may ask guests, and change nothing in them."""
    accounts, authorization = client.content.accountManager, client.content.authorizationManager
    name, password = "observer", "Weak-enough 1 & only"
    accounts.CreateUser(vim.host.LocalAccountManager.AccountSpecification(
        id=name, password=password, description="for a test"))
    role = authorization.AddAuthorizationRole(
        "asks guests", ["System.Anonymous", "System.View", "System.Read",
                        "VirtualMachine.GuestOperations.Query"])
    authorization.SetEntityPermissions(client.content.rootFolder, [
        vim.AuthorizationManager.Permission(principal=name, group=False, roleId=role,
                                            propagate=True)])
    other = Client(host, name, password)
    yield other
    other.logout()
    accounts.RemoveUser(name)
    authorization.RemoveAuthorizationRole(role, False)


def test_what_is_done_in_a_guest_takes_privileges_of_its_own(inside, observer):
    other = observer
    manager = other.content.guestOperationsManager
    vm = vim.VirtualMachine(inside.vm._moId, other.instance._stub)
    assert manager.authManager.ValidateCredentialsInGuest(vm, ROOT) is None
    assert manager.fileManager.ListFilesInGuest(vm, ROOT, "/").files
    with fault(vim.fault.NoPermission, "GuestOperations.Execute"):
        manager.processManager.StartProgramInGuest(vm, ROOT, program("/bin/true"))
    with fault(vim.fault.NoPermission, "GuestOperations.Modify"):
        manager.fileManager.MakeDirectoryInGuest(vm, ROOT, "/tmp/never", False)


# ---- Programs


def test_a_program_runs_as_the_user_and_tells_its_exit_code(processes, inside):
    for auth, uid in (ROOT, 0), (ANN, 1000):
        pid = processes.StartProgramInGuest(auth, program(
            "/bin/sh", f"-c 'id -u; pwd; echo $COLOUR; exit 7' >/tmp/said-{uid} 2>&1",
            workingDirectory="/var", envVariables=["COLOUR=blue"]))
        process = ended(processes, auth, pid)
        assert process.exitCode == 7
        assert process.owner == auth.username
        assert process.name == "sh"
        assert process.startTime <= process.endTime
        assert inside.console.output(f"cat /tmp/said-{uid}").split() == [str(uid), "/var", "blue"]


def test_programs_that_cannot_start_are_named(processes, inside):
    for path, kind in (("/bin/none", vim.fault.FileNotFound), ("/tmp", vim.fault.NotAFile),
                       ("/etc/passwd", vim.fault.GuestPermissionDenied)):
        with fault(kind, path):
            processes.StartProgramInGuest(ROOT, program(path))
    with fault(vim.fault.FileNotFound, "/none"):
        processes.StartProgramInGuest(ROOT, program("/bin/true", workingDirectory="/none"))


def test_what_runs_is_listed_and_ends_when_told(processes, inside):
    pid = processes.StartProgramInGuest(ANN, program("/bin/sleep", "1000"))
    everything = {process.pid: process for process in processes.ListProcessesInGuest(ROOT, None)}
    assert everything[1].owner == "root" and everything[1].cmdLine == "init"
    assert everything[pid].owner == "ann" and everything[pid].cmdLine == "/bin/sleep 1000"
    assert inside.console.output(f"tr '\\0' ' ' </proc/{pid}/cmdline").strip() == "/bin/sleep 1000"
    [init] = processes.ListProcessesInGuest(ROOT, [1])
    boot = inside.console.output("sed -n 's/^btime //p' /proc/stat")
    assert abs(init.startTime.timestamp() - int(boot)) < 5

    with fault(vim.fault.GuestPermissionDenied):
        processes.TerminateProcessInGuest(ANN, 1)
    processes.TerminateProcessInGuest(ANN, pid)
    assert ended(processes, ANN, pid).exitCode == 128 + 15
    with fault(vim.fault.GuestProcessNotFound, "99999"):
        processes.TerminateProcessInGuest(ROOT, 99999)


def test_an_exit_code_outlives_the_daemon(host, processes, inside):
    pid = processes.StartProgramInGuest(ROOT, program("/bin/sh", "-c 'exit 5'"))
    name = inside.vm.name
    host.kill()
    host.start()
    again = Client(host)
    vm = again.vm(name)
    again.wait_for(vm, "guest.guestOperationsReady", bool)
    assert ended(Bound(again.content.guestOperationsManager.processManager, vm), ROOT,
                 pid).exitCode == 5
    again.logout()


def test_the_environment_is_the_users(processes, inside):
    assert "HOME=/home/ann" in processes.ReadEnvironmentVariableInGuest(ANN, None)
    assert processes.ReadEnvironmentVariableInGuest(ROOT, ["USER", "NONE"]) == ["USER=root"]


# ---- Files


def test_directories_and_files_come_move_and_go(files, inside):
    files.MakeDirectoryInGuest(ANN, "/tmp/a b/c", True)
    with fault(vim.fault.FileAlreadyExists, "/tmp/a b"):
        files.MakeDirectoryInGuest(ANN, "/tmp/a b", False)
    made = files.CreateTemporaryFileInGuest(ANN, "pre", ".end", "/tmp/a b")
    assert re.fullmatch(r"/tmp/a b/pre\w+\.end", made)
    folder = files.CreateTemporaryDirectoryInGuest(ANN, "", "", None)
    assert inside.console.output(f"stat -c '%a %U' '{made}' {folder}").split() == \
        ["600", "ann", "700", "ann"]
    files.MoveFileInGuest(ANN, made, "/tmp/a b/c/moved", False)
    inside.console.output("echo old >/tmp/there; chown ann /tmp/there")
    with fault(vim.fault.FileAlreadyExists, "/tmp/there"):
        files.MoveFileInGuest(ANN, "/tmp/a b/c/moved", "/tmp/there", False)
    files.MoveFileInGuest(ANN, "/tmp/a b/c/moved", "/tmp/there", True)
    assert inside.console.output("cat /tmp/there").strip() == ""
    files.MoveDirectoryInGuest(ANN, "/tmp/a b", folder + "/in")
    with fault(vim.fault.DirectoryNotEmpty, folder):
        files.DeleteDirectoryInGuest(ANN, folder, False)
    with fault(vim.fault.NotAFile, folder):
        files.DeleteFileInGuest(ANN, folder)
    files.DeleteDirectoryInGuest(ANN, folder, True)
    files.DeleteFileInGuest(ANN, "/tmp/there")
    assert inside.console.output(f"ls -d /tmp/there {folder} 2>/dev/null; echo none").strip() == "none"
    with fault(vim.fault.FileNotFound, "/tmp/there"):
        files.DeleteFileInGuest(ANN, "/tmp/there")


def test_nobody_does_what_the_guest_does_not_allow(files, inside):
    inside.console.output("chmod 700 /root")
    for refused in (lambda: files.MakeDirectoryInGuest(ANN, "/etc/new", False),
                    lambda: files.DeleteFileInGuest(ANN, "/etc/passwd"),
                    lambda: files.ListFilesInGuest(ANN, "/root/x", None, None, None),
                    lambda: files.InitiateFileTransferFromGuest(ANN, "/etc/shadow"),
                    lambda: files.InitiateFileTransferToGuest(
                        ANN, "/etc/new", vim.vm.guest.FileManager.PosixFileAttributes(), 1, True)):
        with fault(vim.fault.GuestPermissionDenied):
            refused()
    with fault(vmodl.fault.InvalidArgument, "relative"):
        files.DeleteFileInGuest(ROOT, "relative")


def test_a_directory_is_listed(files, inside):
    inside.console.output("mkdir /tmp/list; cd /tmp/list; echo 12345 >'a file'; ln -s nowhere link;"
                          " mkdir inner; chmod 2750 inner; touch -d @1700000000 'a file'; cd /")
    listing = files.ListFilesInGuest(ROOT, "/tmp/list", None, None, None)
    entries = {entry.path: entry for entry in listing.files}
    assert set(entries) == {".", "..", "a file", "link", "inner"} and listing.remaining == 0
    assert (entries["a file"].type, entries["a file"].size) == ("file", 6)
    assert entries["a file"].attributes.modificationTime == \
        datetime.datetime.fromtimestamp(1700000000, datetime.timezone.utc)
    assert (entries["link"].type, entries["link"].attributes.symlinkTarget) == ("symlink", "nowhere")
    assert (entries["inner"].type, entries["inner"].attributes.permissions) == ("directory", 0o2750)
    part = files.ListFilesInGuest(ROOT, "/tmp/list", 1, 2, None)
    assert len(part.files) == 2 and part.remaining == 2
    [found] = files.ListFilesInGuest(ROOT, "/tmp/list", None, None, "^a.*e$").files
    assert found.path == "a file"
    files.ChangeFileAttributesInGuest(ROOT, "/tmp/list/a file", vim.vm.guest.FileManager.
                                      PosixFileAttributes(ownerId=1000, groupId=1000,
                                                          permissions=0o640))
    assert inside.console.output("stat -c '%a %u %g %Y' '/tmp/list/a file'").split() == \
        ["640", "1000", "1000", "1700000000"]


def test_files_travel_both_ways(client, files, inside):
    content = bytes(range(256)) * 10240 + b"end"  # more than two pieces
    attributes = vim.vm.guest.FileManager.PosixFileAttributes(permissions=0o600)
    url = files.InitiateFileTransferToGuest(ANN, "/home/ann/it", attributes, len(content), False)
    response, _ = request(client, "PUT", url, content)
    assert response.status == 200
    assert inside.console.output("stat -c '%a %U %s' /home/ann/it").split() == \
        ["600", "ann", str(len(content))]
    assert request(client, "PUT", url, content)[0].status == 404  # once
    with fault(vim.fault.FileAlreadyExists, "/home/ann/it"):
        files.InitiateFileTransferToGuest(ANN, "/home/ann/it", attributes, 1, False)

    information = files.InitiateFileTransferFromGuest(ANN, "/home/ann/it")
    assert information.size == len(content)
    assert information.attributes.permissions == 0o600
    response, received = request(client, "GET", information.url)
    assert response.status == 200 and received == content
    assert request(client, "GET", information.url)[0].status == 404

    url = files.InitiateFileTransferToGuest(ANN, "/home/ann/it", attributes, 10, True)
    assert request(client, "PUT", url, b"five.")[0].status == 400
    assert inside.console.output("stat -c %s /home/ann/it; ls /home/ann").split() == \
        [str(len(content)), "it"]  # as it was, and nothing beside it


def test_a_guest_that_does_not_run_or_has_no_agent_is_told_of(client, operations, inside):
    validate = operations.authManager.ValidateCredentialsInGuest
    inside.console.output("kill $(pidof qemu-ga)")
    client.wait_for(inside.vm, "guest.toolsRunningStatus", lambda s: s != "guestToolsRunning")
    with fault(vim.fault.GuestOperationsUnavailable):
        validate(inside.vm, ROOT)
    inside.console.output("qemu-ga -d -t /run -f /run/qemu-ga.pid"
                          " -p /dev/virtio-ports/org.qemu.guest_agent.0")
    client.wait_for(inside.vm, "guest.guestOperationsReady", bool)
    assert validate(inside.vm, ROOT) is None
    client.wait(inside.vm.PowerOffVM_Task())
    with fault(vim.fault.InvalidPowerState):
        validate(inside.vm, ROOT)
