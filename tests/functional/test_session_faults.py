"""Sessions, and the faults clients rely on: each names what is wrong."""

import requests
from pyVmomi import SoapStubAdapter, vim, vmodl

from harness.client import Client, fault


def soap_fault(answer):
    assert answer.status_code == 500, answer.text
    assert "faultstring" in answer.text
    return answer.text


def test_an_unknown_object_is_not_found_by_name(client):
    with fault(vmodl.fault.ManagedObjectNotFound, "no-such-vm") as raised:
        vim.VirtualMachine("no-such-vm", client.instance._stub).name
    assert raised.value.obj._moId == "no-such-vm"


def test_without_a_session_nothing_but_the_door_is_open(client):
    text = soap_fault(client.soap('<CurrentTime xmlns="urn:vim25">'
                                  '<_this type="ServiceInstance">ServiceInstance</_this>'
                                  '</CurrentTime>', cookie=False))
    assert "NotAuthenticated" in text
    answer = client.soap('<RetrieveServiceContent xmlns="urn:vim25">'
                         '<_this type="ServiceInstance">ServiceInstance</_this>'
                         '</RetrieveServiceContent>', cookie=False)
    assert answer.status_code == 200


def test_a_method_nobody_knows_is_an_invalid_request(client):
    text = soap_fault(client.soap('<MakeCoffee xmlns="urn:vim25">'
                                  '<_this type="ServiceInstance">ServiceInstance</_this>'
                                  '</MakeCoffee>'))
    assert "InvalidRequest" in text or "MethodNotFound" in text
    assert "MakeCoffee" in text


def test_a_missing_parameter_is_named(client):
    text = soap_fault(client.soap('<Login xmlns="urn:vim25">'
                                  '<_this type="SessionManager">'
                                  f'{client.content.sessionManager._moId}</_this>'
                                  '<userName>root</userName></Login>'))
    assert "password" in text


def test_a_wrong_value_is_an_invalid_request_naming_it(client):
    text = soap_fault(client.soap('<FindByUuid xmlns="urn:vim25">'
                                  f'<_this type="SearchIndex">{client.content.searchIndex._moId}'
                                  '</_this><uuid>x</uuid><vmSearch>perhaps</vmSearch>'
                                  '</FindByUuid>'))
    assert "vmSearch" in text or "perhaps" in text


def test_broken_xml_is_answered_and_harms_nobody(client):
    for body in ("<open>", "&entity;", "<a></b>", "\x00"):
        assert client.soap(body).status_code in (400, 500)
    assert client.instance.CurrentTime()


def test_deep_nesting_and_entities_are_refused(client):
    deep = "<a>" * 100_000 + "</a>" * 100_000
    assert client.soap(deep).status_code in (400, 413, 500)
    bomb = ('<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
            "<x>&b;</x>")
    answer = requests.post(f"{client.host.url}/sdk", data=bomb, verify=client.host.ca, timeout=30)
    assert answer.status_code in (400, 500)
    assert client.instance.CurrentTime()


def test_huge_headers_are_refused(client):
    answer = requests.get(f"{client.host.url}/sdk", headers={"X-Huge": "x" * (1 << 20)},
                          verify=client.host.ca, timeout=30)
    assert answer.status_code in (400, 431)


def test_what_is_not_served_says_so_by_name(client, make_vm):
    vm = make_vm("faults-unserved", bare=True)
    with fault(vmodl.fault.NotSupported, "RelocateVM"):
        client.wait(vm.RelocateVM_Task(vim.vm.RelocateSpec()))


def test_power_faults_tell_both_states(client, make_vm):
    vm = make_vm("faults-power", bare=True)
    with fault(vim.fault.InvalidPowerState) as raised:
        client.wait(vm.PowerOffVM_Task())
    assert raised.value.existingState == "poweredOff"
    assert raised.value.requestedState == "poweredOff"
    with fault(vim.fault.InvalidPowerState):
        client.wait(vm.SuspendVM_Task())
    with fault(vim.fault.InvalidPowerState):
        client.wait(vm.ResetVM_Task())


def test_guest_operations_without_tools_say_so(client, make_vm):
    vm = make_vm("faults-tools", bare=True)
    with fault((vim.fault.ToolsUnavailable, vim.fault.InvalidPowerState)):
        vm.ShutdownGuest()


def test_sessions_are_listed_and_can_be_terminated(client, host):
    other = Client(host)
    key = other.content.sessionManager.currentSession.key
    assert key in [session.key for session in client.content.sessionManager.sessionList]
    client.content.sessionManager.TerminateSession([key])
    with fault(vmodl.fault.SecurityError):
        other.datacenter.name
    with fault(vim.fault.NotFound):
        client.content.sessionManager.TerminateSession([key])


def test_a_clone_ticket_opens_a_second_session_once(client, host):
    ticket = client.content.sessionManager.AcquireCloneTicket()
    stub = _stub(host)
    manager = vim.SessionManager(client.content.sessionManager._moId, stub)
    session = manager.CloneSession(ticket)
    assert session.userName == host.user
    assert session.key != client.content.sessionManager.currentSession.key
    manager.Logout()
    with fault(vim.fault.InvalidLogin):
        vim.SessionManager(manager._moId, _stub(host)).CloneSession(ticket)


def _stub(host):
    """A connection without a session."""
    return SoapStubAdapter(host="127.0.0.1", port=host.port, version="vim.version.version12",
                           path="/sdk", sslContext=host.tls())


def test_a_session_knows_whether_another_is_active(client, host):
    manager = client.content.sessionManager
    current = manager.currentSession
    assert manager.SessionIsActive(current.key, host.user)
    assert not manager.SessionIsActive("no-such-session", host.user)
