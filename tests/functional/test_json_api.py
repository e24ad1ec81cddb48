"""The VI JSON binding: the same objects, by HTTPS and JSON."""

import time

import pytest
import requests

from harness import machines

SESSION = "vmware-api-session-id"


class Json:
    """A session at the JSON binding."""

    def __init__(self, host, release="7.0.3.0"):
        self.host, self.base = host, f"{host.url}/sdk/vim25/{release}"
        self.headers = {}
        self.content = self.get("ServiceInstance/ServiceInstance/content")

    def login(self):
        manager = self.content["sessionManager"]
        answer = self.post(f"SessionManager/{manager['value']}/Login",
                           {"userName": self.host.user, "password": self.host.password})
        self.headers[SESSION] = answer.headers[SESSION]
        return answer.json()

    def request(self, method, path, **options):
        return requests.request(method, f"{self.base}/{path}", headers=self.headers, timeout=60,
                                verify=self.host.ca, **options)

    def get(self, path):
        answer = self.request("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path, body, status=200):
        answer = self.request("POST", path, json=body)
        assert answer.status_code == status, answer.text
        return answer

    def wait(self, task):
        while True:
            info = self.get(f"Task/{task['value']}/info")
            if info["state"] in ("success", "error"):
                return info
            time.sleep(0.05)


@pytest.fixture
def api(host):
    api = Json(host)
    api.login()
    return api


def test_login_gives_a_session_and_who_it_is(host):
    api = Json(host)
    assert api.content["about"]["apiType"] == "HostAgent"
    session = api.login()
    assert session["_typeName"] == "UserSession"
    assert session["userName"] == host.user


def test_without_a_session_it_is_unauthorized(host):
    answer = Json(host).request("GET", "Folder/ha-folder-root/name")
    assert answer.status_code == 401


def test_properties_are_read_one_by_one(api, client):
    root = api.content["rootFolder"]
    assert root["_typeName"] == "ManagedObjectReference"
    children = api.get(f"{root['type']}/{root['value']}/childEntity")
    assert [child["value"] for child in children] == [client.datacenter._moId]


def test_a_vm_is_made_started_and_destroyed(api, client):
    answer = api.post(f"Folder/{client.datacenter.vmFolder._moId}/CreateVM_Task", {
        "config": {"_typeName": "VirtualMachineConfigSpec", "name": "json-made",
                   "memoryMB": 64, "numCPUs": 1, "guestId": "otherGuest64",
                   "files": {"_typeName": "VirtualMachineFileInfo",
                             "vmPathName": f"[{client.datastore.name}]"},
                   "deviceChange": [{
                       "_typeName": "VirtualDeviceConfigSpec", "operation": "add",
                       "device": {"_typeName": "ParaVirtualSCSIController", "key": 1000,
                                  "busNumber": 0, "sharedBus": "noSharing"}}]},
        "pool": {"_typeName": "ManagedObjectReference", "type": "ResourcePool",
                 "value": client.pool._moId}})
    info = api.wait(answer.json())
    assert info["state"] == "success", info
    vm = info["result"]["value"]
    devices = api.get(f"VirtualMachine/{vm}/config")["hardware"]["device"]
    assert "ParaVirtualSCSIController" in {device["_typeName"] for device in devices}
    for method, state in (("PowerOnVM_Task", "poweredOn"), ("PowerOffVM_Task", "poweredOff")):
        api.wait(api.post(f"VirtualMachine/{vm}/{method}", {}).json())
        assert api.get(f"VirtualMachine/{vm}/runtime")["powerState"] == state
    assert api.wait(api.post(f"VirtualMachine/{vm}/Destroy_Task", {}).json())["state"] == "success"
    assert api.request("GET", f"VirtualMachine/{vm}/name").status_code == 404


def test_faults_are_json_with_their_type(api, client):
    manager = api.content["sessionManager"]["value"]
    wrong = api.post(f"SessionManager/{manager}/TerminateSession", {"sessionId": ["nobody"]},
                     status=500).json()
    assert wrong["_typeName"] == "NotFound"
    answer = api.request("GET", "VirtualMachine/no-such/name")
    assert answer.status_code == 404
    assert answer.json()["_typeName"] == "ManagedObjectNotFound"


@pytest.mark.parametrize("body", ["{", "[]", '{"userName": 5}', '"x"', "nul", '{"a":' * 5000])
def test_broken_json_is_a_client_error(api, body):
    manager = api.content["sessionManager"]["value"]
    answer = requests.post(f"{api.base}/SessionManager/{manager}/Login", data=body, timeout=30,
                           headers={**api.headers, "Content-Type": "application/json"},
                           verify=api.host.ca)
    assert 400 <= answer.status_code < 500 or "fault" in answer.text.lower() \
        or "InvalidRequest" in answer.text


def test_unknown_releases_types_and_members_are_not_found(api, host):
    for path in (f"{host.url}/sdk/vim25/1.0/ServiceInstance/ServiceInstance/content",
                 f"{api.base}/Nonsense/x/name", f"{api.base}/Folder/ha-folder-root/nonsense"):
        answer = requests.get(path, headers=api.headers, verify=host.ca, timeout=10)
        assert answer.status_code in (400, 404), path


def test_both_bindings_show_the_same(api, client, make_vm):
    vm = make_vm("same-twice", machines.controller("pvscsi"))
    config = api.get(f"VirtualMachine/{vm._moId}/config")
    assert config["uuid"] == vm.config.uuid
    assert len(config["hardware"]["device"]) == len(vm.config.hardware.device)
    assert config["_typeName"] == "VirtualMachineConfigInfo"


def test_the_openapi_document_describes_what_is_served(host):
    answer = requests.get(f"{host.url}/api/openapi.json", verify=host.ca, timeout=30)
    document = answer.json()
    assert document["openapi"].startswith("3.")
    assert any(path.endswith("/VirtualMachine/{moId}/PowerOnVM_Task")
               for path in document["paths"])
    assert "VirtualMachineConfigSpec" in document["components"]["schemas"]


def test_answers_are_compressed_for_those_who_accept_it(api):
    url = f"{api.base}/ServiceInstance/ServiceInstance/content"
    plain = requests.get(url, verify=api.host.ca, headers={**api.headers,
                                                           "Accept-Encoding": "identity"}, timeout=10)
    small = requests.get(url, verify=api.host.ca, headers={**api.headers,
                                                           "Accept-Encoding": "gzip"}, timeout=10)
    assert "Content-Encoding" not in plain.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert small.json() == plain.json()
