"""Who may come in, and over what."""

import socket
import ssl

import pytest
import requests
from pyVim.connect import SmartConnect
from pyVmomi import vim, vmodl

from harness.client import Client, fault


def test_the_certificate_is_signed_by_the_hosts_own_authority(host):
    answer = requests.get(f"{host.url}/sdk/vimServiceVersions.xml", verify=host.ca, timeout=10)
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{host.url}/sdk/vimServiceVersions.xml", verify=True, timeout=10)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(host, version):
    context = host.tls()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", host.port), timeout=10) as connection:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(connection, server_hostname="127.0.0.1")


def test_versions_document_names_what_clients_negotiate(host):
    text = requests.get(f"{host.url}/sdk/vimServiceVersions.xml", verify=host.ca, timeout=10).text
    assert "urn:vim25" in text
    assert "<version>7.0</version>" in text or "<version>7.0.0.0</version>" in text
    assert "<version>6.7</version>" in text


def test_root_logs_in_and_is_told_who_answers(client, host):
    about = client.content.about
    assert about.apiType == "HostAgent"
    assert about.apiVersion.startswith("7.0")
    assert about.productLineId == "embeddedEsx"
    session = client.content.sessionManager.currentSession
    assert session.userName == host.user
    assert session.key


@pytest.mark.parametrize("user, password", [
    ("root", "wrong"), ("root", ""), ("nobody-here", "wrong"), ("root'--", "x"), ("", "")])
def test_a_wrong_name_or_password_is_an_invalid_login(host, user, password):
    with fault(vim.fault.InvalidLogin):
        SmartConnect(host="127.0.0.1", port=host.port, user=user, pwd=password,
                     sslContext=host.tls())


def test_a_second_login_in_the_same_session_is_refused(client, host):
    with fault(vmodl.fault.InvalidRequest):
        client.content.sessionManager.Login(host.user, host.password)


def test_after_logout_the_session_is_gone(host):
    client = Client(host)
    client.content.sessionManager.Logout()
    with fault(vmodl.fault.SecurityError):
        client.datacenter.name


def test_the_password_is_kept_nowhere_in_clear(client, host):
    secret = host.password.encode()
    for path in host.state.rglob("*"):
        if path.is_file() and path.stat().st_size < 16 << 20:
            assert secret not in path.read_bytes(), path
    assert secret not in host.log.read_bytes()


def test_private_keys_are_for_the_owner_only(host):
    keys = [path for path in host.state.rglob("*")
            if path.is_file() and path.stat().st_size < 1 << 16
            and b"PRIVATE KEY" in path.read_bytes()]
    assert keys
    for path in keys:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.fixture
def account(client):
    """A host-local account without any permission; (name, password)."""
    name, password = "operator", "Weak-enough 1 & only"
    accounts = client.content.accountManager
    accounts.CreateUser(vim.host.LocalAccountManager.AccountSpecification(
        id=name, password=password, description="for a test"))
    yield name, password
    accounts.RemoveUser(name)


def test_a_local_account_without_permission_may_not_enter(host, account):
    with fault(vim.fault.NoPermission):
        Client(host, *account)


def test_a_local_account_with_a_role_enters_and_does_what_the_role_allows(client, host, account):
    name, _ = account
    authorization = client.content.authorizationManager
    read_only = next(role for role in authorization.roleList if role.name == "ReadOnly")
    authorization.SetEntityPermissions(client.content.rootFolder, [
        vim.AuthorizationManager.Permission(principal=name, group=False, roleId=read_only.roleId,
                                            propagate=True)])
    try:
        other = Client(host, *account)
        assert other.datacenter.name == client.datacenter.name
        with fault(vim.fault.NoPermission) as raised:
            other.datacenter.vmFolder.CreateFolder("forbidden")
        assert raised.value.privilegeId == "Folder.Create"
        assert raised.value.object is not None
        other.logout()
    finally:
        authorization.RemoveEntityPermission(client.content.rootFolder, name, False)


def test_who_may_see_one_vm_finds_it_from_the_top_and_nothing_else(client, host, account, make_vm):
    name, _ = account
    seen, hidden = make_vm("seen", bare=True), make_vm("hidden", bare=True)
    authorization = client.content.authorizationManager
    read_only = next(role for role in authorization.roleList if role.name == "ReadOnly")
    permission = vim.AuthorizationManager.Permission(principal=name, group=False, propagate=True,
                                                     roleId=read_only.roleId)
    authorization.SetEntityPermissions(seen, [permission])
    other = Client(host, *account)
    view = other.content.viewManager.CreateContainerView(
        other.content.rootFolder, [vim.VirtualMachine], True)
    assert [vm._moId for vm in view.view] == [seen._moId]
    assert view.view[0].config.name == "seen"
    with fault(vim.fault.NoPermission):
        vim.VirtualMachine(hidden._moId, other.instance._stub).name
    authorization.SetEntityPermissions(hidden, [permission])
    assert {vm._moId for vm in view.view} == {seen._moId, hidden._moId}
    authorization.RemoveEntityPermission(seen, name, False)
    assert [vm._moId for vm in view.view] == [hidden._moId]
    other.logout()


def test_a_changed_password_is_the_one_that_counts(client, host, account):
    name, old = account
    client.content.accountManager.UpdateUser(vim.host.LocalAccountManager.AccountSpecification(
        id=name, password="Another-1 password"))
    with fault(vim.fault.InvalidLogin):
        Client(host, name, old)


def test_an_account_cannot_be_made_twice(client, account):
    with fault(vim.fault.AlreadyExists):
        client.content.accountManager.CreateUser(
            vim.host.LocalAccountManager.AccountSpecification(id=account[0], password="Other-1 pw"))
